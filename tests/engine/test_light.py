"""What lets plain events go by the quick way: light observers, and wrappers of those picked."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from engine.kit import raises
from local_objects import LocalObject

from lionpride.core import Event, EventStatus, Executor, Processor, Transition


class Plain(Event):
    number: int = 0
    do: LocalObject = None

    async def _invoke(self) -> int:
        if self.do is not None:
            await self.do(self)
        return self.number


class Plains(Processor):
    event_type: ClassVar[type[Event]] = Plain


class Desk(Executor):
    processor_type: ClassVar[type[Processor]] = Plains


async def run(executor: Executor, events: list[Plain], *, each: bool = False) -> None:
    async with executor:
        if each:
            for event in events:
                await executor.append(event)
        else:
            await executor.append_many(events)
        await executor.join()


def url(folder: Path, durable: bool) -> str | None:
    return f"sqlite:///{folder}/run.db" if durable else None


def made(count: int) -> list[Plain]:
    return [Plain(number=number) for number in range(count)]


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("durable", [False, True])
async def test_what_goes_the_quick_way_is_counted_and_the_rest_told(
    tmp_path: Path, durable: bool, each: bool
) -> None:
    executor = Desk(store=url(tmp_path, durable))
    told: Counter[tuple[str | None, str | None]] = Counter()
    executor.observe(lambda step: told.update([(step.before, step.after)]), light=True)
    events = [*made(1000), Plain(do=raises(ValueError("no")))]
    await run(executor, events, each=each)
    quick = executor.observers.quick[Plain]
    assert quick or (durable and each), "a commit for each: so few a second are all told"
    assert quick + told["processing", "completed"] == 1000
    assert told["processing", "failed"] == 1
    assert told["pending", "processing"] >= told["processing", "completed"]
    assert not told[None, "pending"]
    assert executor.status_counts()[EventStatus.COMPLETED] == 1000


async def test_whoever_wants_each_step_is_told_each_beside_a_light_one() -> None:
    executor, light, full = Desk(), list[Transition](), list[Transition]()
    executor.observe(light.append, light=True)
    stop = executor.observe(full.append)
    await run(executor, made(500))
    assert len(full) == len(light) == 1500
    assert executor.observers.quick == Counter()
    stop()
    await run(executor, made(500))
    assert len(full) == 1500
    assert len(light) < 3000


@pytest.mark.parametrize("durable", [False, True])
async def test_the_last_one_who_is_told_each_step_may_leave_between_a_claim_and_its_start(
    tmp_path: Path, durable: bool
) -> None:
    executor = Desk({"concurrency_limit": 3}, store=url(tmp_path, durable))
    told: list[Transition] = []

    def note(step: Transition) -> None:
        told.append(step)
        if step.after == "processing":
            stop()

    stop = executor.observe(note)
    events = made(9)
    await run(executor, events)
    assert [event.response for event in events] == list(range(9))
    assert [step.after for step in told] == ["pending"] * 9 + ["processing"]


class Marks:
    """Picks every tenth, and notes what it is put around."""

    def __init__(self) -> None:
        self.appended: list[int] = []
        self.attempted: list[int] = []

    def picks(self, event: Plain, starting: bool) -> bool:
        return event.number % 10 == 0

    @contextmanager
    def append(self, event: Plain) -> Iterator[None]:
        event.metadata["seen"] = True
        yield
        self.appended.append(event.number)

    @contextmanager
    def attempt(self, start: Transition) -> Iterator[None]:
        event: Any = start.event
        yield
        self.attempted.append(event.number)


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("durable", [False, True])
async def test_what_is_picked_is_wrapped_and_nothing_else(
    tmp_path: Path, durable: bool, each: bool
) -> None:
    executor = Desk(store=url(tmp_path, durable))
    marks, events = Marks(), made(200)
    executor.observe_appends(marks.append, picks=marks.picks)
    executor.observe_attempts(marks.attempt, picks=marks.picks)
    await run(executor, events, each=each)
    tens = list(range(0, 200, 10))
    assert sorted(marks.appended) == sorted(marks.attempted) == tens
    assert [event.number for event in events if event.metadata] == tens
    assert [event.response for event in events] == list(range(200))


async def test_what_another_process_appended_is_picked_as_it_starts(tmp_path: Path) -> None:
    url, marks = f"sqlite:///{tmp_path}/run.db", Marks()
    producer = Desk(store=url)
    await producer.append_many(made(100))
    await producer.store.close()
    executor = Desk(store=url)
    executor.observe_attempts(marks.attempt, picks=marks.picks)
    async with executor:
        await executor.join()
    assert sorted(marks.attempted) == list(range(0, 100, 10))


def bad(event: Plain, starting: bool) -> bool:
    raise ValueError("from the observer")


@pytest.mark.parametrize("each", [False, True])
async def test_who_picks_and_raises_picks_nothing_and_harms_nobody(each: bool) -> None:
    executor, marks = Desk(), Marks()
    executor.observe_appends(marks.append, picks=bad)
    executor.observe_attempts(marks.attempt, picks=bad)
    events = made(50)
    await run(executor, events, each=each)
    assert [event.response for event in events] == list(range(50))
    assert not marks.appended
    assert not marks.attempted
    assert executor.observers.failures >= 50


async def test_around_an_append_comes_what_it_raises() -> None:
    executor, left = Desk(), list[BaseException | None]()

    @contextmanager
    def wrapper(event: Plain) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            left.append(error)
            raise
        left.append(None)

    executor.observe_appends(wrapper)
    (event,) = made(1)
    await executor.append(event)
    with pytest.raises(Exception, match="append") as raised:
        await executor.append(event)
    assert left == [None, raised.value]
    assert executor.observers.failures == 0
