"""Statements for many rows: batches of every size, in few different statements."""

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest
from stores.asking import check_counts
from stores.makers import Clock, Job

from lionpride.model.execution import EventStatus
from lionpride.stores.contract import Store
from lionpride.stores.sqlite import SqliteStore, hot_append

S = EventStatus


@pytest.fixture
def store(tmp_path: Path, clock: Clock, opened: list[Store]) -> SqliteStore:
    store = SqliteStore(tmp_path / "run.db", clock=clock, synchronous="NORMAL")
    opened.append(store)
    return store


@pytest.mark.parametrize("is_together", [True, False], ids=["claimed at once", "claimed later"])
@pytest.mark.parametrize("count", [1, 2, 3, 99, 128, 129, 400])
async def test_every_event_of_a_batch_is_appended_claimed_and_completed_once(
    store: SqliteStore, count: int, is_together: bool
) -> None:
    jobs = [Job() for _ in range(count)]
    entering = [store.append_soon(job, float(at % 7)) for at, job in enumerate(jobs)]
    if not is_together:
        await asyncio.gather(*entering)
    claims, _ = await store.claim("w", count, start=True)
    in_order = sorted(range(count), key=lambda at: (at % 7, at))
    assert claims == [(jobs[at], 1) for at in in_order]
    for at, (event, attempt) in enumerate(claims):
        store.complete_soon(event, attempt, at, 0.1)
    await store.settled()
    records = await store.get([event.id for event, _ in claims])
    assert [each and each.status for each in records] == [S.COMPLETED] * count
    assert [event.execution.response for event, _ in claims] == list(range(count))
    await check_counts(store)


@pytest.mark.parametrize("bad", [0, 57, 99])
async def test_one_known_id_in_a_batch_is_refused_and_the_others_are_appended(
    store: SqliteStore, bad: int
) -> None:
    known = Job()
    await store.append([(known, 0.0)])
    jobs = [Job(id=known.id) if at == bad else Job() for at in range(100)]
    entering = [store.append_soon(job, 1.0) for job in jobs]
    answers = await asyncio.gather(*entering, return_exceptions=True)
    assert [at for at, each in enumerate(answers) if each is not None] == [bad]
    assert type(answers[bad]).__name__ == "ExistsError"
    numbers = [job.execution.arrival for at, job in enumerate(jobs) if at != bad]
    assert numbers == list(range(2, 101))
    await check_counts(store)


async def test_an_unexpected_error_is_raised_for_one_request_and_logged(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, unexpected_errors: list[str]
) -> None:
    jobs, insert = [Job() for _ in range(9)], hot_append.insert_events

    def fail(rows: Any, events: Any) -> Any:
        if any(one[0] == jobs[4].id.bytes for one in events):
            raise TypeError("a bug")
        return insert(rows, events)

    monkeypatch.setattr(hot_append, "insert_events", fail)
    entering = [store.append_soon(job, 1.0) for job in jobs]
    answers = await asyncio.gather(*entering, return_exceptions=True)
    assert [at for at, each in enumerate(answers) if isinstance(each, TypeError)] == [4]
    assert answers.count(None) == 8
    assert "a bug" in unexpected_errors[-1]
    unexpected_errors.clear()
    await check_counts(store)


async def test_a_batch_that_exceeds_a_queue_limit_is_appended_up_to_it(
    store: SqliteStore,
) -> None:
    entering = [store.append_soon(Job(), 1.0, 60) for _ in range(100)]
    answers = await asyncio.gather(*entering, return_exceptions=True)
    assert answers[:60] == [None] * 60
    assert {type(each).__name__ for each in answers[60:]} == {"QueueFullError"}
    assert (await store.counts())[S.PENDING] == 60


async def test_batches_of_every_size_are_few_different_statements(
    tmp_path: Path, clock: Clock
) -> None:
    texts: set[str] = set()

    def watch(connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, lambda event: texts.add(event["sql"]))

    apsw.connection_hooks.append(watch)
    try:
        store = SqliteStore(tmp_path / "run.db", clock=clock, synchronous="NORMAL")
        for count in range(1, 130):
            await asyncio.gather(*(store.append_soon(Job(), 1.0) for _ in range(count)))
        await store.close()
    finally:
        apsw.connection_hooks.remove(watch)
    assert len([each for each in texts if each.startswith("INSERT INTO lionpride_event ")]) < 20
