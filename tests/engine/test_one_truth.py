"""Decision 1: status, progression, list and count agree at every turn of the loop."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from engine.kit import (
    Job,
    Waiting,
    agree,
    answers,
    background,
    desk,
    raises,
    sleeps,
    tape,
)

from lionpride.core import EventStatus, Executor, Skip, Transition
from lionpride.testing import VirtualLoop


class WatchedLoop(VirtualLoop):
    """Calls ``watch`` after each of its turns: at every point where anybody could look."""

    def __init__(self) -> None:
        super().__init__()
        self.watch: Callable[[], None] | None = None
        self.watched = 0

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]
        if self.watch is not None:
            self.watched += 1
            self.watch()


def some_job(chance: random.Random) -> Job:
    seconds = chance.choice([0, 0.1, 1, 3])
    return chance.choice(
        [
            lambda: Job(),
            lambda: Job(do=sleeps(seconds)),
            lambda: Job(do=sleeps(seconds), timeout=0.5),
            lambda: Job(do=raises(ValueError("no"))),
            lambda: Job(do=raises(Skip("no"))),
            lambda: Job(do=raises(asyncio.CancelledError())),
            lambda: Job(ask=answers(False)),
            lambda: Job(ask=answers(False, True)),
            lambda: Job(ask=sleeps(seconds), label="yes"),
            lambda: Job(ask=raises(ValueError("no"))),
            lambda: tape("a", "b"),
        ]
    )()


async def meddle(executor: Executor, chance: random.Random) -> None:
    """Do what can be done by hand, to whatever comes up."""
    events: list[Any] = list(executor.states.items)
    event = chance.choice(events)
    match chance.randrange(6):
        case 0:
            await executor.cancel(event)
        case 1 if event.status in (EventStatus.FAILED, EventStatus.ABORTED):
            await executor.retry(event)
        case 2 if event.status is EventStatus.COMPLETED:
            await executor.remove(event)
        case 3:
            await executor.append_many([some_job(chance) for _ in range(3)])
        case 4:
            round_ = asyncio.create_task(executor.forward())
            await asyncio.sleep(chance.random())
            round_.cancel()
            await asyncio.wait([round_])
        case 5:
            await executor.cleanup_events()
            await executor.append(some_job(chance), chance.random())


@pytest.mark.parametrize("waits", [False, True], ids=["memory", "a store that waits"])
@pytest.mark.parametrize("seed", range(8))
def test_they_agree_at_every_turn(seed: int, waits: bool) -> None:
    chance = random.Random(seed)
    store = Waiting(desk().store) if waits else None
    executor = desk(
        asks=True,
        store=store,
        concurrency_limit=4,
        queue_capacity=chance.choice([None, 5]),
        capacity_refresh_time=2.0,
    )
    wrong: list[AssertionError] = []

    def look(step: Transition) -> None:
        try:  # what an observer raises is contained
            agree(executor)
        except AssertionError as error:
            wrong.append(error)

    executor.observe(look)

    async def main(loop: WatchedLoop) -> None:
        loop.watch = lambda: agree(executor)
        await executor.append_many([some_job(chance) for _ in range(10)])
        async with background(executor):
            for _ in range(30):
                await meddle(executor, chance)
                await asyncio.sleep(chance.choice([0, 0.05, 0.5]))
            await asyncio.sleep(1000)
        counts = executor.status_counts()
        assert counts["pending"] == counts["processing"] == 0, "and everything ends"

    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, WatchedLoop)
        runner.run(main(loop))
        loop.watch = None
    assert loop.watched > 100
    assert wrong == []
