"""stop() is never lost and prompt; start() lets it go on (decision 4)."""

import asyncio
import gc

import pytest
from engine.kit import (
    Hold,
    Job,
    agree,
    answers,
    background,
    desk,
    execute,
    forward,
    jobs,
    labels,
    now,
    sleeps,
    starts,
    statuses,
    worker,
)

from lionpride.core import EventStatus, Executor
from lionpride.errors import OperationError
from lionpride.testing import run_virtual

PENDING = EventStatus.PENDING

pytestmark = pytest.mark.virtual


async def begun(executor: Executor, *, turns: int) -> asyncio.Task[None]:
    """``execute()`` in a task that has had so many turns of the loop."""
    await executor.start()
    task = asyncio.create_task(worker(executor).execute())
    for _ in range(turns):
        await asyncio.sleep(0)
    return task


# --- never lost


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("backlog", [0, 3])
async def test_stop_before_the_task_is_made(backlog: int, asks: bool) -> None:
    executor = desk(asks=asks)
    await executor.append_many(jobs("abc"[:backlog]))
    await executor.start()
    await executor.stop()
    began = now()
    await asyncio.create_task(worker(executor).execute())
    assert now() == began
    assert len(executor.pending_events) == backlog


@pytest.mark.promise("notebook-execute")
@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("backlog", [0, 3])
@pytest.mark.parametrize("turns", range(8))
async def test_stop_at_any_turn_after_the_task_is_made(
    turns: int, backlog: int, asks: bool
) -> None:
    executor = desk(asks=asks, concurrency_limit=1)
    waiting = await executor.append_many(jobs("abc"[:backlog], do=sleeps(5)))
    task = await begun(executor, turns=turns)
    began = now()
    await executor.stop()
    assert now() == began, "it returns at once"
    await task
    assert now() - began <= 5, "one runs at most, and ends"
    assert worker(executor).is_stopped()
    assert statuses(waiting).count("pending") >= backlog - 1
    assert "processing" not in statuses(waiting)
    agree(executor)
    late = await executor.append(Job())
    await asyncio.sleep(100)
    assert late.status is PENDING, "nothing runs any more"
    assert await execute(executor) is None
    assert set(statuses([*waiting, late])) == {"completed"}


async def test_execute_before_start_says_what_to_do() -> None:
    executor = desk()
    job = await executor.append(Job())
    with pytest.raises(OperationError, match=r"was not started.*await executor\.start\(\)"):
        await executor.execute()
    assert (executor.processor, job.status) == (None, PENDING), "nothing has changed"
    await executor.start()
    task = asyncio.create_task(executor.execute())
    await executor.join()
    assert job.status is EventStatus.COMPLETED
    await executor.stop()
    await task


async def test_a_stop_that_start_takes_back_was_none() -> None:
    executor = desk()
    task = await begun(executor, turns=0)
    await executor.stop()
    await executor.start()
    job = await executor.append(Job())
    await asyncio.sleep(1)
    assert job.status is EventStatus.COMPLETED
    assert not task.done()
    await executor.stop()
    await task


# --- prompt, whatever it waits for


async def test_stop_while_it_is_idle() -> None:
    executor = desk()
    task = await begun(executor, turns=9)
    began = now()
    await executor.stop()
    await task
    assert now() == began


async def test_stop_while_a_permission_hangs() -> None:
    executor = desk(asks=True)
    gate = Hold()
    await executor.append_many(jobs("ab", ask=gate))
    task = await begun(executor, turns=0)
    await gate.has(1)
    began = now()
    await executor.stop()
    await task
    assert now() == began, "it is not waited for"
    assert labels(executor.pending_events) == ["a", "b"]
    agree(executor)


async def test_stop_while_it_waits_for_the_window() -> None:
    executor = desk(queue_capacity=1, capacity_refresh_time=1000.0)
    await executor.append_many(jobs("ab"))
    task = await begun(executor, turns=9)
    began = now()
    await executor.stop()
    await task
    assert now() == began
    assert statuses(executor.states.items) == ["completed", "pending"]


