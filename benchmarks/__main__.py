"""Measure this library and others, and print one table: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    growth_memory,
    growth_postgres,
    growth_sqlite,
    latency_memory,
    latency_postgres,
    memory,
    postgres,
    sqlite,
)
from benchmarks.isolate import MeasurementError
from benchmarks.run import Run
from benchmarks.table import Section, absent, draw

QUESTIONS: dict[str, tuple[Callable[[Run], Section], ...]] = {
    "memory": (memory.report,),
    "sqlite": (sqlite.report,),
    "postgres": (postgres.report,),
    "latency": (latency_memory.report, latency_postgres.report),
    "growth": (growth_memory.report, growth_sqlite.report, growth_postgres.report),
}


def main() -> None:
    options = parse()
    began = time.perf_counter()
    run = Run(options.n, options.rounds, options.finished)
    with run.stack:
        sections = [answer(ask, run) for name in options.only for ask in QUESTIONS[name]]
    print(heading(options.rounds))
    print()
    print(draw(sections))
    print()
    print(summary(sections), f"It took {time.perf_counter() - began:.0f} s.")
    if options.json:
        options.json.write_text(json.dumps([s.as_dict() for s in sections], indent=1) + "\n")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS),
                        metavar="QUESTION", help=f"some of: {', '.join(QUESTIONS)}")  # fmt: skip
    parser.add_argument("--n", nargs="+", type=int, default=[10_000, 100_000],
                        help="numbers of events (10000 100000)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (5)")
    parser.add_argument("--finished", type=int, default=1_000_000,
                        help="finished events before growth is measured (1000000)")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    return parser.parse_args(arguments)


def answer(ask: Callable[[Run], Section], run: Run) -> Section:
    """Return the section of a question; if it could not be measured, the section says why."""
    try:
        return ask(run)
    except MeasurementError as error:
        name = ask.__module__.rpartition(".")[2]
        return Section(name, name.upper(), [absent("not measured", str(error))])


def heading(rounds: int) -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    load = os.getloadavg()[0]
    return (
        f"{python} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"load {load:.1f} at the end; {rounds} alternating rounds, a process each"
    )


def summary(sections: list[Section]) -> str:
    verdicts = [row for section in sections for row in section.rows if row.verdict]
    missed = [row for row in verdicts if row.verdict == "MISS"]
    return f"{len(verdicts) - len(missed)} of {len(verdicts)} bars are met."


if __name__ == "__main__":
    sys.exit(main())
