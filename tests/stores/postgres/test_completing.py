"""Completions that a claim takes along: one commit of two, and neither keeps up the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from stores.asking import ENDINGS, claim, end, put, settle
from stores.homes import Home
from stores.makers import QUEUE, Job
from stores.postgres.wire import cancel_who_waits_for, is_not_alone, wire_to

from lionpride.errors import StoreError
from lionpride.model.execution import EventStatus
from lionpride.stores.contract import Claim, Settled
from lionpride.stores.postgres import PostgresStore

S = EventStatus


@pytest.fixture
def home() -> Home:
    return Home()


@asynccontextmanager
async def at_work(
    home: Home, url: str | None = None, **how: float
) -> AsyncIterator[tuple[PostgresStore, asyncpg.Connection]]:
    """A store that is not the only one, and somebody else's connection."""
    store = PostgresStore(url or home.url, QUEUE, schema=home.schema, **how)
    connection: asyncpg.Connection = await asyncpg.connect(home.url)
    try:
        await is_not_alone(store, connection)
        yield store, connection
    finally:
        await connection.close()
        await store.close()


async def started(store: PostgresStore, n: int, more: int) -> tuple[list[Job], list[Claim]]:
    """So many jobs, the first of which run."""
    jobs = await put(store, *(float(number) for number in range(n + more)))
    return jobs, await claim(store, n, start=True)


def complete(store: PostgresStore, *claims: Claim) -> None:
    for event, attempt in claims:
        store.complete_soon(event, attempt, "done", 0.1)


async def writers(connection: asyncpg.Connection, home: Home) -> list[asyncpg.Record]:
    """The transactions that have written what is leased, and what has finished."""
    return await connection.fetch(
        f"SELECT xmin::text FROM {home.schema}.lease UNION "
        f"SELECT xmin::text FROM {home.schema}.finished"
    )


async def test_a_claim_and_the_completions_before_it_are_one_transaction(home: Home) -> None:
    async with at_work(home) as (store, beside):
        jobs, claims = await started(store, 2, 2)
        complete(store, *claims)
        assert len(await claim(store, 2, start=True)) == 2
        assert [job.status for job in jobs] == [S.COMPLETED] * 2 + [S.PROCESSING] * 2
        assert [job.response for job in jobs[:2]] == ["done", "done"]
        assert len(await writers(beside, home)) == 1
        counts = await store.counts()
        assert (counts[S.COMPLETED], counts[S.PROCESSING], counts[S.PENDING]) == (2, 2, 0)


@pytest.mark.parametrize("responses", [("one", "two", "one"), ("one", "one", "one")])
@pytest.mark.parametrize("is_along", [True, False])
async def test_each_has_its_own_attempt_and_its_own_response(
    home: Home, responses: tuple[str, str, str], is_along: bool
) -> None:
    """What is the same in all goes to the server once."""
    async with at_work(home) as (store, _):
        jobs = await put(store, 1.0)
        await store.requeue([(await end(store, S.FAILED))[0]])
        jobs += await put(store, 2.0, 3.0, 4.0)
        claims = await claim(store, 3, start=True)
        assert [attempt for _, attempt in claims] == [2, 1, 1]
        for (event, attempt), response in zip(claims, responses, strict=True):
            store.complete_soon(event, attempt, response, attempt / 10)
        if is_along:
            await claim(store, 1, start=True)
        await store.settled()
        records = await store.get([job.id for job in jobs[:3]])
        executions = [each.payload["execution"] for each in records if each is not None]
        assert [each.status for each in records if each is not None] == [S.COMPLETED] * 3
        assert tuple(each["response"] for each in executions) == responses
        assert [each["duration"] for each in executions] == [0.2, 0.1, 0.1]


REFUSES = """
CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'refused'; END $$;
CREATE TRIGGER refuses BEFORE INSERT ON {s}.finished FOR EACH ROW
    WHEN (new.result LIKE '%refused%') EXECUTE FUNCTION {s}.refuse();
"""


