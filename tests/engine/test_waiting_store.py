"""Over a store whose verbs wait, as one on a disk does: whatever comes in between is not lost."""

import asyncio
from typing import Any

import pytest
from engine.kit import (
    MODES,
    Hold,
    Job,
    Mode,
    Waiting,
    agree,
    answers,
    background,
    caught,
    desk,
    execute,
    forward,
    has_all_slots,
    now,
    raises,
    sleeps,
    starts,
    statuses,
    worker,
)

from lionpride.core import Executor

pytestmark = pytest.mark.virtual

TURNS = range(14)
"""More turns of the loop than a claim, a start and a settlement take together."""


def slow_desk(**config: Any) -> Executor:
    return desk(store=Waiting(desk().store), **config)


def call(executor: Executor, mode: Mode) -> asyncio.Task[None]:
    made = executor.forward() if mode is forward else worker(executor).execute()
    return asyncio.create_task(made)


async def turn(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("turns", TURNS[1:])  # before its first turn, a round has not begun
async def test_stop_at_any_turn(turns: int, asks: bool, mode: Mode) -> None:
    executor = slow_desk(asks=asks, concurrency_limit=2)
    jobs = await executor.append_many([Job(do=sleeps(5)) for _ in range(4)])
    await executor.start()
    task = call(executor, mode)
    await turn(turns)
    noted = starts(executor)
    began = now()
    await executor.stop()
    await task
    assert noted == [], "nothing is started any more"
    assert now() - began <= 5
    assert set(statuses(jobs)) <= {"pending", "completed"}
    assert await execute(executor) is None
    assert statuses(jobs) == ["completed"] * 4
    await has_all_slots(executor, mode, 1)
    agree(executor)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("turns", TURNS)
async def test_the_call_is_cancelled_at_any_turn(turns: int, asks: bool, mode: Mode) -> None:
    executor = slow_desk(asks=asks, concurrency_limit=2)
    jobs = await executor.append_many([Job(do=sleeps(5)) for _ in range(4)])
    await executor.start()
    task = call(executor, mode)
    await turn(turns)
    began = now()
    task.cancel()
    await caught(task)
    assert now() == began, "what runs is not waited for"
    assert statuses(jobs) == ["pending"] * 4
    agree(executor)
    assert await execute(executor) is None
    assert statuses(jobs) == ["completed"] * 4
    await has_all_slots(executor, mode, 1)


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("turns", TURNS)
async def test_an_event_is_cancelled_at_any_turn(turns: int, asks: bool) -> None:
    executor = slow_desk(asks=asks)
    async with background(executor):
        job = await executor.append(Job(do=sleeps(5)))
        await turn(turns)
        assert await executor.cancel(job) is True
        await executor.join()
        assert statuses([job]) == ["cancelled"]
        agree(executor)
    await has_all_slots(executor, execute, 1)


async def test_endings_of_all_kinds() -> None:
    executor = slow_desk(asks=True, concurrency_limit=3)
    jobs = await executor.append_many(
        [
            Job(),
            Job(do=raises(ValueError("no"))),
            Job(do=sleeps(50), timeout=1),
            Job(ask=answers(False)),
            Job(ask=raises(ValueError("no"))),
            Job(do=raises(asyncio.CancelledError())),
            Job(ask=answers(False, True)),
        ]
    )
    assert await execute(executor) is None
    assert statuses(jobs) == [
        "completed",
        "failed",
        "cancelled",
        "aborted",
        "failed",
        "cancelled",
        "completed",
    ]
    agree(executor)
    await has_all_slots(executor, forward, 1)


async def test_the_limits_hold() -> None:
    executor = slow_desk(concurrency_limit=3, queue_capacity=4, capacity_refresh_time=10.0)
    noted = starts(executor)
    hold = Hold()
    async with background(executor), background(executor):
        await executor.append_many([Job(do=hold) for _ in range(10)])
        await hold.has(3)
        await asyncio.sleep(1)
        assert hold.inside == 3
        hold.let_go()
        await executor.join()
    assert hold.peak == 3
    times = [at for _, at in noted]
    assert all(later - earlier >= 10 for earlier, later in zip(times, times[4:], strict=False))


async def test_priorities_and_arrival_order_hold() -> None:
    executor = slow_desk(concurrency_limit=1)
    noted = starts(executor)
    await executor.append_many([Job(label=name) for name in "abcd"], [2, 1, 2, 1])
    await execute(executor)
    assert [name for name, _ in noted] == list("bdac")


async def test_a_round_takes_each_once_and_ends_with_a_denial() -> None:
    executor = slow_desk(asks=True, concurrency_limit=1, queue_capacity=5)
    jobs = await executor.append_many([Job(), Job(ask=answers(False, True)), Job()])
    await executor.forward()
    assert statuses(jobs) == ["completed", "pending", "pending"]
    await executor.forward()
    assert statuses(jobs) == ["completed"] * 3


async def test_the_block_ends_in_order() -> None:
    executor = slow_desk(concurrency_limit=2, grace=3.0)
    async with executor:
        quick, slow, waiting = await executor.append_many(
            [Job(do=sleeps(2)), Job(do=sleeps(100)), Job(do=sleeps(100))]
        )
        await asyncio.sleep(1)
    assert statuses([quick, slow, waiting]) == ["completed", "pending", "pending"]
    assert [job.execution.interruptions for job in (slow, waiting)] == [1, 0]
