"""`current()`: the context of the running attempt."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from local_objects import LocalObject

from lionpride import (
    AttemptContext,
    Event,
    Executor,
    Limit,
    OperationError,
    Retry,
    ValidationError,
    current,
    job,
)

FILE = pytest.mark.parametrize("store", ["memory", "file"])


def url_of(store: str, folder: Path) -> str | None:
    return None if store == "memory" else f"sqlite:///{folder / 'run.db'}"


class Task(Event):
    do: LocalObject = None

    async def _invoke(self) -> Any:
        return await self.do(self)


def test_outside_of_an_attempt_there_is_none() -> None:
    with pytest.raises(OperationError, match="outside of an attempt"):
        current()


async def test_it_knows_the_event_the_executor_and_the_attempt() -> None:
    seen: list[Any] = []

    async def do(event: Event) -> None:
        context = current()
        seen.append((context.event, context.executor, context.attempt_number, context.is_over))
        if len(seen) < 3:
            raise OSError("again")

    async with Executor.of(Task) as executor:
        event = Task(do=do)
        await executor.run(event, retry=Retry(attempts=3, backoff=0.0))
    assert seen == [(event, executor, n, False) for n in (1, 2, 3)]
    with pytest.raises(OperationError):
        current()


@job
def in_a_thread() -> int:
    current().report_progress(0.25, "in a thread")
    current().spend(tokens=3)
    return current().attempt_number


@job
async def streamed(n: int) -> AsyncIterator[str]:
    for i in range(n):
        current().report_progress(i / n)
        yield str(current().event.id)


@FILE
async def test_threads_and_streams_have_it(store: str, tmp_path: Path) -> None:
    limits = [Limit("tokens", 100, per=60)]
    url = url_of(store, tmp_path)
    made = Executor.of(in_a_thread, streamed, queue="q", store=url, limits=limits)
    async with made as executor:
        event = await executor.append(in_a_thread())
        assert await executor.result(event) == 1
        stream = streamed(2)
        assert await executor.run(stream) == [str(stream.id)] * 2


async def test_an_event_that_runs_by_itself_has_it() -> None:
    event = in_a_thread.event_type()
    assert await event.invoke() == 0

    stream = streamed(2)
    assert [chunk async for chunk in stream.stream()] == [str(stream.id)] * 2
    with pytest.raises(OperationError):
        current()

    async def do(event: Event) -> bool:
        with pytest.raises(OperationError, match="without an executor"):
            _ = current().executor
        return current().event is event

    assert await Task(do=do).invoke() is True


@FILE
async def test_a_child_task_has_the_context_of_its_own_attempt(store: str, tmp_path: Path) -> None:
    """Two events at once, each with a child task: neither sees the other's context."""
    together = asyncio.Barrier(2)

    async def child(event: Event) -> bool:
        await together.wait()
        return current().event is event

    async def do(event: Event) -> bool:
        return await asyncio.create_task(child(event))

    async with Executor.of(Task, store=url_of(store, tmp_path)) as executor:
        first, second = Task(do=do), Task(do=do)
        results = await asyncio.gather(executor.run(first), executor.run(second))
        assert results == [True, True]


@FILE
async def test_a_task_that_outlives_its_attempt_does_nothing_for_the_next(
    store: str, tmp_path: Path
) -> None:
    """With one slot the next event runs in the same worker task."""
    left: list[asyncio.Task[Any]] = []
    go, errors = asyncio.Event(), list[OperationError]()

    async def outlive() -> None:
        context = current()
        await go.wait()
        for method in (
            lambda: context.report_progress(0.9, "late"),
            lambda: context.spend(tokens=50),
            lambda: current().report_progress(0.9, "late"),
            lambda: current().spend(tokens=50),
        ):
            try:
                method()
            except OperationError as error:
                errors.append(error)

    async def first(event: Event) -> None:
        left.append(asyncio.create_task(outlive()))

    async def second(event: Event) -> Any:
        go.set()
        await left[0]
        return event.execution.progress

    limits = [Limit("tokens", 100, per=60)]
    made = Executor.of(Task, store=url_of(store, tmp_path), concurrency_limit=1, limits=limits)
    async with made as executor:
        await executor.run(Task(do=first))
        assert await executor.run(Task(do=second)) is None
    assert len(errors) == 4
    assert "the attempt is over" in str(errors[0])


