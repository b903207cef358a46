"""Waiting for many completions: each is heard of once, in order, and nobody else is woken."""

import asyncio

import pytest
from engine.kit import Job, desk, labels, raises, sleeps

from lionpride.engine.completion_queue import CompletionQueue
from lionpride.errors import NotFoundError

pytestmark = pytest.mark.virtual


async def test_the_order_of_the_endings_is_kept_however_late_one_looks() -> None:
    executor = desk()
    jobs = [Job(label=str(n), do=sleeps(n)) for n in (3, 1, 2)]
    await executor.append_many([*jobs, Job(label="failed", do=raises(ValueError()))])
    completions = CompletionQueue(executor.store)
    for job in list(executor.pending_events):
        completions.add(job)
    assert len(completions) == 4
    assert completions.next() is None
    await executor.forward()
    ended = []
    while (pending := completions.next()) is not None:
        ended.append(pending.result())
    assert labels(ended) == ["failed", "1", "2", "3"]
    assert not len(completions)


async def test_wake_ends_a_wait_for_nothing_and_close_removes_the_listeners() -> None:
    executor = desk()
    completions = CompletionQueue(executor.store)
    pending = completions.add(await executor.append(Job()))
    waiting = asyncio.create_task(completions.wait())
    await asyncio.sleep(1)
    completions.wake()
    await waiting
    assert not pending.over
    completions.close()
    await executor.forward()
    assert completions.next() is None


async def test_what_was_removed_is_over_and_cannot_be_given() -> None:
    executor = desk()
    job = await executor.append(Job())
    completions = CompletionQueue(executor.store)
    pending = completions.add(job)
    await executor.remove(job)
    assert completions.next() is pending
    assert pending.over
    with pytest.raises(NotFoundError, match="removed before it finished"):
        pending.result()
