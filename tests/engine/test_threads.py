"""Code that is not async: in a thread, with its context, its limits and its ends."""

import asyncio
import concurrent.futures
import contextvars
import functools
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, ClassVar

import pytest
from engine.kit import agree, background, caught
from local_objects import LocalObject

from lionpride.core import Event, EventStatus, Executor, Limit, Processor, Retry, Skip
from lionpride.engine.threads import AHEAD, Threads, is_plain
from lionpride.errors import EventCancelledError, ExecutionError, LionTimeoutError, ValidationError
from lionpride.stores.sqlite import SqliteStore

PENDING = EventStatus.PENDING
LIMIT = 10  # seconds that a test waits for what should come at once


class Plain(Event):
    """Does ``do(event)`` in a thread."""

    do: LocalObject = None

    def _invoke(self) -> Any:
        return None if self.do is None else self.do(self)


class PlainStream(Plain):
    streaming: bool = True

    def _stream(self) -> Iterator[Any]:
        yield from self.do(self)


class PlainProcessor(Processor):
    event_type: ClassVar[type[Event]] = Event


class PlainExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = PlainProcessor


class Block:
    """Work that says in its thread that it has begun, and ends when it is let."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.ended = threading.Event()

    def __call__(self, _: Any) -> str:
        self.begun.release()
        assert self.go.wait(LIMIT)
        self.ended.set()
        return "late"

    async def has(self, number: int) -> None:
        for _ in range(number):
            assert await asyncio.to_thread(self.begun.acquire, timeout=LIMIT)


def desk(*, store: Any = None, grace: float = 30.0, **config: Any) -> Executor:
    return PlainExecutor(config, store=store, grace=grace)


def running(executor: Executor) -> int:
    return len(executor.processing_events)


# --- what is plain


def test_what_is_plain() -> None:
    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any) -> Any:
            return function(*args)

        return call

    async def coroutine() -> None: ...
    async def chunks() -> Any:
        yield

    def generator() -> Any:
        yield

    class Called:
        async def __call__(self) -> None: ...

    def plain() -> None: ...

    for each in (coroutine, chunks, generator, Called(), functools.partial(coroutine)):
        assert not is_plain(each)
    assert not is_plain(wrapped(coroutine)), "it gives the coroutine of what it wraps"
    for each in (plain, wrapped(plain), functools.partial(plain), len):
        assert is_plain(each)


# --- plain functions


@pytest.mark.parametrize("over_file", [False, True])
async def test_a_plain_invoke_runs_in_a_thread(over_file: bool, tmp_path: Path) -> None:
    executor = desk(store=SqliteStore(tmp_path / "run.db", "plain") if over_file else None)
    here = threading.current_thread()
    async with background(executor):
        event = await executor.append(Plain(do=lambda _: threading.current_thread()))
        thread = await executor.result(event) if not over_file else None
        await executor.join()
    if not over_file:
        assert thread is not here
        assert thread.name.startswith(f"lionpride-{executor.store.queue}-")
        assert thread.daemon
    assert event.status is EventStatus.COMPLETED
    agree(executor)
    await executor.store.close()


async def test_by_itself_it_does_too() -> None:
    event = Plain(do=lambda _: threading.current_thread().name)
    assert (await event.invoke()).startswith("lionpride-alone")


@pytest.mark.promise("threads")
async def test_the_loop_goes_on_and_as_many_run_as_there_are_slots() -> None:
    executor, block = desk(concurrency_limit=3), Block()
    async with background(executor):
        events = await executor.append_many([Plain(do=block) for _ in range(5)])
        await block.has(3)
        assert running(executor) == 3
        assert not block.begun.acquire(blocking=False)
        block.go.set()
        assert [await executor.result(event) for event in events] == ["late"] * 5


async def test_it_has_the_context_of_the_run_and_leaves_none() -> None:
    mark = contextvars.ContextVar("mark", default="clean")
    mark.set("of the run")
    executor = desk(concurrency_limit=1)

    def do(_: Event) -> str:
        before = mark.get()
        mark.set("of the event")
        return before

    async with background(executor):
        events = await executor.append_many([Plain(do=do) for _ in range(3)])
        assert [await executor.result(event) for event in events] == ["of the run"] * 3


async def test_what_it_raises_is_the_events_error_with_its_own_traceback() -> None:
    def fail(_: Event) -> None:
        raise ValueError("no")

    executor = desk()
    event = await executor.append(Plain(do=fail))
    await executor.forward()
    assert event.status is EventStatus.FAILED
    error = event.execution.error
    assert isinstance(error, ValueError)
    trace, names = error.__traceback__, []
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert names[-2:] == ["_invoke", "fail"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Skip("why"), EventStatus.SKIPPED),
        (StopIteration("odd"), EventStatus.FAILED),
        (asyncio.CancelledError("own"), EventStatus.CANCELLED),
        (concurrent.futures.CancelledError(), EventStatus.FAILED),
        (GeneratorExit(), EventStatus.FAILED),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_whatever_it_raises(error: BaseException, status: EventStatus) -> None:
    def fail(_: Event) -> None:
        raise error

    executor = desk()
    event, other = await executor.append_many([Plain(do=fail), Plain()])
    await executor.forward()
    assert (event.status, other.status) == (status, EventStatus.COMPLETED)
    agree(executor)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_who_asks_the_process_to_exit_ends_the_run(kind: type[BaseException]) -> None:
    def leave(_: Event) -> None:
        raise kind("bye")

    executor = desk()
    event = await executor.append(Plain(do=leave))
    assert isinstance(await caught(executor.forward()), kind)
    assert event.status is EventStatus.FAILED


async def test_what_can_be_awaited_is_awaited_in_the_loop() -> None:
    async def rest() -> threading.Thread:
        return threading.current_thread()

    executor = desk()
    event = await executor.append(Plain(do=lambda _: rest()))
    await executor.forward()
    assert event.response is threading.current_thread()


async def test_a_subclass_may_call_its_parents() -> None:
    class Parent(Plain):
        def _invoke(self) -> int:
            return 1

    class Child(Parent):
        def _invoke(self) -> int:
            return super()._invoke() + 1

    executor = desk()
    event = await executor.append(Child())
    await executor.forward()
    assert event.response == 2


async def test_a_generator_that_is_returned_is_refused_with_the_remedy() -> None:
    executor = desk()
    event = await executor.append(Plain(do=lambda _: (n for n in range(3))))
    await executor.forward()
    assert isinstance(event.execution.error, TypeError)
    assert "def _stream(self)" in str(event.execution.error)


async def test_a_plain_function_is_tried_again_by_policy_and_may_say_how_far_it_is() -> None:
    told = []

    def do(event: Event) -> int:
        event.progress(0.5, "half")
        if event.execution.attempt < 3:
            raise ConnectionError("refused")
        return event.execution.attempt

    executor = desk()
    executor.observe_progress(lambda _, progress: told.append(progress.note))
    async with background(executor):
        event = await executor.append(Plain(do=do), retry=Retry(backoff=0.001))
        assert await executor.result(event) == 3
    assert event.execution.tries == 2
    assert told == ["half"] * 3


@pytest.mark.parametrize("how", ["plain", "to_thread", "async"])
async def test_it_may_say_what_it_has_cost(how: str) -> None:
    class Priced(Plain):
        @property
        def costs(self) -> dict[str, float]:
            return {"tokens": 80}

        def spent(self) -> None:
            self.spend(tokens=10)
            with pytest.raises(ValidationError, match="tokens"):
                self.spend(tokens=-1)

    class Async(Priced):
        async def _invoke(self) -> None:
            if how == "to_thread":
                await asyncio.to_thread(self.spent)
            else:
                self.spent()

    def event() -> Plain:
        return Priced(do=lambda event: event.spent()) if how == "plain" else Async()

    executor = desk(limits=[Limit("tokens", 100, per=3600)])
    async with background(executor):
        for _ in range(3):  # 240 of 100, if nothing were given back
            priced = await executor.append(event())
            assert await executor.result(priced) is None


async def test_the_stream_of_a_plain_generator_is_followed_live() -> None:
    go = threading.Semaphore(0)

    def do(_: Event) -> Iterator[int]:
        for number in range(3):
            yield number
            assert go.acquire(timeout=LIMIT)

    executor = desk()
    chunks = []
    async with background(executor):
        event = await executor.append(PlainStream(do=do))
        async for chunk in executor.stream(event):
            chunks.append(chunk)
            go.release()
    assert chunks == [0, 1, 2]


# --- ends that the thread does not know of


async def left(
    executor: Executor, end: Callable[[Plain], Any], caplog: Any, **fields: Any
) -> tuple[Plain, Block, Plain]:
    """An event that was ended, whose thread runs on, and one that waits for its slot."""
    block = Block()
    event = await executor.append(Plain(do=block, **fields))
    await block.has(1)
    behind = await executor.append(Plain(do=lambda _: "behind"))
    with caplog.at_level(logging.WARNING, "lionpride"):
        await end(event)
    assert not block.ended.is_set()
    assert "runs on in a thread" in caplog.text
    assert str(event.id) in caplog.text
    return event, block, behind


async def test_cancelled_the_event_ends_at_once_and_the_slot_when_the_thread_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = desk(concurrency_limit=1)

    async def cancel(event: Plain) -> None:
        await executor.cancel(event)
        with pytest.raises(EventCancelledError):
            await executor.result(event)

    async with background(executor):
        event, block, behind = await left(executor, cancel, caplog)
        for _ in range(20):
            await asyncio.sleep(0)
        assert behind.status is PENDING, "the thread has the slot"
        block.go.set()
        assert await executor.result(behind) == "behind"
    assert event.status is EventStatus.CANCELLED
    assert not event.response, "what comes out later reaches nobody"
    agree(executor)


@pytest.mark.promise("threads")
async def test_after_its_timeout_the_event_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    executor = desk(concurrency_limit=1)

    async def wait(event: Plain) -> None:
        with pytest.raises(LionTimeoutError):
            await executor.result(event)

    async with background(executor):
        event, block, behind = await left(executor, wait, caplog, timeout=0.05)
        assert (event.status, behind.status) == (EventStatus.CANCELLED, PENDING)
        block.go.set()
        assert await executor.result(behind) == "behind"


async def test_what_is_interrupted_waits_again_though_its_thread_runs_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = desk(grace=0.0)
    block = Block()
    async with executor:
        event = await executor.append(Plain(do=block))
        await block.has(1)
    assert (event.status, event.execution.interruptions) == (PENDING, 1)
    block.go.set()


def test_a_thread_that_outlives_its_loop_is_counted_in_the_next() -> None:
    executor, block = desk(concurrency_limit=1, grace=0.0), Block()

    async def first() -> None:
        async with executor:
            await executor.append(Plain(do=block))
            await block.has(1)

    async def second() -> None:
        await executor.forward()

    asyncio.run(first())
    thread = next(t for t in threading.enumerate() if executor.store.queue in t.name)
    block.go.set()
    thread.join(LIMIT)
    asyncio.run(second())
    assert [event.response for event in executor.completed_events] == ["late"]


def test_a_thread_that_hangs_does_not_keep_the_process() -> None:
    program = """
