"""``python -m crash.torture``: kill workers a thousand times, and print what came of it."""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from crash.bases import BASES
from crash.campaign import (
    ALONE,
    COUNTED,
    EXHAUSTED,
    INTERRUPTED,
    RANDOM,
    REMOVED,
    STOPS,
    Campaign,
    Result,
    folder,
)
from crash.faults import FAULTS, choose, faults_of
from crash.workers import nursery

EACH = 25
"""Kills of one campaign, which has a store of its own."""


def main() -> int:
    """Print the table; 1 if anything is not as promised."""
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--seed", type=int, help="of the first campaign; drawn if not given")
    parser.add_argument("--store", choices=BASES, default="sqlite", help="on which (sqlite)")
    parser.add_argument("--keep", type=Path, help="where the files of the campaigns are left")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=FAULTS,
        metavar="FAULT",
        help=f"leave out one of the faults; may be repeated ({', '.join(FAULTS)})",
    )
    parser.add_argument("--all", action="store_true", help="all faults in each campaign")
    given = parser.parse_args()
    seed = Random().randrange(10**6) if given.seed is None else given.seed
    began = time.monotonic()
    results = asyncio.run(_torture(given, seed))
    return _print(results, BASES[given.store].points, time.monotonic() - began)


async def _torture(given: argparse.Namespace, seed: int) -> list[Result]:
    results: list[Result] = []
    store, kills, keep = given.store, given.kills, given.keep
    possible = faults_of(store, given.without)
    print(f"{kills} kills, seeds {seed} to {seed + (kills - 1) // EACH}", flush=True)
    with folder() as made:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
        async with nursery() as workers:
            while kills > 0:
                number = seed + len(results)
                place = keep or Path(made)
                base = BASES[store](place, str(number))
                chosen = possible if given.all else choose(number, possible)
                size = min(kills, EACH)
                run = Campaign(workers, base, place, number, kills=size, chosen=chosen)
                result = await run.run()
                kills -= EACH
                results.append(result)
                for trouble in result.findings.troubles():
                    print(f"seed {number} ({', '.join(sorted(chosen))}): {trouble}", flush=True)
                if sys.stderr.isatty():
                    done = sum(sum(each.kills.values()) for each in results)
                    sys.stderr.write(f"\r{done} kills\r")
    return results


def _print(results: list[Result], points: tuple[str, ...], seconds: float) -> int:
    kills: Counter[str] = sum((each.kills for each in results), Counter())
    deeds: Counter[str] = sum((each.deeds for each in results), Counter())
    found = [each.findings for each in results]
    rows: list[tuple[str, object]] = [
        ("stores", len(results)),
        ("events", sum(each.events for each in found)),
        ("attempts", sum(each.attempts for each in found)),
        ("interrupted", sum(each.interrupted for each in found)),
        ("cancelled", sum(each.cancelled for each in found)),
        ("children", sum(each.children for each in found)),
        ("children cancelled for a parent", sum(each.stopped for each in found)),
        ("continued events", sum(each.continued for each in found)),
        ("starts of workers", sum(each.starts for each in results)),
        ("kills", sum(kills.values())),
        *(
            (f"  {point}", kills[point])
            for point in (*points, *STOPS, *ALONE, EXHAUSTED, INTERRUPTED, RANDOM)
        ),
        *((name, deeds[name]) for name in (*COUNTED.values(), REMOVED)),
        ("stopped right before a start", sum(each.gaps for each in found)),
        ("lost", sum(len(each.lost) for each in found)),
        ("completed twice on record", sum(len(each.twice) for each in found)),
        ("overlapping attempts", sum(len(each.overlapping) for each in found)),
        ("started after finished elsewhere", sum(len(each.late) for each in found)),
        ("cancelled and started again", sum(len(each.again) for each in found)),
        ("stuck", sum(len(each.stuck) for each in found)),
        ("forgotten children", sum(len(each.forgotten) for each in found)),
        ("children that ran too early", sum(len(each.early) for each in found)),
        ("wrong continuations", sum(len(each.amiss) for each in found)),
        ("otherwise wrong", sum(len(each.wrong) for each in found)),
        ("wall time", f"{seconds:.1f} s on {os.cpu_count()} cores"),
    ]
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:{width}}  {value}" for name, value in rows))
    return int(any(each.troubles() for each in found))


if __name__ == "__main__":
    sys.exit(main())
