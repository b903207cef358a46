"""pause, resume and drain: what may start, what is taken in, and what is left."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from engine.kit import (
    Hold,
    Job,
    Waiting,
    agree,
    answers,
    background,
    desk,
    execute,
    has_all_slots,
    jobs,
    labels,
    now,
    sleeps,
    starts,
    statuses,
    worker,
)

from lionpride.core import EventStatus, Executor, Flow, Limit, Retry
from lionpride.errors import OperationError, ValidationError
from lionpride.stores.sqlite import SqliteStore

Make: TypeAlias = Callable[..., Executor]

PENDING = EventStatus.PENDING


def over_memory(_: Path, **how: Any) -> Executor:
    return desk(**how)


def over_a_store_that_waits(_: Path, **how: Any) -> Executor:
    return desk(store=Waiting(desk().store), **how)


def over_a_file(folder: Path, **how: Any) -> Executor:
    return desk(store=SqliteStore(folder / "run.db", "jobs"), **how)


every_store = pytest.mark.parametrize(
    "over", [over_memory, over_a_store_that_waits, over_a_file], ids=lambda make: make.__name__
)
quick_stores = pytest.mark.parametrize("over", [over_memory, over_a_store_that_waits])


# --- pause


@every_store
@pytest.mark.parametrize("asks", [False, True])
async def test_paused_nothing_starts_and_what_runs_goes_on(
    over: Make, asks: bool, tmp_path: Path
) -> None:
    executor = over(tmp_path, asks=asks, concurrency_limit=2)
    hold = Hold()
    async with background(executor):
        running = await executor.append_many(jobs("ab", do=hold))
        await hold.has(2)
        await executor.pause()
        assert executor.paused
        waiting = await executor.append_many(jobs("cd", do=hold))
        hold.let_go()
        assert [await executor.result(job) for job in running] == [True, True]
        assert statuses(waiting) == ["pending", "pending"]
        assert hold.order == ["a", "b"]
        assert (await executor.store.counts())[PENDING] == 2, "nothing is claimed either"
        await executor.resume()
        assert not executor.paused
        await executor.join()
    assert statuses(waiting) == ["completed"] * 2
    agree(executor)
    await executor.store.close()


@every_store
async def test_paused_before_it_runs(over: Make, tmp_path: Path) -> None:
    executor = over(tmp_path)
    await executor.pause()
    noted = starts(executor)
    async with background(executor):
        await executor.append_many(jobs("ab"))
        await executor.stop()
        await executor.start()
        assert executor.paused, "neither is the last word about it"
    assert noted == []
    async with background(executor):
        await executor.resume()
        await executor.join()
    assert labels(executor.completed_events) == ["a", "b"]
    await executor.store.close()


@every_store
async def test_paused_and_resumed_many_times_each_runs_once(over: Make, tmp_path: Path) -> None:
    executor = over(tmp_path, concurrency_limit=7)
    ran = []

    async def do(event: Job) -> None:
        ran.append(event.label)
        await asyncio.sleep(0)

    events = await executor.append_many([Job(label=str(n), do=do) for n in range(200)])
    async with background(executor):
        for turns in range(40):
            for _ in range(turns % 7):
                await asyncio.sleep(0)
            await executor.pause()
            for _ in range(turns % 5):
                await asyncio.sleep(0)
            await executor.resume()
        await executor.join()
    assert sorted(ran) == sorted(labels(events))
    assert [event.execution.interruptions for event in events] == [0] * 200
    agree(executor)
    await executor.store.close()


@pytest.mark.virtual
@quick_stores
@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("asks", [False, True])
async def test_pause_at_any_turn(over: Make, turns: int, asks: bool, tmp_path: Path) -> None:
    executor = over(tmp_path, asks=asks, concurrency_limit=2)
    events = await executor.append_many(jobs("abcd", do=sleeps(5)))
    async with background(executor):
        for _ in range(turns):
            await asyncio.sleep(0)
        await executor.pause()
        noted = starts(executor)
        await asyncio.sleep(60)
        assert noted == []
        assert (await executor.store.counts())[EventStatus.PROCESSING] == 0
        await executor.resume()
        await executor.join()
    assert statuses(events) == ["completed"] * 4
    assert [event.execution.interruptions for event in events] == [0] * 4
    agree(executor)
    await has_all_slots(executor, execute)


@pytest.mark.virtual
async def test_resumed_what_is_more_urgent_goes_first() -> None:
    executor = desk(concurrency_limit=1)
    noted = starts(executor)
    async with background(executor):
        await executor.pause()
        await executor.append(Job(label="late"), 5.0)
        await asyncio.sleep(86400)
        await executor.append(Job(label="urgent"), 1.0)
        await executor.resume()
        await executor.join()
    assert [label for label, _ in noted] == ["urgent", "late"]


@pytest.mark.virtual
@quick_stores
async def test_pause_while_a_permission_is_asked(over: Make, tmp_path: Path) -> None:
    executor = over(tmp_path, asks=True)
    gate = Hold()
    async with background(executor):
        job = await executor.append(Job(ask=gate))
        await gate.has(1)
        await executor.pause()
        await asyncio.sleep(1)
        assert (gate.inside, job.status) == (0, PENDING)
        assert (await executor.store.counts())[PENDING] == 1, "it is released"
        gate.let_go()
        await executor.resume()
        await executor.join()
    assert job.status is EventStatus.COMPLETED
    assert job.execution.denials == 0


@pytest.mark.virtual
async def test_pause_while_an_event_waits_for_the_window() -> None:
    executor = desk(queue_capacity=1, capacity_refresh_time=10.0)
    noted = starts(executor)
    async with background(executor):
        began = now()
        await executor.append_many(jobs("abc"))
        await asyncio.sleep(1)
        await executor.pause()
        await asyncio.sleep(99)
        await executor.resume()
        await executor.join()
    assert [(label, at - began) for label, at in noted] == [("a", 0), ("b", 100), ("c", 110)]


@pytest.mark.virtual
@quick_stores
async def test_a_round_ends_when_it_is_paused_and_runs_nothing_after(
    over: Make, tmp_path: Path
) -> None:
    executor = over(tmp_path, concurrency_limit=1)
    hold = Hold()
    first, second = await executor.append_many(jobs("ab", do=hold))
    await executor.start()
    running = asyncio.create_task(executor.forward())
    await hold.has(1)
    await executor.pause()
    hold.let_go()
    await running
    await executor.forward()
    assert statuses([first, second]) == ["completed", "pending"]
    await executor.resume()
    await executor.forward()
    assert second.status is EventStatus.COMPLETED


@pytest.mark.virtual
async def test_resume_without_a_pause_changes_nothing() -> None:
    executor = desk(concurrency_limit=3)
    await executor.resume()
    await executor.pause()
    await executor.pause()
    await executor.resume()
    await has_all_slots(executor, execute)


@pytest.mark.virtual
async def test_leaving_the_block_while_paused() -> None:
    executor = desk()
    async with executor:
        await executor.pause()
        job = await executor.append(Job())
    assert job.status is PENDING


# --- drain


@pytest.mark.promise("pause-drain-cancel")
@every_store
async def test_drained_all_has_ended_and_nothing_more_is_taken_in(
    over: Make, tmp_path: Path
) -> None:
    executor = over(tmp_path, concurrency_limit=1)
    hold = Hold()
    async with background(executor):
        events = await executor.append_many(jobs("abc", do=hold))
        await hold.has(1)
        draining = asyncio.create_task(executor.drain())
        await asyncio.sleep(0)
        late = Job()
        for refused in (executor.append(late), executor.append_many([late])):
            with pytest.raises(OperationError, match="accepts no more events"):
                await refused
        with pytest.raises(OperationError, match="accepts no more events"):
            await executor.load(Flow(name="more"))
        hold.let_go()
        assert await draining == 0
        assert statuses(events) == ["completed"] * 3
        assert worker(executor).is_stopped()
        with pytest.raises(OperationError, match=r"start\(\)"):
            await executor.append(late)
        await executor.start()
        await executor.append(late)
    assert late.execution.arrival is not None
    await executor.store.close()


@every_store
async def test_what_events_append_meanwhile_belongs_to_the_work(over: Make, tmp_path: Path) -> None:
    executor = over(tmp_path)
    begun, go = asyncio.Event(), asyncio.Event()

    async def parent(_: Job) -> None:
        begun.set()
        await go.wait()
        await executor.append(Job(label="child"))
        async with asyncio.TaskGroup() as group:
            group.create_task(executor.append(Job(label="of a task of its own")))

    async with background(executor):
        await executor.append(Job(do=parent, label="parent"))
        await begun.wait()
        draining = asyncio.create_task(executor.drain())
        await asyncio.sleep(0)
        go.set()
        assert await draining == 0
    assert sorted(labels(executor.completed_events)) == ["child", "of a task of its own", "parent"]
    await executor.store.close()


@pytest.mark.virtual
@quick_stores
async def test_when_the_time_is_over_what_runs_is_interrupted_and_counted_as_left(
    over: Make, tmp_path: Path
) -> None:
    executor = over(tmp_path, concurrency_limit=1)
    async with background(executor):
        running, waiting = await executor.append_many(jobs("ab", do=sleeps(10)))
        began = now()
        assert await executor.drain(timeout=4) == 2
        assert now() == began + 4
        assert statuses([running, waiting]) == ["pending", "pending"]
        assert not worker(executor).working
    assert [each.execution.interruptions for each in (running, waiting)] == [1, 0]
    assert [each.execution.tries for each in (running, waiting)] == [0, 0]


@every_store
async def test_a_drain_ends_though_a_running_event_waits_for_one_that_cannot_start(
    over: Make, tmp_path: Path
) -> None:
    executor = over(tmp_path, concurrency_limit=1)
    appended = asyncio.Event()

    async def parent(_: Job) -> None:
        child = await executor.append(Job(label="child"))
        appended.set()
        await executor.result(child)

    async with background(executor):
        job = await executor.append(Job(do=parent))
        await appended.wait()
        assert await executor.drain(timeout=0.05) == 2
        assert (job.status, job.execution.interruptions) == (PENDING, 1)
        assert (await executor.store.counts())[PENDING] == 2
        assert not worker(executor).working
    await executor.store.close()


@pytest.mark.virtual
@quick_stores
async def test_a_drain_ends_though_code_ignores_its_cancellation(
    over: Make, tmp_path: Path
) -> None:
    executor = over(tmp_path)
    let = asyncio.Event()

    async def ignore(_: Job) -> None:
        while not let.is_set():
            try:
                await let.wait()
            except asyncio.CancelledError:
                continue

    async with background(executor):
        job = await executor.append(Job(do=ignore))
        began = now()
        assert await executor.drain(timeout=4) == 1
        assert now() - began == 4 + 3, "three cancellations, a second apart"
        assert (job.status, job.execution.interruptions) == (PENDING, 1)
        let.set()


@every_store
async def test_a_drain_ends_though_code_runs_in_a_thread(over: Make, tmp_path: Path) -> None:
    executor = over(tmp_path)
    begun, let = threading.Event(), threading.Event()

    async def block(_: Job) -> None:
        begun.set()
        await asyncio.to_thread(let.wait)

    async with background(executor):
        job = await executor.append(Job(do=block))
        await asyncio.to_thread(begun.wait)
        try:
            assert await executor.drain(timeout=0) == 1
            assert (job.status, job.execution.interruptions) == (PENDING, 1)
        finally:
            let.set()
    await executor.store.close()


@pytest.mark.virtual
async def test_an_event_that_drains_its_own_executor_is_interrupted_too() -> None:
    executor = desk()
    begun = asyncio.Event()

    async def drain(_: Job) -> None:
        begun.set()
        await executor.drain(timeout=4)

    async with background(executor):
        job = await executor.append(Job(do=drain))
        await begun.wait()
        while worker(executor).working:
            await asyncio.sleep(1)
        assert (job.status, job.execution.interruptions) == (PENDING, 1)


@pytest.mark.virtual
async def test_a_drain_that_is_cancelled_after_its_time_leaves_the_executor_stopped() -> None:
    executor = desk()

    async def slow_to_end(_: Job) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.5)

    async with background(executor):
        job = await executor.append(Job(do=slow_to_end))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(4.25):
                await executor.drain(timeout=4)
        with pytest.raises(OperationError, match="accepts no more events"):
            await executor.append(Job())
        while worker(executor).working:
            await asyncio.sleep(1)
    assert (job.status, job.execution.interruptions) == (PENDING, 1)


@pytest.mark.virtual
async def test_a_drain_without_time_stops_at_once() -> None:
    executor = desk()
    async with background(executor):
        await executor.append(Job(do=sleeps(1)))
        began = now()
        assert await executor.drain(timeout=0) == 1
        assert worker(executor).is_stopped()
        assert now() == began


@pytest.mark.virtual
async def test_a_drain_that_is_cancelled_was_none() -> None:
    executor = desk()
    async with background(executor):
        await executor.append(Job(do=sleeps(60)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await executor.drain()
        late = await executor.append(Job())
        await executor.join()
    assert late.status is EventStatus.COMPLETED


@pytest.mark.virtual
async def test_who_waits_for_room_is_turned_away() -> None:
    executor = desk(concurrency_limit=1, max_queue_size=1)
    hold = Hold()
    async with background(executor):
        await executor.append(Job(do=hold))
        await hold.has(1)
        await executor.append(Job())
        waiting = [asyncio.create_task(executor.append(Job(), wait=True)) for _ in range(2)]
        await asyncio.sleep(1)
        draining = asyncio.create_task(executor.drain())
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in errors] == [OperationError] * 2
        hold.let_go()
        assert await draining == 0


@pytest.mark.virtual
async def test_a_drain_waits_out_denials_and_delays() -> None:
    executor = desk(asks=True, denial_backoff=3600.0)
    async with background(executor):
        job = await executor.append(Job(ask=answers(False, True)))
        assert await executor.drain() == 0
    assert job.status is EventStatus.COMPLETED


@pytest.mark.virtual
@quick_stores
async def test_a_drain_waits_for_what_starts_later_and_what_is_tried_again(
    over: Make, tmp_path: Path
) -> None:
    executor = over(tmp_path)

    async def do(event: Job) -> None:
        if event.execution.attempt == 1:
            raise ConnectionError("refused")

    async with background(executor):
        began = now()
        again = await executor.append(Job(do=do), retry=Retry(backoff=100, jitter=False))
        later = await executor.append(Job(), delay=3600)
        assert await executor.drain() == 0
    assert now() - began == 3600
    assert statuses([again, later]) == ["completed"] * 2


@pytest.mark.virtual
async def test_what_is_due_while_it_is_paused_starts_when_it_is_resumed() -> None:
    executor = desk()
    noted = starts(executor)
    async with background(executor):
        began = now()
        await executor.append(Job(), delay=10)
        await executor.pause()
        await asyncio.sleep(100)
        await executor.resume()
        await executor.join()
    assert [at - began for _, at in noted] == [100]


@pytest.mark.virtual
async def test_a_limit_is_not_used_while_it_is_paused() -> None:
    executor = desk(limits=[Limit("requests", 2, per=60)])
    noted = starts(executor)
    async with background(executor):
        began = now()
        await executor.pause()
        await executor.append_many(jobs("abc"))
        await asyncio.sleep(100)
        await executor.resume()
        await executor.join()
    assert [at - began for _, at in noted] == [100, 100, 160]


async def test_nothing_can_be_drained_that_nobody_runs() -> None:
    executor = desk()
    assert await executor.drain() == 0, "there is nothing to be run"
    await executor.start()
    await executor.append(Job())
    with pytest.raises(OperationError, match="nothing is running them"):
        await executor.drain()
    await executor.append(Job())  # it was no drain
    await executor.pause()
    with pytest.raises(OperationError, match="paused"):
        await executor.drain()


@pytest.mark.parametrize("timeout", [-1, float("nan"), True, "5"])
async def test_a_time_that_is_none_is_refused_before_anything_changes(timeout: Any) -> None:
    executor = desk()
    with pytest.raises(ValidationError, match="timeout"):
        await executor.drain(timeout)
    await executor.append(Job())


async def test_a_task_that_outlives_its_event_does_not_keep_the_executor() -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    tasks = []

    async def linger() -> None:
        begun.set()
        await go.wait()

    async def do(_: Job) -> None:
        tasks.append(asyncio.create_task(linger()))
        await begun.wait()

    executor = desk()
    await executor.append(Job(do=do))
    await executor.forward()
    gone = weakref.ref(executor.store)
    del executor
    gc.collect()
    assert gone() is None
    go.set()
    await asyncio.gather(*tasks)
