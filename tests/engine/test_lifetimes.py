"""``async with executor:``: how a run begins and ends."""

import asyncio
import contextlib
import gc
import logging
from typing import Any

import pytest
from engine.kit import (
    Job,
    JobExecutor,
    agree,
    desk,
    execute,
    forward,
    has_all_slots,
    now,
    raises,
    sleeps,
    statuses,
    worker,
)

from lionpride.core import EventStatus, Executor
from lionpride.errors import OperationError
from lionpride.testing import VirtualLoop, run_virtual

PENDING = EventStatus.PENDING

pytestmark = pytest.mark.virtual


# --- async with


async def test_events_run_in_the_background_of_the_block() -> None:
    executor = desk()
    early = await executor.append(Job(label="early"))
    async with executor as entered:
        assert entered is executor
        late = await executor.append(Job(label="late"))
        assert await executor.result(late) == "late"
        assert await executor.result(early) == "early"
        assert worker(executor).execution_mode is True
    assert worker(executor).execution_mode is False
    assert worker(executor).is_stopped()


async def test_what_runs_has_the_grace_time_and_what_waits_stays() -> None:
    executor = desk(concurrency_limit=2, grace=20.0)
    async with executor:
        quick, slow, waiting = await executor.append_many(
            [Job(do=sleeps(10)), Job(do=sleeps(1000)), Job()]
        )
        await asyncio.sleep(1)
        left = now()
    assert now() - left == 20
    assert statuses([quick, slow, waiting]) == ["completed", "pending", "pending"]
    assert slow.execution.interruptions == 1
    assert waiting.execution.interruptions == 0
    assert waiting.execution.attempt == 0
    agree(executor)


async def test_the_block_is_left_as_soon_as_nothing_runs() -> None:
    executor = desk(grace=20.0)
    async with executor:
        await executor.append(Job(do=sleeps(3)))
        await asyncio.sleep(1)
        left = now()
    assert now() - left == 2


async def test_the_default_grace_ends_before_kubernetes_kills_the_process() -> None:
    executor = JobExecutor()
    async with executor:
        job = await executor.append(Job(do=sleeps(1000)))
        await asyncio.sleep(0.5)
        left = now()
    assert now() - left == 25
    assert job.status is PENDING


async def test_no_grace_interrupts_at_once() -> None:
    executor = desk(grace=0)
    async with executor:
        job = await executor.append(Job(do=sleeps(1000)))
        await asyncio.sleep(1)
        left = now()
    assert now() == left
    assert (job.status, job.execution.interruptions) == (PENDING, 1)


async def test_how_many_are_left_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    executor = desk(concurrency_limit=1)
    with caplog.at_level(logging.INFO, "lionpride"):
        async with executor:
            await executor.append_many([Job() for _ in range(3)])
            await executor.join()
        assert not caplog.records
        async with executor:
            await executor.append_many([Job(do=sleeps(1)) for _ in range(4)])
            await asyncio.sleep(0.5)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING, "in memory they are gone with the process"
    assert record.getMessage() == (
        "'engine.kit.Job': 3 events are left pending, in memory only: await join() before the end "
        "of `async with` to run them"
    )


async def test_what_an_error_leaves_behind_is_no_mistake(caplog: pytest.LogCaptureFixture) -> None:
    executor = desk(concurrency_limit=1)

    async def fail() -> None:
        async with executor:
            await executor.append(Job())
            raise ValueError("its own")

    with caplog.at_level(logging.INFO, "lionpride"), pytest.raises(ValueError, match="own"):
        await fail()
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage() == "'engine.kit.Job': 1 event is left pending"


async def test_it_may_be_entered_again() -> None:
    executor = desk()
    for number in range(1, 4):
        async with executor:
            await executor.append_many([Job(), Job()])
            await executor.join()
        assert len(executor.completed_events) == 2 * number
    await executor.append(Job())
    await execute(executor)
    assert len(executor.completed_events) == 7


async def test_a_cancelled_entry_leaves_nothing_running() -> None:
    executor = desk()
    job = await executor.append(Job(do=sleeps(5)))

    async def enter() -> None:
        async with executor:
            await asyncio.sleep(3600)

    entering = asyncio.create_task(enter())
    await asyncio.sleep(0)  # it has begun to enter
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert job.status is EventStatus.PENDING
    async with executor:
        await executor.join()
    assert job.status is EventStatus.COMPLETED


