"""(i): the same N events as events of lionpride in PostgreSQL, as the documentation writes them."""

from __future__ import annotations

import asyncio
import gc

from benchmarks.candidates import WORKERS, expect_all_completed, shuffled_priorities
from benchmarks.gate import Gate
from benchmarks.ours import NoOp, make_executor
from benchmarks.ours_on_disk import BATCH, append_each, on_record

WARM_UP = 2_000


def child(way: str, url: str, n: int, at_once: int = WORKERS) -> None:
    """A member: `batches` and `callers` append n and work; `drain` works until nothing is left.

    `make` makes the tables, and `fill` appends n, which is no measurement. So many events may run
    `at_once`, and be claimed together.
    """
    run = {"batches": flow, "callers": flow, "drain": drain, "make": fill, "fill": fill}[way]
    asyncio.run(run(way, url, n, at_once))


async def flow(way: str, url: str, n: int, at_once: int) -> None:
    """From the first append to the last completion on record."""
    put = {"batches": append_batches, "callers": append_each}[way]
    async with make_executor(store=url, concurrency_limit=at_once) as executor:
        await put(executor, shuffled_priorities(WARM_UP))
        await executor.join()
        priorities = shuffled_priorities(n)
        gate = Gate()
        gc.collect()
        await asyncio.to_thread(gate.wait)
        await put(executor, priorities)
        await executor.join()
        await asyncio.to_thread(gate.finish)


async def drain(_way: str, url: str, _n: int, at_once: int) -> None:
    """It is warm and idle when it is told to begin."""
    gate = Gate()
    async with make_executor(store=url, concurrency_limit=at_once) as executor:
        await append_batches(executor, shuffled_priorities(WARM_UP))
        await executor.join()
        await executor.pause()
        gc.collect()
        await asyncio.to_thread(gate.wait)
        await executor.resume()
        await executor.join()
        await asyncio.to_thread(gate.finish)


async def fill(_way: str, url: str, n: int, _at_once: int) -> None:
    executor = make_executor(store=url)
    await executor.store.counts()
    if n:
        await append_batches(executor, shuffled_priorities(n))
    await executor.store.close()


async def append_batches(executor, priorities: list[float]) -> None:
    for start in range(0, len(priorities), BATCH):
        some = priorities[start : start + BATCH]
        await executor.append_many([NoOp() for _ in some], some)


async def completed(url: str) -> int:
    executor = make_executor(store=url)
    try:
        return await on_record(executor)
    finally:
        await executor.store.close()


def expect_completed(url: str, n: int) -> None:
    expect_all_completed(asyncio.run(completed(url)), n)
