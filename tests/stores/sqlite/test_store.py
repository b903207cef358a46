"""What only the store in a file does: its options, what it shows, and what cuts a verb short."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import pytest
from stores.asking import ENDINGS, check_counts, claim_one, end, pages, put, record, settle
from stores.makers import Clock, Job

from lionpride.errors import ExistsError, NotFoundError, StoreError
from lionpride.model.event_data import EventData
from lionpride.model.execution import EventStatus
from lionpride.rules.state_machine import Completion, Ending, after_interruption
from lionpride.stores.contract import Settled, Store
from lionpride.stores.listeners import Signal
from lionpride.stores.memory import MemoryStore
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.sqlite.file import connect
from lionpride.stores.sqlite.rows import Rows
from lionpride.stores.sqlite.snapshot import SqliteSnapshot
from lionpride.stores.sqlite.write_lock import WriteLock

S = EventStatus
TURNS = range(25)
"""Of the event loop, after which a verb is cancelled: more than any takes until its commit."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@pytest.fixture
def store_of(path: Path, clock: Clock, opened: list[Store]) -> Callable[..., SqliteStore]:
    """One more store on the file, closed when the test is over."""

    def make(**how: Any) -> SqliteStore:
        store = SqliteStore(path, **{"clock": clock, "synchronous": "NORMAL", **how})
        opened.append(store)
        return store

    return make


Make = Callable[..., SqliteStore]


def labels(store: SqliteStore) -> list[str]:
    return [event.label for event in store.states.items if isinstance(event, Job)]


async def total(store: Store) -> int:
    """How many events there are, by the counts and by the records."""
    count = sum((await store.counts()).values())
    assert len(await store.list_records(limit=100_000)) == count
    return count


