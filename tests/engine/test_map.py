"""One run over a source: its task, what it takes, and how it ends. The rest is in test_results."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from engine.kit import Job, Waiting, background, caught, desk

from lionpride.core import Executor
from lionpride.engine.completion_queue import CompletionQueue
from lionpride.engine.map import MapRun
from lionpride.errors import ExistsError
from lionpride.stores.memory import MemoryStore

pytestmark = pytest.mark.virtual


@pytest.fixture(params=[False, True], ids=["one by one", "overlapping"], autouse=True)
def overlap(request: Any, monkeypatch: Any) -> bool:
    """Every test is asked of both ways to append."""
    given: bool = request.param
    monkeypatch.setitem(OVERLAP, "overlap", given)
    return given


OVERLAP: dict[str, bool] = {}


def map_run(executor: Executor, source: Any, **how: Any) -> MapRun:
    how = {"ordered": True, "size": 2, **OVERLAP, **how}
    return MapRun(source, executor.append, CompletionQueue(executor.store), **how)


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_source_that_ends_gives_none_however_often_it_is_asked(ordered: bool) -> None:
    executor = desk()
    jobs = [Job(label=str(n)) for n in range(3)]
    async with background(executor):
        run = map_run(executor, jobs, ordered=ordered)
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

    run = map_run(executor, source())
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
        run = map_run(executor, source())
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

    run = map_run(executor, source())
    await asyncio.sleep(1)
    await run.close()


async def test_what_is_refused_is_raised_in_its_place_whatever_was_quicker() -> None:
    executor, known = desk(store=Waiting(MemoryStore())), Job(label="known")
    await executor.append(known)
    jobs = [Job(label="a"), known, Job(label="b")]
    async with background(executor):
        run = map_run(executor, jobs, size=3)
        assert await run.next() is jobs[0]
        assert isinstance(await caught(run.next()), ExistsError)
        await run.close()


async def test_those_that_overlap_arrive_in_the_order_of_the_source(overlap: bool) -> None:
    executor = desk(store=Waiting(MemoryStore()))
    begun = 0

    async def append(job: Job) -> Job:
        nonlocal begun
        begun += 1
        return await executor.append(job)

    jobs = [Job(label=str(n)) for n in range(50)]
    run = MapRun(jobs, append, CompletionQueue(executor.store), ordered=True, size=50, **OVERLAP)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert begun == 50 if overlap else begun < 5
    async with background(executor):
        assert [await run.next() for _ in jobs] == jobs
    assert [job.execution.arrival for job in jobs] == list(range(1, 51))
    await run.close()


async def test_close_ends_the_appends_that_are_on_their_way() -> None:
    executor = desk()
    before = asyncio.all_tasks()
    never = asyncio.Event()
    cancelled = 0

    async def append(job: Job) -> Job:
        nonlocal cancelled
        try:
            await never.wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise
        return job

    run = MapRun(
        [Job(), Job()], append, CompletionQueue(executor.store), ordered=True, size=2, **OVERLAP
    )
    await asyncio.sleep(1)
    await run.close()
    assert cancelled == (2 if OVERLAP["overlap"] else 1)
    assert asyncio.all_tasks() == before
