"""A store that cannot write: whoever runs the events is told, wherever it was noticed."""

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from engine.kit import MODES, Hold, Job, Mode, Waiting, caught, desk, sleeps, worker

from lionpride.core import EventStatus, Executor
from lionpride.errors import OperationError, StoreError
from lionpride.stores.contract import Settled, Settlement

pytestmark = pytest.mark.virtual

TURNS = range(1, 14)


class Failing(Waiting):
    """Settles nothing."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.refused = 0
        self.works = False

    async def settle(self, settlements: list[Settlement]) -> list[Settled]:
        await asyncio.sleep(0)
        if self.works:
            answers: list[Settled] = await self.inner.settle(settlements)
            return answers
        self.refused += 1
        raise StoreError("the disk is full: make room, and try again")


@pytest.fixture
def unheard() -> Iterator[list[Any]]:
    """What the event loop had to tell, since nobody else heard it; call ``listen`` first."""
    told: list[Any] = []
    yield told
    assert told == []


def listen(told: list[Any]) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))


def failing_desk(**config: Any) -> tuple[Executor, Failing]:
    store = Failing(desk().store)
    return desk(store=store, **config), store


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
async def test_the_outcome_of_code_that_was_left_behind(mode: Mode, unheard: list[Any]) -> None:
    listen(unheard)
    executor, store = failing_desk()
    let_go = asyncio.Event()

    async def stubborn(event: Job) -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    await executor.append(Job(do=stubborn, timeout=10))
    error = await mode(executor)
    assert isinstance(error, StoreError)
    assert store.refused == 1
    let_go.set()
    await asyncio.sleep(1)
    gc.collect()


@pytest.mark.parametrize("turns", TURNS)
async def test_what_is_sent_back_when_it_stops(turns: int, unheard: list[Any]) -> None:
    listen(unheard)
    executor, store = failing_desk(concurrency_limit=3)
    await executor.append_many([Job(do=sleeps(5)) for _ in range(6)])
    await executor.start()
    task = asyncio.create_task(caught(worker(executor).execute()))
    for _ in range(turns):
        await asyncio.sleep(0)
    await executor.stop()
    error = await task
    assert isinstance(error, StoreError) == bool(store.refused)
    gc.collect()
    assert not store.refused or error is not None


@pytest.mark.parametrize("turns", TURNS)
async def test_what_is_cancelled_between_claim_and_start(turns: int, unheard: list[Any]) -> None:
    listen(unheard)
    executor, store = failing_desk(concurrency_limit=3)
    hold = Hold()
    jobs = await executor.append_many([Job(do=hold) for _ in range(3)])
    await executor.start()
    task = asyncio.create_task(caught(worker(executor).execute()))
    for _ in range(turns):
        await asyncio.sleep(0)
    for job in jobs:
        await executor.cancel(job)
    if not store.refused:
        await asyncio.sleep(1)
    await executor.stop()
    error = await task
    assert isinstance(error, StoreError) == bool(store.refused)
    gc.collect()


async def test_async_with_raises_it(unheard: list[Any]) -> None:
    listen(unheard)
    executor, store = failing_desk()
    job = Job(do=sleeps(1))

    async def run() -> None:
        async with executor:
            await executor.append(job)
            await asyncio.sleep(5)

    with pytest.raises(StoreError, match="the disk is full"):
        await run()
    assert job.status is EventStatus.PROCESSING, "what came of it is on nobody's record"
    assert store.refused == 1
    gc.collect()


async def test_join_ends_when_nothing_is_working_any_more(unheard: list[Any]) -> None:
    listen(unheard)
    executor, _ = failing_desk(concurrency_limit=1)
    await executor.append_many([Job(do=sleeps(1)) for _ in range(3)])
    await executor.start()
    task = asyncio.create_task(caught(worker(executor).execute()))
    with pytest.raises(OperationError, match="3 events are pending or claimed and nothing is"):
        await executor.join()
    assert isinstance(await task, StoreError)
    gc.collect()
