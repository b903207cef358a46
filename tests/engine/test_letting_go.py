"""What has ended is tried again or let go of: retry, remove, cleanup_events."""

import asyncio

import pytest
from engine.kit import (
    Hold,
    Job,
    agree,
    answers,
    background,
    desk,
    forward,
    labels,
    raises,
    sleeps,
    statuses,
)

from lionpride.core import EventStatus, Skip, Unset
from lionpride.errors import (
    NotFoundError,
    OperationError,
)

PENDING = EventStatus.PENDING

pytestmark = pytest.mark.virtual


# --- retry


@pytest.mark.parametrize("status", ["failed", "cancelled", "aborted"])
async def test_retry_sends_it_back_with_its_place_and_anew(status: str) -> None:
    executor = desk(asks=True, concurrency_limit=1)
    job = Job(
        label="x",
        do=raises(ValueError("no")) if status == "failed" else sleeps(50),
        ask=answers(False, False, False, True) if status == "aborted" else None,
        timeout=100 if status != "cancelled" else 5,
    )
    await executor.append(job, 3)
    for _ in range(3):
        await executor.forward()
    assert job.status == status
    number, attempts = job.execution.arrival, job.execution.attempt

    assert await executor.retry(job) is job
    state = job.execution
    assert state.status is PENDING
    assert state.response is state.error is state.duration is state.retryable is Unset
    assert (state.tries, state.denials, state.interruptions) == (0, 0, 0)
    assert (state.priority, state.arrival, state.attempt) == (3.0, number, attempts)
    agree(executor)

    job.do, job.timeout = sleeps(0), None
    first = await executor.append(Job(label="first"), 2)
    last = await executor.append(Job(label="last"), 3)
    await executor.forward()
    assert labels(executor.completed_events) == ["first", "x", "last"]
    assert statuses([first, job, last]) == ["completed"] * 3
    assert job.execution.attempt == attempts + 1


@pytest.mark.parametrize("status", ["pending", "processing", "completed", "skipped"])
async def test_retry_of_what_has_not_failed_is_refused(status: str) -> None:
    executor = desk()
    hold = Hold()
    do = {"processing": hold, "skipped": raises(Skip("no"))}.get(status)
    job = await executor.append(Job(do=do))
    task = None if status == "pending" else asyncio.create_task(forward(executor))
    await asyncio.sleep(1)
    assert job.status == status
    before = job.execution.to_dict("python")
    with pytest.raises(OperationError, match=f"a {status} event cannot be retried"):
        await executor.retry(job)
    assert job.execution.to_dict("python") == before
    hold.let_go()
    if task is not None:
        await task


async def test_a_retry_wakes_an_idle_run() -> None:
    executor = desk()
    async with background(executor):
        job = await executor.append(Job(do=raises(ValueError("no"))))
        await executor.join()
        job.do = None
        await executor.retry(job)
        await executor.join()
        assert job.status is EventStatus.COMPLETED


# --- remove


@pytest.mark.parametrize("ended", [False, True])
async def test_remove_lets_go_of_it(ended: bool) -> None:
    executor = desk()
    own = executor.states
    job, other = await executor.append_many([Job(label="a"), Job(label="b")])
    if ended:
        await executor.forward()
    assert await executor.remove(job) is job
    assert job not in executor
    assert job.execution.arrival is None
    assert list(own.items) == [other]
    agree(executor)
    with pytest.raises(NotFoundError):
        await executor.remove(job)
    if not ended:
        await executor.append(job)
        await executor.forward()
        assert labels(executor.completed_events) == ["a", "b"], "it has its priority still"


async def test_what_was_removed_is_not_run() -> None:
    executor = desk(concurrency_limit=1)
    hold = Hold()
    async with background(executor):
        running, waiting = await executor.append_many([Job(do=hold), Job(label="waits")])
        await hold.has(1)
        with pytest.raises(OperationError, match="is running"):
            await executor.remove(running)
        await executor.remove(waiting)
        hold.let_go()
        await executor.join()
    assert waiting.status is PENDING
    assert waiting.execution.attempt == 0


async def test_what_is_asked_for_is_not_removed() -> None:
    executor = desk(asks=True)
    gate = Hold()
    async with background(executor):
        job = await executor.append(Job(ask=gate))
        await gate.has(1)
        with pytest.raises(OperationError):
            await executor.remove(job)
        gate.let_go()
        await executor.join()
    assert job.status is EventStatus.COMPLETED


# --- cleanup_events


@pytest.mark.promise("notebook-cleanup")
async def test_cleanup_lets_go_of_what_has_ended() -> None:
    executor = desk(asks=True)
    await executor.append_many(
        [
            Job(label="completed"),
            Job(label="failed", do=raises(ValueError("no"))),
            Job(label="cancelled", do=sleeps(9), timeout=1),
            Job(label="skipped", do=raises(Skip("no"))),
            Job(label="aborted", ask=answers(False)),
        ]
    )
    for _ in range(3):
        await executor.forward()
    pending = await executor.append(Job(label="pending"))
    assert await executor.cleanup_events() == 3
    assert sorted(labels(executor.states.items)) == ["cancelled", "pending", "skipped"]
    agree(executor)
    assert await executor.cleanup_events() == 0
    assert await executor.cleanup_events("cancelled") == 1
    assert await executor.cleanup_events([EventStatus.SKIPPED]) == 1
    assert list(executor.states.items) == [pending]
    assert await executor.cleanup_events([]) == 0


@pytest.mark.parametrize("status", ["pending", EventStatus.PROCESSING])
async def test_cleanup_does_not_take_what_has_not_ended(status: str) -> None:
    executor = desk()
    await executor.append(Job())
    with pytest.raises(OperationError, match="have not finished"):
        await executor.cleanup_events(["completed", status])
    assert len(executor.pending_events) == 1


async def test_cleanup_of_no_status_is_refused() -> None:
    with pytest.raises(ValueError, match="done"):
        await desk().cleanup_events(["done"])


async def test_an_event_that_was_cleaned_up_may_do_its_work_again() -> None:
    executor = desk()
    job = await executor.append(Job(label="x"))
    await executor.forward()
    await executor.cleanup_events()
    assert job.status is EventStatus.COMPLETED
    fresh = await executor.append(job.as_fresh_event())
    await executor.forward()
    assert fresh.response == "x"
