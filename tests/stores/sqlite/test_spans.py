"""A claim of what is new is one row, until something happens to one of its events alone."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
from stores.asking import check_counts
from stores.makers import Clock, Job

from lionpride.errors import OperationError
from lionpride.model.execution import EventStatus
from lionpride.rules.lifecycle import RELEASED, Completion, Ending
from lionpride.stores.contract import Cancelled, Extended, Settled, Store
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.sqlite.look import Look
from lionpride.stores.sqlite.spans import Spans

S = EventStatus
Make = Callable[[], SqliteStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@pytest.fixture
def make(path: Path, clock: Clock, opened: list[Store]) -> Make:
    """One more process's store on the file, closed when the test is over."""

    def make() -> SqliteStore:
        store = SqliteStore(path, clock=clock, synchronous="NORMAL")
        opened.append(store)
        return store

    return make


@pytest.fixture
def store(make: Make) -> SqliteStore:
    return make()


def rows(path: Path) -> tuple[int, int]:
    """How many spans and how many leases there are, seen from outside."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        query = (
            "SELECT (SELECT count(*) FROM lionpride_span), (SELECT count(*) FROM lionpride_lease)"
        )
        spans, leases = db.execute(query).get
        return int(spans), int(leases)
    finally:
        db.close()


async def arrive(store: SqliteStore, *priorities: float) -> list[Job]:
    """New events, claimed and started in the transaction that takes them in; by arrival."""
    jobs = [Job() for _ in priorities]
    entering = [store.append_soon(*each) for each in zip(jobs, priorities, strict=True)]
    claims, _ = await store.claim("w", 99, start=True)
    await asyncio.gather(*entering)
    assert {event.id for event, _ in claims} == {job.id for job in jobs}
    return jobs


async def span(store: SqliteStore, *priorities: float) -> list[Job]:
    """The same, when the sweep that each first claim asks for is over."""
    await store.claim("w", 0)
    return await arrive(store, *priorities)


async def complete(store: SqliteStore, jobs: list[Job], attempt: int = 1) -> None:
    for job in jobs:
        store.complete_soon(job, attempt, None, 0.1)
    await store.settled()


async def statuses(store: Store, jobs: list[Job]) -> list[EventStatus]:
    records = await store.get([job.id for job in jobs])
    return [record.status for record in records if record is not None]


async def test_a_claim_of_what_is_new_is_one_row_and_goes_with_the_completions(
    store: SqliteStore, path: Path
) -> None:
    jobs = await span(store, 2.0, 1.0, 3.0)
    assert rows(path) == (1, 0)
    assert await statuses(store, jobs) == [S.PROCESSING] * 3
    await complete(store, jobs[::-1])
    assert rows(path) == (0, 0)
    assert await statuses(store, jobs) == [S.COMPLETED] * 3
    await check_counts(store)


async def test_several_that_complete_together_go_together(store: SqliteStore, path: Path) -> None:
    jobs = await span(store, 1.0, 1.0)
    jobs += await arrive(store, 1.0, 1.0, 1.0)
    assert rows(path) == (2, 0)
    await complete(store, jobs)
    assert rows(path) == (0, 0)
    assert (await store.counts())[S.COMPLETED] == 5


async def test_a_claim_beside_what_waits_is_leases_and_a_span(
    store: SqliteStore, path: Path
) -> None:
    waits = Job()
    await store.append([(waits, 0.0)])
    await store.claim("w", 0)
    jobs = [Job(), Job()]
    entering = [store.append_soon(job, 1.0) for job in jobs]
    claims, _ = await store.claim("w", 99, start=True)
    await asyncio.gather(*entering)
    assert [event for event, _ in claims] == [waits, *jobs]
    assert rows(path) == (1, 1)
    await complete(store, [waits, *jobs])
    assert rows(path) == (0, 0)
    await check_counts(store)


async def test_one_that_completes_alone_leaves_leases_of_the_others(
    store: SqliteStore, path: Path
) -> None:
    jobs = await span(store, 1.0, 1.0, 1.0)
    await complete(store, jobs[1:2])
    assert rows(path) == (0, 2)
    assert await statuses(store, jobs) == [S.PROCESSING, S.COMPLETED, S.PROCESSING]
    await complete(store, [jobs[2], jobs[0]])
    assert rows(path) == (0, 0)
    assert (await store.counts())[S.COMPLETED] == 3


async def test_after_a_span_that_was_of_no_use_some_claims_are_leases(
    store: SqliteStore, path: Path
) -> None:
    seen = []
    for _ in range(9):
        jobs = await span(store, 1.0, 1.0)
        seen.append(rows(path))
        await complete(store, jobs[:1])
        await complete(store, jobs[1:])
    assert seen == [(1, 0), (0, 2), (1, 0), (0, 2), (0, 2), (1, 0), (0, 2), (0, 2), (0, 2)]


async def test_each_can_be_settled_in_its_own_way(store: SqliteStore, path: Path) -> None:
    jobs = await span(store, 1.0, 2.0, 3.0)
    ends = Ending(S.FAILED, error=ValueError("no"), retryable=False, tries=1), Completion(7, 0.1)
    answers = await store.settle(
        [(jobs[0], 1, ends[0]), (jobs[1], 1, RELEASED), (jobs[2], 1, ends[1])]
    )
    assert answers == [Settled.APPLIED] * 3
    assert rows(path) == (0, 0)
    assert await statuses(store, jobs) == [S.FAILED, S.PENDING, S.COMPLETED]
    await check_counts(store)


async def test_whoever_looks_on_finds_each_of_its_events(
    store: SqliteStore, make: Make, path: Path, clock: Clock
) -> None:
    jobs = await span(store, 2.0, 1.0)
    other = make()
    assert await statuses(other, jobs) == [S.PROCESSING] * 2
    assert [each.id for each in await other.events(S.PROCESSING)] == [job.id for job in jobs]
    assert (await other.counts())[S.PROCESSING] == 2
    seen = await other.seen.runs()
    assert {(each.record.id, each.worker) for each in seen} == {(job.id, "w") for job in jobs}
    assert [each.since > 0.0 for each in seen] == [True, True]
    standing = await other.standing(jobs[0].id)
    assert standing is not None
    assert standing.status is S.PROCESSING
    assert rows(path) == (1, 0)


async def test_no_question_about_what_is_claimed_goes_through_all_events(
    store: SqliteStore, path: Path
) -> None:
    jobs = await span(store, 2.0, 1.0)
    number = jobs[0].execution.arrival or 0
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    asked = list[tuple[str, Any]]()
    look = Look(db, "default")

    def note(_cursor: apsw.Cursor, query: str, bound: Any) -> bool:
        asked.append((query, bound))
        return True

    db.exec_trace = note
    assert [each[1] for each in look.held()] == [1, 2]
    assert look.page("processing", 0, 9) == [1, 2]
    assert look.holder(number) == "w"
    assert look.standings([1, 2]) == {1: ("processing", 1), 2: ("processing", 1)}
    assert look.find(number) is not None
    assert look.crew() == []
    db.exec_trace = None
    plans = [
        row[3] for query, bound in asked for row in db.execute(f"EXPLAIN QUERY PLAN {query}", bound)
    ]
    db.close()
    assert len(asked) >= 6
    assert not [each for each in plans if each in ("SCAN e", "SCAN event")]
    await complete(store, jobs)


async def test_a_cancel_from_elsewhere_reaches_the_one_that_it_means(
    store: SqliteStore, make: Make
) -> None:
    jobs = await span(store, 1.0, 1.0)
    assert await make().cancel([jobs[1].id]) == [Cancelled.CLAIMED]
    claims = [(job, 1) for job in jobs]
    assert await store.extend("w", claims) == [Extended.OK, Extended.CANCEL]
    await complete(store, jobs)
    assert await statuses(store, jobs) == [S.COMPLETED] * 2


async def test_what_is_claimed_cannot_be_removed(store: SqliteStore, make: Make) -> None:
    jobs = await span(store, 1.0, 1.0)
    with pytest.raises(OperationError, match="is running"):
        await make().remove([jobs[0].id])
    await complete(store, jobs)


async def test_f2_whoever_has_lost_a_span_completes_nothing(
    store: SqliteStore, make: Make, path: Path, clock: Clock
) -> None:
    jobs = await span(store, 1.0, 1.0)
    clock.advance(60.0)
    other = make()
    assert await other.sweep() == 2
    assert await statuses(other, jobs) == [S.PENDING] * 2
    claims, _ = await other.claim("o", 9, start=True)
    assert [attempt for _, attempt in claims] == [2, 2]
    await complete(store, jobs)
    assert await statuses(other, jobs) == [S.PROCESSING] * 2
    assert rows(path) == (0, 2)
    for event, attempt in claims:
        other.complete_soon(event, attempt, None, 0.1)
    await other.settled()
    assert await statuses(other, jobs) == [S.COMPLETED] * 2
    await check_counts(other)


async def test_a_span_that_others_have_unfolded_is_completed_all_the_same(
    store: SqliteStore, make: Make, path: Path
) -> None:
    jobs = await span(store, 1.0, 1.0)
    assert await make().sweep() == 0
    assert rows(path) == (0, 2)
    await complete(store, jobs)
    assert rows(path) == (0, 0)
    assert (await store.counts())[S.COMPLETED] == 2


async def test_completions_that_are_tried_again_find_their_span(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = await span(store, 1.0, 1.0)
    end, failures = Spans.end, [apsw.FullError("database or disk is full")]

    def ended(self: Spans, numbers: list[int]) -> list[int]:
        left = end(self, numbers)
        if failures:
            raise failures.pop()
        return left

    monkeypatch.setattr(Spans, "end", ended)
    with pytest.raises(Exception, match="full"):
        await complete(store, jobs)
    assert rows(path) == (1, 0)
    await store.settled()
    assert rows(path) == (0, 0)
    assert (await store.counts())[S.COMPLETED] == 2


async def test_one_that_is_completed_twice_at_once_counts_once(
    store: SqliteStore, path: Path
) -> None:
    jobs = await span(store, 1.0, 1.0, 1.0)
    await complete(store, [jobs[0], jobs[0], jobs[2]])
    assert await statuses(store, jobs) == [S.COMPLETED, S.PROCESSING, S.COMPLETED]
    assert rows(path) == (0, 1)
    await check_counts(store)
