"""A publication of all tables, as for a copy of the database elsewhere: the queue goes on."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from engine.goods import Desk
from stores.postgres.doing import do_everything

from tools.postgres_server import QUICK, Server

pytestmark = pytest.mark.guard(20)

schemas = (f"published_{number}" for number in count(1))


@pytest.fixture(scope="module", params=["replica", "logical"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of this module's own, where all tables are published."""
    with Server({**QUICK, "wal_level": request.param}) as server:
        yield server


@asynccontextmanager
async def published(server: Server) -> AsyncIterator[Any]:
    """A connection to the server, on which everything is published until the end of the block."""
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute("CREATE PUBLICATION everything FOR ALL TABLES")
        yield connection
    finally:
        await connection.execute("DROP PUBLICATION everything")
        await connection.close()


def desk_on(server: Server, schema: str) -> Desk:
    return Desk(store=f"{server.url}&lionpride_schema={schema}")


_WITHOUT_IDENTITY = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND (c.relreplident = 'n'
    OR c.relreplident = 'd' AND NOT EXISTS (
        SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))
"""


async def without_identity(connection: Any, schema: str) -> set[str]:
    """Return the tables whose rows cannot be updated or deleted while they are published."""
    return {name for (name,) in await connection.fetch(_WITHOUT_IDENTITY, schema)}


@pytest.mark.promise("postgres-publication")
async def test_a_publication_of_all_tables_stops_nothing(server: Server, tmp_path: Path) -> None:
    schema = next(schemas)
    desk = desk_on(server, schema)
    async with published(server) as connection:
        try:
            await do_everything(desk, connection, tmp_path / "gate")
            assert not await without_identity(connection, schema)
        finally:
            await desk.store.close()
