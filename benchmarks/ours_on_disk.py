"""(e) over a store: the same N events, kept in a file, as the documentation writes them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter_ns

from benchmarks.candidates import WORKERS, expect_all_completed, shuffled_priorities
from benchmarks.isolate import Figures
from benchmarks.ours import NoOp, NoOpExecutor, make_executor
from lionpride.core import EventStatus

BATCH = 1_000
WARM_UP = 2_000
COMPLETED = EventStatus.COMPLETED


def child(n: int, way: str, folder: str) -> Figures:
    run = {"appenders": appenders, "batches": batches, "bulk": bulk}[way]
    asyncio.run(run(url(folder, "warm-up"), shuffled_priorities(min(n, WARM_UP))))
    priorities = shuffled_priorities(n)
    return {"ns": asyncio.run(run(url(folder, "measured"), priorities)) / n}


def url(folder: str, name: str) -> str:
    return f"sqlite:///{Path(folder, name)}.db"


async def append_each(executor: NoOpExecutor, priorities: Iterable[float]) -> None:
    """A hundred callers; each awaits its append before it makes the next event."""
    shared = iter(priorities)

    async def call() -> None:
        for priority in shared:
            await executor.append(NoOp(), priority=priority)

    await asyncio.gather(*(call() for _ in range(WORKERS)))


async def on_record(executor: NoOpExecutor) -> int:
    return (await executor.store.counts())[COMPLETED]


async def appenders(store: str, priorities: list[float], before: int = 0) -> int:
    """From the first append to the last completion on disk; `before` are there already."""
    gc.collect()
    async with make_executor(store=store) as executor:
        await executor.store.counts()  # the file is open now
        began = perf_counter_ns()
        await append_each(executor, priorities)
        await executor.join()
        took = perf_counter_ns() - began
        completed = await on_record(executor)
    expect_all_completed(completed - before, len(priorities))
    return took


async def batches(store: str, priorities: list[float]) -> int:
    """One caller, a thousand events with each `append_many`."""
    gc.collect()
    async with make_executor(store=store) as executor:
        await executor.store.counts()  # the file is open now
        began = perf_counter_ns()
        for start in range(0, len(priorities), BATCH):
            some = priorities[start : start + BATCH]
            await executor.append_many([NoOp() for _ in some], some)
        await executor.join()
        took = perf_counter_ns() - began
        completed = await on_record(executor)
    expect_all_completed(completed, len(priorities))
    return took


async def bulk(store: str, priorities: list[float]) -> int:
    """All by one `append_many`, made before; nothing runs, and the file is open already."""
    ready = [NoOp() for _ in priorities]
    executor = make_executor(store=store)
    await executor.append(NoOp())
    gc.collect()
    began = perf_counter_ns()
    await executor.append_many(ready, priorities)
    took = perf_counter_ns() - began
    pending = (await executor.store.counts())[EventStatus.PENDING]
    await executor.store.close()
    expect_all_completed(pending - 1, len(priorities))
    return took
