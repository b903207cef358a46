"""What a role or a database sets is for its other sessions, and changes nothing here.

Each test runs as a role with such settings, over connections of its own (``direct``) and as behind
a pooler, where no setting of a session can be relied on (``pooled``).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from engine.goods import Desk, Square
from stores.postgres.doing import do_everything
from stores.postgres.hostile import EVIL, HOSTILE

from lionpride.core import EventStatus
from tools.postgres_server import Server

pytestmark = pytest.mark.guard(60)

S = EventStatus
names = (f"setting_{number}" for number in count(1))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of this module's own; what is not on the disk does not get there by itself soon."""
    settings = {"fsync": "on", "wal_writer_delay": "10s", "autovacuum": "off"}
    with Server(settings) as server:
        yield server


@pytest.fixture(params=["direct", "pooled"])
def mode(request: pytest.FixtureRequest) -> str:
    """How the store reaches the server."""
    return str(request.param)


@asynccontextmanager
async def role(
    server: Server, mode: str, has_tables: bool = True, **settings: str
) -> AsyncIterator[str]:
    """The URL of a store for a role with these settings, until the end of the block."""
    name, schema = next(names), next(names)
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(f"{EVIL} CREATE ROLE {name} SUPERUSER LOGIN")
        for setting, value in settings.items():
            await connection.execute(f"ALTER ROLE {name} SET {setting} = {value}")
        if has_tables:
            made = Desk(store=f"{server.url}&lionpride_schema={schema}")
            await made.store.counts()
            await made.store.close()
        url = server.url.replace("postgres@", f"{name}@")
        yield f"{url}&lionpride_schema={schema}" + "&lionpride_pgbouncer=on" * (mode == "pooled")
    finally:
        await connection.close()


@asynccontextmanager
async def locked(server: Server, url: str, table: str) -> AsyncIterator[Any]:
    """A lock on a table of the store, which whoever uses the table waits for."""
    schema = url.partition("lionpride_schema=")[2].partition("&")[0]
    connection = await asyncpg.connect(server.url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {schema}.{table}")
            yield connection
    finally:
        await connection.close()


@pytest.mark.promise("postgres-settings-of-others")
async def test_all_goes_on_under_hostile_settings(
    server: Server, mode: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(server.url)
    async with role(server, mode, has_tables=False, **HOSTILE) as url:
        desk = Desk(store=url)
        try:
            await do_everything(desk, connection, tmp_path / "gate")
        finally:
            await desk.store.close()
            await connection.close()


@pytest.mark.promise("postgres-settings-of-others")
@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_one_event_is_appended_for_a_unique_value_whatever_the_isolation_level(
    server: Server, mode: str, isolation: str
) -> None:
    async with role(server, mode, default_transaction_isolation=f"'{isolation}'") as url:
        desks = [Desk(store=url, queue="q") for _ in range(8)]
        try:

            async def append(desk: Desk) -> None:
                for number in range(20):
                    await desk.append(Square(number=number), unique=str(number))

            await asyncio.gather(*map(append, desks))
            assert (await desks[0].store.counts())[S.PENDING] == 20
        finally:
            for desk in desks:
                await desk.store.close()


@pytest.mark.promise("postgres-settings-of-others")
async def test_a_queue_limit_holds_whatever_the_isolation_level(server: Server, mode: str) -> None:
    async with role(server, mode, default_transaction_isolation="'repeatable read'") as url:
        desks = [Desk({"max_queue_size": 30}, store=url, queue="q") for _ in range(6)]
        try:
            for desk in desks:
                await desk.start()
            appends = [desk.append(Square(number=n)) for desk in desks for n in range(20)]
            answers = await asyncio.gather(*appends, return_exceptions=True)
            accepted = [each for each in answers if isinstance(each, Square)]
            assert len(accepted) == (await desks[0].store.counts())[S.PENDING] == 30
        finally:
            for desk in desks:
                await desk.store.close()


@pytest.mark.promise("postgres-settings-of-others")
@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout", "transaction_timeout"])
async def test_a_step_waits_for_longer_than_a_time_limit_of_the_role(
    server: Server, mode: str, setting: str
) -> None:
    async with role(server, mode, **{setting: "'300ms'"}) as url:
        desk = Desk(store=url)
        try:
            await desk.append(Square(number=1))
            async with locked(server, url, "event"):
                appends = [
                    asyncio.create_task(desk.append(Square(number=2), unique="a")),
                    asyncio.create_task(desk.append(Square(number=3))),
                ]
                done, _ = await asyncio.wait(appends, timeout=1.0)
                assert not done
            for append in appends:
                await append
            assert (await desk.store.counts())[S.PENDING] == 3
        finally:
            await desk.store.close()


@pytest.mark.promise("postgres-settings-of-others")
async def test_an_append_is_on_the_disk_though_the_role_does_not_wait_for_it(
    server: Server, mode: str
) -> None:
    async with role(server, mode, synchronous_commit="off") as url:
        desk = Desk(store=url)
        try:
            for size in (1, 3):
                await desk.append_many([Square(number=n) for n in range(size)])
                before = await desk.store.counts()
                await asyncio.to_thread(server.stop, "immediate")
                await asyncio.to_thread(server.start)
                assert await desk.store.counts() == before
        finally:
            await desk.store.close()


@pytest.mark.promise("postgres-settings-of-others")
async def test_a_role_that_is_read_only_by_default_may_write(server: Server) -> None:
    async with (
        role(server, "direct", default_transaction_read_only="on") as url,
        Desk(store=url) as desk,
    ):
        square = await desk.append(Square(number=3))
        assert await desk.result(square) == 9


async def test_what_the_url_says_of_time_limits_holds(server: Server) -> None:
    async with role(server, "direct") as url:
        desk = Desk(store=f"{url}&lock_timeout=123&search_path=mine")
        try:
            async with desk:
                await desk.append(Square(number=3))
                show = "SELECT current_setting('lock_timeout'), current_setting('search_path')"
                store: Any = desk.store
                row = await store._backend.opened.read_session.run(lambda db: db.row(show))
                assert tuple(row) == ("123ms", "mine")
        finally:
            await desk.store.close()
