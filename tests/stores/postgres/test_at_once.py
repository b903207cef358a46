"""What happens at the same time: several processes that open it first, appends amid claims."""

import asyncio

import pytest
from stores.homes import Home
from stores.makers import QUEUE

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.stores.postgres import PostgresStore


class Noted(Event):
    async def _invoke(self) -> None:
        return None


class Noting(Processor):
    event_type = Noted


class Notes(Executor):
    processor_type = Noting


@pytest.mark.promise("postgres-tables-made-once")
async def test_several_that_open_it_first_make_one_set_of_tables() -> None:
    home = Home()
    schema = f"{home.schema}_first"
    Home.made.append(schema)  # it is dropped with the others
    stores = [PostgresStore(home.url, QUEUE, schema=schema) for _ in range(6)]
    try:
        counts = await asyncio.gather(*(store.counts() for store in stores))
        assert all(sum(each.values()) == 0 for each in counts)
    finally:
        for store in stores:
            await store.close()


async def test_events_that_nobody_holds_any_more_are_built_while_others_come_in() -> None:
    home = Home()
    store = PostgresStore(home.url, QUEUE, schema=home.schema, shown=1)
    try:
        async with Notes({"concurrency_limit": 50}, store=store) as executor:
            for _ in range(60):
                await executor.append_many([Noted() for _ in range(50)])
            await executor.join()
        counts = await store.counts()
    finally:
        await store.close()
    assert (counts[EventStatus.COMPLETED], counts[EventStatus.FAILED]) == (3000, 0)
