"""A sample of the events: each with the same probability, and those that have to be."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from cProfile import Profile
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from engine.test_light import Desk, Plain, made, run

from lionpride.core import Executor, Transition
from lionpride.engine.sampling import Sample

WANTED: ContextVar[bool] = ContextVar("wanted", default=False)


def sample(part: float, **other: Any) -> Sample:
    return Sample(
        part,
        **{"maybe": partial(WANTED.get, False), "must": WANTED.get, "knows": lambda _: False}
        | other,
    )


class Noted:
    """The numbers of the events that it was put around."""

    def __init__(self, executor: Executor, picks: Sample) -> None:
        self.appended: list[int] = []
        self.attempted: list[int] = []
        executor.observe_appends(self.append, picks=picks)
        executor.observe_attempts(self.attempt, picks=picks)

    @contextmanager
    def append(self, event: Plain) -> Iterator[None]:
        yield
        self.appended.append(event.number)

    @contextmanager
    def attempt(self, start: Transition) -> Iterator[None]:
        event: Any = start.event
        yield
        self.attempted.append(event.number)


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.9, 1.0])
async def test_each_is_picked_with_the_same_probability(part: float, each: bool) -> None:
    executor, n = Desk(), 4000
    noted = Noted(executor, sample(part))
    await run(executor, made(n), each=each)
    picked = sorted(noted.appended)
    assert sorted(noted.attempted) == picked, "what is picked as it is appended, is as it starts"
    assert executor.status_counts()["completed"] == n
    deviation = math.sqrt(n * part * (1 - part))
    assert abs(len(picked) - n * part) <= 6 * deviation
    after = sum(second == first + 1 for first, second in pairwise(picked))
    expected = len(picked) * part  # each is picked, whether the one before it was or not
    assert abs(after - expected) <= 6 * math.sqrt(expected * (1 - part)) + 8


def one_by_one(picks: Sample, n: int) -> list[int]:
    return [number for number in range(n) if picks(None, False)]


@pytest.mark.parametrize("draw", [one_by_one, Sample.among])
def test_one_by_one_or_many_at_once_it_is_the_same(draw: Callable[[Sample, int], Any]) -> None:
    picks = sample(0.25)
    picked = [len(draw(picks, size)) for size in (1, 7, 992) for _ in range(20)]
    assert abs(sum(picked) - 5000) <= 6 * math.sqrt(20_000 * 0.25 * 0.75)


@pytest.mark.parametrize("each", [False, True])
async def test_what_has_to_be_is_picked_whatever_was_drawn(each: bool) -> None:
    executor, events = Desk(), made(30)
    noted = Noted(executor, sample(0.0))
    async with executor:
        for lot in (events[:10], events[10:20], events[20:]):
            WANTED.set(lot[0].number == 10)
            if each:
                for event in lot:
                    await executor.append(event)
            else:
                await executor.append_many(lot)
        await executor.join()
    assert sorted(noted.appended) == sorted(noted.attempted) == list(range(10, 20))


async def test_who_asks_for_the_id_before_the_append_has_it_taken_in_all_the_same() -> None:
    executor, ids = Desk(), []

    @contextmanager
    def early(event: Plain) -> Iterator[None]:
        ids.append(event.id)
        yield

    executor.observe_appends(early, picks=sample(1.0))
    events = made(3)
    await run(executor, events, each=True)
    assert ids == [event.id for event in events]
    assert [event.response for event in events] == [0, 1, 2]


async def calls(executor: Executor, n: int) -> float:
    """Return the number of calls of Python functions for each event."""
    events, profile = made(n), Profile(builtins=False)
    async with executor:
        with profile:
            for event in events:
                await executor.append(event)
            await executor.join()
    return sum(entry.callcount for entry in profile.getstats()) / n


async def test_an_event_that_is_not_selected_costs_two_calls() -> None:
    plain, sampled = Desk(), Desk()
    Noted(sampled, sample(0.0))
    # The least of three: on a busy machine a worker gives way to other tasks more often.
    fewest = min([await calls(plain, 2000) for _ in range(3)])
    assert min([await calls(sampled, 2000) for _ in range(3)]) <= fewest + 2.1
