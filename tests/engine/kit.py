"""What the engine's tests share: events that do as they are told, and what must hold always."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar

import pytest
from local_objects import LocalObject

from lionpride.core import Event, EventStatus, Executor, Flow, Processor, Transition
from lionpride.errors import OperationError
from lionpride.stores.memory import MemoryStore

Act = Callable[..., Awaitable[Any]]
Mode = Callable[[Executor], Awaitable[BaseException | None]]


class Job(Event):
    """Does what it was made with: ``do(event)`` is its work, ``ask(event)`` the permission."""

    label: str = ""
    do: LocalObject = None
    ask: LocalObject = None

    @property
    def request(self) -> dict[str, Any]:
        return {"event": self}

    async def _invoke(self) -> Any:
        return self.label if self.do is None else await self.do(self)


class Tape(Job):
    """Streams: ``do(event)`` is an async generator."""

    streaming: bool = True

    async def _stream(self) -> AsyncIterator[Any]:
        async with aclosing(self.do(self)) as chunks:
            async for chunk in chunks:
                yield chunk


def tape(*chunks: Any, then: BaseException | None = None, **fields: Any) -> Tape:
    """A stream of chunks, one a second, that ends well or with an error."""

    async def do(event: Job) -> AsyncIterator[Any]:
        for chunk in chunks:
            yield chunk
            await asyncio.sleep(1)
        if then is not None:
            raise then

    return Tape(do=do, **fields)


class JobProcessor(Processor):
    event_type: ClassVar[type[Event]] = Job


class AskingProcessor(JobProcessor):
    async def request_permission(self, *, event: Job, **_: Any) -> bool:
        return True if event.ask is None else await event.ask(event)


class JobExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = JobProcessor


class AskingExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = AskingProcessor


def desk(*, asks: bool = False, store: Any = None, grace: float = 30.0, **config: Any) -> Executor:
    """An executor of jobs; with ``asks`` each job's ``ask`` is its permission."""
    kind = AskingExecutor if asks else JobExecutor
    return kind(config, store=store, grace=grace)


def jobs(names: str, **fields: Any) -> list[Job]:
    """A job for each letter."""
    return [Job(label=name, **fields) for name in names]


def worker(executor: Executor) -> Processor:
    """The processor of a started executor."""
    assert executor.processor is not None
    return executor.processor


def labels(events: Iterable[Any]) -> list[str]:
    return [event.label for event in events]


def statuses(events: Iterable[Event]) -> list[str]:
    return [event.status.value for event in events]


def now() -> float:
    """The seconds of the running loop."""
    return asyncio.get_running_loop().time()


# --- jobs


def sleeps(seconds: float) -> Act:
    """Work that sleeps, and returns its label."""

    async def do(event: Job) -> str:
        await asyncio.sleep(seconds)
        return event.label

    return do


def raises(error: BaseException) -> Act:
    async def do(event: Job) -> None:
        raise error

    return do


def answers(*given: bool) -> Act:
    """A permission that gives these answers, one a time, and the last from then on."""
    left = list(given)

    async def ask(event: Job) -> bool:
        return left.pop(0) if len(left) > 1 else left[0]

    return ask


class Hold:
    """Work that says when it has begun, and goes on when it is let.

    Each call is noted in ``began``, with its time; ``inside`` counts those that wait now.
    """

    def __init__(self, result: Any = True) -> None:
        self.result = result
        self.began: list[tuple[str, float]] = []
        self.inside = 0
        self.peak = 0
        self._entered = asyncio.Condition()
        self._open = asyncio.Event()

    async def __call__(self, event: Job) -> Any:
        self.began.append((event.label, now()))
        self.inside += 1
        self.peak = max(self.peak, self.inside)
        try:
            async with self._entered:
                self._entered.notify_all()
            await self._open.wait()
        finally:
            self.inside -= 1
        return self.result

    @property
    def order(self) -> list[str]:
        return [label for label, _ in self.began]

    def let_go(self) -> None:
        self._open.set()

    async def has(self, number: int) -> None:
        """Wait until so many have begun."""
        async with self._entered:
            await self._entered.wait_for(lambda: len(self.began) >= number)


# --- stores


class Contract:
    """A store with the verbs of the contract alone, without what memory offers beside them."""

    def __init__(self, store: Any) -> None:
        self.inner = store

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_now"):
            raise AttributeError(name)
        return getattr(self.inner, name)


