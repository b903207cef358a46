"""Following a stream: live, late, slow, many readers; and every end that it may have."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path
from random import Random
from typing import Any, ClassVar
from weakref import ref

import pytest
from engine.kit import (
    Job,
    JobExecutor,
    JobProcessor,
    Tape,
    background,
    caught,
    desk,
    forward,
    now,
    raises,
    sleeps,
    tape,
)
from pydantic import PrivateAttr

from lionpride.core import Event, EventStatus, Executor, Retry, Skip, Unset
from lionpride.errors import (
    EventCancelledError,
    ExecutionError,
    LionTimeoutError,
    NotFoundError,
    RestartedError,
)
from lionpride.model.progress import ENTRY
from lionpride.stores.memory import MemoryStore

URLS = (None, "sqlite:///run.db?synchronous=NORMAL")


@pytest.fixture(params=URLS, ids=["memory", "sqlite"])
def executor(request: Any, tmp_path: Path, monkeypatch: Any) -> Executor:
    """One in memory, and one over a file."""
    monkeypatch.chdir(tmp_path)
    return JobExecutor({"concurrency_limit": 4}, store=request.param)


class Steps:
    """A stream that yields when it is told to; ``do`` is for a Tape."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.began = 0

    async def do(self, event: Job) -> AsyncIterator[Any]:
        self.began += 1
        while (chunk := await self.queue.get()) is not None:
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk

    def give(self, *chunks: Any) -> None:
        for chunk in chunks:
            self.queue.put_nowait(chunk)


async def all_of(executor: Executor, event: Any, **options: Any) -> list[Any]:
    return [chunk async for chunk in executor.stream(event, **options)]


# --- live


@pytest.mark.virtual
async def test_chunks_come_as_they_are_yielded() -> None:
    executor = desk()
    event = await executor.append(tape("a", "b", "c"))
    began = now()
    async with background(executor):
        chunks = executor.stream(event)
        seen = [(chunk, now() - began, event.status.value) async for chunk in chunks]
    assert seen == [("a", 0, "processing"), ("b", 1, "processing"), ("c", 2, "processing")]
    assert event.response == ["a", "b", "c"]


async def test_over_either_store_each_chunk_is_there_before_the_next(executor: Executor) -> None:
    steps = Steps()
    async with executor:
        event = await executor.append(Tape(do=steps.do))
        async with aclosing(executor.stream(event)) as chunks:
            for number in range(20):
                steps.give(number)
                assert await anext(chunks) == number
                assert event.status is EventStatus.PROCESSING
            steps.give(None)
            with pytest.raises(StopAsyncIteration):
                await anext(chunks)
        assert event.status is EventStatus.COMPLETED
        assert event.response == list(range(20))


@pytest.mark.virtual
async def test_an_event_may_be_followed_before_it_starts() -> None:
    executor = desk(concurrency_limit=1)
    await executor.append(Job(do=sleeps(10)))
    event = await executor.append(tape("a"))
    reading = asyncio.create_task(all_of(executor, event))
    await asyncio.sleep(0)
    began = now()
    async with background(executor):
        assert await reading == ["a"]
    assert now() - began == 11


@pytest.mark.promise("notebook-streaming")
async def test_many_readers_early_and_late_get_all(executor: Executor) -> None:
    steps = Steps()
    async with executor:
        event = await executor.append(Tape(do=steps.do))
        readers = [asyncio.create_task(all_of(executor, event)) for _ in range(5)]
        steps.give(*range(1000))
        async with aclosing(executor.stream(event.id)) as chunks:
            assert await anext(chunks) == 0  # it runs
            readers += [asyncio.create_task(all_of(executor, str(event.id))) for _ in range(5)]
            await asyncio.sleep(0)
            steps.give(*range(1000, 2000), None)
            assert await asyncio.gather(*readers) == [list(range(2000))] * 10
        assert await all_of(executor, event) == list(range(2000)), "long after"


