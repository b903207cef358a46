"""Measure, then print one table: `python -m benchmarks` from the root of the repository."""

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
    disk,
    durable,
    filled,
    growth,
    idle,
    imports,
    latency,
    limits,
    memory,
    observing,
    postgres,
    postgres_history,
    postgres_limit,
    postgres_wake,
    postgres_workers,
    recovery,
    settled,
    stall,
    stream,
    throughput,
    transitions,
    web,
)
from benchmarks.filled import Setting
from benchmarks.isolate import MeasurementError
from benchmarks.postgres_stage import Stage, stage
from benchmarks.table import Section, absent, draw

QUESTIONS: dict[str, Callable[[int], Section]] = {
    "latency": latency.report,
    "memory": memory.report,
    "transitions": transitions.report,
    "idle": idle.report,
    "imports": imports.report,
    "stream": stream.report,
    "limits": limits.report,
    "observing": observing.report,
}
ON_DISK: dict[str, Callable[[Setting], Section]] = {
    "durable": durable.report,
    "rss": filled.report,
    "settled": settled.report,
    "recovery": recovery.report,
    "stall": stall.report,
    "web": web.report,
}
ON_POSTGRES: dict[str, Callable[[Setting, Stage], Section]] = {
    "postgres": postgres.report,
    "workers": postgres_workers.report,
    "history": postgres_history.report,
    "wake": postgres_wake.report,
    "fleet": postgres_limit.report,
}
NAMES = ("throughput", "growth", *QUESTIONS, *ON_DISK, *ON_POSTGRES)


def main() -> None:
    options = parse()
    began = time.perf_counter()
    sections = list(answer(options))
    print(heading(options.rounds))
    print()
    print(draw(sections))
    print()
    print(summary(sections), f"It took {time.perf_counter() - began:.0f} s.")
    if options.json:
        options.json.write_text(json.dumps([s.as_dict() for s in sections], indent=1) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="QUESTION",
                        help=f"some of: {', '.join(NAMES)}")  # fmt: skip
    parser.add_argument("--n", nargs="+", type=int, default=throughput.SIZES,
                        help="numbers of events for throughput")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds (7)")
    parser.add_argument("--settled", type=int, default=filled.MILLION,
                        help="events in the large file (1,000,000)")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def answer(options: argparse.Namespace) -> list[Section]:
    sections = []
    result: throughput.Result = {}
    if "throughput" in options.only:
        result = throughput.collect(options.n, options.rounds)
        sections.append(throughput.report(result))
    if "growth" in options.only:
        if "throughput" not in options.only:
            result = throughput.collect(growth.SIZES, options.rounds, growth.CONTESTANTS)
        sections.append(growth.report(result))
    sections += [ask(options.rounds) for name, ask in QUESTIONS.items() if name in options.only]
    return sections + answer_on_disk(options)


def answer_on_disk(options: argparse.Namespace) -> list[Section]:
    asked = [ask for name, ask in ON_DISK.items() if name in options.only]
    served = {name: ask for name, ask in ON_POSTGRES.items() if name in options.only}
    if not asked and not served:
        return []
    with disk.scratch() as folder:
        setting = Setting(folder, options.rounds, options.settled)
        return [ask(setting) for ask in asked] + answer_on_postgres(setting, served)


def answer_on_postgres(
    setting: Setting, asked: dict[str, Callable[[Setting, Stage], Section]]
) -> list[Section]:
    """All by one server; without one, each section says why it is empty."""
    if not asked:
        return []
    try:
        with stage(setting.folder) as server:
            return [ask(setting, server) for ask in asked.values()]
    except MeasurementError as error:
        return [Section(name, name.upper(), [absent(name, str(error))]) for name in asked]


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
