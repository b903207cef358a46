"""ttl: what was not started in time is not started, and is ended whatever else happens."""

import asyncio
from typing import Any

import pytest
from engine.kit import (
    Hold,
    Job,
    Waiting,
    agree,
    answers,
    background,
    desk,
    labels,
    now,
    sleeps,
    starts,
    stores,
)

from lionpride.core import EventStatus, Retry
from lionpride.errors import EventCancelledError
from lionpride.stores.memory import MemoryStore

pytestmark = pytest.mark.virtual

S = EventStatus


@stores
async def test_it_ends_at_its_instant_though_every_slot_is_taken(store: Any) -> None:
    executor, hold = desk(store=store(), concurrency_limit=1), Hold()
    async with background(executor):
        await executor.append(Job(do=hold))
        await hold.has(1)
        began = now()
        job = await executor.append(Job(), ttl=5)
        with pytest.raises(EventCancelledError, match="not started in time"):
            await executor.result(job)
        assert now() - began == pytest.approx(5.0)
        assert (job.status, job.execution.attempt) == (S.CANCELLED, 0)
        agree(executor)
        hold.let_go()
        await executor.join()


async def test_it_ends_at_its_instant_though_nothing_runs() -> None:
    executor, began = desk(), now()
    jobs = await executor.append_many([Job(), Job()], ttl=5)
    sooner = await executor.append(Job(), ttl=2)
    for job, at in ((sooner, 2.0), (jobs[0], 5.0)):
        with pytest.raises(EventCancelledError):
            await executor.result(job)
        assert now() - began == pytest.approx(at)
    assert labels(executor.cancelled_events) == ["", "", ""]


@stores
async def test_what_starts_in_time_runs_for_as_long_as_it_needs(store: Any) -> None:
    executor = desk(store=store())
    async with background(executor):
        job = await executor.append(Job(label="x", do=sleeps(60)), ttl=1)
        assert await executor.result(job) == "x"


async def test_the_delay_is_part_of_it() -> None:
    executor = desk(concurrency_limit=1)
    async with background(executor):
        starts_at_2 = await executor.append(Job(), delay=2, ttl=3)
        await executor.append(Job(do=sleeps(9)), delay=1.5)
        await executor.join()
    assert starts_at_2.status is S.CANCELLED


async def test_a_round_starts_nothing_that_is_too_late() -> None:
    executor = desk()
    job = await executor.append(Job(), ttl=5)
    await asyncio.sleep(5)
    await executor.forward()
    assert job.status is S.CANCELLED


@pytest.mark.parametrize("store", [MemoryStore, lambda: Waiting(MemoryStore())])
async def test_what_waits_for_its_permission_may_be_too_late(store: Any) -> None:
    executor = desk(asks=True, store=store())

    async def slow(event: Job) -> bool:
        await asyncio.sleep(10)
        return True

    async with background(executor):
        late = await executor.append(Job(ask=slow), ttl=5)
        denied = await executor.append(Job(ask=answers(False)), ttl=10.5)
        await executor.join()
    assert (late.status, denied.status) == (S.CANCELLED, S.CANCELLED)
    assert "not started in time" in str(late.execution.error)
    agree(executor)


async def test_what_waits_for_the_window_may_be_too_late() -> None:
    executor = desk(queue_capacity=1, capacity_refresh_time=10.0)
    async with background(executor):
        await executor.append(Job(label="first"))
        late = await executor.append(Job(), ttl=5)
        await executor.join()
    assert late.status is S.CANCELLED


@stores
async def test_observers_hear_of_it(store: Any) -> None:
    executor, steps = desk(store=store()), list[Any]()
    executor.observe(lambda step: steps.append((step.before, step.after)))
    await executor.append(Job(), ttl=5)
    await asyncio.sleep(5.1)
    assert steps == [(None, S.PENDING), (S.PENDING, S.CANCELLED)]


async def test_an_observer_may_append_again_what_was_too_late() -> None:
    executor, again = desk(), list[asyncio.Task[Any]]()
    loop = asyncio.get_running_loop()

    def note(step: Any) -> None:
        if step.after is S.CANCELLED and len(again) < 3:
            again.append(loop.create_task(executor.append(step.event.as_fresh_event(), ttl=1)))

    executor.observe(note)
    await executor.append(Job(), ttl=1)
    await asyncio.sleep(60)
    assert len(executor.cancelled_events) == 4
    agree(executor)


async def test_a_retry_is_not_too_late_and_a_retry_by_hand_neither() -> None:
    executor, left = desk(), [1]

    async def do(event: Job) -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise ValueError
        return "done"

    policy = Retry(attempts=2, backoff=60.0, jitter=False)
    async with background(executor):
        job = await executor.append(Job(do=do), ttl=1, retry=policy)
        assert await executor.result(job) == "done"
    expired = await executor.append(Job(), ttl=1)
    await asyncio.sleep(2)
    await executor.retry(expired)
    await asyncio.sleep(60)
    await executor.forward()
    assert expired.status is S.COMPLETED


async def test_the_deadline_of_a_retry_holds_while_it_waits_for_a_slot() -> None:
    executor, hold = desk(concurrency_limit=1), Hold()

    async def do(event: Job) -> None:
        raise ValueError("mine")

    policy = Retry(attempts=9, backoff=1.0, jitter=False, deadline=5.0)
    async with background(executor):
        job = await executor.append(Job(do=do), retry=policy)
        await executor.append(Job(do=hold), delay=0.5)
        with pytest.raises(ValueError, match="mine"):
            await executor.result(job)
        assert (job.status, job.execution.tries) == (S.FAILED, 1)
        hold.let_go()
        await executor.join()


async def test_room_is_made_by_what_expires() -> None:
    executor = desk(max_queue_size=1)
    await executor.append(Job(), ttl=5)
    job = await asyncio.wait_for(executor.append(Job(), wait=True), 6)
    assert executor.pending_events == [job]


async def test_what_has_expired_is_not_in_the_way_of_a_run() -> None:
    executor = desk()
    noted = starts(executor)
    await executor.append_many([Job() for _ in range(200)], ttl=5)
    await asyncio.sleep(6)
    async with background(executor):
        await executor.append(Job(label="x"))
        await executor.join()
    assert [label for label, _ in noted] == ["x"]
    assert len(executor.cancelled_events) == 200