async def test_it_may_be_entered_once_at_a_time() -> None:
    executor = desk()
    async with executor:
        with pytest.raises(OperationError, match="runs already"):
            await executor.__aenter__()
        job = await executor.append(Job())
        await executor.result(job)
        assert not worker(executor).is_stopped(), "the refusal changed nothing"


async def test_what_the_body_raises_is_raised() -> None:
    executor = desk(concurrency_limit=1)
    error = KeyError("from the body")
    raised = None
    try:
        async with executor:
            jobs = await executor.append_many([Job(do=sleeps(5)), Job()])
            await asyncio.sleep(1)
            raise error
    except KeyError as caught_error:
        raised = caught_error
    assert raised is error
    assert statuses(jobs) == ["completed", "pending"], "what ran had its grace time"
    agree(executor)


async def test_the_body_may_stop_the_run_itself() -> None:
    executor = desk()
    async with executor:
        await executor.append(Job())
        await executor.join()
        await executor.stop()
        late = await executor.append(Job())
        await asyncio.sleep(5)
        assert late.status is PENDING
    assert late.status is PENDING


@pytest.mark.parametrize("when", ["in the body", "in the grace time"])
async def test_the_task_of_the_block_is_cancelled(when: str) -> None:
    executor = desk(grace=50.0)
    job = Job(do=sleeps(1000))

    async def block() -> None:
        async with executor:
            await executor.append(job)
            await asyncio.sleep(1000 if when == "in the body" else 1)

    task = asyncio.create_task(block())
    await asyncio.sleep(2)
    began = now()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert now() - began == (50 if when == "in the body" else 0)
    assert (job.status, job.execution.interruptions) == (PENDING, 1)
    agree(executor)


class Leaving:
    """How a block was left, in a loop of its own: an exit must not reach pytest's."""

    def __init__(self) -> None:
        self.raised: BaseException | None = None
        self.complaints: list[str] = []

    async def enter(self, executor: Executor, body: Any) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.complaints.append(context["message"]))
        try:
            async with executor:
                await body()
        except BaseException as error:
            self.raised = error


def leave(executor: Executor, body: Any) -> Leaving:
    leaving = Leaving()
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        run_virtual(leaving.enter(executor, body))
        return leaving
    pytest.fail("the exit tore the event loop down")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("body", ["waits", "joins"])
def test_code_that_wants_to_exit_is_raised_where_the_block_is_left(
    body: str, error: type[BaseException]
) -> None:
    executor = desk(concurrency_limit=2)
    slow, bad, behind = Job(do=sleeps(5)), Job(do=raises(error())), Job()

    async def wait() -> None:
        await executor.append_many([slow, bad, behind])
        await (executor.join() if body == "joins" else asyncio.sleep(10))

    leaving = leave(executor, wait)
    assert leaving.raised is bad.execution.error
    assert isinstance(leaving.raised, error)
    assert leaving.complaints == []
    assert statuses([slow, bad, behind]) == ["completed", "failed", "pending"]
    assert run_virtual(execute(executor)) is None
    assert behind.status is EventStatus.COMPLETED
    agree(executor)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("collected", [False, True])
def test_a_loop_that_was_closed_in_the_midst_loses_nothing(collected: bool) -> None:
    executor = desk(concurrency_limit=2)
    first = VirtualLoop()
    run: list[asyncio.Task[None]] = []
    attempts: list[int] = []

    async def do(event: Job) -> None:
        attempts.append(event.execution.attempt)
        if len(attempts) == 1:
            await asyncio.Event().wait()

    async def begin() -> None:
        await executor.append(Job(do=do))
        await executor.start()
        run.append(asyncio.create_task(worker(executor).execute()))
        await asyncio.sleep(1)

    first.run_until_complete(begin())
    first.close()  # and nobody has cancelled what runs in it
    if collected:
        run.clear()
        del first
        gc.collect()

    async def go_on() -> None:
        job = await executor.append(Job(label="new"))
        assert not worker(executor).working
        await executor.stop()
        await executor.start()
        await executor.forward()
        assert job.status is EventStatus.COMPLETED
        await executor.join()

    run_virtual(go_on())
    assert attempts == [1, 2]
    assert len(executor.completed_events) == 2
    agree(executor)
    run_virtual(has_all_slots(executor, forward))
    run.clear()
    gc.collect()  # what is left of the first loop goes here, and harms nothing
    assert len(executor.completed_events) == 5
