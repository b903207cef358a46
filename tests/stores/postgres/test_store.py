"""The store in a PostgreSQL database: what the contract's tests do not ask of it."""

import asyncio
from typing import Any

import asyncpg
import pytest
from stores.asking import claim_one, put, settle
from stores.homes import Home
from stores.makers import QUEUE

from lionpride.model.execution import EventStatus
from lionpride.rules.state_machine import Completion
from lionpride.stores.contract import Settled
from lionpride.stores.listeners import Signal
from lionpride.stores.postgres import PostgresStore

S = EventStatus


def beside(home: Home, **how: object) -> PostgresStore:
    """One more process's store over the same tables, by the server's own clock."""
    return PostgresStore(home.url, QUEUE, schema=home.schema, **how)  # type: ignore[arg-type]


@pytest.fixture
def home() -> Home:
    return Home()


async def test_what_one_process_appends_another_claims_and_the_first_hears_of_its_end(
    home: Home,
) -> None:
    producer, worker = beside(home), beside(home)
    try:
        heard, ended = asyncio.Event(), asyncio.Event()
        worker.subscribe(Signal.READY, heard.set, once=True)
        await worker.counts()
        (job,) = await put(producer, 1.0)
        await asyncio.wait_for(heard.wait(), 10)
        one = await claim_one(worker, start=True)
        assert one[0] is not job
        assert one[0].id == job.id
        producer.subscribe(Signal.FINISHED, ended.set, event=job, once=True)
        assert await settle(worker, one, Completion("done", 0.1)) is Settled.APPLIED
        while job.status is not S.COMPLETED:
            await asyncio.wait_for(ended.wait(), 10)
            if job.status is not S.COMPLETED:
                ended.clear()
                producer.subscribe(Signal.FINISHED, ended.set, event=job, once=True)
        assert job.response == "done"
    finally:
        await producer.close()
        await worker.close()


async def test_it_knows_the_servers_time(home: Home) -> None:
    store = beside(home)
    clock: Any = store._backend.clock
    connection = await asyncpg.connect(home.url)
    try:
        await store.counts()
        while clock._error > 60:  # nobody has been told yet
            await asyncio.sleep(0.01)
        before = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
        said = store.time()
        after = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
        error = clock._error
        assert before - error - 0.01 <= said <= after + error + 0.01
    finally:
        await connection.close()
        await store.close()
