"""``join()``: how a run is waited for, and when there is no use in waiting."""

import asyncio

import pytest
from engine.kit import (
    Hold,
    Job,
    agree,
    answers,
    background,
    caught,
    desk,
    forward,
    labels,
    now,
    raises,
    sleeps,
    worker,
)

from lionpride.core import EventStatus
from lionpride.errors import OperationError

PENDING = EventStatus.PENDING

pytestmark = pytest.mark.virtual


async def test_join_returns_at_an_instant_when_nothing_is_left() -> None:
    executor = desk(concurrency_limit=2)
    async with background(executor):
        await executor.append_many([Job(do=sleeps(5)), Job(do=sleeps(9)), Job(do=sleeps(1))])
        began = now()
        await executor.join()
        assert now() - began == 9
        counts = executor.status_counts()
        assert counts["pending"] == counts["processing"] == 0


async def test_join_over_nothing_returns_at_once() -> None:
    executor = desk()
    await executor.join()
    assert executor.processor is not None
    async with background(executor):
        await executor.join()


async def test_join_waits_for_what_comes_meanwhile() -> None:
    executor = desk()

    async def one_more(event: Job) -> None:
        await asyncio.sleep(1)
        if len(executor.states.items) < 5:
            await executor.append(Job(do=one_more))

    async with background(executor):
        await executor.append(Job(do=one_more))
        await executor.join()
    assert len(executor.completed_events) == 5


@pytest.mark.parametrize("started", [False, True])
async def test_join_says_so_when_nothing_is_running(started: bool) -> None:
    executor = desk()
    if started:
        await executor.start()
    await executor.append_many([Job(), Job()])
    with pytest.raises(OperationError, match="2 events are pending and nothing is running them"):
        await executor.join()


async def test_join_right_after_the_task_is_made() -> None:
    executor = desk()
    job = await executor.append(Job())
    await executor.start()
    task = asyncio.create_task(worker(executor).execute())
    await executor.join()
    assert job.status is EventStatus.COMPLETED
    await executor.stop()
    await task


@pytest.mark.parametrize("end", ["stop", "cancel", "exit"])
async def test_join_says_so_when_the_run_ends_meanwhile(end: str) -> None:
    executor = desk(concurrency_limit=1)
    await executor.append_many([Job(do=sleeps(5)), Job()])
    await executor.start()
    task = asyncio.create_task(caught(worker(executor).execute()))
    joining = asyncio.create_task(caught(executor.join()))
    await asyncio.sleep(1)
    if end == "stop":
        await executor.stop()
    elif end == "cancel":
        task.cancel()
    else:
        bad = await executor.append(Job(do=raises(SystemExit(1))), 0)
    await task
    complaint = await joining
    assert isinstance(complaint, OperationError)
    assert "nothing is running them" in str(complaint)
    if end == "exit":
        assert bad.status is EventStatus.FAILED


@pytest.mark.parametrize("last", ["aborted", "cancelled", "removed", "failed", "asked and failed"])
async def test_join_wakes_when_the_last_event_goes(last: str) -> None:
    executor = desk(asks=True, denial_backoff=5.0)
    job = Job(
        do=raises(ValueError("no")) if last == "failed" else None,
        ask={
            "failed": None,
            "asked and failed": raises(ValueError("no")),
            "removed": answers(False),
        }.get(last, answers(False)),
    )
    async with background(executor):
        await executor.append(job)
        joining = asyncio.create_task(executor.join())
        await asyncio.sleep(1)
        if last == "cancelled":
            await executor.cancel(job)
        elif last == "removed":
            await executor.remove(job)
        await joining
        assert len(executor.pending_events) == 0
        assert last in ("removed", job.status.value, f"asked and {job.status.value}")


async def test_join_waits_for_a_round() -> None:
    executor = desk()
    await executor.append(Job(do=sleeps(5)))
    task = asyncio.create_task(forward(executor))
    await executor.join()
    assert len(executor.completed_events) == 1
    await task


async def test_many_join_and_some_give_up() -> None:
    executor = desk()
    hold = Hold()
    async with background(executor):
        await executor.append(Job(do=hold))
        waiters = [asyncio.create_task(executor.join()) for _ in range(10)]
        await hold.has(1)
        for waiter in waiters[::2]:
            waiter.cancel()
        await asyncio.sleep(1)
        hold.let_go()
        await asyncio.gather(*waiters[1::2])
    assert sum(waiter.cancelled() for waiter in waiters) == 5


# --- one store, two executors


async def test_join_waits_for_other_workers_too() -> None:
    one = desk()
    two = desk(store=one.store)
    await one.append_many([Job(label="a", do=sleeps(5)), Job(label="b", do=sleeps(7))])
    async with background(two):
        await asyncio.sleep(1)
        began = now()
        await one.join()
        assert now() - began == 6
    assert labels(one.completed_events) == labels(two.completed_events) == ["a", "b"]


async def test_join_does_not_wait_for_another_worker_that_has_stopped() -> None:
    one = desk()
    two = desk(store=one.store, concurrency_limit=1)
    await one.append_many([Job(do=sleeps(5)), Job()])
    async with background(two):
        await asyncio.sleep(1)
        joining = asyncio.create_task(caught(one.join()))
        await asyncio.sleep(1)
    complaint = await joining
    assert isinstance(complaint, OperationError)
    assert "1 event is pending" in str(complaint)


async def test_two_workers_of_one_store_share_its_events() -> None:
    one = desk(concurrency_limit=1)
    two = desk(store=one.store, concurrency_limit=1)
    hold = Hold()
    async with background(one), background(two):
        await one.append_many([Job(label=name, do=hold) for name in "abcd"])
        await hold.has(2)
        assert hold.inside == 2, "each has a slot of its own"
        hold.let_go()
        await two.join()
    assert hold.order == list("abcd"), "and every event runs once"
    agree(one)
