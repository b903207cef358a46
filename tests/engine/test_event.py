"""An event by itself: invoke() runs it once, whoever calls."""

import asyncio
import copy
import pickle
from typing import Any

import pytest
from engine.kit import Hold, Job, caught, desk, forward, now, raises, sleeps

from lionpride.core import Event, EventStatus, Executor, Processor, Skip, Unset
from lionpride.errors import LionTimeoutError, OperationError, RateLimited
from lionpride.testing import run_virtual

pytestmark = pytest.mark.virtual


class Named(Event):
    """At module level, so that it can be pickled."""

    name: str = "x"

    async def _invoke(self) -> str:
        return self.name


class Copying(Event):
    """Copies itself while it runs."""

    async def _invoke(self) -> list[Any]:
        copies = [copy.copy(self), copy.deepcopy(self), pickle.loads(pickle.dumps(self))]
        assert all(each.id == self.id for each in copies)
        self.to_dict("json")
        return copies


async def test_invoke_gives_the_response() -> None:
    event = Named(name="a")
    assert await event.invoke() == "a"
    assert event.status is EventStatus.COMPLETED
    assert event.response == "a"
    assert event.execution.error is None
    assert event.execution.duration == 0.0
    assert event.execution.attempt == 1


async def test_invoke_of_code_that_sets_a_field() -> None:
    async def do(event: Job) -> str:
        event.label = "set"
        return event.label

    event = Job(do=do)
    state = event.execution
    assert await event.invoke() == "set"
    assert state.status is event.status is EventStatus.COMPLETED, "a view made before sees it"
    assert state.response == "set"


async def test_it_runs_once() -> None:
    hold = Hold(result=["a response"])
    hold.let_go()
    job = Job(do=hold)
    first = await job.invoke()
    assert await job.invoke() is first, "later callers get what it gave"
    assert len(hold.began) == 1


async def test_callers_at_the_same_time_share_the_one_run() -> None:
    hold = Hold(result=object())
    job = Job(do=hold)
    callers = [asyncio.create_task(job.invoke()) for _ in range(5)]
    await hold.has(1)
    assert job.status is EventStatus.PROCESSING
    hold.let_go()
    results = await asyncio.gather(*callers)
    assert all(result is hold.result for result in results)
    assert len(hold.began) == 1
    assert job.execution.attempt == 1


async def test_no_response_is_none_to_the_caller() -> None:
    job = Job(do=raises(ValueError("no")))
    assert await job.invoke() is None
    assert job.response is Unset
    assert await Job(do=sleeps(1), timeout=0.5).invoke() is None


async def test_duration_is_the_time_it_took() -> None:
    for job in (
        Job(do=sleeps(2.5)),
        Job(do=sleeps(10), timeout=2.5),
        Job(do=_sleeps_and_fails),
    ):
        await job.invoke()
        assert job.execution.duration == 2.5


async def _sleeps_and_fails(event: Job) -> None:
    await asyncio.sleep(2.5)
    raise ValueError("at last")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("no"), "failed"),
        (ExceptionGroup("two", [ValueError("a"), KeyError("b")]), "failed"),
        (TimeoutError("its own"), "failed"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "failed"),
        (Skip("nothing to do"), "skipped"),
    ],
    ids=repr,
)
async def test_errors_are_recorded_and_not_raised(error: BaseException, status: str) -> None:
    job = Job(do=raises(error))
    assert await job.invoke() is None
    assert job.status.value == status
    assert job.execution.error is error
    assert job.execution.tries == (0 if status == "skipped" else 1)
    job.to_dict("json")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_asks_the_process_to_exit_is_recorded_and_raised(
    error: type[BaseException],
) -> None:
    hold = Hold()

    async def exits(event: Job) -> None:
        await hold(event)
        raise error

    job = Job(do=exits)
    callers = [asyncio.create_task(caught(job.invoke())) for _ in range(2)]
    await hold.has(1)
    hold.let_go()
    for raised in await asyncio.gather(*callers):
        assert raised is job.execution.error
    assert isinstance(job.execution.error, error)
    assert job.status is EventStatus.FAILED
    assert await job.invoke() is None, "it is over: a later caller is not ended by it"


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (ValueError("x"), True),
        (OperationError("ours says so itself"), False),
        (LionTimeoutError("so does this"), True),
        (ExceptionGroup("all", [ValueError("a"), ValueError("b")]), True),
        (ExceptionGroup("not all", [ValueError("a"), OperationError("b")]), False),
    ],
    ids=repr,
)
async def test_whether_trying_again_may_help(error: Exception, retryable: bool) -> None:
    job = Job(do=raises(error))
    await job.invoke()
    assert job.execution.retryable is retryable