def leases(path: Path) -> int:
    """How many events are leased, seen from outside."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(db.execute("SELECT count(*) FROM lionpride_lease").get)
    finally:
        db.close()


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("synchronous", "level"), [("NORMAL", 1), ("FULL", 2)])
async def test_synchronous(synchronous: str, level: int, store_of: Make, path: Path) -> None:
    store = store_of(synchronous=synchronous)
    await put(store, 1.0)
    assert await total(store) == 1
    db = connect(path, synchronous=synchronous)
    assert db.pragma("synchronous") == level
    assert db.pragma("journal_mode") == "wal"
    db.close()


async def test_nothing_is_made_before_the_first_use(store_of: Make, path: Path) -> None:
    store = store_of()
    assert not path.exists()
    await store.close()
    assert not path.exists()
    await store.counts()
    assert path.exists()


async def test_a_relative_path_is_of_the_folder_where_the_store_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    store = SqliteStore("run.db")
    monkeypatch.chdir(tmp_path)
    await put(store, 1.0)
    await store.close()
    assert (tmp_path / "a" / "run.db").exists()


# -- what is shown ---------------------------------------------------------------------------------


async def test_the_states_show_the_newest(store_of: Make) -> None:
    store = store_of(shown=3)
    await put(store, *range(5))
    assert labels(store) == ["2", "3", "4"]
    assert await total(store) == 5
    one = await claim_one(store, start=True)  # the first, which is shown again as it runs
    assert labels(store) == ["0", "2", "3", "4"]
    await settle(store, one, ENDINGS[S.COMPLETED])
    assert labels(store) == ["0", "3", "4"], "who rests last is the newest"
    await put(store, 9.0, 9.0, 9.0)
    assert labels(store) == ["0", "1", "2"]


async def test_what_user_code_still_has_is_claimed_as_that_object(store_of: Make) -> None:
    store = store_of(shown=1)
    jobs = await put(store, *range(4))
    assert labels(store) == ["3"]
    for job in jobs[:3]:
        event, attempt = await claim_one(store, start=True)
        assert event is job
        assert await settle(store, (event, attempt), ENDINGS[S.COMPLETED]) is Settled.APPLIED
        assert job.execution.response == "done"


async def test_what_nobody_has_any_more_is_made_from_its_row(store_of: Make) -> None:
    store = store_of(shown=1)
    job = Job(label="first", metadata={"note": "kept"})
    uid, made, gone = job.id, job.created_at, weakref.ref(job)
    await store.append([(job, 1.0)])
    await put(store, 2.0)
    del job
    gc.collect()
    assert gone() is None, "the store keeps nothing but the row"
    event, _ = await claim_one(store)
    assert isinstance(event, Job)
    assert (event.id, event.created_at, event.label) == (uid, made, "first")
    assert event.metadata["note"] == "kept"
    assert (event.execution.priority, event.execution.attempt) == (1.0, 1)


async def test_what_is_found_by_its_id_is_one_object_as_long_as_anybody_has_it(
    store_of: Make,
) -> None:
    store = store_of(shown=1)
    jobs = await put(store, *range(3))
    for job in jobs:
        assert await store.find(job.id) is job


async def test_what_is_evicted_and_removed_is_nobodys(store_of: Make) -> None:
    store = store_of(shown=1)
    jobs = await put(store, *range(3))
    await store.remove([jobs[0]])
    assert jobs[0].execution.arrival is None
    await store.append([(jobs[0], 0.0)])
    assert await total(store) == 3


# -- what is kept ----------------------------------------------------------------------------------


async def tidy(store: SqliteStore, clock: Clock) -> None:
    """Time passes, and a claim looks after the file."""
    clock.advance(2.0)
    claims, _ = await store.claim("worker")
    assert not claims
    await store.settled()


async def test_retain_by_count_keeps_the_newest_endings(store_of: Make, clock: Clock) -> None:
    store = store_of(retain=3)
    await put(store, *range(6))
    statuses = [S.COMPLETED, S.FAILED, S.CANCELLED, S.SKIPPED, S.COMPLETED, S.ABORTED]
    for status in statuses:
        await end(store, status)
    await tidy(store, clock)
    assert [each.status for each in await pages(store)] == statuses[3:]
    assert sorted(labels(store)) == ["3", "4", "5"]
    assert await total(store) == 3


async def test_retain_leaves_what_has_not_ended(store_of: Make, clock: Clock) -> None:
    store = store_of(retain=0)
    await put(store, 1.0, 2.0)
    await end(store, S.COMPLETED)
    held = await claim_one(store, start=True)
    await tidy(store, clock)
    assert [each.id for each in await pages(store)] == [held[0].id]


async def test_retain_by_age(store_of: Make, clock: Clock) -> None:
    store = store_of(retain=timedelta(seconds=60))
    jobs = await put(store, 1.0, 2.0)
    await end(store, S.COMPLETED)
    clock.advance(40)
    await end(store, S.FAILED)
    await tidy(store, clock)
    assert await total(store) == 2
    clock.advance(30)
    await tidy(store, clock)
    assert [each.id for each in await pages(store)] == [jobs[1].id]
    clock.advance(40)
    await tidy(store, clock)
    assert await total(store) == 0


async def test_the_first_pruning_orders_the_endings_beside_the_event_loop(
    store_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, threads = Rows.order_endings, list[threading.Thread]()

    def noted(self: Rows) -> None:
        threads.append(threading.current_thread())
        order(self)

    monkeypatch.setattr(Rows, "order_endings", noted)
    store = store_of()
    (job,) = await put(store, 1.0)
    await end(store, S.COMPLETED)
    assert await store.prune([S.COMPLETED]) == [job]
    assert threading.main_thread() not in threads


async def test_without_retain_all_is_kept(store_of: Make, clock: Clock) -> None:
    store = store_of()
    await put(store, 1.0)
    await end(store, S.COMPLETED)
    clock.advance(1e9)
    await tidy(store, clock)
    assert await total(store) == 1


async def test_more_than_one_step_removes_goes_with_the_next_claims(
    store_of: Make, clock: Clock
) -> None:
    store = store_of(retain=1)
    await put(store, *range(1_200))
    claims, _ = await store.claim("worker", 1_200, start=True)
    done = Completion(None, 0.0)
    await store.settle([(*one, done) for one in claims])
    clock.advance(2.0)
    for _ in range(4):
        await store.claim("worker")
        await store.settled()
    assert await total(store) == 1


# -- what this process cannot read -----------------------------------------------------------------

ALIEN = """
import asyncio, sys
from lionpride.model.event_data import EventData
from lionpride.stores.memory import MemoryStore
from lionpride.stores.sqlite import SqliteStore

