"""Retries by policy: what fails waits in the store, and is tried again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

import pytest
from engine.kit import (
    Job,
    JobExecutor,
    Tape,
    agree,
    background,
    desk,
    execute,
    now,
    reads_back,
    sleeps,
    starts,
    stores,
    worker,
)

from lionpride.core import EventStatus, Retry, Skip, Unset
from lionpride.errors import (
    ConfigurationError,
    EventCancelledError,
    LionTimeoutError,
    RateLimited,
    ValidationError,
)

pytestmark = pytest.mark.virtual

S = EventStatus

EXACT = Retry(attempts=4, backoff=1.0, jitter=False)


class Stubborn(Job):
    retry: ClassVar[Retry | None] = EXACT


class StubbornTape(Tape):
    retry: ClassVar[Retry | None] = EXACT


def fails(times: int, error: Callable[[], BaseException] = lambda: ValueError("no")) -> Any:
    """Work that fails so often, and then returns its label."""
    left = [times]

    async def do(event: Job) -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise error()
        return event.label

    return do


# -- by policy -------------------------------------------------------------------------------------


@stores
async def test_what_fails_is_tried_again_after_a_growing_wait(store: Any) -> None:
    executor = desk(store=store())
    noted, began = starts(executor), now()
    async with background(executor):
        job = await executor.append(Stubborn(label="x", do=fails(3)))
        assert await executor.result(job) == "x"
        agree(executor)
    assert [at - began for _, at in noted] == pytest.approx([0.0, 1.0, 3.0, 7.0])
    state = job.execution
    assert (state.status, state.error, state.tries, state.attempt) == (S.COMPLETED, None, 3, 4)
    assert [each.number for each in state.attempts] == [1, 2, 3]
    assert {each.error for each in state.attempts} == {"ValueError: no"}
    first, second, third = (each.started for each in state.attempts)
    assert (second - first, third - second) == pytest.approx((1.0, 2.0))


@stores
async def test_the_last_failure_is_the_events(store: Any) -> None:
    executor = desk(store=store())
    errors = iter([ValueError("first"), KeyError("second"), OSError("third"), OSError("last")])
    async with background(executor):
        job = await executor.append(Stubborn(do=fails(9, lambda: next(errors))))
        with pytest.raises(OSError, match="last"):
            await executor.result(job)
    state = job.execution
    assert (state.status, state.tries, len(state.attempts)) == (S.FAILED, 4, 4)
    assert [each.error for each in state.attempts][:2] == [
        "ValueError: first",
        "KeyError: 'second'",
    ]
    assert state.retryable is True
    agree(executor)


async def test_while_it_waits_it_is_pending_with_its_error_and_due_time() -> None:
    executor, slow = desk(), Retry(attempts=2, backoff=60.0, jitter=False)
    async with background(executor):
        job = await executor.append(Job(do=fails(1)), retry=slow)
        await asyncio.sleep(5)
        state = job.execution
        assert (state.status, state.tries) == (S.PENDING, 1)
        assert isinstance(state.error, ValueError)
        assert state.due is not None
        assert len(executor.pending_events) == 1
        reads_back(executor)
        await executor.join()
    assert job.status is S.COMPLETED


async def test_who_waits_holds_no_slot_and_holds_back_nobody() -> None:
    executor = desk(concurrency_limit=1)
    async with background(executor):
        first = await executor.append(Stubborn(label="a", do=fails(1)), 0.0)
        others = await executor.append_many([Job(do=sleeps(0.1)) for _ in range(5)])
        await asyncio.sleep(0.9)
        assert [each.status for each in others] == [S.COMPLETED] * 5
        assert first.status is S.PENDING
        await executor.join()
    assert first.status is S.COMPLETED


async def test_full_jitter_spreads_the_waits_between_nothing_and_the_backoff() -> None:
    executor, policy = desk(concurrency_limit=1000), Retry(attempts=2, backoff=100.0, ceiling=100.0)
    async with background(executor):
        jobs = await executor.append_many([Job(do=fails(1)) for _ in range(400)], retry=policy)
        while not all(each.execution.tries for each in jobs):
            await asyncio.sleep(0)
        began = now()
        waits = [each.execution.due - executor.store.time() for each in jobs]  # type: ignore[operator]
        assert all(-1.0 <= wait <= 100.0 for wait in waits)
        assert min(waits) < 10
        assert max(waits) > 90
        assert 40 < sum(waits) / len(waits) < 60
        await executor.join()
    assert now() - began <= 100.0
    assert all(each.status is S.COMPLETED for each in jobs)


async def test_a_policy_given_with_the_append_takes_the_place_of_the_classs() -> None:
    executor = desk()
    async with background(executor):
        job = await executor.append(Stubborn(do=fails(9)), retry=Retry(attempts=2, backoff=0.0))
        once = await executor.append(Stubborn(do=fails(9)), retry=Retry(attempts=1))
        await executor.join()
    assert [job.execution.tries, once.execution.tries] == [2, 1]
    assert job.execution.retry == Retry(attempts=2, backoff=0.0)
    assert Stubborn.retry is EXACT


async def test_the_policy_of_an_event_comes_along_when_it_is_written_down() -> None:
    executor, other = desk(), desk()
    await executor.append(Job(label="x"), retry=Retry(attempts=2, jitter=False, on=OSError))
    await other.load(executor.states.to_dict("json"))
    (job,) = other.pending_events
    assert job.execution.retry == Retry(attempts=2, jitter=False, on=OSError)
    job.do = fails(1, OSError)
    assert await execute(other) is None
    assert job.status is S.COMPLETED
    assert job.as_fresh_event().execution.retry is None


async def test_without_a_policy_a_failure_is_the_end_and_is_on_record() -> None:
    executor = desk()
    async with background(executor):
        job = await executor.append(Job(do=fails(1)))
        await executor.join()
    assert (job.status, job.execution.tries) == (S.FAILED, 1)
    (attempt,) = job.execution.attempts
    assert (attempt.number, attempt.error) == (1, "ValueError: no")


# -- what is tried again ---------------------------------------------------------------------------


@stores
async def test_a_timeout_is_a_failure_that_is_tried_again(store: Any) -> None:
    executor, lasts = desk(store=store()), iter([5.0, 5.0, 0.1])

    async def do(event: Job) -> str:
        await asyncio.sleep(next(lasts))
        return "done"

    async with background(executor):
        job = await executor.append(Stubborn(do=do, timeout=1.0))
        assert await executor.result(job) == "done"
    assert [each.duration for each in job.execution.attempts] == pytest.approx([1.0, 1.0])
    assert all("LionTimeoutError" in each.error for each in job.execution.attempts)


async def test_the_last_timeout_leaves_the_event_cancelled_as_any_timeout() -> None:
    executor = desk()
    async with background(executor):
        job = await executor.append(Stubborn(do=sleeps(9), timeout=1.0))
        with pytest.raises(LionTimeoutError):
            await executor.result(job)
    assert (job.status, job.execution.tries) == (S.CANCELLED, 4)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Skip("nothing"), S.SKIPPED),
        (asyncio.CancelledError(), S.CANCELLED),
        (ValidationError("its code says that this cannot help"), S.FAILED),
    ],
    ids=repr,
)
async def test_what_is_not_tried_again(error: BaseException, status: EventStatus) -> None:
    executor = desk()
    async with background(executor):
        job = await executor.append(Stubborn(do=fails(9, lambda: error)))
        await executor.join()
    assert (job.status, job.execution.attempt) == (status, 1)


async def test_a_cancel_by_hand_ends_what_runs_and_what_waits_for_its_next_attempt() -> None:
    executor = desk()
    async with background(executor):
        waits = await executor.append(Stubborn(do=fails(9)))
        runs = await executor.append(Stubborn(do=sleeps(60)))
        await asyncio.sleep(0.5)
        assert await executor.cancel(waits)
        assert await executor.cancel(runs)
        await executor.join()
    for job in (waits, runs):
        assert job.status is S.CANCELLED
        assert isinstance(job.execution.error, EventCancelledError)
    assert len(waits.execution.attempts) == 1


async def test_an_interruption_is_no_failure() -> None:
    executor = desk()
    job = await executor.append(Stubborn(label="x", do=sleeps(60)))
    await executor.start()
    task = asyncio.create_task(worker(executor).execute())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert (job.status, job.execution.interruptions, job.execution.tries) == (S.PENDING, 1, 0)
    assert job.execution.attempts == ()


async def test_the_chunks_of_a_failed_attempt_are_not_those_of_the_next() -> None:
    left = [2]

    async def do(event: Job) -> AsyncIterator[str]:
        left[0] -= 1
        yield f"{left[0]} a"
        if left[0] > 0:
            raise ValueError
        yield f"{left[0]} b"

    executor = desk()
    async with background(executor):
        job = await executor.append(StubbornTape(do=do))
        await asyncio.sleep(0.5)
        assert job.execution.response is Unset
        assert await executor.result(job) == ["0 a", "0 b"]


async def test_an_error_that_asks_for_a_wait_gets_it() -> None:
    class SlowDown(Exception):
        retry_after = 30

    executor = desk()
    noted, began = starts(executor), now()
    async with background(executor):
        await executor.append(Stubborn(do=fails(1, SlowDown)))
        await executor.join()
    assert noted[1][1] - began == pytest.approx(30)


@stores
async def test_what_a_service_refuses_for_now_is_no_failure(store: Any) -> None:
    executor = desk(store=store())
    noted, began = starts(executor), now()
    errors = iter([*(RateLimited(retry_after=20) for _ in range(9)), ValueError("no")])
    async with background(executor):
        job = await executor.append(Stubborn(do=fails(10, lambda: next(errors))))
        await executor.join()
    state = job.execution
    assert (state.status, state.tries, len(state.attempts)) == (S.COMPLETED, 1, 1)
    assert [at - began for _, at in noted][:9] == pytest.approx([20.0 * n for n in range(9)])


async def test_a_round_takes_no_attempt_before_its_time() -> None:
    executor = desk()
    job = await executor.append(Stubborn(do=fails(1)))
    await executor.forward()
    await executor.forward()
    assert (job.status, job.execution.tries) == (S.PENDING, 1)
    await asyncio.sleep(1.001)
    await executor.forward()
    assert job.status is S.COMPLETED


async def test_observers_hear_of_each_attempt() -> None:
    executor, steps = desk(), list[Any]()
    executor.observe(lambda step: steps.append((step.before, step.after)))
    async with background(executor):
        await executor.append(Stubborn(do=fails(1)))
        await executor.join()
    assert steps == [
        (None, S.PENDING),
        (S.PENDING, S.PROCESSING),
        (S.PROCESSING, S.PENDING),
        (S.PENDING, S.PROCESSING),
        (S.PROCESSING, S.COMPLETED),
    ]


async def test_no_attempt_starts_beyond_the_deadline() -> None:
    executor = desk()
    policy = Retry(attempts=99, backoff=1.0, jitter=False, deadline=10.0)
    noted, began = starts(executor), now()
    async with background(executor):
        job = await executor.append(Job(do=fails(99)), retry=policy)
        await executor.join()
    assert job.status is S.FAILED
    assert [at - began for _, at in noted] == pytest.approx([0.0, 1.0, 3.0, 7.0])


# -- where it is said ------------------------------------------------------------------------------


async def test_a_class_may_leave_out_the_annotation() -> None:
    class Plain(Job):
        retry = Retry(attempts=2)

    assert Plain().execution.retry is None
    assert Plain.retry == Retry(attempts=2)
    assert Job.retry is None


@pytest.mark.parametrize("policy", [3, "thrice", {"attempts": 3}, Retry], ids=str)
def test_a_class_with_something_else_is_refused(policy: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"Wrong\.retry must be a Retry or None"):
        type("Wrong", (Job,), {"retry": policy, "__module__": __name__})


def test_a_field_of_that_name_is_refused_and_the_remedy_named() -> None:
    with pytest.raises(ConfigurationError, match="ClassVar"):

        class Wrong(Job):
            retry: Retry = Retry()  # type: ignore[misc]


@pytest.mark.parametrize("policy", [3, "thrice", {"attempts": 3}, Retry, False], ids=str)
async def test_an_append_with_something_else_is_refused(policy: Any) -> None:
    executor = desk()
    with pytest.raises(ValidationError, match="retry must be a Retry or None"):
        await executor.append(Job(), retry=policy)
    with pytest.raises(ValidationError, match="retry must be a Retry or None"):
        await executor.append_many([Job()], retry=policy)
    assert not executor.pending_events


# -- by hand ---------------------------------------------------------------------------------------


@stores
async def test_retry_failed_sends_back_all_that_failed(store: Any) -> None:
    executor = desk(store=store())
    async with background(executor):
        jobs = await executor.append_many([Job(label=str(n), do=fails(1)) for n in range(1200)])
        skipped = await executor.append(Job(do=fails(1, Skip)))
        late = await executor.append(Job(do=sleeps(9), timeout=1.0))
        await executor.join()
        assert {each.status for each in jobs} == {S.FAILED}
        steps = list[Any]()
        stop = executor.observe(lambda step: steps.append((step.before, step.after)))
        assert await executor.retry_failed() == 1200
        stop()
        assert steps.count((S.FAILED, S.PENDING)) == 1200
        await executor.join()
        assert await executor.retry_failed() == 0
    assert {each.status for each in jobs} == {S.COMPLETED}
    assert [skipped.status, late.status] == [S.SKIPPED, S.CANCELLED]
    agree(executor)


async def test_what_fails_anew_meanwhile_is_not_sent_back_again() -> None:
    executor = JobExecutor()
    async with background(executor):
        jobs = await executor.append_many([Job(do=fails(99)) for _ in range(30)])
        await executor.join()
        assert await executor.retry_failed() == 30
        await executor.join()
    assert {each.execution.attempt for each in jobs} == {2}