async def test_an_attempt_that_was_retried_is_over() -> None:
    contexts: list[AttemptContext] = []

    async def do(event: Event) -> None:
        contexts.append(current())
        if len(contexts) == 1:
            raise OSError("again")
        with pytest.raises(OperationError, match=r"report_progress\(\) of attempt 1 of"):
            contexts[0].report_progress(0.5)
        contexts[1].report_progress(0.5)

    async with Executor.of(Task) as executor:
        await executor.run(Task(do=do), retry=Retry(attempts=2, backoff=0.0))
    assert [each.is_over for each in contexts] == [True, True]


async def test_wrong_values_are_named() -> None:
    async def do(event: Event) -> None:
        with pytest.raises(ValidationError, match="from 0 to 1"):
            current().report_progress(2.0)
        with pytest.raises(ValidationError, match="spend"):
            current().spend(tokens=-1)

    async with Executor.of(Task, limits=[Limit("tokens", 10, per=60)]) as executor:
        await executor.run(Task(do=do))


@FILE
@pytest.mark.parametrize("timeout", [None, 3600.0])
async def test_a_timer_or_an_idle_worker_keeps_no_event(
    store: str, timeout: float | None, tmp_path: Path
) -> None:
    """A client's timer, such as that of an idle connection, keeps the context variables."""
    timers: list[asyncio.TimerHandle] = []

    async def do(event: Event) -> None:
        timers.append(asyncio.get_running_loop().call_later(3600, print))

    def make(n: int) -> list[Task]:
        # No timeout: it takes the quick way, if nothing else is in the way of that.
        return [Task(do=do, timeout=timeout) for _ in range(n)]

    async with Executor.of(Task, store=url_of(store, tmp_path), concurrency_limit=1) as executor:
        events = make(3)
        gone = [weakref.ref(event) for event in events]
        for event in events:
            await executor.append(event)
        await executor.join()
        for event in events:
            await executor.remove(event)
        del event, events
        later = await executor.append(Task(do=do, timeout=timeout))
        await executor.result(later)
        gc.collect()
        assert [ref() for ref in gone] == [None] * 3
    for timer in timers:
        timer.cancel()


async def test_spend_raises_in_a_thread_for_which_the_event_loop_is_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lionpride.engine.attempt_context.ANSWER_TIME", 0.05)
    errors: list[Exception] = []

    async def do(event: Event) -> None:
        context = current()

        def work() -> None:
            try:
                context.spend(tokens=3)
            except OperationError as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    limit = Limit("tokens", 100, per=60)
    async with Executor.of(Task, limits=[limit]) as executor:
        await executor.result(await executor.append(Task(do=do)))
    (error,) = errors
    assert "the event loop was blocked for 0.05 s" in str(error)
    assert "asyncio.to_thread" in str(error)


async def test_a_thread_without_context_variables_reports_with_the_context_of_the_attempt() -> None:
    async def do(event: Event) -> None:
        context = current()
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work() -> None:
            context.report_progress(0.5, "in a thread")
            context.spend(tokens=3)
            loop.call_soon_threadsafe(done.set)

        thread = threading.Thread(target=work)
        thread.start()
        await done.wait()
        thread.join()

    reported: list[Any] = []
    async with Executor.of(Task, limits=[Limit("tokens", 100, per=60)]) as executor:
        executor.observe_progress(lambda event, progress: reported.append(progress.note))
        await executor.run(Task(do=do))
    assert reported == ["in a thread"]


