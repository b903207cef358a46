"""The workers behind a run: tasks that outlive their events, which users never see."""

import asyncio
import contextlib
import gc
import weakref
from contextvars import ContextVar
from typing import Any

import pytest
from engine.kit import (
    Hold,
    Job,
    agree,
    background,
    desk,
    execute,
    forward,
    has_all_slots,
    labels,
    raises,
    sleeps,
    statuses,
    worker,
)

from lionpride.testing import run_virtual

pytestmark = pytest.mark.virtual

THING: ContextVar[object] = ContextVar("THING")
NAME: ContextVar[str] = ContextVar("NAME", default="nobody")


def own_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


@pytest.mark.parametrize("asks", [False, True])
async def test_there_are_no_more_tasks_than_slots(asks: bool) -> None:
    executor = desk(asks=asks, concurrency_limit=5)
    before = len(asyncio.all_tasks())
    tasks: set[asyncio.Task[Any]] = set()

    async def note(event: Job) -> None:
        tasks.add(own_task())
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) <= before + 1 + 5 + 1, "who looks may be one more"

    async with background(executor):
        await executor.append_many([Job(do=note) for _ in range(100)])
        await executor.join()
    assert len(tasks) <= 6, "they are used again"


@pytest.mark.parametrize("mode", [forward, execute])
async def test_no_task_is_left_when_the_run_has_ended(mode: Any) -> None:
    executor = desk(concurrency_limit=20)
    before = asyncio.all_tasks()
    await executor.append_many([Job(do=sleeps(1)) for _ in range(50)])
    await mode(executor)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("ending", [None, ValueError("no"), asyncio.CancelledError()])
async def test_each_event_has_a_context_of_its_own(ending: BaseException | None) -> None:
    executor = desk(concurrency_limit=1)
    seen: list[str] = []

    async def look_and_set(event: Job) -> None:
        seen.append(NAME.get())
        NAME.set(event.label)
        await asyncio.sleep(1)
        assert NAME.get() == event.label
        if ending is not None:
            raise ending

    await executor.append_many([Job(label=str(n), do=look_and_set) for n in range(5)])
    await executor.forward()
    assert seen == ["nobody"] * 5


async def test_a_context_set_by_a_question_is_not_the_next_ones() -> None:
    executor = desk(asks=True, concurrency_limit=1)
    seen: list[str] = []

    def leaves(answer: bool) -> Any:
        async def ask(event: Job) -> bool:
            seen.append(NAME.get())
            NAME.set(event.label)
            return answer

        return ask

    async def look(event: Job) -> str:
        return NAME.get()

    asks = [leaves(False), leaves(True), leaves(True)]
    jobs = [Job(label=str(n), ask=ask, do=look) for n, ask in enumerate(asks)]
    async with background(executor):
        await executor.append_many(jobs)
        await asyncio.sleep(0.5)
        assert seen == ["nobody"] * 3
        await executor.cancel(jobs[0])
    assert "0" not in [job.response for job in jobs[1:]]


async def test_a_task_may_be_named_by_an_event_and_it_harms_nobody() -> None:
    executor = desk(concurrency_limit=1)

    async def rename(event: Job) -> None:
        own_task().set_name(event.label)
        own_task().add_done_callback(lambda _: None)

    jobs = await executor.append_many([Job(label=str(n), do=rename) for n in range(3)])
    await executor.forward()
    assert statuses(jobs) == ["completed"] * 3


# --- user code that keeps its task


@pytest.mark.parametrize("when", ["resting", "claimed by another"])
async def test_a_task_that_user_code_kept_and_cancels_later(when: str) -> None:
    """With a task for each event this would be harmless: it must not end the crew."""
    executor = desk(concurrency_limit=5)
    kept: list[asyncio.Task[Any]] = []

    async def keep(event: Job) -> None:
        kept.append(own_task())

    async with background(executor):
        await executor.append_many([Job(do=keep) for _ in range(5)])
        await executor.join()
        await asyncio.sleep(1)
        if when == "claimed by another":
            jobs = await executor.append_many([Job() for _ in range(5)])
        for task in kept:
            task.cancel()
        if when == "resting":
            await asyncio.sleep(1)
            jobs = await executor.append_many([Job() for _ in range(5)])
        await executor.join()
        assert set(statuses(jobs)) <= {"completed", "cancelled"}
        agree(executor)
    await has_all_slots(executor, execute)


@pytest.mark.parametrize("asks", [False, True])
async def test_a_worker_that_is_called_and_cancelled_at_once_is_replaced(asks: bool) -> None:
    executor = desk(asks=asks, concurrency_limit=5)
    kept: list[asyncio.Task[Any]] = []
    hold = Hold()

    async def keep(event: Job) -> None:
        kept.append(own_task())
        await asyncio.sleep(1)

    async def cancel_the_others(event: Job) -> None:
        for task in kept:
            if task is not own_task():
                task.cancel()
        await hold(event)

    async with background(executor):
        await executor.append_many([Job(do=keep) for _ in range(5)])
        await executor.join()
        waiting, other = await executor.append_many([Job(do=cancel_the_others), Job()])
        await hold.has(1)
        await asyncio.sleep(1)
        assert statuses([waiting, other]) == ["processing", "completed"]
        hold.let_go()
        await executor.join()