# --- time


async def test_a_timeout_is_a_cancellation_with_a_timeout_error() -> None:
    job = Job(do=sleeps(100), timeout=2)
    began = now()
    assert await job.invoke() is None
    assert now() - began == 2
    assert job.status is EventStatus.CANCELLED
    assert isinstance(job.execution.error, LionTimeoutError)
    assert isinstance(job.execution.error, TimeoutError)
    assert "timeout of 2 s" in str(job.execution.error)
    assert job.execution.retryable is True


async def test_an_event_that_ends_in_time_is_not_touched_by_its_timeout() -> None:
    job = Job(do=sleeps(1), timeout=2)
    await job.invoke()
    await asyncio.sleep(10)
    assert job.status is EventStatus.COMPLETED


async def test_code_that_ignores_its_timeout_is_left_behind() -> None:
    release = asyncio.Event()

    async def stubborn(event: Job) -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "too late"

    job = Job(do=stubborn, timeout=1)
    assert await job.invoke() is None
    assert job.status is EventStatus.CANCELLED
    release.set()
    await asyncio.sleep(1)
    assert job.status is EventStatus.CANCELLED, "what it gives later is not heard"
    assert job.response is Unset


# --- callers that go


async def test_a_caller_that_is_cancelled_leaves_the_run_to_the_others() -> None:
    hold = Hold(result="r")
    job = Job(do=hold)
    callers = [asyncio.create_task(job.invoke()) for _ in range(3)]
    await hold.has(1)
    callers[0].cancel()
    await asyncio.wait([callers[0]])
    assert callers[0].cancelled()
    assert job.status is EventStatus.PROCESSING
    hold.let_go()
    assert await asyncio.gather(*callers[1:]) == ["r", "r"]


async def test_the_last_caller_takes_the_run_along() -> None:
    hold = Hold()
    job = Job(do=hold)
    callers = [asyncio.create_task(job.invoke()) for _ in range(2)]
    await hold.has(1)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    assert all(caller.cancelled() for caller in callers)
    assert hold.inside == 0
    assert job.status is EventStatus.CANCELLED
    assert isinstance(job.execution.error, asyncio.CancelledError)


async def test_the_last_caller_waits_for_the_cleanup() -> None:
    closed: list[str] = []

    async def tidies_up(event: Job) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            closed.append("closed")

    job = Job(do=tidies_up)
    caller = asyncio.create_task(job.invoke())
    await asyncio.sleep(1)
    caller.cancel()
    await asyncio.wait([caller])
    assert closed == ["closed"]
    assert job.status is EventStatus.CANCELLED


@pytest.mark.parametrize("ignored", [1, 2, 100])
async def test_code_that_ignores_the_cancellation_of_its_caller_is_cancelled_again(
    ignored: int,
) -> None:
    release, cancellations = asyncio.Event(), 0

    async def ignores_some(event: Job) -> str:
        nonlocal cancellations
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancellations += 1
                if cancellations > ignored:
                    raise
        return "too late"

    job = Job(do=ignores_some)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(job.invoke(), 1)
    assert job.status is EventStatus.CANCELLED, "the caller has waited until the event finished"
    assert cancellations == min(ignored + 1, 3)
    assert isinstance(job.execution.error, asyncio.CancelledError)
    release.set()
    await asyncio.sleep(1)
    assert job.status is EventStatus.CANCELLED, "a later result of abandoned code does not count"
    assert job.response is Unset


async def test_a_caller_that_is_cancelled_twice_does_not_wait_for_the_code() -> None:
    hold = Hold()

    async def ignores(event: Job) -> None:
        try:
            await hold(event)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)

    job = Job(do=ignores)
    caller = asyncio.create_task(job.invoke())
    await hold.has(1)
    caller.cancel()
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert job.status is EventStatus.PROCESSING
    await job.invoke()
    assert job.status is EventStatus.COMPLETED


