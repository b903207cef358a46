"""The events of this library over PostgreSQL, as the documentation shows it."""

from __future__ import annotations

import asyncio
import gc

from benchmarks.events import make_executor
from benchmarks.sqlite_ours import append_batches, append_each
from benchmarks.start_signal import StartSignal
from benchmarks.workload import WARM_UP, WORKERS, shuffled_priorities


def child(way: str, url: str, n: int, at_once: int = WORKERS) -> None:
    """Run a worker that appends n events and runs them.

    Args:
        way: ``batches`` or ``callers``; ``make`` only makes the tables.
        url: The database.
        n: Events that this worker appends.
        at_once: Events that it runs at once.
    """
    asyncio.run(make(url) if way == "make" else run(way, url, n, at_once))


async def run(way: str, url: str, n: int, at_once: int) -> None:
    """Work from the first append to the last recorded completion."""
    append = {"batches": append_batches, "callers": append_each}[way]
    async with make_executor(store=url, concurrency_limit=at_once) as executor:
        await append(executor, shuffled_priorities(WARM_UP))
        await executor.join()
        priorities = shuffled_priorities(n)
        signal = StartSignal()
        gc.collect()
        await asyncio.to_thread(signal.wait)
        await append(executor, priorities)
        await executor.join()
        await asyncio.to_thread(signal.finish)


async def make(url: str) -> None:
    executor = make_executor(store=url)
    await executor.store.counts()
    await executor.store.close()