@pytest.mark.parametrize("asks", [False, True])
async def test_stop_while_it_waits_for_a_slot(asks: bool) -> None:
    executor = desk(asks=asks, concurrency_limit=1)
    hold = Hold()
    await executor.append_many(jobs("ab", do=hold))
    task = await begun(executor, turns=0)
    await hold.has(1)
    began = now()
    await executor.stop()
    await asyncio.sleep(10)
    assert not task.done(), "what runs ends first"
    hold.let_go()
    await task
    assert now() - began == 10
    assert hold.order == ["a"]
    assert statuses(executor.states.items) == ["completed", "pending"]


async def test_stop_while_it_waits_for_a_delay() -> None:
    executor = desk(asks=True, denial_backoff=1000.0)
    job = await executor.append(Job(ask=answers(False)))
    task = await begun(executor, turns=9)
    assert job.execution.denials == 1
    began = now()
    await executor.stop()
    await task
    assert now() == began
    assert job.status is PENDING


async def test_stop_while_a_granted_event_waits_for_room() -> None:
    """It was asked while a slot was free, which another call took meanwhile."""
    executor = desk(asks=True, concurrency_limit=1)
    gate, hold = Hold(), Hold()
    first, second = await executor.append_many(
        [Job(label="a", ask=gate, do=hold), Job(label="b", do=hold)]
    )
    task = await begun(executor, turns=0)
    await gate.has(1)
    round_ = asyncio.create_task(executor.forward())
    await asyncio.sleep(1)
    gate.let_go()
    await hold.has(1)
    await asyncio.sleep(1)
    began = now()
    await executor.stop()
    hold.let_go()
    await asyncio.gather(task, round_)
    assert now() == began
    assert first.status is EventStatus.COMPLETED
    assert second.status is PENDING
    assert second.execution.interruptions == 0
    agree(executor)


async def test_stop_ends_a_round_as_well() -> None:
    executor = desk(concurrency_limit=1)
    hold = Hold()
    await executor.append_many(jobs("abc", do=hold))
    task = asyncio.create_task(executor.forward())
    await hold.has(1)
    await executor.stop()
    hold.let_go()
    await task
    assert statuses(executor.states.items) == ["completed", "pending", "pending"]


async def test_stop_from_within_an_event() -> None:
    executor = desk(concurrency_limit=1)

    async def last(event: Job) -> str:
        await executor.stop()
        return "the last one"

    await executor.append_many([Job(do=last), Job()])
    task = await begun(executor, turns=0)
    await task
    assert statuses(executor.states.items) == ["completed", "pending"]


async def test_stop_from_within_a_permission() -> None:
    executor = desk(asks=True)

    async def last(event: Job) -> bool:
        await executor.stop()
        return True

    job = await executor.append(Job(ask=last))
    task = await begun(executor, turns=0)
    await task
    assert job.status is PENDING
    assert job.execution.denials == 0
    agree(executor)


# --- again


async def test_start_and_stop_many_times() -> None:
    executor = desk(concurrency_limit=2)
    for number in range(1, 6):
        async with background(executor):
            await executor.append_many(jobs("abc"))
            await executor.join()
        assert len(executor.completed_events) == 3 * number
        agree(executor)


async def test_the_window_outlives_stop_and_start() -> None:
    executor = desk(queue_capacity=1, capacity_refresh_time=10.0)
    noted = starts(executor)
    began = now()
    await executor.append_many(jobs("abc"))
    while executor.pending_events:
        async with background(executor):
            await asyncio.sleep(1)
    assert [at - began for _, at in noted] == [0, 10, 20]


