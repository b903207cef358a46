"""Events of one id that are appended at the same time, while another process removes the first."""

import asyncio

from stores.homes import Home
from stores.makers import QUEUE, Job
from stores.postgres.wire import wire_to

from lionpride.errors import ExistsError
from lionpride.stores.postgres import PostgresStore

LOOK_FOR_IDS = r"SELECT e.id, e.number, e.queue"


async def test_an_id_given_twice_is_appended_once_though_another_process_removes_it() -> None:
    home = Home()
    async with wire_to(home.url) as wire:
        store = PostgresStore(wire.url, QUEUE, schema=home.schema)
        other = PostgresStore(home.url, QUEUE, schema=home.schema)
        try:
            await store.append([(Job(), 1.0)])
            job, last = Job(), Job()
            wire.hold(LOOK_FOR_IDS)
            together = [job, Job(id=job.id), last]
            appends = [asyncio.create_task(store.append([(each, 1.0)])) for each in together]
            await wire.held.wait()
            await other.remove([job.id])
            wire.let_go()
            first, second, third = await asyncio.gather(*appends, return_exceptions=True)
            assert (first, third) == ([job], [last])
            assert isinstance(second, ExistsError)
            assert len(await other.list_records()) == 2
        finally:
            await store.close()
            await other.close()
