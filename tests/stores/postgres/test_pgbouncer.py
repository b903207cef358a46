"""Behind PgBouncer in transaction mode, which gives each transaction another connection."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from engine.goods import Desk, Pages, Square

from lionpride.core import EventStatus
from tools.postgres_server import Server, as_nobody

PROGRAM = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs pgbouncer: apt-get install it")

SETTINGS = """\
[databases]
postgres = host={server} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 2
"""


@asynccontextmanager
async def bouncing(server: Server) -> AsyncIterator[str]:
    """The URL of a PgBouncer with two connections to a server."""
    folder = server.folder / "bouncer"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "users").write_text('"postgres" ""\n')
    settings = SETTINGS.format(server=server.folder, port=port, folder=folder)
    (folder / "ini").write_text(settings)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    with subprocess.Popen(
        [str(PROGRAM), "-q", str(folder / "ini")], stderr=subprocess.DEVNULL, **as_nobody()
    ) as process:
        try:
            await answering(port)
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres?lionpride_pgbouncer=on"
        finally:
            process.terminate()


async def answering(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            await writer.wait_closed()
            return


@pytest.mark.guard(60)
async def test_workers_and_producers_share_two_connections(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with Server() as server:
        async with (
            bouncing(server) as url,
            Desk(store=url, queue="q"),
            Desk(store=url, queue="q"),
        ):
            producer = Desk(store=url, queue="q")
            squares = await producer.append_many([Square(number=n) for n in range(300)])
            for number, square in enumerate(squares):
                assert await producer.result(square) == number**2
            pages = await producer.append(Pages(path=str(gate)))
            seen = []
            async for chunk in producer.stream(pages):
                seen.append(chunk)
                gate.touch()
            assert seen == ["first", "last"]
            assert (await producer.store.counts())[EventStatus.COMPLETED] == 301
            assert len(await producer.store.workers()) == 2  # type: ignore[attr-defined]
            await producer.store.close()


@pytest.mark.guard(60)
@pytest.mark.promise("postgres-settings-of-others")
async def test_settings_of_the_role_change_nothing_behind_pgbouncer() -> None:
    """Many append the same values under a default of repeatable read, which sees no other's."""
    with Server() as server:
        made = Desk(store=server.url)
        await made.store.counts()
        await made.store.close()
        connection = await asyncpg.connect(server.url)
        await connection.execute(
            "ALTER ROLE postgres SET default_transaction_isolation = 'repeatable read'; "
            "ALTER ROLE postgres SET search_path = mine, pg_catalog"
        )
        await connection.close()
        async with bouncing(server) as url:
            desks = [Desk(store=url, queue="q") for _ in range(8)]

            async def append(desk: Desk) -> None:
                for number in range(60):
                    await desk.append(Square(number=number), unique=str(number))

            await asyncio.gather(*map(append, desks))
            assert (await desks[0].store.counts())[EventStatus.PENDING] == 60
            async with desks[0] as worker:
                await worker.join()
            assert (await desks[1].store.counts())[EventStatus.COMPLETED] == 60
            for desk in desks:
                await desk.store.close()