async def test_a_stream_without_an_executor_has_it_when_it_is_closed() -> None:
    class Chunks(Event):
        seen: LocalObject = None

        async def _stream(self) -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                self.seen.append((current().event is self, current().is_over))

    seen: list[Any] = []
    stream = Chunks(streaming=True, seen=seen).stream()
    assert await anext(stream) == 1
    await stream.aclose()  # type: ignore[attr-defined]
    assert seen == [(True, False)]


async def test_the_code_of_an_event_may_run_another_executor() -> None:
    """Its permission and its observers are not part of the outer attempt."""
    seen: list[Any] = []

    def look() -> None:
        try:
            seen.append(current().event)
        except OperationError:
            seen.append(None)

    async def may_start(**_: Any) -> bool:
        look()
        return True

    async def inner(event: Event) -> None:
        look()

    async def outer(event: Event) -> None:
        async with Executor.of(Task, permission=may_start) as executor:
            await executor.run(Task(do=inner))
        look()

    async with Executor.of(Task) as executor:
        event = Task(do=outer)
        await executor.run(event)
    assert [found if found is None else found.do for found in seen] == [None, inner, outer]


# -- lifespan -----------------------------------------------------------------------------------


class Client:
    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.uses = 0


def lifespan_of(log: list[str], fail: str = "") -> Any:
    @asynccontextmanager
    async def lifespan(executor: Executor) -> AsyncIterator[Client]:
        log.append("open")
        if fail == "open":
            raise OSError("no network")
        try:
            yield Client(log)
        finally:
            log.append("close")
        if fail == "close":
            raise OSError("no network any more")

    return lifespan


@job
async def use() -> int:
    client: Client = current().resources
    client.uses += 1
    client.log.append("use")
    return client.uses


async def test_resources_are_opened_once() -> None:
    log: list[str] = []
    async with Executor.of(use, lifespan=lifespan_of(log)) as executor:
        assert [await executor.run(use()) for _ in range(3)] == [1, 2, 3]
        await executor.forward()
    assert log == ["open", "use", "use", "use", "close"]


async def test_resources_close_after_what_still_runs() -> None:
    log: list[str] = []
    begun = asyncio.Event()

    async def do(event: Event) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            log.append(f"ended with {type(current().resources).__name__}")

    async with Executor.of(Task, lifespan=lifespan_of(log), grace=0.0) as executor:
        await executor.append(Task(do=do))
        await begun.wait()
    assert log == ["open", "ended with Client", "close"]


async def test_rounds_and_execute_open_them_too() -> None:
    log: list[str] = []
    executor = Executor.of(use, lifespan=lifespan_of(log))
    await executor.start()
    await executor.append(use())
    await executor.forward()
    assert log == ["open", "use", "close"]
    run = asyncio.create_task(executor.execute())
    await executor.run(use())
    await executor.stop()
    await run
    assert log == ["open", "use", "close", "open", "use", "close"]


async def test_an_executor_that_only_appends_opens_nothing() -> None:
    log: list[str] = []
    executor = Executor.of(use, lifespan=lifespan_of(log))
    await executor.append(use())
    await executor.start()
    assert log == []


async def test_a_failure_to_open_is_raised_and_nothing_runs() -> None:
    log: list[str] = []
    executor = Executor.of(use, lifespan=lifespan_of(log, "open"))
    event = await executor.append(use())
    with pytest.raises(OSError, match="no network"):
        async with executor:
            pytest.fail("the block must not begin")
    with pytest.raises(OSError, match="no network"):
        await executor.execute()
    assert event.status == "pending"
    assert log == ["open", "open"]


async def test_a_failure_to_close_is_raised() -> None:
    log: list[str] = []
    with pytest.raises(OSError, match="no network any more"):
        async with Executor.of(use, lifespan=lifespan_of(log, "close")) as executor:
            assert await executor.run(use()) == 1
    assert log == ["open", "use", "close"]


async def test_without_a_lifespan_there_are_no_resources() -> None:
    async def do(event: Event) -> None:
        with pytest.raises(OperationError, match="needs a lifespan"):
            _ = current().resources

    async with Executor.of(Task) as executor:
        await executor.run(Task(do=do))


