"""Several leases that one transaction claims, and what happens to one of them alone."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Any

import apsw
import pytest
from stores.asking import check_counts
from stores.makers import Clock, Job

from lionpride.errors import OperationError, StoreError
from lionpride.model.execution import EventStatus
from lionpride.rules.state_machine import RELEASED, Completion, Ending
from lionpride.stores.contract import Cancelled, Settled, Store
from lionpride.stores.sql import queries
from lionpride.stores.sql.queries import Snapshot
from lionpride.stores.sqlite import SqliteStore, backend
from lionpride.stores.sqlite.queries import Tables
from lionpride.stores.sqlite.rows import Rows
from lionpride.stores.sqlite.snapshot import read_snapshot
from lionpride.stores.sqlite.transaction import Clocks

S = EventStatus
Make = Callable[[], SqliteStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@pytest.fixture
def make(path: Path, clock: Clock, opened: list[Store]) -> Make:
    """Open one more store on the file, as another process would; the test closes it at its end."""

    def make() -> SqliteStore:
        store = SqliteStore(path, clock=clock, synchronous="NORMAL")
        opened.append(store)
        return store

    return make


@pytest.fixture
def store(make: Make) -> SqliteStore:
    return make()


def leases(path: Path) -> int:
    """Return the number of leases, read over another connection."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(db.execute("SELECT count(*) FROM lionpride_lease").get)
    finally:
        db.close()


async def claimed(store: SqliteStore, *priorities: float) -> list[Job]:
    """Append new events that the same transaction claims and starts; return them by arrival."""
    jobs = [Job() for _ in priorities]
    entering = [store.append_soon(*each) for each in zip(jobs, priorities, strict=True)]
    claims, _ = await store.claim("w", 99, start=True)
    await asyncio.gather(*entering)
    assert {event.id for event, _ in claims} == {job.id for job in jobs}
    return jobs


async def complete(store: SqliteStore, jobs: list[Job], attempt: int = 1) -> None:
    for job in jobs:
        store.complete_soon(job, attempt, None, 0.1)
    await store.settled()


async def statuses(store: Store, jobs: list[Job]) -> list[EventStatus]:
    records = await store.get([job.id for job in jobs])
    return [record.status for record in records if record is not None]


async def test_completions_end_the_leases_of_their_events_alone(
    store: SqliteStore, path: Path
) -> None:
    jobs = await claimed(store, 2.0, 1.0, 3.0)
    assert leases(path) == 3
    await complete(store, [jobs[2], jobs[0]])
    assert leases(path) == 1
    assert await statuses(store, jobs) == [S.COMPLETED, S.PROCESSING, S.COMPLETED]
    await complete(store, jobs[1:2])
    assert leases(path) == 0
    await check_counts(store)


async def test_a_claim_takes_pending_events_and_those_of_its_own_transaction(
    store: SqliteStore, path: Path
) -> None:
    waits = Job()
    await store.append([(waits, 0.0)])
    jobs = [Job(), Job()]
    entering = [store.append_soon(job, 1.0) for job in jobs]
    claims, _ = await store.claim("w", 99, start=True)
    await asyncio.gather(*entering)
    assert [event for event, _ in claims] == [waits, *jobs]
    assert leases(path) == 3
    await complete(store, [waits, *jobs])
    assert leases(path) == 0
    await check_counts(store)


async def test_one_call_settles_attempts_with_different_outcomes(
    store: SqliteStore, path: Path
) -> None:
    jobs = await claimed(store, 1.0, 2.0, 3.0)
    ends = Ending(S.FAILED, error=ValueError("no"), retryable=False, tries=1), Completion(7, 0.1)
    answers = await store.settle(
        [(jobs[0], 1, ends[0]), (jobs[1], 1, RELEASED), (jobs[2], 1, ends[1])]
    )
    assert answers == [Settled.APPLIED] * 3
    assert leases(path) == 0
    assert await statuses(store, jobs) == [S.FAILED, S.PENDING, S.COMPLETED]
    await check_counts(store)


async def test_another_process_sees_each_claimed_event(store: SqliteStore, make: Make) -> None:
    jobs = await claimed(store, 2.0, 1.0)
    other = make()
    assert await statuses(other, jobs) == [S.PROCESSING] * 2
    assert [each.id for each in await other.list_records(S.PROCESSING)] == [job.id for job in jobs]
    assert (await other.counts())[S.PROCESSING] == 2
    seen = await other.inspector.running()
    assert {(each.record.id, each.worker) for each in seen} == {(job.id, "w") for job in jobs}
    assert [each.since > 0.0 for each in seen] == [True, True]
    standing = await other.explain(jobs[0].id)
    assert standing is not None
    assert standing.status is S.PROCESSING