import asyncio, threading
from lionpride.core import Event

class Hang(Event):
    timeout: float | None = 0.05
    def _invoke(self):
        threading.Event().wait()

event = Hang()
asyncio.run(event.invoke())
print(event.status.value)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "cancelled\n"


# --- plain generators


async def test_the_chunks_of_a_plain_generator_come_from_one_thread() -> None:
    def do(_: Event) -> Iterator[int]:
        for _ in range(3 * AHEAD):
            yield threading.get_ident()

    executor = desk()
    event = await executor.append(PlainStream(do=do))
    await executor.forward()
    assert len(event.response) == 3 * AHEAD
    assert len(set(event.response)) == 1
    assert event.response[0] != threading.get_ident()  # type: ignore[index]


async def test_an_invoke_with_yield_is_taken_as_well() -> None:
    class Count(Event):
        streaming: bool = True

        def _invoke(self) -> Iterator[int]:
            yield from range(3)

    event = Count()
    assert await event.invoke() == [0, 1, 2]


async def test_its_chunks_come_as_they_are_made() -> None:
    go = threading.Semaphore(0)

    def do(_: Event) -> Iterator[int]:
        for number in range(3):
            yield number
            assert go.acquire(timeout=LIMIT)

    chunks = []
    async with aclosing(PlainStream(do=do).stream()) as source:
        async for chunk in source:
            chunks.append(chunk)
            go.release()
    assert chunks == [0, 1, 2]