def test_a_second_event_loop_opens_them_anew() -> None:
    log: list[str] = []
    executor = Executor.of(use, lifespan=lifespan_of(log))

    async def run() -> int:
        async with executor:
            return await executor.run(use())

    assert [asyncio.run(run()) for _ in range(2)] == [1, 1]
    assert log == ["open", "use", "close"] * 2


async def test_resources_are_opened_again_only_when_they_have_closed() -> None:
    log: list[str] = []
    closing, close = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def lifespan(executor: Executor) -> AsyncIterator[Client]:
        log.append("open")
        yield Client(log)
        closing.set()
        await close.wait()
        log.append("close")

    executor = Executor.of(use, lifespan=lifespan)
    await executor.start()
    first = asyncio.create_task(executor.execute())
    await executor.run(use())
    await executor.stop()
    await closing.wait()
    await executor.start()
    second = asyncio.create_task(executor.execute())
    event = await executor.append(use())
    for _ in range(10):
        await asyncio.sleep(0)
    assert log == ["open", "use"]
    close.set()
    await first
    assert await executor.result(event) == 1
    assert await executor.run(use()) == 2
    await executor.stop()
    await second
    assert log == ["open", "use", "close", "open", "use", "use", "close"]


async def test_resources_close_if_the_exit_is_cancelled() -> None:
    log: list[str] = []
    begun = asyncio.Event()

    async def do(event: Event) -> None:
        begun.set()
        await asyncio.sleep(60)

    async def block() -> None:
        async with Executor.of(Task, lifespan=lifespan_of(log)) as executor:
            await executor.append(Task(do=do))
            await begun.wait()

    task = asyncio.create_task(block())
    await begun.wait()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()  # `async with` waits for the event
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["open", "close"]


async def test_a_cancellation_reaches_resources_that_do_not_close() -> None:
    closing = asyncio.Event()

    @asynccontextmanager
    async def lifespan(executor: Executor) -> AsyncIterator[None]:
        yield
        closing.set()
        await asyncio.Event().wait()

    async def block() -> None:
        async with Executor.of(Task, lifespan=lifespan):
            pass

    task = asyncio.create_task(block())
    await closing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)


@pytest.mark.parametrize("raises", [True, False])
async def test_a_lifespan_that_ends_by_itself_ends_the_run(raises: bool) -> None:
    """Events fail without their resources: they stay pending instead."""
    go, begun = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def lifespan(executor: Executor) -> AsyncIterator[str]:
        async def refresh(task: Any) -> None:
            await go.wait()
            if raises:
                raise OSError("no network")
            task.cancel()

        if raises:
            async with asyncio.TaskGroup() as group:
                group.create_task(refresh(None))
                yield "client"
        else:
            helper = asyncio.create_task(refresh(asyncio.current_task()))
            with suppress(asyncio.CancelledError):  # as a cancel scope of anyio does
                yield "client"
            await helper

    async def do(event: Event) -> None:
        begun.set()
        await asyncio.sleep(60)

    executor = Executor.of(Task, lifespan=lifespan)
    events = [Task(do=do), Task(do=do)]

    async def block() -> None:
        async with executor:
            await executor.append(events[0])
            await begun.wait()
            go.set()
            await executor.result(events[0])

    with pytest.raises(ExceptionGroup if raises else OperationError):
        await block()
    await executor.append(events[1])
    assert [event.status for event in events] == ["pending", "pending"]
    assert executor.processor is not None
    assert not executor.processor.working


async def test_two_blocks_at_once_are_refused_while_resources_open() -> None:
    log: list[str] = []

    @asynccontextmanager
    async def lifespan(executor: Executor) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        log.append("open")
        yield
        log.append("close")

    executor = Executor.of(Task, lifespan=lifespan)

    async def block() -> None:
        async with executor:
            await asyncio.sleep(0)

    results = await asyncio.gather(block(), block(), return_exceptions=True)
    assert [type(each) for each in results] == [type(None), OperationError]
    assert log == ["open", "close"]