async def test_what_ran_is_let_go_of_when_the_run_has_ended() -> None:
    """A call that has ended is held by nobody: not by the store that it waited for, either."""

    class Thing:
        pass

    executor = desk()
    left: list[weakref.ref[Thing]] = []

    async def run_once() -> None:
        thing = Thing()
        left.append(weakref.ref(thing))
        THING.set(thing)
        async with background(executor):
            await executor.append(Job())
            await executor.join()
            await asyncio.sleep(1)

    for _ in range(3):
        await asyncio.create_task(run_once())
    await asyncio.sleep(1)  # until the loop itself has let go of its last turn
    gc.collect()
    assert [ref() for ref in left] == [None] * 3


@pytest.mark.parametrize("calls", [1, 2, 5])
async def test_cancelling_and_going_on_leaves_no_mark(calls: int) -> None:
    """Code that cancels its own task, awaits, swallows it and goes on: asyncio counts these."""
    executor = desk(concurrency_limit=1)

    async def cancels(event: Job) -> str:
        for _ in range(calls):
            own_task().cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1)
        return "went on"

    async def uses_timeout(event: Job) -> str:
        assert own_task().cancelling() == 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.sleep(5)
        return "in time"

    first, second = await executor.append_many([Job(do=cancels), Job(do=uses_timeout)])
    await executor.forward()
    assert (first.response, second.response) == ("went on", "in time")


async def test_many_runs_end_and_begin_while_events_come_and_go() -> None:
    """No sequence of rests, calls and ends loses the one who looks."""
    executor = desk(concurrency_limit=3)
    hold = Hold()
    async with background(executor):
        for turn in range(30):
            jobs = [
                Job(do=sleeps(0.3)),
                Job(do=raises(asyncio.CancelledError())),
                Job(do=sleeps(5), timeout=0.2),
                Job(),
            ]
            await executor.append_many(jobs[: turn % 4 + 1])
            await asyncio.sleep(0.1 * (turn % 7))
        await executor.join()
        last = await executor.append(Job(do=hold))
        await hold.has(1)
        hold.let_go()
        await executor.result(last)
    counts = executor.status_counts()
    assert counts["pending"] == counts["processing"] == counts["failed"] == 0
    agree(executor)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("asks", [False, True])
def test_a_loop_that_is_shut_down_while_a_run_begins(turns: int, asks: bool) -> None:
    executor = desk(asks=asks)

    async def main() -> None:
        await executor.append_many([Job(do=sleeps(1)) for _ in range(3)])
        await executor.start()
        main.run = asyncio.create_task(worker(executor).execute())  # type: ignore[attr-defined]
        for _ in range(turns):
            await asyncio.sleep(0)

    run_virtual(main())  # cancels what is left, and would wait for ever for a run that stays
    assert len(executor.pending_events) == 3
    run_virtual(executor.forward())
    assert len(executor.completed_events) == 3


async def test_a_worker_that_is_cancelled_before_it_begins_is_replaced() -> None:
    executor = desk()
    jobs = await executor.append_many([Job(), Job()])
    before = asyncio.all_tasks()
    run = asyncio.create_task(executor.forward())
    while not (hired := asyncio.all_tasks() - before - {run}):
        await asyncio.sleep(0)
    hired.pop().cancel()
    await run
    assert statuses(jobs) == ["completed", "completed"]


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="new in Python 3.12")
@pytest.mark.parametrize("asks", [False, True])
async def test_eager_tasks_change_nothing(asks: bool) -> None:
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009
    hold = Hold()
    executor = desk(asks=asks, concurrency_limit=2000)
    jobs = await executor.append_many([Job(label=str(n), do=hold) for n in range(1500)])
    async with background(executor):
        await hold.has(1500)
        assert hold.order == labels(jobs)
        hold.let_go()
        await executor.join()
    assert set(statuses(jobs)) == {"completed"}
    assert await Job(label="at once").invoke() == "at once"
    assert await Job(label="later", do=sleeps(1)).invoke() == "later"


async def test_the_watch_is_woken_before_another_worker_runs_what_the_sleeper_was_woken_for() -> (
    None
):
    executor, said = desk(), list[str]()
    owners: dict[str, asyncio.Task[Any]] = {}

    async def note(event: Job) -> None:
        owners[event.label] = own_task()
        said.append(event.label)

    def come() -> None:
        """One worker sleeps, another one is about to look once more."""
        (crew,) = worker(executor)._dispatchers
        assert crew.when_woken(lambda: said.append("up"))
        with pytest.raises(StopIteration):
            executor.append(Job(label="late", do=note)).send(None)

    async def slow(event: Job) -> None:
        await asyncio.sleep(1)
        await note(event)
        asyncio.get_running_loop().call_soon(come)

    async with background(executor):
        await executor.append_many([Job(label="quick", do=note), Job(label="slow", do=slow)])
        await asyncio.sleep(2)
        await executor.join()
    assert said == ["quick", "slow", "up", "late"]
    assert owners["late"] is owners["slow"] is not owners["quick"], "not who was woken"


async def test_the_watch_rests_while_the_next_event_is_not_due_and_is_woken_before_it_runs() -> (
    None
):
    executor, said = desk(), list[str]()

    async def note(event: Job) -> None:
        said.append(event.label)

    async with background(executor):
        await executor.append(Job(label="late", do=note), delay=3600)
        await asyncio.sleep(1)
        (crew,) = worker(executor)._dispatchers
        assert crew.when_woken(lambda: said.append("up"))
        await asyncio.sleep(3500)
        assert said == []
        await executor.join()
    assert said == ["up", "late"]
