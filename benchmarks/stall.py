"""How long a file keeps the event loop from another task, beside what memory does.

A task sleeps for a millisecond, over and over, while a hundred callers append and what they
appended runs; the gaps between its turns are told. After each append a caller lets the others
have a turn, as a server does between two requests: in memory an append never waits, and a
hundred callers would else be one that never stops.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
from array import array
from functools import partial
from time import perf_counter_ns

from benchmarks import bars, disk
from benchmarks.filled import Setting
from benchmarks.isolate import Figures
from benchmarks.rounds import Ask, alternate
from benchmarks.table import Section, absent, figure, held

N = 100_000
TICK = 0.001
MOST_ROUNDS = 3
MEMORY = "(e) ours, in memory"
ON_DISK = "(e) ours, in a file"
KEYS = ("p50", "p99", "longest")


# --- the measured side ----------------------------------------------------------------


def child(n: int, kind: str, folder: str) -> Figures:
    """The gaps between two turns, in ms."""
    return asyncio.run(run_beside_ticks(n, kind, folder))


async def run_beside_ticks(n: int, kind: str, folder: str) -> Figures:
    from benchmarks.candidates import expect_all_completed, shuffled_priorities
    from benchmarks.ours import make_executor
    from benchmarks.ours_on_disk import WARM_UP, on_record, url

    gaps = array("q")
    store = url(folder, "measured") if kind == "sqlite" else "memory://"
    async with make_executor(store=store) as executor:
        await append_politely(executor, shuffled_priorities(WARM_UP))
        await executor.join()
        gc.collect()
        ticking = asyncio.create_task(tick(gaps))
        await append_politely(executor, shuffled_priorities(n))
        await executor.join()
        ticking.cancel()
        completed = await on_record(executor)
    expect_all_completed(completed, n + WARM_UP)
    return summary([gap / 1e6 for gap in gaps])


def summary(gaps: list[float]) -> Figures:
    cuts = statistics.quantiles(gaps, n=100)
    return {"p50": cuts[49], "p99": cuts[98], "longest": max(gaps), "turns": len(gaps)}


async def tick(gaps: array[int]) -> None:
    last = perf_counter_ns()
    while True:
        await asyncio.sleep(TICK)
        now = perf_counter_ns()
        gaps.append(now - last)
        last = now


async def append_politely(executor: object, priorities: list[float]) -> None:
    from benchmarks.candidates import WORKERS
    from benchmarks.ours import NoOp

    shared = iter(priorities)

    async def call() -> None:
        for priority in shared:
            await executor.append(NoOp(), priority=priority)  # type: ignore[attr-defined]
            await asyncio.sleep(0)

    await asyncio.gather(*(call() for _ in range(WORKERS)))


# --- the asking side ------------------------------------------------------------------


def report(setting: Setting) -> Section:
    section = Section(
        "stall",
        f"STALL: ms between two turns of a task that sleeps {TICK * 1e3:g} ms",
        notes=["the bar is held by the p99 in a file less that in memory, median of the rounds."],
    )
    ask = partial(disk.ask, setting.folder, "stall", n=N)
    questions: dict[str, Ask] = {
        MEMORY: partial(ask, kind="memory"),
        ON_DISK: partial(ask, kind="sqlite"),
    }
    answers = alternate("stall", questions, min(setting.rounds, MOST_ROUNDS))
    for label in questions:
        if label not in answers:
            section.rows.append(absent(label, answers.failures[label], N))
            continue
        for key in KEYS:
            section.rows.append(figure(f"{label}, {key}", answers.samples(label, key), "ms", N))
    if MEMORY in answers and ON_DISK in answers:
        above = answers.samples(ON_DISK, "p99").median - answers.samples(MEMORY, "p99").median
        section.rows.append(held("    p99 in a file, above memory's (ms)", above, bars.STALL, N))
    return section
