"""Waiting for many endings: each is heard of once, in order, and nobody else is woken."""

import asyncio

import pytest
from engine.kit import Job, desk, labels, raises, sleeps

from lionpride.engine.endings import Endings
from lionpride.errors import NotFoundError

pytestmark = pytest.mark.virtual


async def test_the_order_of_the_endings_is_kept_however_late_one_looks() -> None:
    executor = desk()
    jobs = [Job(label=str(n), do=sleeps(n)) for n in (3, 1, 2)]
    await executor.append_many([*jobs, Job(label="failed", do=raises(ValueError()))])
    endings = Endings(executor.store)
    for job in list(executor.pending_events):
        endings.add(job)
    assert len(endings) == 4
    assert endings.next() is None
    await executor.forward()
    ended = []
    while (awaited := endings.next()) is not None:
        ended.append(awaited.given())
    assert labels(ended) == ["failed", "1", "2", "3"]
    assert not len(endings)


async def test_wake_ends_a_wait_for_nothing_and_close_removes_the_listeners() -> None:
    executor = desk()
    endings = Endings(executor.store)
    awaited = endings.add(await executor.append(Job()))
    waiting = asyncio.create_task(endings.wait())
    await asyncio.sleep(1)
    endings.wake()
    await waiting
    assert not awaited.over
    endings.close()
    await executor.forward()
    assert endings.next() is None


async def test_what_was_removed_is_over_and_cannot_be_given() -> None:
    executor = desk()
    job = await executor.append(Job())
    endings = Endings(executor.store)
    awaited = endings.add(job)
    await executor.remove(job)
    assert endings.next() is awaited
    assert awaited.over
    with pytest.raises(NotFoundError, match="removed before it finished"):
        awaited.given()
