"""The store in a PostgreSQL database: what the contract's tests do not ask of it."""

import asyncio

import pytest
from stores.asking import claim_one, put, settle
from stores.homes import Home
from stores.makers import QUEUE

from lionpride.model.execution import EventStatus
from lionpride.rules.lifecycle import Completion
from lionpride.stores.contract import Settled
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
        worker.on_ready(heard.set)
        await worker.counts()
        (job,) = await put(producer, 1.0)
        await asyncio.wait_for(heard.wait(), 10)
        one = await claim_one(worker, start=True)
        assert one[0] is not job
        assert one[0].id == job.id
        producer.on_ended(job, ended.set)
        assert await settle(worker, one, Completion("done", 0.1)) is Settled.APPLIED
        while job.status is not S.COMPLETED:
            await asyncio.wait_for(ended.wait(), 10)
            if job.status is not S.COMPLETED:
                ended.clear()
                producer.on_ended(job, ended.set)
        assert job.response == "done"
    finally:
        await producer.close()
        await worker.close()
