"""User code cancels all tasks of the event loop: no request to the server waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from stores.asking import claim, put, settle
from stores.homes import Home
from stores.makers import QUEUE, Job
from stores.postgres.wire import Wire, wire_to

from lionpride.errors import StoreError
from lionpride.model.execution import EventStatus
from lionpride.rules.state_machine import Completion
from lionpride.stores.postgres import PostgresStore

INSERT = r'INSERT INTO "\w+"\."{}"'


@asynccontextmanager
async def store_over_wire() -> AsyncIterator[tuple[PostgresStore, Wire]]:
    home = Home()
    async with wire_to(home.url) as wire:
        store = PostgresStore(wire.url, QUEUE, schema=home.schema)
        try:
            yield store, wire
        finally:
            await store.close()


async def cancel_pipelines(wire: Wire) -> None:
    """Cancel the tasks that send requests while a statement is held up, and let it go on."""
    await wire.held.wait()
    runs = [
        task
        for task in asyncio.all_tasks()
        if getattr(task.get_coro(), "__qualname__", "") == "Pipeline._run"
    ]
    assert runs
    for task in runs:
        task.cancel()
    wire.let_go()


async def test_appends_raise_and_later_ones_are_appended() -> None:
    async with store_over_wire() as (store, wire):
        await put(store, 1.0)
        wire.hold(INSERT.format("event"))
        first = asyncio.create_task(store.append([(Job(), 1.0)]))
        cancelling = asyncio.create_task(cancel_pipelines(wire))
        await wire.held.wait()
        second = asyncio.create_task(store.append([(Job(), 1.0)]))
        for append in (first, second):
            with pytest.raises(StoreError, match="it is unknown whether this one was recorded"):
                await append
        await cancelling
        assert await store.append([(job := Job(), 1.0)]) == [job]


async def test_a_claim_raises_and_a_later_one_gets_an_event() -> None:
    async with store_over_wire() as (store, wire):
        await put(store, 1.0, 2.0)
        await claim(store, 1)
        wire.hold(INSERT.format("lease"))
        claiming = asyncio.create_task(claim(store, 1))
        await cancel_pipelines(wire)
        with pytest.raises(StoreError, match="it is unknown whether this one was recorded"):
            await claiming
        await put(store, 3.0)
        assert await claim(store, 1)


async def test_a_settlement_raises_and_a_completion_is_repeated() -> None:
    async with store_over_wire() as (store, wire):
        asked, quick = await put(store, 1.0, 2.0)
        claims = await claim(store, 2, start=True)
        wire.hold(INSERT.format("finished"))
        store.complete_soon(*claims[1], "done", 0.1)
        settling = asyncio.create_task(settle(store, claims[0], Completion("done", 0.1)))
        await cancel_pipelines(wire)
        with pytest.raises(StoreError, match="it is unknown whether this one was recorded"):
            await settling
        assert asked.status is EventStatus.PROCESSING
        while quick.status is EventStatus.PROCESSING:
            await asyncio.sleep(0.01)
        assert quick.status is EventStatus.COMPLETED
        await settle(store, claims[0], Completion("done", 0.1))
        assert asked.status is EventStatus.COMPLETED
