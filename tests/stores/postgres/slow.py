"""Commits that the server does not finish before a test says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from tools.postgres_server import Server

LOCK = 4711
"""The key of the advisory lock that a slow commit waits for."""

_SLOW = """
CREATE SEQUENCE {schema}.slow_commits;
CREATE FUNCTION {schema}.wait_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('{schema}.slow_commits') = 1 THEN
        PERFORM pg_advisory_xact_lock_shared({lock});
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR UPDATE OR DELETE ON {schema}.{table}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.wait_once();
"""
_WAITS = """
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted)
"""
_WAITING = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
_SYNC = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


class SlowCommit:
    """One commit that waits on the server.

    Args:
        connection: The connection that keeps it waiting.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def begun(self) -> None:
        """Wait until the server is at the commit."""
        while not await self._connection.fetchval(_WAITS, LOCK):
            await asyncio.sleep(0.01)

    async def next_try(self) -> None:
        """Wait until another transaction waits for the one that is at its commit."""
        while await self._connection.fetchval(_WAITING) < 2:
            await asyncio.sleep(0.01)

    async def let_go(self) -> None:
        """Let the server finish the commit; return when it has."""
        await self._connection.execute(f"SELECT pg_advisory_unlock({LOCK})")
        await self._connection.execute(f"SELECT pg_advisory_lock({LOCK})")


@asynccontextmanager
async def slow_commit(url: str, schema: str, table: str) -> AsyncIterator[SlowCommit]:
    """Have the next commit that changes rows of a table wait in the server, and no other."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({LOCK})")
        await connection.execute(_SLOW.format(schema=schema, table=table, lock=LOCK))
        yield SlowCommit(connection)
        await connection.execute(f"DROP TRIGGER slow ON {schema}.{table}")
        await connection.execute(f"DROP FUNCTION {schema}.wait_once")
        await connection.execute(f"DROP SEQUENCE {schema}.slow_commits")
    finally:
        with suppress(asyncpg.PostgresError, OSError):
            await connection.close()


class Standby:
    """A synchronous standby that does not answer: every commit waits for it.

    Args:
        connection: The connection that configures the server.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def _configure(self, command: str) -> None:
        await self._connection.execute(f"ALTER SYSTEM {command}")
        await self._connection.execute("SELECT pg_reload_conf()")

    async def pause(self) -> None:
        """Have all commits wait."""
        await self._configure("SET synchronous_standby_names = 'absent'")

    async def commits_wait(self, n: int) -> None:
        """Wait until this many commits do."""
        while await self._connection.fetchval(_SYNC) < n:
            await asyncio.sleep(0.01)

    async def resume(self) -> None:
        """Have all commits end."""
        await self._configure("RESET synchronous_standby_names")


@asynccontextmanager
async def standby_of(server: Server) -> AsyncIterator[Standby]:
    """A standby of a test's own server; it resumes at the end."""
    connection = await asyncpg.connect(server.url)
    standby = Standby(connection)
    try:
        yield standby
    finally:
        await standby.resume()
        await connection.close()
