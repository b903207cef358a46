"""Appends that share a statement, where an id is known or occurs twice."""

import asyncio

from stores.homes import Home
from stores.makers import QUEUE, Job
from stores.postgres.wire import wire_to

from lionpride.errors import ExistsError
from lionpride.stores.postgres import PostgresStore

LOOK_FOR_IDS = r"SELECT e.id, e.number, e.queue"


async def test_an_id_that_is_known_or_occurs_twice_is_refused_and_the_others_are_appended() -> None:
    home = Home()
    store = PostgresStore(home.url, QUEUE, schema=home.schema)
    try:
        await store.append([(known := Job(), 1.0)])
        job = Job()
        together = [Job(id=known.id), job, Job(id=job.id), Job()]
        appends = [asyncio.create_task(store.append([(each, 1.0)])) for each in together]
        answers = await asyncio.gather(*appends, return_exceptions=True)
        assert [type(each) for each in answers] == [ExistsError, list, ExistsError, list]
        assert len(await store.list_records()) == 3
    finally:
        await store.close()


async def test_an_append_succeeds_if_the_known_event_is_removed_before_the_look_for_it() -> None:
    home = Home()
    async with wire_to(home.url) as wire:
        store = PostgresStore(wire.url, QUEUE, schema=home.schema)
        other = PostgresStore(home.url, QUEUE, schema=home.schema)
        try:
            await other.append([(known := Job(), 1.0)])
            wire.hold(LOOK_FOR_IDS)
            job, last = Job(id=known.id), Job()
            appends = [asyncio.create_task(store.append([(each, 1.0)])) for each in (job, last)]
            await wire.held.wait()
            await other.remove([known.id])
            wire.let_go()
            assert await asyncio.gather(*appends) == [[job], [last]]
            assert {one.id for one in await other.list_records()} == {job.id, last.id}
        finally:
            await store.close()
            await other.close()