async def test_a_timeout_of_the_caller_is_the_callers() -> None:
    job = Job(do=sleeps(100))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(job.invoke(), 3)
    assert job.status is EventStatus.CANCELLED


# --- held by an executor


async def test_an_event_that_an_executor_holds_is_the_executors_to_run() -> None:
    executor = desk()
    hold = Hold(result="done")
    job = await executor.append(Job(do=hold))
    with pytest.raises(OperationError, match=r"executor\.result"):
        await job.invoke()
    task = asyncio.create_task(forward(executor))
    await hold.has(1)
    with pytest.raises(OperationError, match="belongs to an executor"):
        await job.invoke()
    hold.let_go()
    await task
    assert await job.invoke() == "done", "once it has ended, invoke() gives what it gave"
    assert len(hold.began) == 1


async def test_an_event_that_was_removed_may_run_by_itself() -> None:
    executor = desk()
    job = await executor.append(Job(label="mine"))
    await executor.remove(job)
    assert await job.invoke() == "mine"


async def test_the_status_of_an_event_that_runs_by_itself_is_not_set_by_hand() -> None:
    hold = Hold()
    event = Job(do=hold)
    run = asyncio.create_task(event.invoke())
    await hold.has(1)
    for owner in (event, event.execution):
        with pytest.raises(OperationError, match="the event is running"):
            owner.status = EventStatus.CANCELLED
    hold.let_go()
    assert await run is True
    assert event.status is EventStatus.COMPLETED
    event.status = EventStatus.PENDING
    assert await event.invoke() is True, "it is free again"


async def test_an_event_that_runs_by_itself_is_not_taken_in() -> None:
    executor = desk()
    hold = Hold()
    job = Job(do=hold)
    task = asyncio.create_task(job.invoke())
    await hold.has(1)
    with pytest.raises(OperationError, match="processing"):
        await executor.append(job)
    hold.let_go()
    await task
    with pytest.raises(OperationError, match="as_fresh_event"):
        await executor.append(job)
    assert len(executor.states.items) == 0


async def test_an_event_may_invoke_another() -> None:
    executor = desk(concurrency_limit=1)

    async def outer(event: Job) -> str:
        inner = Job(label="inner", timeout=5)
        return f"outer of {await inner.invoke()}"

    job = await executor.append(Job(do=outer))
    await executor.forward()
    assert job.response == "outer of inner"


# --- what is not written


async def test_an_event_without_invoke_says_what_to_write() -> None:
    class Empty(Event):
        pass

    event = Empty()
    await event.invoke()
    assert event.status is EventStatus.FAILED
    assert isinstance(event.execution.error, NotImplementedError)
    assert "async def _invoke(self)" in str(event.execution.error)


# --- copies while it runs


@pytest.mark.parametrize("held", [False, True])
async def test_an_event_can_be_copied_while_it_runs(held: bool) -> None:
    class CopyingProcessor(Processor):
        event_type = Copying

    class CopyingExecutor(Executor):
        processor_type = CopyingProcessor

    event = Copying()
    if held:
        executor = CopyingExecutor()
        await executor.append(event)
        await executor.forward()
    else:
        await event.invoke()
    assert event.execution.error is None
    for each in event.response:  # type: ignore[union-attr]
        assert each.execution.arrival is None, "a copy is nobody's"


def test_an_event_that_is_asked_of_again_in_another_loop() -> None:
    event = Named(name="a")
    assert run_virtual(event.invoke()) == "a"
    assert run_virtual(event.invoke()) == "a"


def test_a_loop_that_is_shut_down_as_an_event_begins() -> None:
    event = Job(label="x", do=sleeps(1))

    async def main() -> None:
        main.run = asyncio.create_task(event.invoke())  # type: ignore[attr-defined]

    run_virtual(main())
    assert event.status is EventStatus.CANCELLED
    event.status = "pending"
    assert run_virtual(event.invoke()) == "x"


async def test_a_rate_limit_fails_an_event_that_runs_by_itself() -> None:
    class Limited(Event):
        async def _invoke(self) -> None:
            raise RateLimited(retry_after=5)

    event = Limited()
    assert await event.invoke() is None
    assert event.status is EventStatus.FAILED
    assert isinstance(event.execution.error, RateLimited)
