"""When a process has done enough."""

import asyncio

import pytest

from lionpride import Executor, Retry, job
from lionpride.worker import recycling as module
from lionpride.worker.recycling import Recycling, resident_bytes


@job(retry=Retry(max_attempts=2, backoff=0.001))
async def divide(number: int) -> float:
    return 1 / number


async def test_it_is_due_when_so_many_events_have_finished() -> None:
    recycling = Recycling(max_events=3)
    executor = Executor.of(divide, concurrency_limit=1)
    async with recycling.watch([executor]), executor:
        await executor.append_many([divide(0), divide(1)])
        await executor.join()
        assert not recycling.due.is_set(), "an attempt that is repeated is no end"
        await executor.append_many([divide(1) for _ in range(10)])
        await recycling.due.wait()
        await executor.join()
    assert recycling.reason == "3 events have finished (--max-events)"
    assert not executor.observers.level


async def test_it_is_due_when_the_memory_is_above_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.001)
    recycling = Recycling(max_memory=100 * 2**20, memory=lambda: 150 * 2**20)
    async with recycling.watch([]):
        await recycling.due.wait()
    assert recycling.reason == "the process uses 150 MiB, more than 100 MiB (--max-memory)"


async def test_without_limits_it_is_never_due() -> None:
    recycling = Recycling()
    executor = Executor.of(divide)
    async with recycling.watch([executor]):
        assert not executor.observers.level, "it costs nothing"
        await asyncio.sleep(0)
    assert not recycling.due.is_set()


def test_the_memory_of_the_process_is_read() -> None:
    before = resident_bytes()
    block = bytearray(64 * 2**20)
    assert resident_bytes() > before + 32 * 2**20
    del block
