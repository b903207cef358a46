"""What the desk does for one event: its result, and its cancellation."""

import asyncio
import contextlib
import traceback
from typing import Any
from uuid import uuid4

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
    raises,
    sleeps,
    statuses,
    tape,
)

from lionpride.core import EventStatus, Skip, Transition
from lionpride.errors import (
    AccessError,
    EventCancelledError,
    ExecutionError,
    LionTimeoutError,
    NotFoundError,
)

PENDING = EventStatus.PENDING

pytestmark = pytest.mark.virtual


# --- result


async def test_result_is_the_response() -> None:
    executor = desk()
    async with background(executor):
        job = await executor.append(Job(do=Hold(result="r"), label="x"))
        waiting = asyncio.create_task(executor.result(job))
        await asyncio.sleep(5)
        assert not waiting.done()
        job.do.let_go()
        assert await waiting == "r"
        assert await executor.result(job) == "r", "and it can be asked for again"
        for key in (job.id, str(job.id)):
            assert await executor.result(key) == "r"


async def gives_nothing(event: Job) -> None:
    return None


@pytest.mark.parametrize(
    ("make", "response"),
    [
        (lambda: Job(label="text"), "text"),
        (lambda: Job(do=gives_nothing), None),
        (lambda: tape("a", "b"), ["a", "b"]),
    ],
    ids=["text", "nothing", "chunks"],
)
async def test_result_of_each_kind_of_work(make: Any, response: Any) -> None:
    executor = desk()
    job = await executor.append(make())
    await executor.forward()
    assert await executor.result(job) == response


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Job(do=raises(ValueError("no"))), ValueError, "no"),
        (lambda: Job(do=raises(Skip("enough"))), Skip, "enough"),
        (lambda: Job(do=sleeps(9), timeout=1), LionTimeoutError, "timeout of 1 s"),
        (lambda: Job(ask=answers(False)), AccessError, "denied 3 times"),
        (lambda: Job(do=raises(asyncio.CancelledError())), ExecutionError, "ended cancelled"),
        (lambda: Job(do=raises(GeneratorExit())), ExecutionError, "ended failed"),
    ],
    ids=["failed", "skipped", "timeout", "aborted", "cancelled", "exit"],
)
async def test_result_raises_what_the_event_ended_with(
    make: Any, error: type[Exception], text: str
) -> None:
    executor = desk(asks=True)
    async with background(executor):
        job = await executor.append(make())
        raised = await caught(executor.result(job))
        again = await caught(executor.result(job))
    assert type(raised) is type(again) is error
    assert text in str(raised)
    if error is not ExecutionError:
        assert raised is job.execution.error
    else:
        assert raised.__cause__ is job.execution.error


async def test_asking_often_for_an_error_leaves_no_trace_of_those_who_asked() -> None:
    executor = desk()

    async def parent(event: Job) -> None:
        await executor.result(child)

    child = await executor.append(Job(do=raises(ValueError("no"))))
    job = await executor.append(Job(do=parent))
    asked = ["result", "result", "response_of"]  # of the executor, and of its part
    await executor.forward()
    for _ in range(3):
        error = await caught(executor.result(job))
        assert error is child.execution.error is job.execution.error
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert names == ["caught", *asked, "_invoke", "parent", *asked, "_invoke", "do"]
    for _ in range(3):
        error = await caught(executor.result(child))
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert names == ["caught", *asked, "_invoke", "do"]


async def test_result_of_what_asks_the_process_to_exit_does_not_end_the_caller() -> None:
    executor = desk()
    job = await executor.append(Job(do=raises(SystemExit(1))))
    await forward(executor)
    with pytest.raises(ExecutionError, match="SystemExit") as raised:
        await executor.result(job)
    assert raised.value.__cause__ is job.execution.error


async def test_result_of_what_was_cancelled_while_it_waited() -> None:
    executor = desk()
    job = await executor.append(Job())
    waiting = asyncio.create_task(executor.result(job))
    await asyncio.sleep(0)
    await executor.cancel(job)
    with pytest.raises(EventCancelledError, match="while it waited"):
        await waiting


async def test_result_of_what_was_removed() -> None:
    executor = desk()
    job = await executor.append(Job())
    waiting = asyncio.create_task(executor.result(job))
    await asyncio.sleep(0)
    await executor.remove(job)
    with pytest.raises(NotFoundError, match="removed"):
        await waiting
    with pytest.raises(NotFoundError, match="append it first"):
        await executor.result(job)


async def test_result_of_code_that_sets_a_field_of_its_event() -> None:
    async def do(event: Job) -> str:
        event.label = "set"
        await asyncio.sleep(1)
        return event.label

    executor = desk()
    job = await executor.append(Job(do=do))
    async with background(executor):
        assert await executor.result(job) == "set"


async def test_result_of_what_was_removed_after_it_ended() -> None:
    executor = desk()
    job = await executor.append(Job(do=raises(ValueError("its own"))))

    def let_go(step: Transition) -> None:
        if step.after is EventStatus.FAILED:
            with contextlib.suppress(StopIteration):  # in memory nothing waits: it is one step
                executor.cleanup_events().send(None)

    executor.observe(let_go)
    asked = asyncio.create_task(caught(executor.result(job)))
    await forward(executor)
    assert job not in executor
    assert repr(await asked) == "ValueError('its own')"