class Waiting(Contract):
    """A store whose verbs suspend, as one on a disk does."""

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def later(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            answer = await found(*args, **kwargs)
            await asyncio.sleep(0)
            return answer

        return later


# --- running


stores = pytest.mark.parametrize(
    "store",
    [MemoryStore, lambda: Contract(MemoryStore()), lambda: Waiting(MemoryStore())],
    ids=["memory", "contract", "waiting"],
)
"""Each way in which a store may answer: at once, at once by the contract alone, and later."""


async def caught(work: Coroutine[Any, Any, Any]) -> BaseException | None:
    """What a coroutine raises: KeyboardInterrupt must not leave a task, but be looked at."""
    try:
        await work
    except BaseException as error:
        return error
    return None


async def forward(executor: Executor) -> BaseException | None:
    """One round; what it raised."""
    await executor.start()
    return await caught(executor.forward())


async def execute(executor: Executor) -> BaseException | None:
    """``execute()`` until nothing is left, or it ends by itself; what it raised."""
    await executor.start()
    running = asyncio.create_task(caught(worker(executor).execute()))
    idle = asyncio.create_task(caught(executor.join()))
    await asyncio.wait({running, idle}, return_when=asyncio.FIRST_COMPLETED)
    await executor.stop()
    error = await running
    complaint = await idle
    assert complaint is None or isinstance(complaint, OperationError)
    return error


MODES: tuple[Mode, ...] = (forward, execute)


@asynccontextmanager
async def background(executor: Executor) -> AsyncIterator[asyncio.Task[None]]:
    """``execute()`` in a task while the block runs; then ``stop()``."""
    await executor.start()
    task = asyncio.create_task(worker(executor).execute())
    try:
        yield task
    except BaseException:
        task.cancel()
        await asyncio.wait([task], timeout=60)
        raise
    await executor.stop()
    await task


def starts(executor: Executor) -> list[tuple[str, float]]:
    """A list that each start is noted in, with its time, from now on."""
    noted: list[tuple[str, float]] = []

    def note(step: Transition) -> None:
        if step.after is EventStatus.PROCESSING:
            noted.append((getattr(step.event, "label", ""), step.at))

    executor.observe(note)
    return noted


# --- what must hold


def agree(executor: Executor) -> None:
    """Status, progression, list and count say the same of every event."""
    states, counts = executor.states, executor.status_counts()
    lanes = {p.name: list(p) for p in states.progressions if p.name in set(EventStatus)}
    assert set(lanes) == set(counts) == set(EventStatus)
    for event in states.items:
        homes = [name for name, ids in lanes.items() if event.id in ids]
        assert homes == [event.status.value]
    for status in EventStatus:
        listed = executor.get_events_by_status(status)
        assert len(listed) == counts[status.value] == len(lanes[status.value])
        assert [event.id for event in listed] == lanes[status.value]
    assert sum(counts.values()) == len(states.items)


def reads_back(executor: Executor) -> None:
    """What it holds can be written in both modes, and says the same when it is read."""
    expected = {event.id: event.status for event in executor.states.items}
    plain = executor.states.to_dict()
    text = json.dumps(executor.states.to_dict("json"), allow_nan=False)
    for data in (plain, json.loads(text)):
        again: Flow[Any, Any] = Flow.from_dict(data)
        assert {event.id: event.status for event in again.items} == expected
        for event in again.items:
            assert event.id in again.get_progression(event.status.value)


async def has_all_slots(executor: Executor, mode: Mode, calls: int = 2) -> None:
    """As many events as the limit says run at once, and no more: no slot was lost or won.

    Two calls run them, since one alone has no more workers than there are slots.
    """
    slots = worker(executor).concurrency_limit
    inside = peak = 0
    full = asyncio.Event()

    async def meet(event: Job) -> None:
        nonlocal inside, peak
        inside += 1
        peak = max(peak, inside)
        if inside == slots:
            full.set()
        await full.wait()
        await asyncio.sleep(1)
        inside -= 1

    jobs = await executor.append_many([Job(do=meet, label="meet") for _ in range(slots + 1)])
    errors = await asyncio.gather(*(mode(executor) for _ in range(calls)))
    assert errors == [None] * calls
    assert statuses(jobs) == ["completed"] * len(jobs)
    assert peak == slots
