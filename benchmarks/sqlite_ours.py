"""The events of this library over a SQLite file, as the documentation shows it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter_ns

from benchmarks.events import make_executor, page
from benchmarks.isolate import Figures
from benchmarks.workload import WARM_UP, WORKERS, expect_all_completed, shuffled_priorities
from lionpride import EventStatus, Executor

BATCH = 1_000


def child(n: int, way: str, folder: str) -> Figures:
    """Measure n events, by a hundred ``callers`` of append or by ``batches`` of append_many."""
    append = {"callers": append_each, "batches": append_batches}[way]
    asyncio.run(run(url(folder, "warm-up"), shuffled_priorities(min(n, WARM_UP)), append))
    priorities = shuffled_priorities(n)
    return {"ns": asyncio.run(run(url(folder, "measured"), priorities, append)) / n}


def url(folder: str, name: str) -> str:
    return f"sqlite:///{Path(folder, name)}.db"


async def append_each(executor: Executor, priorities: Iterable[float]) -> None:
    """Append with a hundred callers; each awaits its append before it makes the next event."""
    shared = enumerate(priorities)

    async def call() -> None:
        for number, priority in shared:
            await executor.append(page(number), priority=priority)

    await asyncio.gather(*(call() for _ in range(WORKERS)))


async def append_batches(executor: Executor, priorities: list[float]) -> None:
    """Append with one caller, a thousand events at a time."""
    for start in range(0, len(priorities), BATCH):
        some = priorities[start : start + BATCH]
        await executor.append_many([page(number) for number in range(len(some))], some)


async def completed(executor: Executor) -> int:
    return (await executor.store.counts())[EventStatus.COMPLETED]


async def run(store: str, priorities: list[float], append=append_each, before: int = 0) -> int:
    """Return the nanoseconds from the first append to the last completion on disk.

    Args:
        store: The URL.
        priorities: One for each event.
        append: How the events are appended.
        before: Completed events that the file has already.
    """
    gc.collect()
    async with make_executor(store=store) as executor:
        await executor.store.counts()  # opens the file
        began = perf_counter_ns()
        await append(executor, priorities)
        await executor.join()
        took = perf_counter_ns() - began
        count = await completed(executor)
    expect_all_completed(count - before, len(priorities))
    return took
