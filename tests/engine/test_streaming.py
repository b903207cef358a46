"""Events that yield chunks: three ways to write them, one way they are kept (decision 8)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

import pytest
from engine.kit import (
    MODES,
    Job,
    Mode,
    Tape,
    agree,
    desk,
    forward,
    reads_back,
    statuses,
    tape,
)

from lionpride.core import Event, EventStatus, Executor, Processor, Skip, Unset
from lionpride.errors import ExecutionError, LionTimeoutError

pytestmark = pytest.mark.virtual


class ByHook(Event):
    streaming: bool = True

    async def _stream(self) -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(1)
            yield number


class ByStream(Event):
    streaming: bool = True

    async def stream(self) -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(1)
            yield number


class ByInvoke(Event):
    streaming: bool = True

    async def _invoke(self) -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(1)
            yield number


class ByIterator(Event):
    """Gives an iterator of its own making, which has no ``aclose``."""

    streaming: bool = True

    def _stream(self) -> AsyncIterator[int]:
        return Counter()


class Counter:
    def __init__(self) -> None:
        self.number = 0

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        await asyncio.sleep(1)
        if self.number == 3:
            raise StopAsyncIteration
        self.number += 1
        return self.number - 1


WAYS = [ByHook, ByStream, ByInvoke, ByIterator]


def executor_of(kind: type[Event]) -> Executor:
    class OwnProcessor(Processor):
        event_type = kind

    class OwnExecutor(Executor):
        processor_type = OwnProcessor

    return OwnExecutor()


# --- three ways


@pytest.mark.parametrize("kind", WAYS)
async def test_the_chunks_are_the_response(kind: type[Event]) -> None:
    executor = executor_of(kind)
    event = await executor.append(kind())
    await executor.forward()
    assert event.status is EventStatus.COMPLETED
    assert event.response == [0, 1, 2]
    assert event.execution.duration in (3.0, 4.0)
    agree(executor)
    reads_back(executor)


@pytest.mark.parametrize("kind", WAYS)
async def test_invoke_gives_the_chunks(kind: type[Event]) -> None:
    event = kind()
    assert await event.invoke() == [0, 1, 2]
    assert event.status is EventStatus.COMPLETED


async def test_streaming_may_be_chosen_for_one_event() -> None:
    class Either(Event):
        async def _invoke(self) -> str:
            return "whole"

        async def _stream(self) -> AsyncIterator[str]:
            yield "in"
            yield "parts"

    assert await Either().invoke() == "whole"
    assert await Either(streaming=True).invoke() == ["in", "parts"]


async def test_a_stream_without_a_chunk_is_an_empty_list() -> None:
    event = tape()
    assert await event.invoke() == []
    assert event.status is EventStatus.COMPLETED


async def test_a_stream_that_nobody_wrote_says_what_to_write() -> None:
    event = Job(streaming=True)
    await event.invoke()
    assert event.status is EventStatus.FAILED
    assert isinstance(event.execution.error, NotImplementedError)
    assert "async def _stream(self)" in str(event.execution.error)


async def test_a_stream_that_is_no_generator_says_so() -> None:
    class Wrong(Event):
        streaming: bool = True

        def _stream(self) -> Any:
            return 5

    event = Wrong()
    await event.invoke()
    assert event.status is EventStatus.FAILED
    assert isinstance(event.execution.error, TypeError)
    assert "must be a generator" in str(event.execution.error)


# --- endings


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
@pytest.mark.promise("notebook-streaming")
@pytest.mark.parametrize(
    ("make", "status", "error"),
    [
        (lambda: tape("a", "b", then=ValueError("no")), "failed", ValueError),
        (lambda: tape("a", "b", "c", timeout=1.5), "cancelled", LionTimeoutError),
        (lambda: tape("a", "b", then=asyncio.CancelledError()), "cancelled", BaseException),
        (lambda: tape("a", "b", then=Skip("enough")), "skipped", Skip),
    ],
    ids=["failure", "timeout", "cancellation", "skip"],
)
async def test_the_chunks_before_the_end_are_kept(
    make: Callable[[], Tape], status: str, error: type[BaseException], mode: Mode
) -> None:
    executor = desk()
    event = await executor.append(make())
    assert await mode(executor) is None
    assert event.status.value == status
    assert isinstance(event.execution.error, error)
    assert event.response == ["a", "b"]
    reads_back(executor)
    alone = make()
    await alone.invoke()
    assert (alone.status.value, alone.response) == (status, ["a", "b"])


async def test_a_retry_begins_anew() -> None:
    executor = desk()
    event = await executor.append(tape("a", then=ValueError("no")))
    await executor.forward()
    assert event.response == ["a"]
    await executor.retry(event)
    assert event.response is Unset
    await executor.forward()
    assert event.response == ["a"]
    assert event.execution.attempt == 2


@pytest.mark.parametrize("alone", [False, True])
async def test_more_chunks_than_allowed_are_a_failure_that_keeps_them(alone: bool) -> None:
    closed = []

    class Short(Tape):
        max_chunks: ClassVar[int] = 3

    async def do(event: Job) -> AsyncIterator[int]:
        try:
            for number in range(100):
                yield number
        finally:
            closed.append(event)

    event = Short(do=do)
    if alone:
        await event.invoke()
    else:
        executor = desk()
        await executor.append(event)
        await executor.forward()
    assert event.status is EventStatus.FAILED
    assert isinstance(event.execution.error, ExecutionError)
    assert "max_chunks" in str(event.execution.error)
    assert event.execution.retryable is False
    assert event.response == [0, 1, 2]
    assert closed == [event], "and its generator is closed"


async def test_as_many_chunks_as_allowed_are_none_too_many() -> None:
    class Short(Tape):
        max_chunks: ClassVar[int] = 3

    event = Short(do=tape(1, 2, 3).do)
    assert await event.invoke() == [1, 2, 3]


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_a_generator_is_closed_when_its_event_ends(how: str) -> None:
    executor = desk()
    steps: list[str] = []

    async def do(event: Job) -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            steps.append("closed")

    event = await executor.append(Tape(do=do, timeout=2 if how == "timeout" else None))
    task = asyncio.create_task(forward(executor))
    await asyncio.sleep(1)
    if how == "cancel":
        await executor.cancel(event)
    await task
    assert steps == ["closed"]
    assert statuses([event]) == ["cancelled"]


async def test_a_stream_can_be_followed_live() -> None:
    """What has come so far can be seen while the event runs."""
    executor = desk()
    seen: list[Any] = []

    async def do(event: Job) -> AsyncIterator[int]:
        for number in range(3):
            seen.append(number)
            yield number
            await asyncio.sleep(1)

    event = await executor.append(Tape(do=do))
    task = asyncio.create_task(forward(executor))
    await asyncio.sleep(1.5)
    assert seen == [0, 1]
    assert event.status is EventStatus.PROCESSING
    await task
    assert event.response == seen