class Alien(EventData):
    pass

async def main():
    store = SqliteStore(sys.argv[1])
    await store.append([(Alien(), float(n)) for n in range(int(sys.argv[2]))])
    await store.close()

asyncio.run(main())
"""


def aliens(path: Path, count: int = 1) -> None:
    """Events of a class that this process does not have, of priorities from 0 up."""
    subprocess.run(
        [sys.executable, "-c", ALIEN, str(path), str(count)],
        check=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


async def test_an_event_without_a_class_waits_and_the_others_run(
    store_of: Make, path: Path
) -> None:
    aliens(path, 3)
    store = store_of()
    jobs = await put(store, 1.0, 2.0)
    claims, wait = await store.claim("worker", 10, start=True)
    assert [event for event, _ in claims] == jobs
    assert wait is None, "nothing that can be claimed is left"
    assert await store.claim("worker", 10) == ([], None)
    counts = await store.counts()
    assert (counts[S.PENDING], counts[S.PROCESSING]) == (3, 2)
    assert [each.kind for each in await pages(store, S.PENDING)] == ["__main__.Alien"] * 3
    (alien, *_) = await pages(store, S.PENDING)
    with pytest.raises(NotFoundError, match=r"'__main__\.Alien' is not defined in this process"):
        await store.find(alien.id)


# -- a verb that is cut short ----------------------------------------------------------------------


async def cut(verb: Coroutine[Any, Any, Any], turns: int) -> Any:
    """Begin a verb, and cancel it so many turns later; what it gave, or None."""
    task = asyncio.ensure_future(verb)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return None


async def noise(store: SqliteStore) -> None:
    """So many steps beside it that the commit is made in a thread."""
    await asyncio.gather(*(store.append([(Job(), 100.0)]) for _ in range(6)))


@pytest.mark.parametrize("size", [1, 3, 600])
@pytest.mark.parametrize("busy", [False, True])
async def test_an_append_that_is_cancelled_is_whole_or_nothing(
    size: int, busy: bool, store_of: Make
) -> None:
    store = store_of()
    known = 0
    for turns in TURNS:
        jobs = [Job() for _ in range(size)]
        beside = asyncio.ensure_future(noise(store)) if busy else None
        given = await cut(store.append([(job, 1.0) for job in jobs]), turns)
        if beside is not None:
            await beside
        await store.settled()
        found = [each is not None for each in await store.get(job.id for job in jobs)]
        held = [job.execution.arrival is not None for job in jobs]
        assert held == found
        assert len(set(found)) == 1, "all or none"
        assert found[0] or given is None
        known += size * found[0] + (6 if busy else 0)
    assert await total(store) == known
    await put(store, 0.0)
    assert await total(store) == known + 1


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("busy", [False, True])
async def test_a_claim_that_is_cancelled_leaves_nothing_leased(
    busy: bool, start: bool, store_of: Make, path: Path
) -> None:
    store = store_of()
    await put(store, *range(3))
    for turns in TURNS:
        beside = asyncio.ensure_future(noise(store)) if busy else None
        given = await cut(store.claim("worker", 2, start=start), turns)
        if beside is not None:
            await beside
        await store.settled()
        claims = given[0] if given else []
        assert leases(path) == len(claims)
        if claims:
            back = Completion(None, 0.0) if start else ENDINGS[S.ABORTED]
            assert set(await store.settle([(*one, back) for one in claims])) == {Settled.APPLIED}
            await put(store, *range(len(claims)))
        counts = await store.counts()
        assert counts[S.PROCESSING] == 0
        assert not store.states.lane(S.PROCESSING)
        await check_counts(store)


@pytest.mark.parametrize("busy", [False, True])
async def test_a_settlement_that_is_cancelled_is_whole_or_nothing(
    busy: bool, store_of: Make, path: Path
) -> None:
    store = store_of()
    for turns in TURNS:
        await put(store, 1.0, 2.0)
        claims, _ = await store.claim("worker", 2, start=True)
        beside = asyncio.ensure_future(noise(store)) if busy else None
        await cut(store.settle([(*one, ENDINGS[S.FAILED]) for one in claims]), turns)
        if beside is not None:
            await beside
        await store.settled()
        for event, attempt in claims:
            found = await record(store, event)
            assert found.status is event.execution.status
            assert (turns == 0) == (found.status is S.PROCESSING), "once it is asked, it is done"
            if found.status is S.PROCESSING:
                await settle(store, (event, attempt), ENDINGS[S.FAILED])
        assert leases(path) == 0
        await check_counts(store)


async def test_a_large_append_that_is_cancelled_while_it_waits_for_its_turn(
    store_of: Make, path: Path
) -> None:
    store = store_of(patience=30.0)
    await put(store, 1.0)
    turn = WriteLock(path, 0.0)
    assert turn.try_acquire()
    jobs = [Job() for _ in range(1_200)]
    append = asyncio.ensure_future(store.append([(job, 1.0) for job in jobs]))
    for _ in range(10):
        await asyncio.sleep(0)
    append.cancel()
    await asyncio.sleep(0)
    turn.release()
    with pytest.raises(asyncio.CancelledError):
        await append
    assert await total(store) == 1
    assert turn.try_acquire(), "the turn was given back"
    turn.close()
    await put(store, 2.0)
    assert await total(store) == 2


async def test_a_large_append_with_a_known_id_leaves_nothing(store_of: Make) -> None:
    store = store_of()
    (known,) = await put(store, 1.0)
    jobs = [Job() for _ in range(2_000)]
    jobs[1_000] = Job(id=known.id)
    with pytest.raises(ExistsError, match=str(known.id)):
        await store.append([(job, 1.0) for job in jobs])
    assert await total(store) == 1
    assert all(job.execution.arrival is None for job in jobs)
    del jobs[1_000]
    await store.append([(job, 1.0) for job in jobs])
    assert await total(store) == 2_000


async def test_a_large_append_with_an_id_twice_leaves_nothing(store_of: Make) -> None:
    store = store_of()
    jobs = [Job() for _ in range(1_500)]
    jobs[1_400] = Job(id=jobs[10].id)
    with pytest.raises(ExistsError, match=str(jobs[10].id)):
        await store.append([(job, 1.0) for job in jobs])
    assert await total(store) == 0


# -- leases ----------------------------------------------------------------------------------------


async def test_a_lease_counts_from_when_it_is_given(
    store_of: Make, path: Path, clock: Clock
) -> None:
    """A claim that has waited for the file has not used up its lease by then."""
    store, watcher = store_of(), store_of()
    await put(store, 1.0)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    claiming = asyncio.create_task(store.claim("worker", start=True))
    for _ in TURNS:
        await asyncio.sleep(0)
    clock.advance(60.0)
    other.execute("ROLLBACK")
    other.close()
    claims, _ = await claiming
    assert len(claims) == 1
    assert await watcher.reap() == 0
    clock.advance(11.0)
    assert await watcher.reap() == 1


async def test_a_reap_does_not_tell_of_an_ending_that_another_worker_has_recorded_since(
    store_of: Make, path: Path, clock: Clock
) -> None:
    told: list[EventData] = []
    after_commit: list[Callable[[], None]] = []

    def watch(connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, trace)

    def trace(done: dict[str, Any]) -> None:
        if done["sql"] == "COMMIT" and after_commit:
            after_commit.pop()()

    async def complete_once_more() -> None:
        worker = SqliteStore(path, clock=clock, synchronous="NORMAL")
        one = await claim_one(worker, start=True)
        assert one[1] == 2
        assert await settle(worker, one, ENDINGS[S.COMPLETED]) is Settled.APPLIED
        await worker.close()

    def complete_in_a_thread() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, complete_once_more()).result()

    apsw.connection_hooks.append(watch)
    try:
        reaper = store_of()
        reaper.subscribe(Signal.EXPIRED, lambda event, before: told.append(event))
        (job,) = await put(reaper, 1.0)
        await claim_one(store_of(), start=True)
        clock.advance(60.0)
        after_commit.append(complete_in_a_thread)
        assert await reaper.reap() == 1
        assert not after_commit
        assert job.status is S.COMPLETED
        assert told == []
    finally:
        apsw.connection_hooks.remove(watch)


# -- what is written -------------------------------------------------------------------------------


async def test_fields_are_written_once(store_of: Make) -> None:
    """docs/reference/stores.md says so: what a run adds is its response and its error."""
    store = store_of()
    (job,) = await put(store, 1.0)
    one = await claim_one(store, start=True)
    job.label, job.metadata["note"] = "changed", "mine"
    await settle(store, one, ENDINGS[S.FAILED])
    found = await record(store_of(), job)
    assert found.payload["label"] == "0"
    assert "note" not in found.payload["metadata"]
    assert found.payload["execution"]["error"]["message"] == "broken"


# -- completions that nobody waits for -------------------------------------------------------------


async def test_a_completion_keeps_what_went_before(store_of: Make, clock: Clock) -> None:
    """Each way to put one on record: one alone, several in one go, and by ``settle``."""
    store = store_of()
    jobs = await put(store, 1.0, 1.0, 1.0, 1.0)
    for outcome in (Ending(S.PENDING, delay=30.0, tries=1), after_interruption(0)):
        claims, _ = await store.claim("worker", 4, start=True)
        answers = await store.settle([(*one, outcome) for one in claims])
        assert answers == [Settled.APPLIED] * 4
        clock.advance(60.0)
    claims, _ = await store.claim("worker", 4, start=True)
    for number, (event, attempt) in enumerate(claims[:3]):
        store.complete_soon(event, attempt, "done", 0.1)
        if number == 0:
            await store.settled()
    await store.settled()
    await settle(store, claims[3], ENDINGS[S.COMPLETED])
    for found in await pages(store_of()):
        state = found.attempt, found.tries, found.denials, found.interruptions
        assert (found.status, state) == (S.COMPLETED, (3, 1, 0, 1))
    for job in jobs:
        assert (job.execution.tries, job.execution.interruptions) == (1, 1)


async def test_a_completion_that_comes_too_late_is_not_shown(store_of: Make, clock: Clock) -> None:
    """F2: one lease was lost before this process has noticed, and another in the batch was not."""
    store, other = store_of(), store_of()
    late, kept = await put(store, 1.0, 2.0)
    lost = await claim_one(store, start=True)
    clock.advance(8.0)
    holds = await claim_one(store, start=True)
    clock.advance(4.0)
    assert await other.reap() == 1
    again = await claim_one(other, start=True)
    for (event, attempt), response in ((lost, "late"), (holds, "kept")):
        store.complete_soon(event, attempt, response, 0.1)
    await store.settled()
    assert (kept.execution.status, kept.execution.response) == (S.COMPLETED, "kept")
    assert late.execution.status is not S.COMPLETED
    assert (await record(other, late)).status is S.PROCESSING
    assert await settle(other, again, ENDINGS[S.COMPLETED]) is Settled.APPLIED
    ended = asyncio.Event()
    store.subscribe(Signal.FINISHED, ended.set, event=late, once=True)
    await ended.wait()
    assert (late.execution.status, late.execution.response) == (S.COMPLETED, "done")


async def test_a_completion_that_cannot_be_written_is_tried_again(
    store_of: Make, path: Path
) -> None:
    store = store_of(patience=0.05)
    await put(store, 1.0, 2.0)
    claims, _ = await store.claim("worker", 2, start=True)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    ended = [asyncio.Event() for _ in claims]
    for (event, attempt), bell in zip(claims, ended, strict=True):
        store.subscribe(Signal.FINISHED, bell.set, event=event, once=True)
        store.complete_soon(event, attempt, "done", 0.1)
        with pytest.raises(StoreError, match="locked by another process"):
            await store.settled()
        assert event.execution.status is S.PROCESSING, "it is on nobody's record"
    other.execute("ROLLBACK")
    other.close()
    for bell in ended:
        await bell.wait()
    found = await pages(store_of(), S.COMPLETED)
    assert [each.payload["execution"]["response"] for each in found] == ["done"] * 2


# -- close -----------------------------------------------------------------------------------------


async def test_close_ends_what_is_under_way(store_of: Make) -> None:
    store = store_of()
    await put(store, 1.0, 2.0)
    claims, _ = await store.claim("worker", 2, start=True)
    for event, attempt in claims:
        store.complete_soon(event, attempt, "done", 0.1)
    under_way = [
        asyncio.ensure_future(store.append([(Job(), 3.0)])),
        asyncio.ensure_future(store.append([(Job(), 3.0) for _ in range(1_200)])),
        asyncio.ensure_future(store.append([(Job(), 3.0) for _ in range(3)])),
    ]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*under_way)
    other = store_of()
    counts = await other.counts()
    assert (counts[S.COMPLETED], counts[S.PENDING]) == (2, 1_204)


async def test_after_close_it_opens_again_with_the_same_objects(store_of: Make) -> None:
    store = store_of()
    (job,) = await put(store, 1.0)
    await store.close()
    await store.close()
    event, attempt = await claim_one(store, start=True)
    assert event is job
    await store.close()
    assert await settle(store, (event, attempt), ENDINGS[S.COMPLETED]) is Settled.APPLIED
    assert job.execution.status is S.COMPLETED


async def test_a_closed_file_is_one_file(store_of: Make, path: Path) -> None:
    store = store_of()
    await put(store, 1.0)
    await store.close()
    assert sorted(each.name for each in path.parent.iterdir()) == ["run.db", "run.db-turn"]


async def test_close_lets_go_of_the_file_even_if_it_cannot_write(
    store_of: Make, path: Path
) -> None:
    store = store_of(patience=0.05)
    store.register_worker("worker", lambda event: None)
    await put(store, 1.0)
    event, attempt = await claim_one(store, start=True)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    store.complete_soon(event, attempt, "done", 0.1)
    with pytest.raises(StoreError, match="locked by another process"):
        await store.close()
    other.execute("ROLLBACK")
    other.close()
    assert not Path(f"{path}-wal").exists(), "nobody has the file open"


def test_one_event_loop_after_another(path: Path) -> None:
    store = SqliteStore(path, synchronous="NORMAL")
    job = Job()

    async def first() -> None:
        await store.append([(job, 1.0)])

    async def second() -> None:
        event, attempt = await claim_one(store, start=True)
        assert event is job
        store.complete_soon(event, attempt, "done", 0.1)  # and the loop ends before its commit

    async def third() -> None:
        (answer,) = await store.settle([(job, 1, Completion("done", 0.1))])
        assert answer in (Settled.APPLIED, Settled.REPLAYED)
        assert job.execution.status is S.COMPLETED
        await put(store, 2.0)
        assert await total(store) == 2
        await store.close()

    for each in (first, second, third):
        asyncio.run(each())


def test_a_loop_that_ends_in_the_middle_of_an_append(path: Path) -> None:
    store = SqliteStore(path, synchronous="NORMAL")
    jobs = [Job() for _ in range(1_200)]

    async def begin() -> None:
        await store.counts()
        task = asyncio.ensure_future(store.append([(job, 1.0) for job in jobs]))
        for _ in range(4):
            await asyncio.sleep(0)
        assert not task.done()

    async def again() -> None:
        assert await total(store) == 0
        await store.append([(job, 1.0) for job in jobs])
        assert await total(store) == 1_200
        await store.close()

    asyncio.run(begin())
    asyncio.run(again())


# -- two queues in one file ------------------------------------------------------------------------


async def test_queues_do_not_see_each_other(store_of: Make, clock: Clock) -> None:
    red, blue = store_of(queue="red", retain=5), store_of(queue="blue")
    ours, theirs = await put(red, 1.0, 2.0), await put(blue, 0.0, 0.5, 0.7)
    assert await blue.queues() == await red.queues() == ["red", "blue"]
    assert [each.id for each in await pages(red)] == [job.id for job in ours]
    assert [each.id for each in await pages(blue)] == [job.id for job in theirs]
    assert await red.get([theirs[0].id]) == [None]
    assert await red.find(theirs[0].id) is None
    for verb in (red.cancel, red.remove, red.retry):
        with pytest.raises(NotFoundError, match="queue 'red' has no event"):
            await verb([theirs[0].id])
        with pytest.raises(NotFoundError, match="not in queue 'red'"):
            await verb([theirs[0]])
    assert (await claim_one(red))[0] is ours[0]
    event, attempt = await claim_one(blue, start=True)
    assert event is theirs[0]
    assert await red.settle([(event, attempt, ENDINGS[S.COMPLETED])]) == [Settled.FENCED]
    assert await blue.settle([(event, attempt, ENDINGS[S.COMPLETED])]) == [Settled.APPLIED]
    await red.prune(list(S))
    await tidy_queue(red, clock)
    assert await total(blue) == 3
    assert await total(red) == 2


async def tidy_queue(store: SqliteStore, clock: Clock) -> None:
    clock.advance(2.0)
    await store.reap()


async def test_a_known_id_of_another_queue_is_known(store_of: Make) -> None:
    """Ids are the file's: an event is in one queue."""
    red, blue = store_of(queue="red"), store_of(queue="blue")
    (job,) = await put(red, 1.0)
    with pytest.raises(ExistsError, match=str(job.id)):
        await blue.append([(Job(id=job.id), 1.0)])
    assert await total(blue) == 0
    assert isinstance(job.id, UUID)


