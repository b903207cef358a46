"""The public names as users write them, for `mypy --strict`; nothing here is ever run.

`assert_type` says what a checker must infer. `# type: ignore[code]` stands where it must complain:
the gate warns of an ignore that is not needed.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar, assert_type
from uuid import UUID, uuid4

from lionpride.core import (
    Batch,
    Element,
    Event,
    EventStatus,
    Execution,
    Executor,
    Flow,
    Pile,
    Processor,
    Progress,
    Progression,
    Retry,
    Skip,
    Transition,
    Unset,
    current,
)
from lionpride.errors import LionprideError, NotFoundError, QueueFullError
from lionpride.otel import instrument
from lionpride.rules.explain import Why
from lionpride.stores.contract import Relative
from lionpride.stores.memory import MemoryStore
from lionpride.stores.record import Record
from lionpride.testing import Faults, fail, inline, virtual_time


class Fetch(Event):
    """Fields are declared as in any pydantic model."""

    url: str
    tries_left: int = 3

    @property
    def request(self) -> dict[str, Any]:
        return {"url": self.url}

    async def _invoke(self) -> bytes:
        if not self.url:
            raise Skip("nothing to fetch")
        return self.url.encode()


class Stubborn(Fetch):
    """A policy for the class; the annotation may be left out."""

    retry = Retry(max_attempts=4, backoff=0.5, never=(KeyError, "httpx.InvalidURL"))


class Listen(Event):
    streaming: bool = True

    async def _stream(self) -> AsyncIterator[str]:
        yield "chunk"


class Resize(Event):
    """Work that is not async is written as a plain function, or a plain generator."""

    def _invoke(self) -> int:
        return 1

    def _stream(self) -> Iterator[str]:
        yield "chunk"


class FetchProcessor(Processor):
    """A subclass takes parameters of its own through `processor_config`."""

    event_type: ClassVar[type[Event]] = Fetch

    def __init__(self, *args: Any, quota: int = 10, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.quota = quota

    async def request_permission(self, **request: Any) -> bool:
        return bool(request["url"]) and self.quota > 0


class FetchExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = FetchProcessor


def events_are_made_with_their_fields() -> None:
    event = Fetch(url="x")
    Fetch(url="x", tries_left=1, timeout=2.5, streaming=False)
    Fetch(url="x", id=uuid4(), metadata={"source": "test"})
    Fetch()  # type: ignore[call-arg]
    Fetch(url=1)  # type: ignore[arg-type]
    assert_type(event.url, str)
    assert_type(event.id, UUID)
    assert_type(event.created_at, datetime)
    assert_type(event.metadata, dict[str, Any])
    assert_type(event.status, EventStatus)
    assert_type(event.timeout, float | None)
    assert_type(event.execution, Execution)
    assert_type(event.as_fresh_event(), Fetch)
    assert_type(event.to_dict(), dict[str, Any])
    assert_type(event.to_dict("json"), dict[str, Any])
    event.to_dict("xml")  # type: ignore[arg-type]
    if event.execution.response is Unset:
        return


async def an_executor_keeps_the_type_of_what_it_is_given() -> None:
    executor = FetchExecutor({"queue_capacity": 5, "quota": 3}, name="fetches")
    event = Fetch(url="x")
    assert_type(await executor.append(event, priority=1.0), Fetch)
    assert_type(await executor.append_many([event], exist_ok=True), list[Fetch])
    await executor.append("x")  # type: ignore[type-var]
    await executor.append(event, 1.0, True)  # type: ignore[call-arg]
    await executor.append(event, delay=5, ttl=60.0, retry=Retry(max_attempts=4, on=OSError))
    await executor.append(event, at=datetime.now(UTC), unique="a", unique_for=3600)
    await executor.append(event, delay="soon")  # type: ignore[arg-type]
    await executor.append(event, late=5)  # type: ignore[call-arg]
    await executor.append_many([event], delay=5, retry=None)
    await executor.append(event, after=Fetch(url="y"), when="failed")
    await executor.append(event, after=[Fetch(url="y").id, str(event.id), event])
    await executor.append(event, after=5)  # type: ignore[arg-type]
    await executor.append(event, after=event, when="done")  # type: ignore[arg-type]
    await executor.append_many([event], after={event: [Fetch(url="y")]}, when="finished")
    await executor.append_many([event], after=[event])  # type: ignore[arg-type]
    async for parent in executor.parents(event):
        assert_type(parent, Relative)
        assert_type(parent.is_met, bool | None)
    async for child in executor.children(str(event.id)):
        assert_type(child.record, Record)
    async for each in current().parents():
        assert_type(each, Event)
    assert_type(await executor.retry_failed(), int)
    assert_type(event.execution.failed_attempts[0].error, str)
    assert_type(event.execution.attempt_number, int)
    assert_type(event.execution.failure_count, int)
    assert_type(event.execution.attempts[0].number, int)  # former names
    assert_type(event.execution.attempt + event.execution.tries, int)
    assert_type(Retry(attempts=4).max_attempts, int)
    Retry(max_attempts="4")  # type: ignore[arg-type]
    Retry(max_attempt=4)  # type: ignore[call-arg]
    assert_type(await executor.cancel(event), bool)
    assert_type(await executor.cancel(event.id), bool)
    await executor.retry(event)
    await executor.result(event)


async def an_executor_gives_events_as_they_end() -> None:
    executor, event = FetchExecutor(), Fetch(url="x")
    await executor.append(event, wait=True)
    await executor.append_many([event], wait=True)
    async for each in executor.as_completed([event]):
        assert_type(each, Fetch)
    async for one in executor.map([event], ordered=False, buffersize=3, keep=True, exist_ok=True):
        assert_type(one, Fetch)

    async def source() -> AsyncIterator[Fetch]:
        yield event

    async for other in executor.map(source()):
        assert_type(other, Fetch)
    async for named in executor.as_completed([event.id]):
        assert_type(named, Event)
    executor.map(event)  # type: ignore[type-var]


async def follow(executor: FetchExecutor, event: Listen) -> None:
    async for chunk in executor.stream(event, cancel_with_reader=True, on_restart=print):
        assert_type(chunk, Any)
    async with aclosing(executor.stream(str(event.id))) as chunks:
        assert_type(await anext(chunks), Any)
    executor.stream(event, on_restart=5)  # type: ignore[arg-type]
    await executor.stream(event)  # type: ignore[misc]
    assert_type(event.execution.progress, Progress | None)

    def listen(event: Event, progress: Progress) -> None:
        assert_type(progress.fraction, float | None)

    executor.observe_progress(listen)()
    event.progress(0.5, "half")
    event.progress("half")  # type: ignore[arg-type]


async def an_executor_runs() -> None:
    executor = FetchExecutor()
    async with executor as entered:
        assert_type(entered, FetchExecutor)
        await executor.join()
    await executor.start()
    await executor.forward()
    assert_type(await executor.execute(), None)
    if executor.processor is not None:
        running = asyncio.create_task(executor.processor.execute())
        assert_type(await running, None)
        assert_type(executor.processor.is_stopped(), bool)
    await executor.stop()


def an_executor_answers() -> None:
    executor = FetchExecutor()
    assert_type(executor.event_type, type[Event])
    assert_type(executor.status_counts(), dict[str, int])
    assert_type(executor.inspect_state(), str)
    assert_type(len(executor.pending_events), int)
    assert_type(executor.states.name, str | None)
    executor.get_events_by_status("failed")
    for event in executor.get_events_by_status(EventStatus.FAILED):
        assert_type(event, Any)  # of the user's own class, whose fields are asked for unchecked
    for progression in executor.states.progressions:
        assert_type(progression, Progression)


def observers_are_handed_transitions() -> None:
    def note(transition: Transition) -> None:
        assert_type(transition.after, EventStatus | None)

    stop = FetchExecutor().observe(note)
    stop()


def containers_keep_the_type_of_their_items() -> None:
    event = Fetch(url="x")
    pile = Pile([event], item_type=Fetch)
    assert_type(pile, Pile[Fetch])
    assert_type(pile[event.id], Fetch)
    assert_type(pile[0], Fetch)
    assert_type(pile[0:1], Pile[Fetch])
    assert_type(pile[lambda item: item.url == "x"], Pile[Fetch])
    assert_type(pile.get(event.id, None), Fetch | None)
    assert_type(list(pile), list[Fetch])
    pile.add("x")  # type: ignore[arg-type]

    progression = Progression(name="order", order=[event.id, event])
    assert_type(progression.popleft(), UUID)
    assert_type(progression[0], UUID)
    assert_type(progression[0:1], list[UUID])
    assert_type(progression.pop(0, None), UUID | None)
    assert_type(progression.include(event), bool)

    flow: Flow[Fetch, Progression] = Flow(items=[event], progressions=[progression], name="flow")
    assert_type(flow.get_progression("order"), Progression)
    assert_type(flow.items[event.id], Fetch)


def another_thread_waits(executor: FetchExecutor, event: Fetch) -> None:
    assert_type(executor.run_threadsafe(executor.append(event)), Future[Fetch])
    assert_type(executor.run_threadsafe(executor.drain(5)).result(), int)
    executor.run_threadsafe(event)  # type: ignore[arg-type]


@virtual_time
async def tests_run_in_virtual_time(seconds: float) -> str:
    executor = inline(FetchExecutor)({"quota": 3})
    assert_type(executor, FetchExecutor)
    assert_type(await executor.append(Fetch(url="x")), Fetch)
    faults = Faults(fail("append", nth=2), *Faults.at_random(7, 0.1).happened)
    assert_type(faults.around(MemoryStore("x")), MemoryStore)
    Faults("append")  # type: ignore[arg-type]
    return "done"


def they_are_plain_functions() -> None:
    assert_type(tests_run_in_virtual_time(1.0), str)


def elements_come_back_from_data() -> None:
    data = Fetch(url="x").to_dict("json")
    assert_type(Fetch.from_dict(data), Fetch)
    assert_type(Element.from_dict(data), Element)
    assert_type(Element.from_json("{}"), Element)


async def errors_are_caught_by_their_base_or_by_the_builtin() -> None:
    executor = FetchExecutor({"max_queue_size": 1})
    try:
        await executor.append(Fetch(url="x"))
    except QueueFullError as error:
        assert_type(error.retryable, bool)
    except asyncio.QueueFull:
        pass
    try:
        await executor.result(uuid4())
    except NotFoundError as error:
        print(error.to_dict())
    except (KeyError, LionprideError):
        pass


def picks(event: Any, starting: bool) -> bool:
    return starting


@contextmanager
def around_append(event: Fetch) -> Iterator[None]:
    event.metadata["by"] = "me"
    yield


@contextmanager
def around_attempt(start: Transition) -> Iterator[None]:
    assert_type(start.waited, float | None)
    assert_type(start.duration, float | None)
    assert_type(start.error, BaseException | None)
    assert_type(start.reason, str)
    assert_type(start.is_failure, bool)
    yield


async def seeing(desk: Executor, event: Fetch) -> None:
    why = await desk.why(event)
    assert_type(why.position, int | None)
    assert_type(why.expected, float | None)
    assert_type([(hold.kind, hold.until) for hold in why.holds], list[tuple[str, float | None]])
    assert_type(await desk.why(event.id), Why)
    desk.observe(lambda step: None, light=True)
    stop = desk.observe_attempts(around_attempt)
    stop()
    desk.observe_appends(around_append, picks=picks)
    desk.observe_attempts(picks)  # type: ignore[arg-type]
    assert_type(desk.observers.failures, int)
    stop = instrument(desk, sample=0.01)
    stop()


async def batches(executor: Executor) -> None:
    batch = await executor.batch([Fetch(url="x")], after={})
    assert_type(batch, Batch[bytes])
    assert_type(await batch.result(), list[bytes])
    assert_type(await batch.result(return_exceptions=True), list[bytes | Exception])
    assert_type(await batch.counts(), dict[str, int])
    assert_type(await batch.cancel(), int)
    assert_type(batch.event_ids, tuple[UUID, ...])
    assert_type(await executor.get_batch(batch.id), Batch[Any])
