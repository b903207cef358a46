"""observe_attempts(): a context manager around each attempt, which can harm nobody."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import pytest
from engine.kit import Job, answers, background, desk, raises, sleeps, statuses, tape

from lionpride.core import Event, EventStatus, Executor, Processor, Retry, Skip, Transition
from lionpride.errors import LionTimeoutError

pytestmark = pytest.mark.virtual

SPAN: ContextVar[str] = ContextVar("span", default="none")


class Spans:
    """Notes each attempt: that it began, and the error that it was left with."""

    def __init__(self) -> None:
        self.began: list[Transition] = []
        self.ended: list[BaseException | None] = []

    @contextmanager
    def __call__(self, start: Transition) -> Iterator[None]:
        self.began.append(start)
        token = SPAN.set(f"attempt {start.attempt}")
        try:
            yield
        except BaseException as error:
            self.ended.append(error)
            raise
        else:
            self.ended.append(None)
        finally:
            SPAN.reset(token)


async def span(event: Job) -> str:
    await asyncio.sleep(0)
    return SPAN.get()


def watched(**config: Any) -> tuple[Executor, Spans]:
    executor, spans = desk(**config), Spans()
    executor.observe_attempts(spans)
    return executor, spans


async def test_the_code_of_an_attempt_runs_inside_what_is_put_around_it() -> None:
    executor, spans = watched()
    job = await executor.append(Job(do=span))
    await executor.forward()
    assert job.response == "attempt 1"
    (start,) = spans.began
    assert (start.event, start.before, start.after) == (job, "pending", "processing")
    assert spans.ended == [None]
    assert SPAN.get() == "none"


async def test_so_does_a_stream() -> None:
    executor, spans = watched()
    job = await executor.append(tape("a", "b"))
    await executor.forward()
    assert job.response == ["a", "b"]
    assert spans.ended == [None]


class Plain(Event):
    def _invoke(self) -> str:
        return SPAN.get()


class PlainProcessor(Processor):
    event_type = Plain


class PlainExecutor(Executor):
    processor_type = PlainProcessor


async def test_so_does_code_that_is_not_async_and_runs_in_a_thread() -> None:
    executor = PlainExecutor()
    executor.observe_attempts(Spans())
    job = await executor.append(Plain())
    await executor.forward()
    assert job.response == "attempt 1"


async def test_each_attempt_has_its_own() -> None:
    executor, spans = watched()
    error = ValueError("not yet")
    job = await executor.append(Job(do=raises(error)), retry=Retry(attempts=3, backoff=1))
    async with executor:
        await executor.join()
    assert job.status is EventStatus.FAILED
    assert [start.attempt for start in spans.began] == [1, 2, 3]
    assert spans.ended == [error] * 3


async def test_it_is_left_with_the_error_that_goes_on_record() -> None:
    executor, spans = watched()
    late, skipped = Job(do=sleeps(5), timeout=1), Job(do=raises(Skip("nothing to do")))
    await executor.append_many([late, skipped])
    await executor.forward()
    timeout, skip = sorted(spans.ended, key=lambda error: isinstance(error, Skip))
    assert isinstance(timeout, LionTimeoutError)
    assert timeout is late.execution.error
    assert skip is skipped.execution.error


async def test_what_is_denied_has_none() -> None:
    executor, spans = watched(asks=True)
    await executor.append(Job(ask=answers(False, True)))
    async with executor:
        await executor.join()
    assert len(spans.began) == 1


@contextmanager
def swallows(start: Transition) -> Iterator[None]:
    with suppress(ValueError):
        yield


@contextmanager
def fails_at_the_end(start: Transition) -> Iterator[None]:
    yield
    raise OSError("from the observer")


@contextmanager
def fails_at_the_beginning(start: Transition) -> Iterator[None]:
    raise OSError("from the observer")
    yield


def makes_none(start: Transition) -> Any:
    raise SystemExit("from the observer")


def no_manager(start: Transition) -> Any:
    return 5


@pytest.mark.promise("observers-do-no-harm")
@pytest.mark.parametrize(
    ("wrapper", "failures"),
    [
        (swallows, 0),
        (fails_at_the_end, 1),
        (fails_at_the_beginning, 2),
        (makes_none, 2),
        (no_manager, 2),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
async def test_it_can_neither_change_nor_harm_what_runs(wrapper: Any, failures: int) -> None:
    executor, spans = watched()
    executor.observe_attempts(wrapper)
    jobs = [Job(label="x"), Job(do=raises(ValueError("no")))]
    await executor.append_many(jobs)
    await executor.forward()
    assert statuses(jobs) == ["completed", "failed"]
    assert jobs[0].response == "x"
    assert executor.observers.failures == failures
    assert len(spans.ended) == 2, "the others are left as they should be"


async def test_an_event_that_is_cancelled_as_it_runs_leaves_it() -> None:
    executor, spans = watched()
    job = await executor.append(Job(do=sleeps(60)))
    async with background(executor):
        await asyncio.sleep(1)
        await executor.cancel(job)
        await executor.join()
    assert spans.ended == [job.execution.error]


async def test_whoever_stops_is_asked_no_more() -> None:
    executor = desk()
    spans = Spans()
    stop = executor.observe_attempts(spans)
    await executor.append(Job())
    await executor.forward()
    stop()
    await executor.append(Job())
    await executor.forward()
    assert len(spans.began) == 1


async def coroutine_function(step: Transition) -> None:
    raise AssertionError("it is never called")


@pytest.mark.parametrize("wrapper", [coroutine_function, None])
async def test_what_gives_no_context_manager_is_refused(wrapper: Any) -> None:
    with pytest.raises(TypeError, match="context manager"):
        desk().observe_attempts(wrapper)
