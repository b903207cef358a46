"""Decision 6, from outside: what runs is cancelled, interrupted or stopped, wherever it stands."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from engine.kit import (
    MODES,
    Hold,
    Job,
    Mode,
    Tape,
    agree,
    caught,
    desk,
    execute,
    forward,
    has_all_slots,
    reads_back,
    sleeps,
    statuses,
    worker,
)

from lionpride.core import EventStatus, Executor, Unset
from lionpride.errors import EventCancelledError

PENDING = EventStatus.PENDING
CANCELLED = EventStatus.CANCELLED
COMPLETED = EventStatus.COMPLETED

INVOKE, STREAM, PERMISSION = "_invoke", "_stream", "request_permission"
PLACES = (INVOKE, STREAM, PERMISSION)

pytestmark = pytest.mark.virtual


def held(place: str, hold: Hold, **fields: Any) -> Job:
    """An event that stays at a place until it is let go."""
    if place == PERMISSION:
        return Job(ask=hold, label="held", **fields)
    if place == INVOKE:
        return Job(do=hold, label="held", **fields)

    async def chunks(event: Job) -> AsyncIterator[Any]:
        yield "first"
        yield await hold(event)

    return Tape(do=chunks, label="held", **fields)


def running(executor: Executor, mode: Mode) -> asyncio.Task[None]:
    """The call that runs events, in a task that can be cancelled."""
    call = executor.forward() if mode is forward else worker(executor).execute()
    return asyncio.create_task(call)


async def on_stage(executor: Executor, place: str) -> tuple[Job, Hold, list[Job]]:
    """Three events: one that is slow, one that is held at the place, and one behind it."""
    await executor.start()
    hold = Hold()
    slow, bad, behind = Job(do=sleeps(2)), held(place, hold), Job()
    await executor.append_many([slow, bad, behind], [0, 1, 2])
    return bad, hold, [slow, behind]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
@pytest.mark.parametrize("place", PLACES)
async def test_the_call_is_cancelled_from_outside(place: str, mode: Mode) -> None:
    executor = desk(asks=place == PERMISSION, concurrency_limit=3)
    bad, hold, (slow, behind) = await on_stage(executor, place)
    task = running(executor, mode)
    await hold.has(1)
    assert slow.status is EventStatus.PROCESSING
    task.cancel()
    assert isinstance(await caught(task), asyncio.CancelledError)

    assert bad.status is PENDING
    assert slow.status is PENDING, "what runs goes back"
    assert slow.execution.interruptions == 1
    # One that was only asked has not run: it is released, which no counter tells.
    assert bad.execution.interruptions == (0 if place == PERMISSION else 1)
    assert bad.execution.tries == bad.execution.denials == 0
    agree(executor)
    reads_back(executor)

    hold.let_go()
    assert await mode(executor) is None
    assert statuses([bad, slow, behind]) == ["completed"] * 3
    assert bad.execution.attempt == 2
    await has_all_slots(executor, mode)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
@pytest.mark.parametrize("place", PLACES)
async def test_the_event_is_cancelled_by_the_executor(place: str, mode: Mode) -> None:
    executor = desk(asks=place == PERMISSION, concurrency_limit=3)
    bad, hold, others = await on_stage(executor, place)
    task = asyncio.create_task(mode(executor))
    await hold.has(1)
    assert await executor.cancel(bad) is True
    assert await task is None, "it is contained"

    assert bad.status is CANCELLED
    assert isinstance(bad.execution.error, EventCancelledError)
    assert bad.execution.retryable is True
    assert bad.response == (["first"] if place == STREAM else Unset)
    assert statuses(others) == ["completed"] * 2
    assert await executor.cancel(bad) is False, "it has ended"
    agree(executor)
    reads_back(executor)
    await has_all_slots(executor, mode)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
@pytest.mark.parametrize("place", PLACES)
async def test_it_is_stopped_meanwhile(place: str, mode: Mode) -> None:
    executor = desk(asks=place == PERMISSION, concurrency_limit=2)
    bad, hold, (slow, behind) = await on_stage(executor, place)
    task = running(executor, mode)
    await hold.has(1)
    await executor.stop()
    hold.let_go()
    await task
    assert slow.status is COMPLETED, "what runs ends"
    assert bad.status is (PENDING if place == PERMISSION else COMPLETED)
    assert behind.status is PENDING, "nothing more is started"
    assert bad.execution.interruptions == 0
    agree(executor)
    assert await mode(executor) is None
    assert statuses([slow, bad, behind]) == ["completed"] * 3
    await has_all_slots(executor, mode)


@pytest.mark.parametrize("asks", [False, True])
async def test_an_interrupted_event_keeps_nothing_of_the_attempt(asks: bool) -> None:
    executor = desk(asks=asks)
    hold = Hold()
    tape = await executor.append(held(STREAM, hold))
    await executor.start()
    task = running(executor, execute)
    await hold.has(1)
    task.cancel()
    await asyncio.wait([task])
    assert tape.status is PENDING
    assert tape.response is Unset
    assert tape.execution.error is Unset
    assert tape.execution.duration is Unset
    hold.let_go()
    await executor.forward()
    assert tape.response == ["first", True]


async def test_cleanup_may_wait_and_its_time_is_given() -> None:
    executor = desk()
    closed: list[str] = []

    async def tidy(event: Job) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            closed.append(event.label)

    jobs = [Job(label=name, do=tidy, timeout=timeout) for name, timeout in (("a", 1), ("b", None))]
    await executor.append_many(jobs)
    task = asyncio.create_task(executor.forward())
    await asyncio.sleep(2)
    assert jobs[0].status is CANCELLED
    await executor.cancel(jobs[1])
    await task
    assert closed == ["a", "b"]
    assert statuses(jobs) == ["cancelled", "cancelled"]


async def test_a_second_cancellation_of_the_call_loses_nothing() -> None:
    executor = desk()

    async def slow_to_go(event: Job) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)

    job = await executor.append(Job(do=slow_to_go))
    task = running(executor, forward)
    await asyncio.sleep(1)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.1)
    assert isinstance(await caught(task), asyncio.CancelledError)
    assert job.status is PENDING
    agree(executor)


async def test_twenty_interruptions_are_enough() -> None:
    executor = desk()
    hold = Hold()
    job = await executor.append(Job(do=hold))
    for number in range(1, 22):
        task = running(executor, forward)
        await hold.has(number)
        task.cancel()
        await caught(task)
        assert job.execution.interruptions == number
        assert job.status is (PENDING if number <= 20 else EventStatus.FAILED)
    assert "interrupted 21 times" in str(job.execution.error)
    assert job.execution.tries == 0
    agree(executor)


async def test_an_old_cancellation_of_the_caller_is_none_of_the_events() -> None:
    """Cleanup code runs events in a task that was cancelled before."""
    executor = desk()

    async def cancelled(event: Job) -> None:
        raise asyncio.CancelledError

    jobs = await executor.append_many([Job(do=cancelled), Job()])

    async def clean_up() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await executor.forward()

    task = asyncio.create_task(clean_up())
    await asyncio.sleep(1)
    task.cancel()
    await task
    assert statuses(jobs) == ["cancelled", "completed"]
    assert jobs[0].execution.interruptions == 0
