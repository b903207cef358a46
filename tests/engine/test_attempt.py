"""One attempt: the event's own code, run to whatever end it has, within its time."""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
from engine.kit import (
    MODES,
    Job,
    Mode,
    Tape,
    agree,
    desk,
    execute,
    forward,
    has_all_slots,
    now,
    raises,
    sleeps,
)

from lionpride.core import EventStatus, Unset
from lionpride.errors import EventCancelledError, LionTimeoutError


class Stubborn:
    """Work that ignores its cancellations, and counts them, until it is let go."""

    def __init__(self, gives_in_after: int | None = None) -> None:
        self.cancelled_at: list[float] = []
        self.gives_in_after = gives_in_after
        self.release = asyncio.Event()

    async def __call__(self, event: Job) -> str:
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled_at.append(now())
                if len(self.cancelled_at) == self.gives_in_after:
                    raise
        return "too late"


# --- code that does not end


@pytest.mark.virtual
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
async def test_stubborn_code_is_cancelled_three_times_and_left_behind(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    executor = desk(concurrency_limit=2)
    stubborn = Stubborn()
    began = now()
    job = await executor.append(Job(do=stubborn, timeout=10))
    with caplog.at_level(logging.WARNING, "lionpride"):
        assert await mode(executor) is None
    assert [at - began for at in stubborn.cancelled_at] == [10, 11, 12]
    assert now() - began == 13
    assert job.status is EventStatus.CANCELLED
    assert isinstance(job.execution.error, LionTimeoutError)
    (record,) = [each for each in caplog.records if each.name == "lionpride"]
    assert "abandoned" in record.getMessage()
    assert repr(job) in record.getMessage()
    await has_all_slots(executor, mode)

    stubborn.release.set()
    await asyncio.sleep(1)
    assert job.response is Unset, "what it gives at last is not heard"
    assert job.status is EventStatus.CANCELLED
    await has_all_slots(executor, mode)
    agree(executor)


@pytest.mark.virtual
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_code_that_gives_in_is_waited_for(
    times: int, caplog: pytest.LogCaptureFixture
) -> None:
    executor = desk()
    stubborn = Stubborn(gives_in_after=times)
    began = now()
    job = await executor.append(Job(do=stubborn, timeout=10))
    assert await forward(executor) is None
    assert now() - began == 9 + times
    assert job.status is EventStatus.CANCELLED
    assert job.execution.duration == 9 + times
    assert not [each for each in caplog.records if each.name == "lionpride"]
    await has_all_slots(executor, execute)


@pytest.mark.virtual
async def test_stubborn_code_is_cancelled_by_hand() -> None:
    executor = desk()
    stubborn = Stubborn()
    job = await executor.append(Job(do=stubborn))
    task = asyncio.create_task(executor.forward())
    await asyncio.sleep(1)
    assert await executor.cancel(job) is True
    assert job.status is EventStatus.PROCESSING, "it has not ended yet"
    assert await executor.cancel(job) is True
    await task
    assert len(stubborn.cancelled_at) == 3
    assert job.status is EventStatus.CANCELLED
    assert isinstance(job.execution.error, EventCancelledError)
    stubborn.release.set()


@pytest.mark.virtual
async def test_an_attempt_that_was_left_behind_does_not_disturb_the_next_one() -> None:
    """Interrupted, run again, and settled; then the first attempt's code ends at last."""
    executor = desk()
    stubborn = Stubborn()
    job = await executor.append(Job(do=stubborn))
    task = asyncio.create_task(executor.forward())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert (job.status, job.execution.interruptions) == (EventStatus.PENDING, 1)
    job.do = sleeps(5)
    job.label = "the second attempt"
    task = asyncio.create_task(executor.forward())
    await asyncio.sleep(1)
    stubborn.release.set()
    await asyncio.sleep(1)
    assert job.status is EventStatus.PROCESSING
    await task
    assert job.response == "the second attempt"
    assert job.execution.attempt == 2
    agree(executor)


@pytest.mark.virtual
async def test_many_are_left_behind_at_once() -> None:
    executor = desk(concurrency_limit=3)
    stubborn = [Stubborn() for _ in range(6)]
    await executor.append_many([Job(do=each, timeout=1) for each in stubborn])
    await executor.append(Job())
    assert await execute(executor) is None
    assert executor.status_counts()["cancelled"] == 6
    assert executor.status_counts()["completed"] == 1
    for each in stubborn:
        each.release.set()
    await has_all_slots(executor, forward)


# --- time


@pytest.mark.virtual
async def test_the_timeout_runs_from_the_start_and_not_from_the_append() -> None:
    executor = desk(concurrency_limit=1)
    jobs = await executor.append_many([Job(do=sleeps(8), timeout=10) for _ in range(3)])
    await executor.forward()
    assert {job.status for job in jobs} == {EventStatus.COMPLETED}


@pytest.mark.virtual
async def test_the_time_that_permission_takes_is_not_the_works() -> None:
    executor = desk(asks=True)

    async def slow_yes(event: Job) -> bool:
        await asyncio.sleep(8)
        return True

    job = await executor.append(Job(ask=slow_yes, do=sleeps(8), timeout=10))
    await executor.forward()
    assert job.status is EventStatus.COMPLETED
    assert job.execution.duration == 8


@pytest.mark.virtual
async def test_a_timeout_of_one_does_not_strike_the_next_on_the_same_worker() -> None:
    executor = desk(concurrency_limit=1)
    jobs = await executor.append_many(
        [Job(do=sleeps(2), timeout=3), Job(do=sleeps(50)), Job(do=sleeps(5), timeout=3), Job()]
    )
    await executor.forward()
    assert [job.status.value for job in jobs] == [
        "completed",
        "completed",
        "cancelled",
        "completed",
    ]


@pytest.mark.virtual
async def test_a_timeout_inside_the_code_is_its_own() -> None:
    """Both timeouts at the same instant, and the inner one handled: the outer one counts."""
    executor = desk()

    async def inner(event: Job) -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.sleep(100)
        await asyncio.sleep(100)
        return "never"

    job = await executor.append(Job(do=inner, timeout=5))
    began = now()
    await executor.forward()
    assert now() - began == 5
    assert isinstance(job.execution.error, LionTimeoutError)


async def test_a_stream_without_an_await_has_its_timeout_all_the_same() -> None:
    """In real time: it gives the loop a turn now and then, so that its timer can strike."""

    class Flood(Tape):
        max_chunks: ClassVar[int] = 10**12

    async def flood(event: Job) -> AsyncIterator[int]:
        while True:
            yield 1

    executor = desk()
    job = await executor.append(Flood(do=flood, timeout=0.05))
    other = await executor.append(Job())
    await executor.forward()
    assert job.status is EventStatus.CANCELLED
    assert isinstance(job.execution.error, LionTimeoutError)
    assert other.status is EventStatus.COMPLETED


# --- what is recorded


@pytest.mark.virtual
async def test_the_traceback_is_the_users_own() -> None:
    executor = desk()

    async def deep(event: Job) -> None:
        await deeper()

    async def deeper() -> None:
        raise ValueError("here")

    jobs = [Job(do=deep), Job(do=deep, timeout=5)]
    for job in jobs:
        await executor.append(job)
        await executor.forward()
    alone = Job(do=deep)
    await alone.invoke()
    for job in (*jobs, alone):
        names = [frame.name for frame in traceback.extract_tb(job.execution.error.__traceback__)]
        assert names == ["_invoke", "deep", "deeper"], "the engine's own frames are cut off"


@pytest.mark.virtual
async def test_a_timeout_names_what_came_of_the_cancellation() -> None:
    executor = desk()

    async def tidies_badly(event: Job) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            raise OSError("the cleanup failed")

    job = await executor.append(Job(do=tidies_badly, timeout=1))
    await executor.forward()
    assert isinstance(job.execution.error, LionTimeoutError)
    assert isinstance(job.execution.error.__cause__, OSError)


@pytest.mark.virtual
@pytest.mark.parametrize("again", [1, 2, 5])
async def test_each_failure_is_a_try_and_each_claim_an_attempt(again: int) -> None:
    executor = desk()
    job = await executor.append(Job(do=raises(ValueError("no"))))
    await executor.forward()
    for _ in range(again):
        await executor.retry(job)
        await executor.forward()
    assert job.execution.tries == 1, "a retry by hand counts anew"
    assert job.execution.attempt == again + 1


@pytest.mark.virtual
async def test_a_response_may_be_anything() -> None:
    executor = desk()
    given: list[Any] = [None, 0, "", object(), ValueError("returned, not raised"), [1], Unset]

    def gives(value: Any) -> Any:
        async def do(event: Job) -> Any:
            return value

        return do

    jobs = await executor.append_many([Job(do=gives(value)) for value in given])
    await executor.forward()
    for job, value in zip(jobs, given, strict=True):
        assert job.status is EventStatus.COMPLETED
        assert job.response is value
        assert job.execution.error is None
    executor.states.to_dict("json")