async def test_no_query_for_claimed_events_scans_all_events(store: SqliteStore, path: Path) -> None:
    jobs = await claimed(store, 2.0, 1.0)
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    asked = list[tuple[str, Any]]()
    tables, clocks = Tables(db, "default"), Clocks(time, time, time)

    def note(_cursor: apsw.Cursor, query: str, bound: Any) -> bool:
        asked.append((query, bound))
        return True

    async def ask_all(tables: Snapshot) -> None:
        assert await queries.worker_records(tables) == []
        assert await queries.live_workers(tables) == []
        page = await queries.page(tables, S.PROCESSING, 0, 9)
        assert [each.number for each in page] == [1, 2]
        assert await queries.statuses(tables, [1, 2]) == dict.fromkeys((1, 2), ("processing", 1))
        standing = await queries.explain(tables, jobs[0].id, None, list)
        assert standing is not None
        assert standing.holder == "w"

    db.exec_trace = note
    read_snapshot(tables, clocks, ask_all)
    db.exec_trace = None
    plans = [
        row[3] for query, bound in asked for row in db.execute(f"EXPLAIN QUERY PLAN {query}", bound)
    ]
    db.close()
    assert len(asked) >= 12
    assert not [each for each in plans if each in ("SCAN e", "SCAN event")]
    await complete(store, jobs)


async def test_a_cancel_of_another_process_reaches_its_event_alone(
    store: SqliteStore, make: Make
) -> None:
    asked: list[Any] = []
    was_asked = asyncio.Event()
    store.register_worker("w", lambda event: (asked.append(event), was_asked.set()))
    jobs = await claimed(store, 1.0, 1.0)
    assert await make().cancel([jobs[1].id]) == [Cancelled.CLAIMED]
    await asyncio.wait_for(was_asked.wait(), 30.0)
    assert {id(event) for event in asked} == {id(jobs[1])}
    await complete(store, jobs)
    assert await statuses(store, jobs) == [S.COMPLETED] * 2


async def test_a_claimed_event_cannot_be_removed(store: SqliteStore, make: Make) -> None:
    jobs = await claimed(store, 1.0, 1.0)
    with pytest.raises(OperationError, match="is running"):
        await make().remove([jobs[0].id])
    await complete(store, jobs)


async def test_f2_completions_of_reaped_attempts_change_nothing(
    store: SqliteStore, make: Make, path: Path, clock: Clock
) -> None:
    jobs = await claimed(store, 1.0, 1.0)
    clock.advance(60.0)
    other = make()
    assert await other.reap() == 2
    assert await statuses(other, jobs) == [S.PENDING] * 2
    claims, _ = await other.claim("o", 9, start=True)
    assert [attempt for _, attempt in claims] == [2, 2]
    await complete(store, jobs)
    assert await statuses(other, jobs) == [S.PROCESSING] * 2
    assert leases(path) == 2
    for event, attempt in claims:
        other.complete_soon(event, attempt, None, 0.1)
    await other.settled()
    assert await statuses(other, jobs) == [S.COMPLETED] * 2
    await check_counts(other)


async def test_completions_are_tried_again_after_a_full_disk(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = await claimed(store, 1.0, 1.0)
    commit, failures = Rows.commit, [apsw.FullError("database or disk is full")]

    def fail_once(self: Rows) -> None:
        if failures:
            raise failures.pop()
        commit(self)

    monkeypatch.setattr(Rows, "commit", fail_once)
    with pytest.raises(StoreError, match="full"):
        await complete(store, jobs)
    await store.settled()
    assert leases(path) == 0
    assert (await store.counts())[S.COMPLETED] == 2


async def test_an_event_that_is_completed_twice_in_a_transaction_counts_once(
    store: SqliteStore, path: Path
) -> None:
    jobs = await claimed(store, 1.0, 1.0, 1.0)
    await complete(store, [jobs[0], jobs[0], jobs[2]])
    assert await statuses(store, jobs) == [S.COMPLETED, S.PROCESSING, S.COMPLETED]
    assert leases(path) == 1
    await check_counts(store)


async def test_a_worker_that_starts_after_the_clock_was_set_forward_takes_no_claims(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day is longer than rows of silent workers are kept."""
    ahead = [0.0]
    monkeypatch.setattr(backend, "time", lambda: time() + ahead[0])
    one, other, later = (SqliteStore(path, lease=10.0) for _ in range(3))
    one.register_worker("one", lambda event: None)
    other.register_worker("other", lambda event: None)
    jobs = [Job(), Job()]
    await one.append([(job, 1.0) for job in jobs])
    claims, _ = await one.claim("one", 2, start=True)
    ahead[0] = 86_400.0
    later.register_worker("later", lambda event: None)
    for store, worker in ((later, "later"), (other, "other"), (one, "one")):
        assert (await store.claim(worker, 2))[0] == []
    settled = await one.settle([(*claim, Completion("done", 0.1)) for claim in claims])
    assert settled == [Settled.APPLIED] * 2
    for store in (one, other, later):
        await store.close()
