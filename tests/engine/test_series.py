"""The short way: plain events that one worker runs one after another in one slot and one frame.

Nothing may be told of it from outside. So the events here have no ``request`` of their own, no
timeout, and nobody observes them: else they would go the long way.
"""

import asyncio
import gc
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from engine.kit import Hold, Job, agree, background, desk, execute, has_all_slots, labels, worker
from engine.misdeeds import AT_ONCE, IN_TIME, INVOKE, MARK, Invoking, Misdeed, Scene

from lionpride.core import Event, EventStatus, Transition
from lionpride.engine.attempt import SLICE

COMPLETED = EventStatus.COMPLETED
NAME: ContextVar[str] = ContextVar("NAME", default="nobody")

pytestmark = pytest.mark.virtual


class Plain(Job):
    """One whose ``request`` is the usual one."""

    request = Event.request


class PlainInvoking(Invoking):
    request = Event.request


class Twice(Plain):
    """Another class."""

    async def _invoke(self) -> str:
        return self.label * 2


class Static(Plain):
    @staticmethod
    async def _invoke() -> str:
        return "static"


class OfClass(Plain):
    @classmethod
    async def _invoke(cls) -> str:
        return cls.__name__


def table() -> Iterator[Any]:
    for misdeed in (*AT_ONCE, *IN_TIME):
        if INVOKE in misdeed.places:
            for late in (False,) if misdeed in IN_TIME else (False, True):
                yield pytest.param(misdeed, late, id=misdeed.name + " later" * late)


async def mark(event: Job) -> str:
    return MARK.get()


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize(("misdeed", "late"), [*table()])
async def test_misbehaving_in_the_midst_of_others(misdeed: Misdeed, late: bool, slots: int) -> None:
    executor = desk(concurrency_limit=slots)
    scene = Scene(misdeed, late)
    bad = PlainInvoking(scene=scene, timeout=misdeed.timeout)
    others = [Plain(do=mark) for _ in range(9)]
    await executor.append_many([*others[:5], bad, *others[5:]], map(float, range(10)))
    try:
        error = await execute(executor)
        assert bad.status in misdeed.statuses(INVOKE)
        assert error is (bad.execution.error if misdeed.fatal else None)
        agree(executor)
        assert await execute(executor) is None
        assert [event.response for event in others] == ["clean"] * 9
        await has_all_slots(executor, execute)
    finally:
        scene.release.set()
    await has_all_slots(executor, execute)
    agree(executor)


async def test_classes_take_turns_and_each_runs_its_own_code() -> None:
    kinds = [Plain, Twice, Static, OfClass] * 3
    jobs = [kind(label=str(n)) for n, kind in enumerate(kinds)]
    executor = desk(concurrency_limit=1)
    await executor.append_many(jobs, map(float, range(12)))
    assert await execute(executor) is None
    expected = [["0", "11", "static", "OfClass"], ["4", "55", "static", "OfClass"]]
    assert [job.response for job in jobs[:8]] == expected[0] + expected[1]
    assert labels(executor.completed_events) == [str(n) for n in range(12)]


async def test_an_event_may_have_code_of_its_own() -> None:
    async def own() -> str:
        return "own"

    jobs = [Plain(label=str(n)) for n in range(5)]
    vars(jobs[3])["_invoke"] = own
    executor = desk(concurrency_limit=1)
    await executor.append_many(jobs, map(float, range(5)))
    assert await execute(executor) is None
    assert [job.response for job in jobs] == ["0", "1", "2", "own", "4"]


async def test_code_put_in_the_class_is_run_from_the_next_turn_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def other(event: Plain) -> str:
        return "other"

    async def put(event: Job) -> None:
        monkeypatch.setattr(Plain, "_invoke", other)
        await asyncio.sleep(1)

    jobs = [Plain(label="a"), Plain(label="b", do=put), Plain(label="c")]
    executor = desk(concurrency_limit=1)
    async with background(executor):
        await executor.append_many(jobs, [0, 1, 2])
        await executor.join()
    assert [job.response for job in jobs] == ["a", None, "other"]


