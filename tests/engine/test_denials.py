"""Denials: they wait out a backoff, block nobody, and the third one aborts (decisions 4, 5)."""

import asyncio

import pytest
from engine.kit import (
    Hold,
    Job,
    agree,
    answers,
    background,
    desk,
    jobs,
    labels,
    now,
    raises,
    starts,
    worker,
)

from lionpride.core import EventStatus, Transition
from lionpride.errors import AccessError

PENDING = EventStatus.PENDING

pytestmark = pytest.mark.virtual


async def test_a_denied_event_waits_longer_each_time_and_the_third_denial_aborts_it() -> None:
    executor = desk(asks=True)
    asked: list[float] = []

    async def never(event: Job) -> bool:
        asked.append(now())
        return False

    steps: list[Transition] = []
    began = now()
    async with background(executor):
        job = await executor.append(Job(ask=never))
        executor.observe(steps.append)
        await executor.join()
        agree(executor)
    assert [at - began for at in asked] == [0, 1, 3]
    assert job.status is EventStatus.ABORTED
    assert isinstance(job.execution.error, AccessError)
    assert "denied 3 times" in str(job.execution.error)
    assert job.execution.retryable is False
    assert (job.execution.denials, job.execution.tries) == (3, 0)
    assert executor.aborted_events == [job]
    assert list(executor.states.get_progression("aborted")) == [job.id]
    assert steps[-1].after is EventStatus.ABORTED


@pytest.mark.parametrize(("backoff", "times"), [(5.0, [0, 5, 15]), (0.25, [0, 0.25, 0.75])])
async def test_the_backoff_can_be_set(backoff: float, times: list[float]) -> None:
    executor = desk(asks=True, denial_backoff=backoff)
    asked: list[float] = []

    async def never(event: Job) -> bool:
        asked.append(now())
        return False

    began = now()
    async with background(executor):
        await executor.append(Job(ask=never))
        await executor.join()
    assert [at - began for at in asked] == times


async def test_a_backoff_of_nothing_asks_again_at_once() -> None:
    executor = desk(asks=True, denial_backoff=0)
    began = now()
    async with background(executor):
        job = await executor.append(Job(ask=answers(False, False, True)))
        await executor.join()
    assert job.status is EventStatus.COMPLETED
    assert now() == began


@pytest.mark.promise("notebook-permission")
async def test_a_denied_event_does_not_block_those_behind_it() -> None:
    executor = desk(asks=True, concurrency_limit=1)
    noted = starts(executor)
    began = now()
    async with background(executor):
        await executor.append_many(
            [Job(label="denied", ask=answers(False, True)), *jobs("ab")], [1, 2, 3]
        )
        await executor.join()
    assert [(name, at - began) for name, at in noted] == [("a", 0), ("b", 0), ("denied", 1)]


async def test_a_denied_event_keeps_its_place_in_the_order() -> None:
    executor = desk(asks=True, concurrency_limit=1)
    hold = Hold()
    async with background(executor):
        await executor.append_many(
            [Job(label="denied", ask=answers(False, True)), *jobs("abc", do=hold)], [1, 2, 3, 4]
        )
        await hold.has(1)
        await asyncio.sleep(5)
        hold.let_go()
        await executor.join()
    assert labels(executor.completed_events) == ["a", "denied", "b", "c"]


async def test_denials_use_no_capacity() -> None:
    executor = desk(asks=True, queue_capacity=3, capacity_refresh_time=1000.0)
    noted = starts(executor)
    began = now()
    async with background(executor):
        await executor.append_many([Job(ask=answers(False)) for _ in range(5)], range(5))
        await executor.append_many(jobs("ab"), [10, 11])
        await executor.join()
        assert worker(executor).available_capacity == 1
    assert [(name, at - began) for name, at in noted] == [("a", 0), ("b", 0)]
    assert now() - began == 3
    assert executor.status_counts()["aborted"] == 5


async def test_an_error_is_no_denial() -> None:
    executor = desk(asks=True)
    error = PermissionError("who are you?")
    job = await executor.append(Job(ask=raises(error)))
    await executor.forward()
    assert job.status is EventStatus.FAILED
    assert job.execution.error is error
    assert job.execution.denials == 0


async def test_a_start_forgets_earlier_denials() -> None:
    executor = desk(asks=True)
    hold = Hold()
    job = await executor.append(Job(ask=answers(False, False, True, False), do=hold))
    for _ in range(2):
        await executor.forward()
    task = asyncio.create_task(executor.forward())
    await hold.has(1)
    assert job.execution.denials == 0
    task.cancel()
    await asyncio.wait([task])
    await executor.forward()
    assert job.status is PENDING, "it takes three more to abort it"
    assert job.execution.denials == 1


async def test_retry_gives_an_aborted_event_its_three_chances_again() -> None:
    executor = desk(asks=True)
    job = await executor.append(Job(ask=answers(False, False, False, True)))
    for _ in range(3):
        await executor.forward()
    assert job.status is EventStatus.ABORTED
    await executor.retry(job)
    assert (job.status, job.execution.denials) == (PENDING, 0)
    await executor.forward()
    assert job.status is EventStatus.COMPLETED
