"""Completions have a connection of their own: neither they nor claims wait for the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from stores.asking import ENDINGS, claim, end, put, settle
from stores.homes import Home
from stores.makers import QUEUE, Job
from stores.postgres.wire import cancel_who_waits_for, wire_to

from lionpride.errors import StoreError
from lionpride.model.execution import EventStatus
from lionpride.stores.contract import Claim, Settled
from lionpride.stores.listeners import Signal
from lionpride.stores.postgres import PostgresStore

S = EventStatus


@pytest.fixture
def home() -> Home:
    return Home()


@asynccontextmanager
async def at_work(
    home: Home, url: str | None = None, **how: float
) -> AsyncIterator[tuple[PostgresStore, asyncpg.Connection]]:
    """A store, and a connection of another program."""
    store = PostgresStore(url or home.url, QUEUE, schema=home.schema, **how)
    connection: asyncpg.Connection = await asyncpg.connect(home.url)
    try:
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


@pytest.mark.parametrize("responses", [("one", "two", "one"), ("one", "one", "one")])
async def test_completions_of_one_statement_keep_their_own_attempts_and_responses(
    home: Home, responses: tuple[str, str, str]
) -> None:
    """A value that is the same in all of them is sent to the server once."""
    async with at_work(home) as (store, _):
        jobs = await put(store, 1.0)
        await store.retry([(await end(store, S.FAILED))[0]])
        jobs += await put(store, 2.0, 3.0, 4.0)
        claims = await claim(store, 3, start=True)
        assert [attempt for _, attempt in claims] == [2, 1, 1]
        for (event, attempt), response in zip(claims, responses, strict=True):
            store.complete_soon(event, attempt, response, attempt / 10)
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
    monkeypatch.setattr("lionpride.stores.sql.codec._STATEMENT", 10)
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


async def test_a_completion_without_a_valid_lease_is_not_recorded_and_the_others_are(
    home: Home,
) -> None:
    async with at_work(home) as (store, beside):
        (lost, held), claims = await started(store, 2, 0)
        await beside.execute(f"UPDATE {home.schema}.lease SET attempt = 2 WHERE priority = 0")
        complete(store, *claims)
        await store.settled()
        assert held.status is S.COMPLETED
        assert lost.status is S.PROCESSING
        assert lost.execution.attempt == 2, "another worker runs it"
        assert (await store.counts())[S.COMPLETED] == 1


async def test_claims_go_on_while_completions_wait_and_fail_and_those_are_recorded_later(
    home: Home,
) -> None:
    async with at_work(home) as (store, beside):
        jobs, claims = await started(store, 1, 2)
        async with beside.transaction():
            await beside.execute(f"LOCK TABLE {home.schema}.finished IN EXCLUSIVE MODE")
            complete(store, *claims)
            while not await beside.fetchval(WAITS, f"{home.schema}.finished"):
                await asyncio.sleep(0.01)
            ((second, _),) = await claim(store, 1, start=True)
            assert second is jobs[1], "a claim does not wait for the completion"
            await cancel_who_waits_for(beside, f"{home.schema}.finished")
            ((third, _),) = await claim(store, 1, start=True)
            assert third is jobs[2]
            assert jobs[0].status is S.PROCESSING, "it is not on record yet"
            ended = asyncio.Event()
            store.subscribe(Signal.FINISHED, ended.set, event=jobs[0], once=True)
        await ended.wait()
        assert jobs[0].status is S.COMPLETED
        assert (await store.counts())[S.COMPLETED] == 1


WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass"


async def test_a_claim_may_return_an_event_that_this_process_shows_as_finished(
    home: Home,
) -> None:
    """The claim waits until the completions that are under way are noted."""
    async with at_work(home) as (store, _):
        other = PostgresStore(home.url, QUEUE, schema=home.schema)
        try:
            (_, failed), claims = await started(store, 2, 0)
            assert await settle(store, claims[1], ENDINGS[S.FAILED]) is Settled.APPLIED
            await other.retry([failed.id])
            assert failed.status is S.FAILED, "nothing has told this process"
            complete(store, claims[0])
            ((again, attempt),) = await claim(store, 1, start=True)
            assert (again, attempt) == (failed, 2)
            await store.settled()
            assert claims[0][0].status is S.COMPLETED
        finally:
            await other.close()


AT_ONCE = 1e-9
"""Patience in seconds: a step whose answer is lost fails, however soon that is noticed."""


async def test_a_completion_is_recorded_though_the_state_of_a_lost_one_cannot_be_read(
    home: Home,
) -> None:
    async with wire_to(home.url) as wire, at_work(home, wire.url, patience=AT_ONCE) as both:
        store, beside = both
        (lost, held), claims = await started(store, 2, 0)
        await beside.execute(f"UPDATE {home.schema}.lease SET attempt = 2 WHERE priority = 0")
        wire.lose("SELECT number, status, finished_at")
        seen, done = asyncio.Event(), asyncio.Event()
        store.subscribe(Signal.FINISHED, done.set, event=held, once=True)
        store.subscribe(Signal.FINISHED, seen.set, event=lost, once=True)
        complete(store, *claims)
        await done.wait()
        assert wire.lost == 1
        assert held.status is S.COMPLETED
        assert not seen.is_set(), "its state is read by the repeat, a second later"
        await seen.wait()
        assert lost.execution.attempt == 2, "another worker runs it"


async def test_a_completion_on_record_whose_answer_was_lost_keeps_its_response(
    home: Home,
) -> None:
    async with wire_to(home.url) as wire, at_work(home, wire.url, patience=AT_ONCE) as (store, _):
        (first,), claims = await started(store, 1, 0)
        ended = asyncio.Event()
        store.subscribe(Signal.FINISHED, ended.set, event=first, once=True)
        response = {"what": {"a", "set"}}
        store.complete_soon(*claims[0], response, 0.1)
        wire.lose(r'INSERT INTO "\w+"\."finished"')
        await ended.wait()
        assert wire.lost == 1
        assert first.status is S.COMPLETED
        assert first.response is response, "the object itself, not what is read from the row"