async def test_it_is_ahead_of_a_slow_reader_by_so_much_and_no_more() -> None:
    made = []
    full = threading.Event()

    def do(_: Event) -> Iterator[int]:
        for number in range(10 * AHEAD):
            made.append(number)
            if number == AHEAD:
                full.set()
            yield number

    async with aclosing(PlainStream(do=do).stream()) as source:
        assert await anext(source) == 0
        assert await asyncio.to_thread(full.wait, LIMIT)
        assert len(made) <= AHEAD + 2
        rest = [chunk async for chunk in source]
    assert rest == list(range(1, 10 * AHEAD))


async def test_what_it_raises_keeps_the_chunks_before_it() -> None:
    def do(_: Event) -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("no")

    executor = desk()
    event = await executor.append(PlainStream(do=do))
    await executor.forward()
    assert event.status is EventStatus.FAILED
    assert event.response == [1, 2]
    assert isinstance(event.execution.error, ValueError)


async def test_cancelled_it_is_closed_in_its_thread_at_its_next_yield() -> None:
    begun, go = asyncio.Event(), threading.Event()
    closed: concurrent.futures.Future[str] = concurrent.futures.Future()
    loop = asyncio.get_running_loop()

    def do(_: Event) -> Iterator[str]:
        try:
            yield "one"
            loop.call_soon_threadsafe(begun.set)
            assert go.wait(LIMIT)
            yield "two"
        finally:
            closed.set_result(threading.current_thread().name)

    executor = desk()
    async with background(executor):
        event = await executor.append(PlainStream(do=do))
        await begun.wait()
        await executor.cancel(event)
        with pytest.raises(EventCancelledError):
            await executor.result(event)
        assert event.response == ["one"]
        go.set()
        assert executor.store.queue in await asyncio.wrap_future(closed)