async def test_what_an_event_does_to_its_executor_holds_for_the_next() -> None:
    """It stops it; it has it observed; it appends what goes first; it cancels the next one."""
    executor = desk(concurrency_limit=1)
    seen: list[tuple[str, str]] = []

    def note(step: Transition) -> None:
        seen.append((getattr(step.event, "label", ""), step.after or "gone"))

    async def observe(event: Job) -> None:
        executor.observe(note)

    async def hasten(event: Job) -> None:
        await executor.append(Plain(label="urgent"), 0.0)

    async def cancel(event: Job) -> None:
        await executor.cancel(victim)

    async def stop(event: Job) -> None:
        await executor.stop()

    victim = Plain(label="victim")
    jobs = [Plain(label="a"), Plain(label="b", do=hasten), Plain(label="c", do=cancel), victim]
    jobs += [Plain(label="d", do=observe), Plain(label="e"), Plain(label="f", do=stop)]
    jobs += [Plain(label="left")]
    await executor.append_many(jobs, map(float, range(1, 9)))
    await executor.start()
    await worker(executor).execute()
    assert labels(executor.completed_events) == ["a", "b", "urgent", "c", "d", "e", "f"]
    assert labels(executor.cancelled_events) == ["victim"]
    assert labels(executor.pending_events) == ["left"]
    agree(executor)
    assert seen[0] == ("d", "completed"), "its end is told to who was added while it ran"
    assert seen[1:3] == [("e", "processing"), ("e", "completed")]


async def test_a_round_that_waits_for_a_slot_gets_it_before_the_queue_is_empty() -> None:
    executor = desk(concurrency_limit=1)
    tasks: list[str] = []
    hold = Hold()

    async def note(event: Job) -> None:
        tasks.append(asyncio.current_task().get_name())  # type: ignore[union-attr]

    async def note_and_hold(event: Job) -> None:
        await note(event)
        await hold(event)

    async with background(executor):
        await executor.append(Plain(do=note_and_hold), 0.0)
        await executor.append_many([Plain(do=note) for _ in range(6)], map(float, range(1, 7)))
        await hold.has(1)
        round_ = asyncio.create_task(executor.forward())
        await asyncio.sleep(1)
        hold.let_go()
        await round_
        await executor.join()
    assert len(set(tasks)) > 1, "the round has run some of the events"
    agree(executor)


async def test_events_that_never_wait_give_others_a_turn() -> None:
    executor = desk(concurrency_limit=2)
    turns = 0

    async def busy(event: Job) -> None:
        began = time.monotonic()
        while time.monotonic() - began < SLICE / 4:
            pass

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await executor.append_many([Plain(do=busy) for _ in range(40)])
    await execute(executor)
    counting.cancel()
    assert len(executor.completed_events) == 40
    assert turns >= 3


async def test_a_task_factory_with_contexts_of_its_own_lets_no_variable_through() -> None:
    """One that does not make a task in the context that it is given."""

    def factory(loop: Any, work: Any, context: Any = None, **how: Any) -> asyncio.Task[Any]:
        return asyncio.Task(work, loop=loop, **how)

    seen: list[str] = []

    async def look_and_set(event: Job) -> None:
        seen.append(NAME.get())
        NAME.set(event.label)

    asyncio.get_running_loop().set_task_factory(factory)
    executor = desk(concurrency_limit=2)
    await executor.append_many([Plain(label=str(n), do=look_and_set) for n in range(6)])
    await execute(executor)
    assert seen == ["nobody"] * 6


async def test_how_long_each_took() -> None:
    async def doze(event: Job) -> None:
        await asyncio.sleep(int(event.label))

    jobs = [Plain(label=str(n), do=doze) for n in (0, 3, 0, 2, 1, 0)]
    executor = desk(concurrency_limit=1)
    await executor.append_many(jobs, map(float, range(6)))
    await execute(executor)
    assert [job.execution.duration for job in jobs] == [0.0, 3.0, 0.0, 2.0, 1.0, 0.0]


async def test_a_loop_that_is_closed_in_the_midst_leaves_slots_and_events() -> None:
    """The worker's coroutine is closed, and its event goes back; what comes next has all slots."""
    executor = desk(concurrency_limit=2, blocked_after=None)  # or a thread keeps what is left
    last = asyncio.Event()

    async def hang(event: Job) -> None:
        await asyncio.Event().wait()

    async def tell(event: Job) -> None:
        last.set()

    jobs = [Plain(label=str(n), do=do) for n, do in enumerate((None, hang, None, tell))]
    await executor.append_many(jobs, map(float, range(4)))
    await executor.start()

    def run_and_close() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(worker(executor).execute())
        loop.run_until_complete(last.wait())
        assert not task.done()
        loop.close()

    await asyncio.to_thread(run_and_close)
    assert labels(executor.completed_events) == ["0", "2", "3"]
    vars(jobs[1])["do"] = None
    assert await execute(executor) is None
    assert jobs[1].status is COMPLETED
    assert jobs[1].execution.interruptions == 1
    await has_all_slots(executor, execute)
    gc.collect()  # asyncio complains of the tasks: here, and not in another test
