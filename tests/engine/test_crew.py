"""execute(): events run as they come, by priority, within the limits (decision 4)."""

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest
from engine.kit import (
    Hold,
    Job,
    agree,
    background,
    caught,
    desk,
    execute,
    jobs,
    labels,
    now,
    raises,
    sleeps,
    starts,
    statuses,
    worker,
)

from lionpride.core import EventStatus

pytestmark = pytest.mark.virtual


def since(first: float, noted: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return [(name, at - first) for name, at in noted]


# --- at once


async def test_an_event_starts_as_soon_as_it_is_appended() -> None:
    executor = desk()
    noted = starts(executor)
    async with background(executor):
        for name in "abc":
            await asyncio.sleep(3)
            appended = now()
            job = await executor.append(Job(label=name))
            await executor.result(job)
            assert noted[-1] == (name, appended)


@pytest.mark.promise("notebook-concurrency")
async def test_an_event_starts_as_soon_as_there_is_a_slot() -> None:
    executor = desk(concurrency_limit=2)
    noted = starts(executor)
    await executor.append_many(
        [Job(label=f"{seconds}", do=sleeps(seconds)) for seconds in (10, 1, 2, 3, 4)]
    )
    began = now()
    async with background(executor):
        await executor.join()
    assert since(began, noted) == [("10", 0), ("1", 0), ("2", 1), ("3", 3), ("4", 6)], (
        "a slow event holds back nobody"
    )
    assert now() - began == 10


async def test_an_event_starts_as_soon_as_the_window_has_room() -> None:
    executor = desk(queue_capacity=2, capacity_refresh_time=10.0)
    noted = starts(executor)
    began = now()
    async with background(executor):
        await executor.append_many(jobs("ab"))
        await asyncio.sleep(4)
        await executor.append_many(jobs("cde", do=sleeps(100)))
        await executor.join()
    assert since(began, noted) == [("a", 0), ("b", 0), ("c", 10), ("d", 10), ("e", 20)]


async def test_the_window_slides() -> None:
    executor = desk(queue_capacity=2, capacity_refresh_time=10.0)
    noted = starts(executor)
    began = now()
    async with background(executor):
        await executor.append(Job(label="a"))
        await asyncio.sleep(6)
        await executor.append_many(jobs("bcde"))
        await executor.join()
    # No bucket begins anew at ten: two starts lie in any ten seconds, wherever they begin.
    assert since(began, noted) == [("a", 0), ("b", 6), ("c", 10), ("d", 16), ("e", 20)]


async def test_a_delayed_event_starts_when_it_is_due() -> None:
    executor = desk(asks=True, denial_backoff=7.0)
    asked: list[float] = []

    async def once_no(event: Job) -> bool:
        asked.append(now())
        return len(asked) > 1

    began = now()
    async with background(executor):
        job = await executor.append(Job(ask=once_no))
        await executor.result(job)
    assert [at - began for at in asked] == [0, 7]


# --- in order


@pytest.mark.promise("notebook-priority")
async def test_priorities_given_before_the_start_order_the_run() -> None:
    executor = desk(concurrency_limit=1)
    noted = starts(executor)
    await executor.append_many(jobs("abc"), [10, 1, 5])
    await executor.start()
    await execute(executor)
    assert [name for name, _ in noted] == ["b", "c", "a"]


async def test_equal_priorities_run_in_order_of_arrival() -> None:
    executor = desk(concurrency_limit=1)
    noted = starts(executor)
    await executor.append_many(jobs("abcdef"), [1, 0, 1, 0, 1, 0])
    await execute(executor)
    assert [name for name, _ in noted] == list("bdface")


async def test_by_default_the_oldest_runs_first() -> None:
    executor = desk(concurrency_limit=1)
    noted = starts(executor)
    old = Job(label="old", created_at=1_000_000.0)
    await executor.append_many([Job(label="new"), old])
    assert old.execution.priority == 1_000_000.0
    await execute(executor)
    assert [name for name, _ in noted] == ["old", "new"]


@pytest.mark.promise("notebook-priority")
@pytest.mark.parametrize("asks", [False, True])
async def test_an_urgent_event_overtakes_all_that_do_not_run_yet(asks: bool) -> None:
    executor = desk(asks=asks, concurrency_limit=2)
    hold = Hold()
    async with background(executor):
        await executor.append_many(jobs("abcdef", do=hold), [1, 2, 3, 4, 5, 6])
        await hold.has(2)
        await executor.append(Job(label="urgent", do=hold), 0)
        hold.let_go()
        await executor.join()
    assert hold.order == ["a", "b", "urgent", "c", "d", "e", "f"]


async def test_an_urgent_event_overtakes_those_that_wait_for_the_window() -> None:
    executor = desk(queue_capacity=1, capacity_refresh_time=10.0)
    noted = starts(executor)
    async with background(executor):
        await executor.append_many(jobs("abc"), [1, 2, 3])
        await asyncio.sleep(5)
        await executor.append(Job(label="urgent"), 0)
        await executor.join()
    assert [name for name, _ in noted] == ["a", "urgent", "b", "c"]


# --- limits


@pytest.mark.promise("notebook-concurrency")
@pytest.mark.parametrize("limit", [1, 2, 7])
@pytest.mark.parametrize("asks", [False, True])
async def test_never_more_run_than_the_limit_allows(limit: int, asks: bool) -> None:
    executor = desk(asks=asks, concurrency_limit=limit)
    hold = Hold()
    async with background(executor):
        await executor.append_many(jobs("abcdefghijkl", do=hold))
        await hold.has(limit)
        await asyncio.sleep(1)
        assert hold.inside == len(executor.processing_events) == limit
        hold.let_go()
        await executor.join()
    assert hold.peak == limit


async def test_a_backlog_of_events_that_never_wait_lets_others_run() -> None:
    """Thousands of events without an await of their own: a task beside them gets its turns."""
    executor = desk(concurrency_limit=10)
    turns = 0
    done = asyncio.Event()

    async def beside() -> None:
        nonlocal turns
        while not done.is_set():
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(beside())
    await executor.append_many([Job(do=_busy) for _ in range(300)])
    async with background(executor):
        await executor.join()
    done.set()
    await other
    assert turns >= 30


async def _busy(event: Job) -> None:
    """Takes a hundredth of a virtual second without waiting for anything."""
    loop: Any = asyncio.get_running_loop()
    loop.jump(0.01)


async def test_each_event_has_the_context_of_the_caller() -> None:
    name: ContextVar[str] = ContextVar("name", default="nobody")
    executor = desk()
    seen: list[str] = []

    async def look(event: Job) -> None:
        seen.append(name.get())
        name.set("an event")

    await executor.append_many([Job(do=look) for _ in range(3)])
    name.set("the caller")
    await executor.forward()
    assert seen == ["the caller"] * 3
    assert name.get() == "the caller"


async def test_what_runs_shows_as_processing_and_what_waits_as_pending() -> None:
    executor = desk(concurrency_limit=2)
    hold = Hold()
    async with background(executor):
        running = await executor.append_many(jobs("ab", do=hold))
        waiting = await executor.append_many(jobs("cd", do=hold))
        await hold.has(2)
        assert executor.processing_events == running
        assert executor.pending_events == waiting
        agree(executor)
        hold.let_go()
        await executor.join()
    assert labels(executor.completed_events) == list("abcd")


# --- one loop and several


async def test_several_loops_share_the_limits() -> None:
    executor = desk(concurrency_limit=3, queue_capacity=4, capacity_refresh_time=50.0)
    hold = Hold()
    noted = starts(executor)
    await executor.start()
    loops = [asyncio.create_task(worker(executor).execute()) for _ in range(4)]
    await executor.append_many(jobs("abcdefgh", do=hold))
    await hold.has(3)
    await asyncio.sleep(1)
    assert hold.inside == 3
    hold.let_go()
    await executor.join()
    await executor.stop()
    await asyncio.gather(*loops)
    first = noted[0][1]
    assert [at - first for _, at in noted] == [0, 0, 0, 1, 50, 50, 50, 51]
    assert hold.order == list("abcdefgh"), "in one order, whoever takes the next"
    agree(executor)


async def test_one_of_several_loops_is_cancelled() -> None:
    executor = desk(concurrency_limit=2)
    hold = Hold()
    await executor.start()
    loops = [asyncio.create_task(worker(executor).execute()) for _ in range(2)]
    await executor.append_many(jobs("abcd", do=hold))
    await hold.has(2)
    loops[0].cancel()
    await asyncio.wait([loops[0]])
    hold.let_go()
    await executor.join()
    assert len(executor.completed_events) == 4
    await executor.stop()
    await loops[1]
    agree(executor)


async def test_execute_runs_until_it_is_stopped() -> None:
    executor = desk()
    async with background(executor) as task:
        await executor.append(Job())
        await executor.join()
        await asyncio.sleep(1000)
        assert not task.done()
        assert worker(executor).execution_mode is True
    assert task.done()
    assert worker(executor).execution_mode is False


async def test_errors_of_events_do_not_end_it() -> None:
    executor = desk(concurrency_limit=1)
    async with background(executor) as task:
        bad = await executor.append_many([Job(do=raises(ValueError(str(n)))) for n in range(10)])
        good = await executor.append(Job())
        await executor.join()
        assert not task.done()
    assert statuses([*bad, good]) == ["failed"] * 10 + ["completed"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_code_that_wants_to_exit_ends_the_run_in_order(error: type[BaseException]) -> None:
    executor = desk(concurrency_limit=2, grace=20.0)
    slow = Job(do=sleeps(10))
    bad, *behind = [Job(do=raises(error())), Job(), Job()]
    await executor.append_many([slow, bad, *behind])
    await executor.start()
    began = now()
    raised = await caught(worker(executor).execute())
    assert raised is bad.execution.error
    assert isinstance(raised, error)
    assert now() - began == 10, "when its neighbour had ended"
    assert statuses([slow, bad, *behind]) == ["completed", "failed", "pending", "pending"]
    assert worker(executor).is_stopped()
    assert await caught(worker(executor).execute()) is None, "stopped: nothing is run"
    assert behind[0].status is EventStatus.PENDING
    assert await execute(executor) is None
    assert statuses(behind) == ["completed", "completed"]


async def test_neighbours_of_code_that_wants_to_exit_have_the_grace_time() -> None:
    executor = desk(concurrency_limit=2, grace=20.0)
    slow, _ = await executor.append_many(
        [Job(do=sleeps(1000)), Job(do=raises(KeyboardInterrupt()))]
    )
    began = now()
    raised = await caught(executor.forward())
    assert isinstance(raised, KeyboardInterrupt)
    assert now() - began == 20
    assert slow.status is EventStatus.PENDING
    assert slow.execution.interruptions == 1
    agree(executor)


async def test_an_exit_in_a_round_stops_the_loop_beside_it() -> None:
    executor = desk(concurrency_limit=2, queue_capacity=1, capacity_refresh_time=1000.0)
    hold = Hold()
    async with background(executor) as task:
        (slow,) = await executor.append_many(jobs("a", do=hold))
        await hold.has(1)
        bad, left = await executor.append_many([Job(do=raises(SystemExit(2))), Job()])
        raised = await caught(executor.forward())  # the window holds the loop back, not the round
        assert raised is bad.execution.error
        assert worker(executor).is_stopped()
        hold.let_go()
        await task
        assert slow.status is EventStatus.COMPLETED
        assert left.status is EventStatus.PENDING
