"""One run over a source: its task, what it takes, and how it ends. The rest is in test_results."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from engine.kit import Job, background, desk

from lionpride.core import Executor
from lionpride.engine.endings import Endings
from lionpride.engine.mapping import Mapping

pytestmark = pytest.mark.virtual


def mapping(executor: Executor, source: Any, *, ordered: bool = True, size: int = 2) -> Mapping:
    return Mapping(source, executor.append, Endings(executor.store), ordered=ordered, size=size)


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_source_that_ends_gives_none_however_often_it_is_asked(ordered: bool) -> None:
    executor = desk()
    jobs = [Job(label=str(n)) for n in range(3)]
    async with background(executor):
        run = mapping(executor, jobs, ordered=ordered)
        given = [await run.next() for _ in range(5)]
        await run.close()
    assert given == [*jobs, None, None]


async def test_close_cancels_a_source_that_is_waited_for() -> None:
    executor, cleaned = desk(), False

    async def source() -> AsyncIterator[Job]:
        nonlocal cleaned
        try:
            await asyncio.sleep(1e9)
            yield Job()
        finally:
            cleaned = True

    run = mapping(executor, source())
    waiting = asyncio.create_task(run.next())
    await asyncio.sleep(1)
    waiting.cancel()
    await asyncio.wait([waiting])
    await run.close()
    assert cleaned


async def test_close_lets_go_of_a_source_that_could_give_more() -> None:
    executor, closed = desk(), asyncio.Event()

    async def source() -> AsyncIterator[Job]:
        try:
            while True:
                yield Job()
        finally:
            closed.set()

    gc.disable()
    try:
        run = mapping(executor, source())
        await asyncio.sleep(1)
        await run.close()
        await closed.wait()  # it is closed as any generator that nobody has: by the loop, at once
    finally:
        gc.enable()


async def test_an_error_that_nobody_asks_for_is_no_warning() -> None:
    executor = desk()

    def source() -> Any:
        yield Job()
        raise LookupError

    run = mapping(executor, source())
    await asyncio.sleep(1)
    await run.close()