async def test_a_new_run_while_the_old_one_ends() -> None:
    executor = desk(concurrency_limit=2)
    hold = Hold()
    await executor.append_many(jobs("a", do=hold))
    old = await begun(executor, turns=0)
    await hold.has(1)
    await executor.stop()
    await executor.append_many(jobs("bc", do=hold))
    new = await begun(executor, turns=0)
    await hold.has(2)
    await asyncio.sleep(1)
    assert hold.order == ["a", "b"], "the slot of the old run's event is still taken"
    assert not old.done()
    hold.let_go()
    await old
    await executor.join()
    await executor.stop()
    await new
    assert hold.order == ["a", "b", "c"]
    agree(executor)


async def test_stop_and_start_are_idempotent_and_may_come_first() -> None:
    executor = desk()
    await executor.stop()
    assert executor.processor is None
    await executor.start()
    processor = worker(executor)
    await executor.start()
    assert worker(executor) is processor
    assert not processor.is_stopped()
    await executor.stop()
    await executor.stop()
    assert processor.is_stopped()
    await executor.start()
    assert not processor.is_stopped()


async def test_start_starts_nothing_by_itself() -> None:
    executor = desk()
    job = await executor.append(Job())
    await executor.start()
    await asyncio.sleep(100)
    assert job.status is PENDING
    assert job.execution.attempt == 0


async def test_appending_while_it_stops_is_accepted_for_the_next_run() -> None:
    executor = desk(concurrency_limit=1)
    hold = Hold()
    await executor.append_many(jobs("a", do=hold))
    task = await begun(executor, turns=0)
    await hold.has(1)
    await executor.stop()
    late = await executor.append(Job(label="late"))
    hold.let_go()
    await task
    assert late.status is PENDING
    await executor.start()
    assert await forward(executor) is None
    assert late.status is EventStatus.COMPLETED


def test_the_end_of_the_loop_itself_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The program ends while the run goes on: what ran is interrupted, and nothing complains."""
    gc.collect()  # what other tests have left
    caplog.clear()
    executor = desk(concurrency_limit=2)
    tasks: list[asyncio.Task[None]] = []

    async def main() -> list[Job]:
        hold = Hold()
        running = await executor.append_many(jobs("abc", do=hold))
        tasks.append(await begun(executor, turns=0))
        await hold.has(2)
        return running

    events = run_virtual(main())
    assert tasks[0].cancelled()
    assert statuses(events) == ["pending"] * 3
    assert [event.execution.interruptions for event in events] == [1, 1, 0]
    agree(executor)
    gc.collect()
    assert not caplog.records


def test_the_code_of_a_run_can_be_destroyed_after_its_loop_was_closed() -> None:
    executor = desk()

    async def begin() -> asyncio.Task[None]:
        await executor.start()
        task = asyncio.create_task(worker(executor).execute())
        await asyncio.sleep(0.01)
        return task

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(begin())
    loop.close()
    code = task.get_coro()
    assert code is not None
    code.close()  # as the garbage collector does


def test_an_executor_can_be_used_in_one_loop_after_another() -> None:
    executor = desk(asks=True, denial_backoff=50.0, queue_capacity=1, capacity_refresh_time=60.0)

    async def run_one() -> None:
        await executor.append(Job(ask=answers(False, True)))
        async with background(executor):
            await executor.join()

    run_virtual(run_one())
    run_virtual(run_one(), start=1_000_000.0)
    assert len(executor.completed_events) == 2
    agree(executor)


def test_a_backoff_goes_on_in_the_next_loop() -> None:
    """The time between two loops is the wall's, whatever their own clocks begin with."""
    executor = desk(asks=True, denial_backoff=1000.0)

    async def deny() -> None:
        await executor.append(Job(ask=answers(False, True)))
        await executor.forward()

    async def wait() -> float:
        began = now()
        async with background(executor):
            await executor.join()
        return now() - began

    run_virtual(deny())
    waited = run_virtual(wait(), start=5_000_000.0)
    assert 900 < waited <= 1000
    assert len(executor.completed_events) == 1