async def test_a_slow_reader_keeps_nothing_and_holds_up_nobody(executor: Executor) -> None:
    steps = Steps()
    steps.give(*range(100), None)
    async with executor:
        event = await executor.append(Tape(do=steps.do))
        async with aclosing(executor.stream(event)) as slow:
            assert await anext(slow) == 0
            assert await executor.result(event) == list(range(100)), "though one has read one"
            assert [chunk async for chunk in slow] == list(range(1, 100))


async def test_what_is_here_already_leaves_turns_to_others() -> None:
    executor = desk()
    steps = Steps()
    steps.give(*range(200_000), None)
    event = await executor.append(Tape(do=steps.do))
    await executor.forward()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    assert len(await all_of(executor, event)) == 200_000
    counting.cancel()
    assert turns > 3


async def test_an_event_run_through_another_executor_of_the_same_store(executor: Executor) -> None:
    other = JobExecutor(store=executor.store)
    steps = Steps()
    steps.give(1, 2, None)
    event = await other.append(Tape(do=steps.do))
    reading = asyncio.create_task(all_of(other, event))
    async with executor:
        assert await reading == [1, 2]


# --- ends


@pytest.mark.parametrize(
    ("then", "raised", "status"),
    [
        (ValueError("no"), ValueError, "failed"),
        (Skip("enough"), Skip, "skipped"),
        (asyncio.CancelledError(), ExecutionError, "cancelled"),
    ],
)
async def test_the_error_comes_after_the_chunks(
    executor: Executor, then: BaseException, raised: type[BaseException], status: str
) -> None:
    steps = Steps()
    async with executor:
        event = await executor.append(Tape(do=steps.do))
        early = asyncio.create_task(read_all(executor, event))
        steps.give("a", "b", then)
        assert await early == (["a", "b"], raised)
        assert event.status.value == status
        assert await read_all(executor, event) == (["a", "b"], raised), "late as well"


async def read_all(executor: Executor, event: Any) -> tuple[list[Any], type[BaseException] | None]:
    seen: list[Any] = []
    try:
        async for chunk in executor.stream(event):
            seen.append(chunk)  # noqa: PERF401 - those before the error are wanted
    except Exception as error:
        return seen, type(error)
    return seen, None


@pytest.mark.virtual
async def test_a_timeout_and_too_many_chunks_end_it_with_their_errors() -> None:
    class Short(Tape):
        max_chunks: ClassVar[int] = 2

    executor = desk()
    slow = await executor.append(tape("a", "b", "c", timeout=1.5))
    many = await executor.append(Short(do=tape("a", "b", "c").do))
    async with background(executor):
        both = await asyncio.gather(read_all(executor, slow), read_all(executor, many))
    assert both == [(["a", "b"], LionTimeoutError), (["a", "b"], ExecutionError)]


@pytest.mark.virtual
async def test_the_traceback_of_an_error_does_not_grow_with_its_readers() -> None:
    executor = desk()
    event = await executor.append(tape("a", then=ValueError("no")))
    await executor.forward()
    depths = set()
    for _ in range(3):
        error = await caught(all_of(executor, event))
        assert error is event.execution.error
        trace, depth = error.__traceback__, 0
        while trace is not None:
            trace, depth = trace.tb_next, depth + 1
        depths.add(depth)
    assert len(depths) == 1


@pytest.mark.virtual
async def test_an_event_that_is_cancelled_gives_what_it_had() -> None:
    executor = desk()
    event = await executor.append(tape(*range(10)))
    waiting = await executor.append(tape())
    async with background(executor):
        reading = asyncio.create_task(read_all(executor, event))
        await asyncio.sleep(2.5)
        await executor.cancel(event)
        assert await reading == ([0, 1, 2], EventCancelledError)
    assert event.response == [0, 1, 2]
    assert await read_all(executor, waiting) == ([], None)


@pytest.mark.virtual
async def test_one_that_is_cancelled_or_removed_while_it_waits() -> None:
    executor = desk()
    event, gone = await executor.append_many([tape("a"), tape("b")])
    reading = [asyncio.create_task(read_all(executor, each)) for each in (event, gone)]
    await asyncio.sleep(0)
    await executor.cancel(event)
    await executor.remove(gone)
    assert await asyncio.gather(*reading) == [([], EventCancelledError), ([], NotFoundError)]


