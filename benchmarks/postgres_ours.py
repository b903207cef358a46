"""(i): the same N events as events of lionpride in PostgreSQL, as the documentation writes them."""

from __future__ import annotations

import asyncio
import gc

from benchmarks.candidates import expect_all_completed, shuffled_priorities
from benchmarks.gate import Gate
from benchmarks.ours import NoOp, make_executor
from benchmarks.ours_on_disk import BATCH, append_each, on_record

WARM_UP = 2_000


def child(way: str, url: str, n: int) -> None:
    """A member: `batches` and `callers` append n and work; `drain` works until nothing is left.

    `fill` makes the tables and appends n, which is no measurement.
    """
    asyncio.run({"batches": flow, "callers": flow, "drain": drain, "fill": fill}[way](way, url, n))


async def flow(way: str, url: str, n: int) -> None:
    """From the first append to the last completion on record."""
    put = {"batches": append_batches, "callers": append_each}[way]
    async with make_executor(store=url) as executor:
        await put(executor, shuffled_priorities(WARM_UP))
        await executor.join()
        priorities = shuffled_priorities(n)
        gate = Gate()
        gc.collect()
        await asyncio.to_thread(gate.wait)
        await put(executor, priorities)
        await executor.join()
        await asyncio.to_thread(gate.finish)


async def drain(_way: str, url: str, _n: int) -> None:
    gate = Gate()
    executor = make_executor(store=url)
    await executor.store.counts()  # it is connected now
    gc.collect()
    await asyncio.to_thread(gate.wait)
    async with executor:
        await executor.join()
        await asyncio.to_thread(gate.finish)


async def fill(_way: str, url: str, n: int) -> None:
    executor = make_executor(store=url)
    await executor.store.counts()
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
