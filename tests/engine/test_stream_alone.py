"""stream(): an event by itself, read chunk by chunk (decision 8)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest
from engine.kit import Hold, Job, Tape, caught, desk, now, tape

from lionpride.core import Event, EventStatus
from lionpride.errors import ExecutionError, LionTimeoutError, OperationError

pytestmark = pytest.mark.virtual


class ByInvoke(Event):
    streaming: bool = True

    async def _invoke(self) -> AsyncIterator[str]:
        yield "a"
        yield "b"


class ByIterator(Event):
    """Gives an iterator of its own making, which has no ``aclose``."""

    streaming: bool = True

    def _stream(self) -> AsyncIterator[str]:
        return Letters()


class Letters:
    def __init__(self) -> None:
        self.left = ["b", "a"]

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop()


async def read(event: Event) -> tuple[list[Any], BaseException | None]:
    """All chunks, and what the stream raised in the end."""
    got: list[Any] = []
    try:
        async for chunk in event.stream():
            got.append(chunk)
            assert event.status is EventStatus.PROCESSING
    except BaseException as error:
        return got, error
    return got, None


async def test_stream_yields_the_chunks_as_they_come() -> None:
    event = tape("a", "b", "c")
    began = now()
    got = [(chunk, now() - began) async for chunk in event.stream()]
    assert got == [("a", 0), ("b", 1), ("c", 2)]
    assert event.status is EventStatus.COMPLETED
    assert event.response == ["a", "b", "c"]
    assert event.execution.error is None
    assert event.execution.duration == 3.0


@pytest.mark.parametrize("make", [ByInvoke, ByIterator, lambda: tape("a", "b")])
async def test_however_the_chunks_are_made(make: Any) -> None:
    event = make()
    assert await read(event) == (["a", "b"], None)
    assert event.response == ["a", "b"]


async def test_stream_runs_once() -> None:
    event = tape("a")
    assert [chunk async for chunk in event.stream()] == ["a"]
    with pytest.raises(OperationError, match="completed"):
        await anext(event.stream())
    assert await event.invoke() == ["a"]


async def test_invoke_is_refused_while_the_event_is_being_streamed() -> None:
    event = tape("a", "b")
    stream = event.stream()
    assert await anext(stream) == "a"
    with pytest.raises(OperationError, match=r"is running in event\.stream\(\)"):
        await event.invoke()
    assert [chunk async for chunk in stream] == ["b"]
    assert await event.invoke() == ["a", "b"]


async def test_stream_is_refused_while_an_executor_holds_the_event() -> None:
    executor = desk()
    event = await executor.append(tape("a"))
    with pytest.raises(OperationError, match="belongs to an executor"):
        await anext(event.stream())
    assert event.status is EventStatus.PENDING
    await executor.forward()
    assert event.response == ["a"]


async def test_stream_raises_what_the_code_raises_and_records_it() -> None:
    error = ValueError("no")
    event = tape("a", "b", then=error)
    got, raised = await read(event)
    assert raised is error
    assert got == event.response == ["a", "b"]
    assert event.status is EventStatus.FAILED
    assert event.execution.error is error
    assert event.execution.tries == 1


async def test_stream_has_the_timeout_of_the_event() -> None:
    event = tape("a", "b", "c", timeout=1.5)
    got, raised = await read(event)
    assert isinstance(raised, TimeoutError)
    assert got == event.response == ["a", "b"]
    assert event.status is EventStatus.CANCELLED
    assert isinstance(event.execution.error, LionTimeoutError)


async def test_the_time_of_the_reader_counts_though_the_source_never_waits() -> None:
    async def do(event: Job) -> AsyncIterator[str]:
        yield "a"
        yield "b"

    async def read_slowly() -> None:
        async for _ in event.stream():
            await asyncio.sleep(2)

    event = Tape(do=do, timeout=1)
    with pytest.raises(LionTimeoutError, match="its timeout of 1 s"):
        await read_slowly()
    assert event.response == ["a"]
    assert event.status is EventStatus.CANCELLED


async def test_a_slow_reader_is_not_cancelled_by_the_timeout() -> None:
    """The timeout may end the stream, but never strikes the reader's own code."""
    event = tape("a", "b", timeout=3)
    reads: list[str] = []

    async def read_slowly() -> None:
        async for _ in event.stream():
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                reads.append("cancelled")
                raise
            reads.append("read")

    error = await caught(read_slowly())
    assert "cancelled" not in reads
    assert error is None or isinstance(error, TimeoutError)
    assert event.status in (EventStatus.COMPLETED, EventStatus.CANCELLED)


async def test_a_reader_that_leaves_early_ends_the_event_and_its_generator() -> None:
    closed: list[str] = []

    async def do(event: Job) -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    event = Tape(do=do)
    stream = event.stream()
    assert await anext(stream) == "a"
    await stream.aclose()  # type: ignore[attr-defined]
    assert closed == ["closed"]
    assert event.status is EventStatus.CANCELLED
    assert event.response == ["a"]


async def test_a_reader_that_is_cancelled_ends_the_event() -> None:
    hold = Hold()

    async def do(event: Job) -> AsyncIterator[Any]:
        yield "a"
        yield await hold(event)

    event = Tape(do=do)

    task = asyncio.create_task(read(event))
    await hold.has(1)
    task.cancel()
    await asyncio.wait([task])
    got, raised = task.result()
    assert isinstance(raised, asyncio.CancelledError)
    assert event.status is EventStatus.CANCELLED
    assert event.response == got == ["a"]
    assert hold.inside == 0


async def test_stream_keeps_to_the_number_of_chunks_too() -> None:
    class Short(Tape):
        max_chunks: ClassVar[int] = 2

    event = Short(do=tape(1, 2, 3, 4).do)
    got, raised = await read(event)
    assert isinstance(raised, ExecutionError)
    assert "max_chunks" in str(raised)
    assert got == event.response == [1, 2]
    assert event.status is EventStatus.FAILED


async def test_a_stream_that_is_left_behind_keeps_its_chunks() -> None:
    release = asyncio.Event()

    async def do(event: Job) -> AsyncIterator[str]:
        yield "a"
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        yield "too late"

    event = Tape(do=do, timeout=1)
    assert await event.invoke() == ["a"]
    assert event.status is EventStatus.CANCELLED
    release.set()
    await asyncio.sleep(1)
    assert event.response == ["a"]


async def test_a_stream_that_sets_a_field_of_its_event_ends() -> None:
    async def do(event: Job) -> AsyncIterator[str]:
        for label in "ab":
            event.label = label
            yield label

    event = Tape(do=do)
    assert [chunk async for chunk in event.stream()] == ["a", "b"]
    assert (event.status, event.response) == (EventStatus.COMPLETED, ["a", "b"])


async def test_the_status_of_an_event_that_streams_by_itself_is_not_set_by_hand() -> None:
    event = tape("a", "b")
    async for _ in event.stream():
        with pytest.raises(OperationError, match="the event is running"):
            event.status = EventStatus.CANCELLED
        with pytest.raises(OperationError):
            await event.invoke()
    assert event.status is EventStatus.COMPLETED
    event.status = EventStatus.PENDING
    assert [chunk async for chunk in event.stream()] == ["a", "b"], "it is free again"