@pytest.mark.virtual
async def test_what_is_not_here_cannot_be_followed() -> None:
    assert isinstance(await caught(all_of(desk(), tape())), NotFoundError)


@pytest.mark.virtual
async def test_a_plain_event_gives_its_response_once() -> None:
    executor = desk()
    jobs = await executor.append_many(
        [Job(label="x"), Job(do=sleeps(2), label=""), Job(do=raises(ValueError("no")))]
    )
    async with background(executor):
        given = await asyncio.gather(*(read_all(executor, job) for job in jobs))
    assert given == [(["x"], None), ([""], None), ([], ValueError)]
    listing = await executor.append(Job(do=listed))
    await executor.forward()
    assert await all_of(executor, listing) == [[1, 2]], "a list that it returns is one response"


async def listed(event: Job) -> list[int]:
    return [1, 2]


# --- attempts


@pytest.mark.virtual
async def test_another_attempt_is_told_of_and_gives_its_chunks_from_the_first() -> None:
    executor, steps = desk(), Steps()
    event = await executor.append(Tape(do=steps.do))
    seen: list[Any] = []

    async def read(**options: Any) -> None:
        async for chunk in executor.stream(event, **options):
            seen.append(chunk)  # noqa: PERF401 - those before the error are wanted

    reading = asyncio.create_task(read())
    retelling = asyncio.create_task(all_of(executor, event, on_restart=lambda: seen.append("!")))
    running = asyncio.create_task(forward(executor))
    steps.give("a", "b")
    await asyncio.sleep(1)
    running.cancel()  # interrupted: it goes back to wait
    await asyncio.wait([running])
    assert event.status is EventStatus.PENDING
    await asyncio.sleep(1)
    assert seen == ["a", "b"]
    steps.give("c", None)
    await executor.forward()
    assert isinstance(await caught(reading), RestartedError)
    assert await retelling == ["a", "b", "c"]
    assert seen == ["a", "b", "!"]
    await read()
    assert seen == ["a", "b", "!", "c"]


@pytest.mark.virtual
async def test_a_failure_that_is_tried_again_is_no_end() -> None:
    executor = desk()

    async def do(event: Job) -> AsyncIterator[Any]:
        if event.execution.attempt == 1:
            raise ConnectionError("refused")  # before the first chunk: nobody need know
        yield event.execution.attempt
        await asyncio.sleep(1)  # who fails in the turn of its chunk is not heard of
        if event.execution.attempt < 4:
            raise ConnectionError("reset")

    wiped: list[float] = []
    async with background(executor):
        patient = await executor.append(Tape(do=do), retry=Retry(attempts=4, backoff=1))
        given = await all_of(executor, patient, on_restart=lambda: wiped.append(now()))
        assert given == [2, 3, 4]
        assert len(wiped) == 2
        assert patient.response == [4]
        hasty = await executor.append(Tape(do=do), retry=Retry(attempts=2, backoff=1))
        assert await read_all(executor, hasty) == ([2], ConnectionError)
        other = await executor.append(Tape(do=do), retry=Retry(attempts=3, backoff=1))
        assert await read_all(executor, other) == ([2], RestartedError)
        assert await read_all(executor, other) == ([3], ConnectionError)


@pytest.mark.virtual
async def test_an_attempt_that_gave_nothing_is_not_told_of() -> None:
    executor, steps = desk(), Steps()
    event = await executor.append(Tape(do=steps.do))
    reading = asyncio.create_task(all_of(executor, event))
    for _ in range(2):
        running = asyncio.create_task(forward(executor))
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait([running])
    steps.give("a", None)
    await executor.forward()
    assert steps.began == 3
    assert await reading == ["a"]


