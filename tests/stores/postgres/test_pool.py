"""Connections are lent to one step after another."""

from stores.homes import Home

from lionpride.stores.postgres.names import Names
from lionpride.stores.postgres.pool import Door, Pool


async def test_a_connection_that_is_left_in_a_transaction_is_lent_to_nobody_else() -> None:
    """As when somebody cancels the very statement that rolls it back."""
    home = Home()
    pool = Pool(Door(home.url, Names(home.schema, ""), pgbouncer=False, patience=10.0), 1)
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
