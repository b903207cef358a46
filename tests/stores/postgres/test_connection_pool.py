"""Connections are lent to one step after another."""

import asyncio

import asyncpg
import pytest
from stores.homes import Home
from stores.makers import QUEUE

from lionpride.stores.postgres.connection_pool import ConnectionPool, Connector
from lionpride.stores.postgres.session import Session, TableConnection
from lionpride.stores.postgres.tables import TableNames


async def test_a_connection_that_is_left_in_a_transaction_is_lent_to_nobody_else() -> None:
    """As when somebody cancels the very statement that rolls it back."""
    home = Home()
    pool = ConnectionPool(
        Connector(home.url, TableNames(home.schema, ""), pgbouncer=False, patience=10.0), 1
    )
    try:
        left = await pool.take()
        await left.execute("BEGIN")
        pool.give(left)
        other = await pool.take()
        assert other is not left
        assert left.is_closed()
        assert not other.is_in_transaction()
        pool.give(other)
        assert await pool.take() is other
        pool.give(other)
    finally:
        await pool.close()


async def test_a_late_error_of_a_read_only_server_closes_no_newer_connection() -> None:
    """Of two steps that were under way during a failover, one fails after the other's new try."""
    home, reopened = Home(), list[str]()
    names = TableNames(home.schema, "")
    connector = Connector(home.url, names, pgbouncer=False, patience=10.0)
    pool = ConnectionPool(connector, 4, lambda: reopened.append("all"))
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def run(*, late: bool) -> int:
        """Have a step fail once as on a read-only server; return the session of its next try."""

        async def step(db: TableConnection) -> int:
            if not db.again:
                await db.run("SET default_transaction_read_only = on")
                if late:
                    begun.set()
                    await go_on.wait()
                with pytest.raises(asyncpg.ReadOnlySQLTransactionError) as caught:
                    await db.run("CREATE TABLE {event} ()")
                raise caught.value
            session: int = await db.value("SELECT pg_backend_pid()")
            return session

        how = {"patience": 10.0, "clock": None, "shard": 0, "writes": False, "keeps": False}
        how["resolve_soon"] = lambda: None
        return await Session(pool, names, QUEUE, where="the server", **how).run(step)

    try:
        late = asyncio.create_task(run(late=True))
        await begun.wait()
        newer = await run(late=False)
        go_on.set()
        assert await late == newer
        assert reopened == ["all"]
    finally:
        await pool.close()
