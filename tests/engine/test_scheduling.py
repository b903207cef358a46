"""Later: an event that is not to be run before its time, on stores of every kind."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from engine.kit import (
    Hold,
    Job,
    agree,
    background,
    desk,
    execute,
    labels,
    now,
    reads_back,
    sleeps,
    starts,
    statuses,
    stores,
)

from lionpride.core import EventStatus

pytestmark = pytest.mark.virtual


@stores
async def test_a_delayed_event_starts_at_its_instant_and_not_before(store: Any) -> None:
    executor = desk(store=store())
    noted, began = starts(executor), now()
    async with background(executor):
        await executor.append(Job(label="later"), delay=10)
        await executor.append(
            Job(label="at"), at=datetime.fromtimestamp(executor.store.time() + 4, UTC)
        )
        await executor.append(Job(label="at once"))
        await executor.join()
    assert [label for label, _ in noted] == ["at once", "at", "later"]
    assert [round(at - began, 3) for _, at in noted] == [0.0, 4.0, 10.0]
    agree(executor)


@stores
@pytest.mark.parametrize("mode", ["before", "after"])
async def test_who_sleeps_until_a_late_one_is_woken_by_an_earlier_one(
    store: Any, mode: str
) -> None:
    executor = desk(store=store())
    noted, began = starts(executor), now()
    async with background(executor):
        await executor.append(Job(label="b"), delay=100)
        if mode == "after":
            await asyncio.sleep(1)
        await executor.append(Job(label="a"), delay=2)
        await executor.join()
    assert [label for label, _ in noted] == ["a", "b"]
    assert noted[1][1] == pytest.approx(began + 100)


async def test_of_what_is_due_priority_decides() -> None:
    executor = desk(concurrency_limit=1)
    hold, noted = Hold(), starts(executor)
    async with background(executor):
        await executor.append(Job(label="first", do=hold))
        await hold.has(1)
        await executor.append(Job(label="urgent"), 1.0, delay=5)
        await executor.append(Job(label="more urgent"), 0.0, delay=6)
        await executor.append(Job(label="plain"), 2.0)
        await asyncio.sleep(10)
        hold.let_go()
        await executor.join()
    assert [label for label, _ in noted] == ["first", "more urgent", "urgent", "plain"]


async def test_a_delayed_event_holds_back_nobody() -> None:
    executor = desk(concurrency_limit=1)
    noted = starts(executor)
    async with background(executor):
        await executor.append(Job(label="urgent, later"), -5.0, delay=50)
        await executor.append_many([Job(label=str(n), do=sleeps(1)) for n in range(5)])
        await executor.join()
    assert [label for label, _ in noted] == [*"01234", "urgent, later"]


async def test_a_round_takes_what_is_due_and_leaves_the_rest() -> None:
    executor = desk()
    jobs = await executor.append_many([Job(label="a"), Job(label="b")], delay=5)
    await executor.forward()
    assert statuses(jobs) == ["pending", "pending"]
    await asyncio.sleep(5.001)
    await executor.forward()
    assert labels(executor.completed_events) == ["a", "b"]


async def test_a_delayed_event_is_waited_for_by_join_and_result() -> None:
    executor, began = desk(), now()
    async with background(executor):
        job = await executor.append(Job(label="x"), delay=7)
        assert await executor.result(job) == "x"
    assert now() == pytest.approx(began + 7)


async def test_a_delayed_event_can_be_cancelled() -> None:
    executor = desk()
    async with background(executor):
        job = await executor.append(Job(), delay=7)
        await executor.cancel(job)
        await executor.join()
    assert job.status is EventStatus.CANCELLED


async def test_a_delayed_event_takes_room() -> None:
    executor = desk(max_queue_size=1)
    async with background(executor):
        await executor.append(Job(label="a"), delay=5)
        await executor.append(Job(label="b"), wait=True)
        await executor.join()
    assert labels(executor.completed_events) == ["a", "b"]


async def test_the_due_time_is_written_down_and_read_back() -> None:
    executor, other = desk(), desk()
    job = await executor.append(Job(label="x"), delay=60)
    reads_back(executor)
    await other.load(executor.states.to_dict("json"))
    (again,) = other.pending_events
    assert again.execution.due == job.execution.due
    assert await execute(other) is None
    assert labels(other.completed_events) == ["x"]
