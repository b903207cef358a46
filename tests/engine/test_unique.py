"""unique: an append that is made twice is made once."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from engine.kit import Hold, Job, Waiting, agree, background, desk

from lionpride.core import EventStatus
from lionpride.errors import NotFoundError
from lionpride.stores.memory import MemoryStore

pytestmark = pytest.mark.virtual

S = EventStatus


@pytest.mark.parametrize("store", [MemoryStore, lambda: Waiting(MemoryStore())])
async def test_while_the_first_waits_or_runs_it_is_returned(store: Any) -> None:
    executor, hold = desk(store=store()), Hold()
    first = await executor.append(Job(label="a", do=hold), unique="report")
    again = Job(label="b")
    assert await executor.append(again, unique="report") is first
    async with background(executor):
        await hold.has(1)
        assert await executor.append(again, 0.0, unique="report") is first
        hold.let_go()
        await executor.join()
    assert again.execution.arrival is None
    assert await executor.append(again, unique="report") is again
    agree(executor)


async def test_many_at_once_are_one() -> None:
    executor = desk(store=Waiting(MemoryStore()))
    jobs = [Job(label=str(n)) for n in range(20)]
    held = await asyncio.gather(*(executor.append(job, unique="one") for job in jobs))
    assert {id(each) for each in held} == {id(jobs[0])}
    assert len(executor.states.items) == 1


async def test_for_a_while_one_that_has_ended_is_returned_whatever_its_end() -> None:
    executor = desk()
    first = await executor.append(Job(label="a"), unique="x")
    await executor.cancel(first)
    assert await executor.append(Job(), unique="x", unique_for=60) is first
    assert first.status is S.CANCELLED
    await asyncio.sleep(60)
    later = Job()
    assert await executor.append(later, unique="x", unique_for=60) is later


async def test_a_text_a_number_and_a_uuid_are_their_text() -> None:
    executor, uid = desk(), UUID(int=7)
    for value, same in ((12, "12"), (uid, str(uid)), ("a", "a")):
        first = await executor.append(Job(), unique=value)
        assert await executor.append(Job(), unique=same) is first
        assert first.execution.unique is not None
        assert first.execution.unique[0] == same


async def test_what_was_removed_is_forgotten() -> None:
    executor = desk()
    first = await executor.append(Job(), unique="x")
    await executor.remove(first)
    with pytest.raises(NotFoundError):
        await executor.result(first)
    second = await executor.append(Job(), unique="x", unique_for=60)
    assert second is not first


async def test_observers_hear_of_what_is_new_alone() -> None:
    executor, steps = desk(), list[Any]()
    executor.observe(lambda step: steps.append((step.event.label, step.after)))  # type: ignore[attr-defined]
    await executor.append(Job(label="a"), unique="x")
    await executor.append(Job(label="b"), unique="x")
    assert steps == [("a", S.PENDING)]


async def test_a_full_queue_has_room_for_what_is_there() -> None:
    executor = desk(max_queue_size=1)
    first = await executor.append(Job(), unique="x")
    assert await executor.append(Job(), unique="x") is first
    assert await executor.append(Job(), unique="x", wait=True) is first


async def test_it_goes_with_the_other_terms() -> None:
    executor = desk()
    first = await executor.append(Job(), unique="x", delay=5, ttl=60)
    second = await executor.append(Job(), 0.0, unique="x", delay=1)
    assert second is first
    await asyncio.sleep(2)
    await executor.forward()
    assert first.status is S.PENDING, "the terms of the first hold"
