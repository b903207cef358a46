"""Watching: when it looks, in virtual time; and what a store notices of another's writing."""

import asyncio
from pathlib import Path

import pytest
from stores.makers import Job

from lionpride.model.execution import EventStatus
from lionpride.rules.state_machine import Completion
from lionpride.stores.contract import Settled
from lionpride.stores.listeners import Signal
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.sqlite.watch import INTERVAL, Watch


class Looks:
    """What a watch has done."""

    def __init__(self, times: int = 0) -> None:
        self.left = times
        self.at: list[float] = []
        self.watch = Watch(lambda: self.left > 0, self.look)

    def look(self) -> None:
        self.left -= 1
        self.at.append(asyncio.get_running_loop().time())


@pytest.mark.virtual
async def test_it_looks_at_intervals_for_as_long_as_it_is_wanted() -> None:
    looks, began = Looks(3), asyncio.get_running_loop().time()
    looks.watch.look()
    await asyncio.sleep(100)
    assert looks.at == pytest.approx([began + n * INTERVAL for n in (1, 2, 3)])


@pytest.mark.virtual
async def test_it_begins_once_however_often_it_is_asked_to() -> None:
    looks = Looks(2)
    for _ in range(5):
        looks.watch.look()
    await asyncio.sleep(100)
    assert len(looks.at) == 2


@pytest.mark.virtual
async def test_what_is_not_wanted_is_not_begun() -> None:
    looks = Looks(0)
    looks.watch.look()
    looks.left = 1
    await asyncio.sleep(100)
    assert not looks.at
    looks.watch.look()
    await asyncio.sleep(100)
    assert len(looks.at) == 1


@pytest.mark.virtual
async def test_what_is_wanted_no_more_is_not_looked_at_once_more() -> None:
    looks = Looks(1)
    looks.watch.look()
    looks.left = 0
    await asyncio.sleep(100)
    assert not looks.at


@pytest.mark.virtual
async def test_stop_ends_it_and_it_can_begin_again() -> None:
    looks = Looks(1)
    looks.watch.stop()
    looks.watch.look()
    looks.watch.stop()
    await asyncio.sleep(100)
    assert not looks.at
    looks.watch.look()
    await asyncio.sleep(100)
    assert len(looks.at) == 1


def test_a_loop_that_is_over_does_not_stop_it_in_the_next() -> None:
    looks = Looks(1)

    async def begin() -> None:
        looks.watch.look()

    async def wait() -> None:
        looks.watch.look()
        while not looks.at:
            await asyncio.sleep(0)

    asyncio.run(begin())
    asyncio.run(wait())
    assert len(looks.at) == 1


# -- two stores on one file ------------------------------------------------------------------------


async def test_what_another_appends_rings_the_bell(tmp_path: Path) -> None:
    store, other = (SqliteStore(tmp_path / "run.db") for _ in range(2))
    ready = asyncio.Event()
    assert await store.counts() == await other.counts()  # a closed file is not watched
    store.subscribe(Signal.READY, ready.set, once=True)
    await other.append([(Job(), 1.0)])
    await ready.wait()
    claims, _ = await store.claim("w")
    assert len(claims) == 1
    await store.close()
    await other.close()


async def told(store: SqliteStore, job: Job) -> None:
    """Wait for one notification of an event. It is a hint: the event may still be running."""
    hint = asyncio.Event()
    store.subscribe(Signal.FINISHED, hint.set, event=job, once=True)
    await hint.wait()


@pytest.mark.parametrize("sees", ["the settlement alone", "the claim too"])
async def test_what_another_ends_is_shown_here(tmp_path: Path, sees: str) -> None:
    store, other = (SqliteStore(tmp_path / "run.db") for _ in range(2))
    job, idle = Job(), asyncio.Event()
    await store.append([(job, 1.0)])
    store.subscribe(Signal.IDLE, idle.set, once=True)
    ((event, attempt),), _ = await other.claim("w", start=True)
    assert event is not job
    if sees == "the claim too":
        await told(store, job)
        assert job.execution.status is EventStatus.PROCESSING
    answers = await other.settle([(event, attempt, Completion("theirs", 0.5))])
    assert answers == [Settled.APPLIED]
    while job.execution.status is not EventStatus.COMPLETED:
        await told(store, job)
    assert job.execution.response == "theirs"
    assert list(store.states.lane(EventStatus.COMPLETED).values()) == [job]
    await idle.wait()
    await store.close()
    await other.close()


async def test_a_cancel_of_anothers_reaches_the_holder(tmp_path: Path) -> None:
    store, other = (SqliteStore(tmp_path / "run.db") for _ in range(2))
    asked = asyncio.get_running_loop().create_future()
    store.register_worker("w", asked.set_result)
    (job,) = await store.append([(Job(), 1.0)])
    await store.claim("w", start=True)
    store.subscribe(Signal.IDLE, lambda: None, once=True)
    await other.cancel([job.id])
    assert await asked is job
    store.unregister_worker("w")
    await store.close()
    await other.close()


async def test_after_close_nothing_is_looked_at(tmp_path: Path) -> None:
    store, other = (SqliteStore(tmp_path / "run.db") for _ in range(2))
    await store.append([(Job(), 1.0)])
    rung = []
    store.subscribe(Signal.READY, lambda: rung.append(True), once=True)
    await store.close()
    await other.append([(Job(), 1.0)])
    await asyncio.sleep(2 * INTERVAL)
    assert not rung
    await other.close()


async def test_who_waits_for_what_another_ended_long_ago_is_told(tmp_path: Path) -> None:
    """The change was noticed when nobody here wanted to know of this event."""
    store, other = (SqliteStore(tmp_path / "run.db") for _ in range(2))
    job, noticed, ended = Job(), asyncio.Event(), asyncio.Event()
    await store.append([(job, 1.0)])
    await other.counts()
    ((event, attempt),), _ = await other.claim("w", start=True)
    store.subscribe(Signal.READY, noticed.set, once=True)
    await other.settle([(event, attempt, Completion("theirs", 0.5))])
    await noticed.wait()
    while await store.find(job.id) is not job or store._backend.file.has_changed():
        await asyncio.sleep(0)
    assert job.execution.status is EventStatus.PENDING, "nobody has looked"
    store.subscribe(Signal.FINISHED, ended.set, event=job, once=True)
    await ended.wait()
    assert job.execution.response == "theirs"
    await store.close()
    await other.close()
