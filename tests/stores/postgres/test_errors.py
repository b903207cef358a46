"""What a server refuses is said with what to do about it; what may be tried again, is."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from kept import url_of
from stores.asking import put
from stores.homes import Home
from stores.makers import QUEUE

from lionpride.errors import StoreError
from lionpride.stores.postgres import PostgresStore
from lionpride.stores.postgres.tables import TableNames


@pytest.fixture
def home() -> Home:
    return Home()


def another(url: str, *, user: str | None = None, database: str | None = None) -> str:
    """The URL of the same server for another user, or of another database."""
    parts = urlsplit(url)
    netloc = parts.netloc
    if user is not None:
        netloc = f"{user}@{netloc.rpartition('@')[2]}"
    path = parts.path if database is None else f"/{database}"
    return urlunsplit(parts._replace(netloc=netloc, path=path))


async def refusal(url: str, schema: str, patience: float = 20.0) -> StoreError:
    """What is said to who appends."""
    store = PostgresStore(url, QUEUE, schema=schema, patience=patience)
    try:
        with pytest.raises(StoreError) as caught:
            await put(store, 1.0)
        return caught.value
    finally:
        await store.close()


async def test_a_user_that_is_none_is_to_be_looked_at(home: Home) -> None:
    error = await refusal(another(home.url, user="nobody_of_this_name"), home.schema)
    assert "refused the login" in str(error)
    assert "check user and password" in str(error)
    assert not error.retryable


async def test_a_database_that_is_none_is_to_be_created(home: Home) -> None:
    error = await refusal(another(home.url, database="none_of_this_name"), home.schema)
    assert "create the database first" in str(error)
    assert not error.retryable


async def test_a_user_without_rights_is_to_be_granted_them(home: Home) -> None:
    error = await refusal(f"{home.url}&role=pg_monitor", home.schema)
    assert "grant it to this user, or name a schema" in str(error)
    assert not error.retryable


async def test_a_standby_says_that_the_primary_is_wanted(home: Home) -> None:
    error = await refusal(f"{home.url}&default_transaction_read_only=on", home.schema, 0.5)
    assert "give the address of the primary" in str(error)
    assert error.retryable, "it may have become the primary in a moment"


async def test_tables_that_were_dropped_are_named(home: Home, tmp_path: Path) -> None:
    schema = url_of("postgres", tmp_path).rpartition("=")[2]
    store = PostgresStore(home.url, QUEUE, schema=schema)
    connection = await asyncpg.connect(home.url)
    try:
        await put(store, 1.0)
        await connection.execute(TableNames(schema, "").fill("DROP TABLE {event} CASCADE"))
        with pytest.raises(StoreError, match="not those of this version, or were dropped") as said:
            await put(store, 2.0)
        assert not said.value.retryable
    finally:
        await connection.close()
        await store.close()


async def test_a_statement_that_somebody_cancelled_is_not_tried_for_long(home: Home) -> None:
    """Its own limit of time would cancel it again and again."""
    store = PostgresStore(f"{home.url}&statement_timeout=200", QUEUE, schema=home.schema)
    connection = await asyncpg.connect(home.url)
    try:
        await put(store, 1.0)
        async with connection.transaction():
            await connection.execute(TableNames(home.schema, "").fill("LOCK TABLE {event}"))
            with pytest.raises(StoreError, match="statement timeout") as said:
                await put(store, 2.0)
            assert not said.value.retryable
        await put(store, 3.0)
    finally:
        await connection.close()
        await store.close()


async def test_a_lock_that_was_not_to_be_had_in_time_is_waited_for_anew(home: Home) -> None:
    store = PostgresStore(f"{home.url}&lock_timeout=50", QUEUE, schema=home.schema)
    connection = await asyncpg.connect(home.url)
    try:
        await put(store, 1.0)
        async with connection.transaction():
            await connection.execute(TableNames(home.schema, "").fill("LOCK TABLE {event}"))
            asked = asyncio.create_task(put(store, 2.0))
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            for _ in range(3):  # it waits, gives up, and waits again
                while not await connection.fetchval(waits):
                    await asyncio.sleep(0.005)
                while await connection.fetchval(waits):
                    await asyncio.sleep(0.005)
            assert not asked.done()
        await asked
    finally:
        await connection.close()
        await store.close()