@pytest.mark.parametrize("responses", [("refused", "good"), ("good", "refused")])
async def test_settled_raises_if_one_of_several_statements_has_failed(
    home: Home, responses: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lionpride.stores.sql.sizes._STATEMENT", 10)
    store = PostgresStore(home.url, QUEUE, schema=home.schema)
    connection: asyncpg.Connection = await asyncpg.connect(home.url)
    try:
        jobs, claims = await started(store, 2, 0)
        await connection.execute(REFUSES.replace("{s}", home.schema))
        for (event, attempt), response in zip(claims, responses, strict=True):
            store.complete_soon(event, attempt, response, 0.1)
        with pytest.raises(StoreError, match="refused"):
            await store.settled()
        status = {"good": S.COMPLETED, "refused": S.PROCESSING}
        assert [job.status for job in jobs] == [status[each] for each in responses]
        await connection.execute(f"DROP FUNCTION {home.schema}.refuse CASCADE")
        while (await store.counts())[S.COMPLETED] < 2:  # it is tried again
            await asyncio.sleep(0.01)
        await store.settled()
        assert [job.status for job in jobs] == [S.COMPLETED] * 2
    finally:
        await connection.close()
        await store.close()


async def test_who_is_alone_has_the_server_do_both_at_once(home: Home) -> None:
    store = PostgresStore(home.url, QUEUE, schema=home.schema)
    connection: asyncpg.Connection = await asyncpg.connect(home.url)
    try:
        _, claims = await started(store, 2, 2)
        complete(store, *claims)
        await claim(store, 2, start=True)
        await store.settled()
        assert len(await writers(connection, home)) == 2
    finally:
        await connection.close()
        await store.close()


async def test_of_what_goes_along_that_whose_claim_was_lost_is_not_on_record(
    home: Home,
) -> None:
    async with at_work(home) as (store, beside):
        (lost, held, waits), claims = await started(store, 2, 1)
        await beside.execute(f"UPDATE {home.schema}.lease SET attempt = 2 WHERE priority = 0")
        complete(store, *claims)
        ((next_one, _),) = await claim(store, 2, start=True)
        assert next_one is waits
        assert held.status is S.COMPLETED
        assert lost.status is S.PROCESSING
        assert lost.execution.attempt == 2, "somebody else is at it"
        assert (await store.counts())[S.COMPLETED] == 1


async def test_what_keeps_completions_up_keeps_up_no_claim(home: Home) -> None:
    async with at_work(home) as (store, beside):
        jobs, claims = await started(store, 1, 2)
        async with beside.transaction():
            await beside.execute(f"LOCK TABLE {home.schema}.finished IN EXCLUSIVE MODE")
            complete(store, *claims)
            claiming = asyncio.create_task(claim(store, 1, start=True))
            await cancel_who_waits_for(beside, f"{home.schema}.finished")
            ((second, _),) = await claiming
            assert second is jobs[1]
            assert jobs[0].status is S.PROCESSING, "it is not on record yet"
            ended = asyncio.Event()
            store.on_ended(jobs[0], ended.set)
        await ended.wait()
        assert jobs[0].status is S.COMPLETED
        assert (await store.counts())[S.COMPLETED] == 1


async def test_a_claim_that_takes_along_what_completed_may_bring_what_stands_otherwise_here(
    home: Home,
) -> None:
    """It waits then for what is on its way in the lane that it has borrowed from."""
    async with at_work(home) as (store, _):
        other = PostgresStore(home.url, QUEUE, schema=home.schema)
        try:
            (_, failed), claims = await started(store, 2, 0)
            assert await settle(store, claims[1], ENDINGS[S.FAILED]) is Settled.APPLIED
            await other.requeue([failed.id])
            assert failed.status is S.FAILED, "nobody has told this process"
            complete(store, claims[0])
            ((again, attempt),) = await claim(store, 1, start=True)
            assert (again, attempt) == (failed, 2)
            assert claims[0][0].status is S.COMPLETED
        finally:
            await other.close()


AT_ONCE = 0.001
"""Patience, in seconds: what is lost once is not tried again."""


async def test_what_became_of_a_lost_claim_keeps_no_claim_up_if_it_cannot_be_had(
    home: Home,
) -> None:
    async with wire_to(home.url) as wire, at_work(home, wire.url, patience=AT_ONCE) as both:
        store, beside = both
        (lost, held, waits), claims = await started(store, 2, 1)
        await beside.execute(f"UPDATE {home.schema}.lease SET attempt = 2 WHERE priority = 0")
        complete(store, *claims)
        wire.lose("SELECT number, status, ended")
        ((next_one, _),) = await claim(store, 1, start=True)
        assert wire.lost == 1
        assert next_one is waits
        assert held.status is S.COMPLETED
        seen = asyncio.Event()
        store.on_ended(lost, seen.set)
        await seen.wait()
        assert lost.execution.attempt == 2, "somebody else is at it"


async def test_what_fails_of_a_claim_afterwards_leaves_on_record_what_it_took_along(
    home: Home,
) -> None:
    async with wire_to(home.url) as wire, at_work(home, wire.url, patience=AT_ONCE) as both:
        store, beside = both
        jobs, claims = await started(store, 1, 1)
        await beside.execute(f"UPDATE {home.schema}.ready SET due = 1")
        complete(store, *claims)
        wire.lose("SET due = 0 WHERE")
        ((next_one, _),) = await claim(store, 1, start=True)
        assert wire.lost == 1
        assert next_one is jobs[1]
        assert jobs[0].status is S.COMPLETED, "there is nothing to be tried again"


async def test_what_is_on_record_though_nobody_was_told_is_shown_as_it_was_said(
    home: Home,
) -> None:
    async with wire_to(home.url) as wire, at_work(home, wire.url, patience=AT_ONCE) as (store, _):
        (first, *_), claims = await started(store, 1, 2)
        ended = asyncio.Event()
        store.on_ended(first, ended.set)
        response = {"what": {"a", "set"}}
        store.complete_soon(*claims[0], response, 0.1)
        wire.lose(r'(?s)INSERT INTO "\w+"\."lease".*INSERT INTO "\w+"\."finished"')
        await claim(store, 1, start=True)
        assert wire.lost == 1
        await ended.wait()
        assert first.status is S.COMPLETED
        assert first.response is response, "not what is read from the record"
