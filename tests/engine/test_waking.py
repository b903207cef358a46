"""An idle crew is woken: what happens between an append and the claim that it wakes somebody for.

In each way that an event may go: the short one, where an idle worker sleeps within its series, and
the long one of an event that has a timeout or a ``request`` of its own.
"""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from engine.kit import Hold, Job, agree, background, desk, labels, sleeps, statuses

from lionpride.core import Event, EventStatus, Executor

PENDING = EventStatus.PENDING

pytestmark = pytest.mark.virtual


class Plain(Job):
    request = Event.request


class Heir(Plain):
    """It inherits its code."""


class Timed(Plain):
    timeout: float | None = 60.0


WAYS = [Plain, Heir, Timed, Job]


@asynccontextmanager
async def idle(kind: type[Job], **config: Any) -> AsyncIterator[Executor]:
    """An executor that has run events of a class, and has nothing to do now."""
    executor = desk(**config)
    async with background(executor):
        for _ in range(3):
            await executor.append(kind(label="before"))
            await asyncio.sleep(1)
        yield executor
    agree(executor)


@pytest.mark.parametrize("kind", WAYS)
async def test_the_more_urgent_of_one_turn_goes_first(kind: type[Job]) -> None:
    ran = list[str]()

    async def note(event: Job) -> None:
        ran.append(event.label)

    async with idle(kind, concurrency_limit=1) as executor:
        for priority in (3.0, 2.0, 1.0, 2.5):
            await executor.append(kind(label=str(priority), do=note), priority)
        assert ran == []
        await executor.join()
    assert ran == ["1.0", "2.0", "2.5", "3.0"]


@pytest.mark.parametrize("kind", WAYS)
async def test_several_of_one_turn_wake_several_workers(kind: type[Job]) -> None:
    hold = Hold()
    async with idle(kind, concurrency_limit=5) as executor:
        for _ in range(4):
            await executor.append(kind(do=hold))
        await hold.has(4)
        await executor.append(kind(do=hold))  # nobody slept, and nobody looked
        await hold.has(5)
        hold.let_go()
        await executor.join()
        assert len(executor.completed_events) == 8


@pytest.mark.parametrize("kind", WAYS)
async def test_what_is_cancelled_before_the_claim_never_starts(kind: type[Job]) -> None:
    async with idle(kind) as executor:
        gone = await executor.append(kind(label="gone"), 1.0)
        await executor.append(kind(label="next"), 2.0)
        await executor.cancel(gone)
        await executor.join()
        alone = await executor.append(kind(label="alone"))
        await executor.cancel(alone)
        await asyncio.sleep(1)
        await executor.append(kind(label="last"))
        await executor.join()
        assert labels(executor.completed_events)[3:] == ["next", "last"]
        assert statuses([gone, alone]) == ["cancelled", "cancelled"]


@pytest.mark.parametrize("kind", WAYS)
async def test_a_pause_before_the_claim_holds(kind: type[Job]) -> None:
    async with idle(kind) as executor:
        jobs = [await executor.append(kind())]
        await executor.pause()
        await asyncio.sleep(1)
        jobs.append(await executor.append(kind()))
        await asyncio.sleep(1)
        assert statuses(jobs) == ["pending", "pending"]
        await executor.resume()
        await executor.join()
        assert statuses(jobs) == ["completed", "completed"]
        await executor.append(kind())
        await executor.join()


@pytest.mark.parametrize("kind", WAYS)
async def test_a_stop_before_the_claim_holds(kind: type[Job]) -> None:
    async with idle(kind) as executor:
        job = await executor.append(kind())
        await executor.stop()
        await asyncio.sleep(1)
        assert job.status is PENDING
    assert job.status is PENDING


@pytest.mark.parametrize("kind", WAYS)
async def test_an_idle_crew_keeps_no_event(kind: type[Job]) -> None:
    async with idle(kind) as executor:
        jobs = list(executor.completed_events)
        kept = [weakref.ref(job) for job in jobs]
        while jobs:
            await executor.remove(jobs.pop())
        gc.collect()
        assert [job() for job in kept] == [None] * 3


async def test_one_that_sleeps_and_is_cancelled_by_others_code_is_replaced() -> None:
    tasks = list[asyncio.Task[Any]]()

    async def show(event: Job) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)

    async with idle(Plain, concurrency_limit=1) as executor:
        await executor.append(Plain(do=show))
        await executor.join()
        await asyncio.sleep(1)
        for at_once in (True, False):
            tasks[-1].cancel()
            if not at_once:
                await asyncio.sleep(1)
            await executor.append(Plain(do=show))
            await executor.join()
            await asyncio.sleep(1)
        assert len(set(tasks)) == len(tasks) == 3


async def test_other_code_in_the_class_is_run_by_the_next_that_comes() -> None:
    async def other(event: Job) -> str:
        return "other"

    async def run(executor: Executor, kind: type[Job]) -> Any:
        return await executor.result(await executor.append(kind(label="own")))

    class Base(Plain):
        async def _invoke(self) -> str:
            return "base"

    class Child(Base):
        """It inherits its code."""

    for kind in (Base, Child):
        async with idle(kind) as executor:
            assert await run(executor, kind) == "base"
            was = Base._invoke
            for home in (Base, Child):
                home._invoke = other  # type: ignore[method-assign]
                assert await run(executor, kind) == ("other" if issubclass(kind, home) else "base")
                if home is Base:
                    Base._invoke = was  # type: ignore[method-assign]
                else:
                    del Child._invoke
                assert await run(executor, kind) == "base"


async def test_code_put_in_the_class_may_be_plain_and_async_again() -> None:
    def plain(event: Job) -> str:
        return "from a thread" if threading.current_thread() is not main else "blocks the loop"

    main = threading.current_thread()
    async with idle(Plain) as executor:
        for _ in range(2):
            assert await executor.result(await executor.append(Plain(label="own"))) == "own"
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(Plain, "_invoke", plain)
                for _ in range(2):
                    job = await executor.append(Plain())
                    assert await executor.result(job) == "from a thread"


async def test_how_long_the_crew_was_idle_is_no_part_of_how_long_an_event_took() -> None:
    async with idle(Plain) as executor:
        for _ in range(2):
            await asyncio.sleep(100)
            job = await executor.append(Plain(do=sleeps(3)))
            await executor.join()
            assert job.execution.duration == 3