@pytest.mark.virtual
async def test_a_slow_reader_is_told_too_when_all_has_ended_meanwhile() -> None:
    executor, steps = desk(), Steps()
    event = await executor.append(Tape(do=steps.do))
    steps.give("a", "b", ValueError("no"))
    running = asyncio.create_task(forward(executor))
    slow = executor.stream(event)
    assert await anext(slow) == "a"
    await running
    await executor.retry(event)
    steps.give(None)
    await executor.forward()
    assert event.response == []
    assert await anext(slow) == "b", "it was at hand"
    with pytest.raises(RestartedError, match="attempt 2"):
        await anext(slow)
    assert await all_of(executor, event) == []


@pytest.mark.virtual
async def test_an_attempt_that_fails_before_its_first_chunk_says_why() -> None:
    executor, steps = desk(), Steps()
    event = await executor.append(Tape(do=steps.do))
    running = asyncio.create_task(forward(executor))
    chunks = executor.stream(event)
    steps.give("a")
    assert await anext(chunks) == "a"
    running.cancel()
    await asyncio.wait([running])
    steps.give(LookupError("gone"))
    await executor.forward()
    with pytest.raises(LookupError, match="gone"):
        await anext(chunks)


@pytest.mark.virtual
@pytest.mark.parametrize("wrong", [5, sleeps(1)])
async def test_on_restart_is_a_plain_function(wrong: Any) -> None:
    executor = desk()
    event = await executor.append(tape())
    assert isinstance(await caught(all_of(executor, event, on_restart=wrong)), TypeError)


# --- readers that leave


@pytest.mark.virtual
@pytest.mark.parametrize("how", ["close", "cancel"])
@pytest.mark.parametrize("too", [False, True])
async def test_a_reader_that_leaves_takes_the_event_along_only_if_asked(
    how: str, too: bool
) -> None:
    executor = desk()
    event = await executor.append(tape(*range(5)))

    async def read() -> None:
        async with aclosing(executor.stream(event, cancel_with_reader=too)) as chunks:
            async for chunk in chunks:
                if how == "close" and chunk == 2:
                    return

    async with background(executor):
        reading = asyncio.create_task(read())
        await asyncio.sleep(2.5)
        if how == "cancel":
            reading.cancel()
        await asyncio.wait([reading])
        assert await read_all(executor, event) == (
            ([0, 1, 2], EventCancelledError) if too else (list(range(5)), None)
        )


@pytest.mark.virtual
async def test_a_reader_told_of_a_restart_does_not_take_the_event_along() -> None:
    executor, steps = desk(), Steps()
    event = await executor.append(Tape(do=steps.do))
    running = asyncio.create_task(forward(executor))
    steps.give("a")
    chunks = executor.stream(event, cancel_with_reader=True)
    assert await anext(chunks) == "a"
    running.cancel()
    await asyncio.wait([running])
    running = asyncio.create_task(forward(executor))
    with pytest.raises(RestartedError):
        await anext(chunks)
    steps.give(None)
    await running
    assert event.status is EventStatus.COMPLETED


@pytest.mark.virtual
async def test_who_leaves_leaves_nothing_behind() -> None:
    executor = desk()
    event = await executor.append(tape("a"))
    reading = asyncio.create_task(all_of(executor, event))
    await asyncio.sleep(0)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    assert isinstance(executor.store, MemoryStore)
    assert not executor.store._listeners.any_hint()
    assert ENTRY not in event.__dict__
    await executor.forward()
    assert await all_of(executor, event) == ["a"]
    assert ENTRY not in event.__dict__


@pytest.mark.virtual
async def test_an_event_that_was_followed_goes_when_nobody_has_it() -> None:
    executor = desk()
    event = await executor.append(tape("a"))
    async with background(executor):
        assert await all_of(executor, event) == ["a"]
        await executor.remove(event)
    gone = ref(event)
    gc.disable()
    try:
        del event
        assert gone() is None, "no reader is left in a circle with it"
    finally:
        gc.enable()


