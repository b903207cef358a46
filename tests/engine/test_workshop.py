"""What the calls of one processor share: slots, window, and the one who asks."""

import asyncio

import pytest
from engine.kit import Hold, Job, agree, background, desk, forward, labels, statuses, worker

from lionpride.core import EventStatus

pytestmark = pytest.mark.virtual


def jobs(names: str, hold: Hold | None = None) -> list[Job]:
    return [Job(label=name, do=hold) for name in names]


async def test_a_slot_that_is_given_back_wakes_whoever_waits() -> None:
    """Three calls wait for the one slot, and each takes its turn."""
    executor = desk(concurrency_limit=1)
    hold = Hold()
    async with background(executor), background(executor):
        await executor.append_many(jobs("abcdef", hold))
        await hold.has(1)
        round_ = asyncio.create_task(forward(executor))
        await asyncio.sleep(1)
        assert hold.inside == 1
        hold.let_go()
        await round_
        await executor.join()
    assert hold.order == list("abcdef")
    assert hold.peak == 1
    agree(executor)


async def test_a_slot_is_given_back_by_a_call_that_is_cancelled() -> None:
    executor = desk(concurrency_limit=1)
    hold = Hold()
    (job,) = await executor.append_many(jobs("a", hold))
    round_ = asyncio.create_task(executor.forward())
    await hold.has(1)
    async with background(executor):
        await asyncio.sleep(1)
        round_.cancel()
        await asyncio.wait([round_])
        await hold.has(2)
        assert job.status is EventStatus.PROCESSING, "the other call takes it up"
        hold.let_go()
        await executor.join()
    assert job.execution.interruptions == 1
    assert job.execution.attempt == 2


async def test_who_asks_is_one_of_all_the_calls() -> None:
    executor = desk(asks=True, concurrency_limit=3)
    gate = Hold()
    all_jobs = await executor.append_many([Job(label=name, ask=gate) for name in "abc"])
    rounds = [asyncio.create_task(executor.forward()) for _ in range(3)]
    await gate.has(1)
    await asyncio.sleep(1)
    assert gate.inside == 1
    assert statuses(all_jobs) == ["pending"] * 3
    gate.let_go()
    await asyncio.gather(*rounds)
    assert gate.peak == 1
    assert gate.order == list("abc")
    assert labels(executor.completed_events) == list("abc")


async def test_the_next_is_asked_for_as_soon_as_the_one_before_was_answered() -> None:
    executor = desk(asks=True, concurrency_limit=2)
    gate, hold = Hold(), Hold()
    await executor.append_many([Job(ask=gate, do=hold), Job(do=hold)])
    rounds = [asyncio.create_task(executor.forward()) for _ in range(2)]
    await gate.has(1)
    await asyncio.sleep(1)
    assert hold.inside == 0
    gate.let_go()
    await hold.has(2)
    assert hold.inside == 2, "though the first one runs on"
    hold.let_go()
    await asyncio.gather(*rounds)


async def test_a_call_that_gave_up_waiting_for_a_slot_takes_nobodys() -> None:
    executor = desk(concurrency_limit=1)
    hold = Hold()
    await executor.append_many(jobs("abc", hold))
    first = asyncio.create_task(executor.forward())
    await hold.has(1)
    gave_up = [asyncio.create_task(executor.forward()) for _ in range(2)]
    await asyncio.sleep(1)
    last = asyncio.create_task(executor.forward())
    await asyncio.sleep(1)
    for task in (*gave_up, first):
        task.cancel()
    await asyncio.wait([*gave_up, first])
    await hold.has(2)
    hold.let_go()
    await last
    assert len(executor.completed_events) == 3


async def test_a_call_that_is_cancelled_while_it_waits_to_ask_is_prompt() -> None:
    executor = desk(asks=True, concurrency_limit=3)
    gate = Hold()
    first, second = await executor.append_many([Job(ask=gate), Job()])
    async with background(executor):
        await gate.has(1)
        round_ = asyncio.create_task(executor.forward())
        await asyncio.sleep(1)
        round_.cancel()
        await asyncio.wait([round_], timeout=100)
        assert round_.cancelled(), "it does not wait for the other's question"
        assert second.status is EventStatus.PENDING
        gate.let_go()
        await executor.join()
    assert statuses([first, second]) == ["completed", "completed"]
    agree(executor)


async def test_a_question_that_is_never_answered_blocks_nobody_for_ever() -> None:
    """Its event has a timeout, which holds for the question too."""
    executor = desk(asks=True, concurrency_limit=2)
    gate = Hold()
    silent, other = await executor.append_many([Job(ask=gate, timeout=5), Job()])
    await executor.forward()
    assert silent.status is EventStatus.CANCELLED
    assert other.status is EventStatus.COMPLETED
    assert gate.inside == 0


async def test_room_is_checked_again_after_a_long_question() -> None:
    """Who was granted a start waits until one is allowed, whatever happened meanwhile."""
    executor = desk(asks=True, concurrency_limit=2, queue_capacity=1, capacity_refresh_time=10.0)
    gate = Hold()
    async with background(executor):
        asked = await executor.append(Job(label="asked", ask=gate), 1)
        await gate.has(1)
        gate.let_go()
        await executor.result(asked)
        other = await executor.append(Job(label="other"))
        await asyncio.sleep(9)
        assert other.status is EventStatus.PENDING
        await executor.forward()
        assert worker(executor).available_capacity == 0
        await executor.join()
    assert other.status is EventStatus.COMPLETED