async def test_too_many_chunks_are_refused() -> None:
    class Short(PlainStream):
        max_chunks: ClassVar[int] = 5

    def do(_: Event) -> Iterator[int]:
        number = 0
        while True:
            yield (number := number + 1)

    executor = desk()
    event = await executor.append(Short(do=do))
    await executor.forward()
    assert isinstance(event.execution.error, ExecutionError)
    assert event.response == [1, 2, 3, 4, 5]


# --- the pool


def test_no_more_threads_than_it_may_have_and_none_when_it_rests() -> None:
    pool, go = Threads(2, "pool-under-test"), threading.Event()
    futures = [pool.submit(go.wait, LIMIT) for _ in range(5)]
    mine = [t for t in threading.enumerate() if t.name.startswith("pool-under-test")]
    assert len(mine) == 2
    go.set()
    assert all(future.result(LIMIT) for future in futures)
    pool.rest()
    for thread in mine:
        thread.join(LIMIT)
        assert not thread.is_alive()
    assert pool.submit(lambda: "again").result(LIMIT) == "again"
    pool.rest()


def test_a_call_that_is_cancelled_before_its_turn_is_not_made() -> None:
    pool, go, made = Threads(1, "pool-under-test"), threading.Event(), []
    first, second = pool.submit(go.wait, LIMIT), pool.submit(made.append, 2)
    assert second.cancel()
    go.set()
    first.result(LIMIT)
    pool.submit(made.append, 3).result(LIMIT)
    assert made == [3]
    pool.rest()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_it_begins_anew_in_a_child() -> None:
    program = """
import os
from lionpride.engine.threads import Threads
pool = Threads(1, "pool")
assert pool.submit(lambda: 1).result(10) == 1
pool.rest()
pid = os.fork()
if pid == 0:
    os._exit(pool.submit(lambda: 7).result(10))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "7\n"


@pytest.mark.virtual
async def test_in_virtual_time_a_thread_takes_none() -> None:
    executor = desk()
    began = asyncio.get_running_loop().time()
    slow = Plain(do=lambda _: threading.Event().wait(0.01), timeout=5)
    async with background(executor):
        await executor.append(slow)
        await executor.join()
    assert slow.status is EventStatus.COMPLETED
    assert asyncio.get_running_loop().time() == began