@pytest.mark.virtual
async def test_a_reader_that_is_forgotten_is_closed() -> None:
    executor = desk()
    event = await executor.append(tape(*range(5)))
    async with background(executor):
        async for _ in executor.stream(event, cancel_with_reader=True):
            break
        gc.collect()
        await asyncio.sleep(0.5)
        assert event.status is EventStatus.CANCELLED


# --- histories


class Told:
    """What one reader was given: the chunks of each attempt that it heard of."""

    def __init__(self) -> None:
        self.attempts: list[list[Any]] = [[]]

    async def read(self, executor: Executor, event: Tape, random: Random) -> None:
        await asyncio.sleep(random.choice([0, 0, 1, 7, 20]))
        again: dict[str, Any] = {}
        if random.random() < 0.5:
            again = {"on_restart": lambda: self.attempts.append([])}
        while True:
            try:
                async with aclosing(executor.stream(event, **again)) as chunks:
                    async for chunk in chunks:
                        self.attempts[-1].append(chunk)
                        if random.random() < 0.2:
                            await asyncio.sleep(random.choice([0, 0.5, 3]))
            except RestartedError:
                self.attempts.append([])
            except Exception as error:
                self.ended_with(event, error)
                return
            else:
                self.ended_with(event, None)
                return

    def ended_with(self, event: Tape, error: BaseException | None) -> None:
        assert error is event.execution.error
        assert (error is None) is (event.status is EventStatus.COMPLETED)
        if event.response is not Unset:  # none, if its last attempt failed before a chunk
            assert self.attempts[-1] == event.response
        self.check()

    def check(self) -> None:
        numbers = [attempt[0][0] for attempt in self.attempts if attempt]
        assert numbers == sorted(set(numbers)), "no attempt comes back"
        for attempt in self.attempts:
            assert len({number for number, _ in attempt}) <= 1, "no two are mixed"
            assert [place for _, place in attempt] == list(range(len(attempt))), "none is missing"


def mishap(random: Random) -> Any:
    """A stream whose attempts yield (attempt, place), and end as they like."""

    async def do(event: Job) -> AsyncIterator[Any]:
        for place in range(random.choice([0, 0, 1, 3, 10])):
            yield event.execution.attempt, place
            if random.random() < 0.7:
                await asyncio.sleep(random.choice([0, 0.1, 1]))
        if random.random() < 0.4:
            raise ValueError(event.execution.attempt)

    return do


@pytest.mark.virtual
@pytest.mark.parametrize("seed", range(60))
async def test_whatever_happens_a_reader_hears_each_attempt_whole_and_the_last_to_its_end(
    seed: int,
) -> None:
    random, executor = Random(seed), desk(concurrency_limit=3)
    events = await executor.append_many([Tape(do=mishap(random)) for _ in range(4)])
    reading = [
        asyncio.create_task(Told().read(executor, event, random))
        for event in events
        for _ in range(4)
    ]
    await executor.start()
    for _ in range(random.randrange(4)):  # shutdowns
        running = asyncio.create_task(forward(executor))
        await asyncio.sleep(random.choice([0, 0.1, 1, 2.5]))
        running.cancel()
        await asyncio.wait([running])
        failed = [event for event in events if event.status is EventStatus.FAILED]
        if failed and not reading[events.index(failed[0]) * 4].done():
            await executor.retry(failed[0])
        await asyncio.sleep(random.choice([0, 1]))
    while executor.pending_events:
        await executor.forward()
    await asyncio.gather(*reading)


# --- of any class


@pytest.mark.virtual
async def test_a_class_of_ones_own_with_a_private_attribute_that_sounds_alike() -> None:
    class Own(Event):
        streaming: bool = True
        _chunks: list[int] = PrivateAttr(default_factory=list)

        async def _stream(self) -> AsyncIterator[int]:
            for number in range(3):
                self._chunks.append(number)
                yield number

    class OwnProcessor(JobProcessor):
        event_type: ClassVar[type[Event]] = Own

    class OwnExecutor(Executor):
        processor_type = OwnProcessor

    executor = OwnExecutor()
    event = await executor.append(Own())
    async with background(executor):
        assert await all_of(executor, event) == [0, 1, 2]