@pytest.mark.parametrize("size", [1, 3, 600])
async def test_exist_ok_gives_no_event_of_another_queue(size: int, store_of: Make) -> None:
    red, blue = store_of(queue="red"), store_of(queue="blue")
    (job,) = await put(red, 1.0)
    same: list[EventData] = [Job(id=job.id), *(Job() for _ in range(size - 1))]
    words = f"{job.id} is known in queue 'red' of this file"
    for exist_ok in (True, False):
        with pytest.raises(ExistsError, match=words):
            await blue.append([(each, 1.0) for each in same], exist_ok=exist_ok)
        with pytest.raises(ExistsError, match=words):
            await blue.append([(job, 1.0)], exist_ok=exist_ok)
    with pytest.raises(ExistsError, match=words):
        await blue.load(same)
    with pytest.raises(ExistsError, match=words):
        await blue.import_records([await record(red, job)])
    assert await total(blue) == 0
    assert await total(red) == 1


# -- reading beside a writer -----------------------------------------------------------------------


async def test_a_page_is_one_view_of_the_file(
    store_of: Make, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1: what another process commits while a page is read is on the next one, or not at all."""
    store = store_of()
    jobs = await put(store, 1.0, 2.0, 3.0)
    find = SqliteSnapshot.find

    async def remove_and_find(self: SqliteSnapshot, numbers: Any) -> Any:
        assert list(numbers) == [1, 2, 3] or removed
        removed.append(1)
        other = apsw.Connection(str(path))
        other.execute(
            "DELETE FROM lionpride_event WHERE number = 1; DELETE FROM lionpride_ready WHERE "
            "number = 1"
        )
        other.close()
        return await find(self, numbers)

    removed: list[int] = []
    monkeypatch.setattr(SqliteSnapshot, "find", remove_and_find)
    found = await store.list_records(S.PENDING)
    assert [each.id for each in found] == [job.id for job in jobs]
    found = await store.list_records(S.PENDING)
    assert [each.id for each in found] == [job.id for job in jobs[1:]]


# -- what another has removed ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["remove", "prune"])
async def test_what_another_has_removed_is_not_found(how: str, store_of: Make) -> None:
    store, other = store_of(), store_of()
    (job, stays) = await put(store, 1.0, 2.0)
    if how == "remove":
        await other.remove([job.id])
    else:
        await end(other, S.COMPLETED)
        await other.prune([S.COMPLETED])
    assert await store.find(job.id) is None
    assert await store.get([job.id]) == [None]
    assert list(store.states.items) == [stays]
    assert job.execution.arrival is None, "nobody holds it"
    assert await store.find(stays.id) is stays
    if how == "remove":
        await store.append([(job, 1.0)])
        assert await store.find(job.id) is job


@pytest.mark.parametrize("verb", ["cancel", "retry", "remove"])
async def test_what_another_has_removed_is_refused_by_name(verb: str, store_of: Make) -> None:
    store, other = store_of(), store_of()
    gone, stays = await put(store, 1.0, 2.0)
    if verb == "retry":
        await end(store, S.FAILED)
        await end(store, S.FAILED)
    await other.remove([gone.id])
    with pytest.raises(NotFoundError):
        await getattr(store, verb)([stays, gone])
    status = S.FAILED if verb == "retry" else S.PENDING
    assert [(each.id, each.status) for each in await pages(store)] == [(stays.id, status)]


async def test_what_is_claimed_here_and_was_ended_by_others_and_removed(
    store_of: Make, clock: Clock
) -> None:
    store, other = store_of(), store_of()
    await put(store, 1.0)
    event, attempt = await claim_one(store, start=True)
    clock.advance(60.0)
    assert await other.reap() == 1
    await end(other, S.COMPLETED)
    await other.prune([S.COMPLETED])
    assert await store.find(event.id) is None
    assert await settle(store, (event, attempt), ENDINGS[S.COMPLETED]) is Settled.FENCED
    await check_counts(store)


# -- when events ended -----------------------------------------------------------------------------


async def test_a_record_says_when_its_event_ended(store_of: Make, clock: Clock) -> None:
    store = store_of()
    jobs = await put(store, *range(6))
    assert [each.ended for each in await pages(store)] == [None] * 6
    for status in ENDINGS:
        clock.advance(10.0)
        await end(store, status)
    await claim_one(store, start=True)
    assert [(await record(store, job)).ended for job in jobs] == [
        1010,
        1020,
        1030,
        1040,
        1050,
        None,
    ]
    await store.retry([jobs[1]])
    assert (await record(store, jobs[1])).ended is None


async def test_a_restored_event_ended_when_it_did(clock: Clock, tmp_path: Path) -> None:
    first, second = (
        SqliteStore(tmp_path / f"{name}.db", clock=clock, retain=timedelta(seconds=60))
        for name in "ab"
    )
    await put(first, *range(5))
    for status in (S.COMPLETED, S.FAILED, S.CANCELLED):
        clock.advance(10.0)
        await end(first, status)
    await claim_one(first, start=True)
    records = await pages(first)
    clock.advance(45.0)
    await second.import_records(records)
    found = await pages(second)
    assert [each.ended for each in found] == [1010.0, 1020.0, 1030.0, None, None]
    clock.advance(1.5)
    await second.claim("worker")
    await second.settled()
    kept = [each.ended for each in await pages(second) if each.ended]
    assert kept == [1020.0, 1030.0], "pruning by age goes by it"
    without = [replace(each, number=0, ended=None) for each in records[:1]]
    await second.remove([each.id for each in await pages(second, S.COMPLETED)])
    await second.import_records(without)
    assert [each.ended for each in await pages(second, S.COMPLETED)] == [clock()]
    await first.close()
    await second.close()


async def test_a_memory_store_takes_such_records_and_notes_no_time(
    store_of: Make, clock: Clock
) -> None:
    store, memory = store_of(), MemoryStore(clock=clock)
    await put(store, 1.0)
    await end(store, S.COMPLETED)
    await memory.import_records(await pages(store))
    (found,) = await pages(memory)
    assert (found.status, found.ended) == (S.COMPLETED, None)
