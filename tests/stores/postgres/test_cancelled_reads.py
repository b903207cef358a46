"""A query that is cancelled while its connection is lost ends as cancelled."""

import asyncio
from typing import Any

import asyncpg
import pytest
from stores.homes import Home
from stores.makers import QUEUE
from stores.postgres.wire import wire_to

from lionpride.stores.postgres import PostgresStore


async def test_a_cancelled_query_is_not_repeated_if_its_connection_was_lost_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = Home()
    connections: list[Any] = []
    connect = asyncpg.connect

    async def connect_and_note(*args: Any, **options: Any) -> Any:
        connection = await connect(*args, **options)
        connections.append(connection)
        return connection

    async with wire_to(home.url) as wire:
        store = PostgresStore(wire.url, QUEUE, schema=home.schema)
        try:
            with monkeypatch.context() as patch:
                patch.setattr(asyncpg, "connect", connect_and_note)
                assert await store.list_records() == []
            wire.hold(r'FROM "\w+"\."event"')
            query = asyncio.create_task(store.list_records())
            await wire.held.wait()
            # As if the connection were cut in the turn of the event loop that cancels the task: the
            # driver cannot end the transaction, and its error replaces the cancellation.
            for connection in connections:
                connection.terminate()
            query.cancel()
            wire.let_go()
            with pytest.raises(asyncio.CancelledError):
                await query
        finally:
            await store.close()