async def test_result_does_not_take_the_event_along_when_its_caller_goes() -> None:
    executor = desk()
    async with background(executor):
        job = await executor.append(Job(do=sleeps(10), label="x"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(executor.result(job), 1)
        assert job.status is EventStatus.PROCESSING
        assert await executor.result(job) == "x"


async def test_several_wait_for_one_and_one_of_them_retries() -> None:
    executor = desk()
    tries: list[int] = []

    async def second_time_lucky(event: Job) -> str:
        tries.append(1)
        await asyncio.sleep(1)
        if len(tries) == 1:
            raise ValueError("the first time")
        return "lucky"

    async with background(executor):
        job = await executor.append(Job(do=second_time_lucky))

        async def patient() -> Any:
            try:
                return await executor.result(job)
            except ValueError:
                await executor.retry(job)
                return await executor.result(job)

        async def plain() -> Any:
            try:
                return await executor.result(job)
            except ValueError as error:
                return str(error)

        first, *others = await asyncio.gather(patient(), plain(), plain())
    assert first == "lucky"
    assert set(others) <= {"lucky", "the first time"}


# --- cancel


async def test_cancel_of_one_that_waits() -> None:
    executor = desk(concurrency_limit=1)
    hold = Hold()
    async with background(executor):
        running, waiting, behind = await executor.append_many([Job(do=hold), Job(), Job()])
        await hold.has(1)
        assert await executor.cancel(waiting) is True
        assert waiting.status is EventStatus.CANCELLED
        assert waiting.execution.retryable is True
        agree(executor)
        hold.let_go()
        await executor.join()
    assert statuses([running, waiting, behind]) == ["completed", "cancelled", "completed"]
    assert waiting.execution.attempt == 0, "it was never run"


async def test_cancel_of_one_that_runs_takes_effect_at_its_next_await() -> None:
    executor = desk()
    hold = Hold()
    async with background(executor):
        job = await executor.append(Job(do=hold))
        await hold.has(1)
        assert await executor.cancel(job) is True
        with pytest.raises(EventCancelledError):
            await executor.result(job)
        assert hold.inside == 0
        assert isinstance(job.execution.error.__cause__, asyncio.CancelledError)
    agree(executor)


async def test_cancel_of_one_that_is_asked_for() -> None:
    executor = desk(asks=True)
    gate = Hold()
    async with background(executor):
        job, other = await executor.append_many([Job(ask=gate), Job()])
        await gate.has(1)
        assert await executor.cancel(job) is True
        await executor.join()
        assert job.status is EventStatus.CANCELLED
        assert isinstance(job.execution.error, EventCancelledError)
        assert "while it ran" not in str(job.execution.error), "it never did"
        assert other.status is EventStatus.COMPLETED
    agree(executor)


async def test_cancel_of_one_that_waits_out_a_denial() -> None:
    executor = desk(asks=True, denial_backoff=100.0)
    async with background(executor):
        job = await executor.append(Job(ask=answers(False)))
        await asyncio.sleep(1)
        assert await executor.cancel(job) is True
        await executor.join()
    assert job.status is EventStatus.CANCELLED
    assert job.execution.due is None


@pytest.mark.parametrize("do", [None, raises(ValueError("no")), raises(Skip("no"))])
async def test_cancel_of_one_that_has_ended_changes_nothing(do: Any) -> None:
    executor = desk()
    job = await executor.append(Job(do=do))
    await executor.forward()
    before = job.execution.to_dict("python")
    assert await executor.cancel(job) is False
    assert job.execution.to_dict("python") == before


async def test_an_event_may_cancel_itself() -> None:
    executor = desk()

    async def suicide(event: Job) -> str:
        assert await executor.cancel(event) is True
        await asyncio.sleep(100)
        return "never"

    job = await executor.append(Job(do=suicide))
    assert await forward(executor) is None
    assert job.status is EventStatus.CANCELLED


# --- what is not here


@pytest.mark.parametrize("verb", ["result", "cancel", "retry", "remove"])
async def test_an_event_that_is_not_here_is_not_found(verb: str) -> None:
    executor, other = desk(), desk()
    elsewhere = await other.append(Job())
    for stranger in (Job(), uuid4(), str(uuid4()), elsewhere):
        with pytest.raises(NotFoundError) as raised:
            await getattr(executor, verb)(stranger)
        assert isinstance(raised.value, KeyError)
    with pytest.raises(ValueError, match="no id"):
        await getattr(executor, verb)("no id")
    assert elsewhere.status is PENDING


async def test_a_result_that_nobody_works_on_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    executor = desk()
    job = await executor.append(Job())
    waiting = [asyncio.create_task(executor.result(job)) for _ in range(2)]
    await asyncio.sleep(60)
    (told,) = [text for text in caplog.messages if "nothing is running it" in text]
    assert told.startswith(f"result() waits for {job!r}, ")
    await forward(executor)
    assert await asyncio.gather(*waiting) == [job.response] * 2


async def test_a_result_is_not_warned_of_that_is_worked_on_by_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = desk()
    job = await executor.append(Job(do=sleeps(60)))
    waiting = asyncio.create_task(executor.result(job))
    await asyncio.sleep(1)
    async with background(executor):
        await waiting
    assert not caplog.messages
