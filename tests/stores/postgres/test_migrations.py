"""The tables from outside: made, checked, and brought up to date when that is asked for."""

import asyncpg
import pytest
from rules.kit import Call
from stores.homes import Home
from stores.makers import Job, postgres_in

from lionpride.core import EventStatus
from lionpride.errors import StoreError
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.stores.maintenance import Maintenance
from lionpride.stores.postgres import PostgresStore, migrations

CURRENT = migrations.VERSION


@pytest.fixture
def home():
    return Home()


@pytest.fixture
def store(home, opened):
    made = postgres_in(home, None)
    opened.append(made)
    return made


def be_newer(monkeypatch):
    """Let this process know one more schema version; return the statements that lead to it."""
    after = migrations.VERSION + 1
    script = [
        "ALTER TABLE {event} ADD COLUMN more text",
        f"INSERT INTO {{version}} (number) VALUES ({after})",
    ]
    for module in (migrations,):
        monkeypatch.setattr(module, "VERSION", after)
        monkeypatch.setattr(module, "script", lambda names, since: names.fill("; ".join(script)))
    return script


@pytest.fixture
def newer(monkeypatch):
    """A version of the library that is one schema version ahead."""
    return be_newer(monkeypatch)


async def forget(home):
    """Let the schema be of this version again."""
    connection = await asyncpg.connect(home.url)
    await connection.execute(
        f"ALTER TABLE {home.schema}.event DROP COLUMN IF EXISTS more; "
        f"DELETE FROM {home.schema}.version WHERE number > {CURRENT}"
    )
    await connection.close()


async def test_it_is_current_once_it_is_made(store):
    assert isinstance(store, Maintenance)
    schema = await store.schema()
    assert (schema.is_current, schema.found, schema.scripts) == (True, migrations.VERSION, ())
    assert (await store.upgrade()).is_current


async def test_an_upgrade_keeps_events_and_claims(
    monkeypatch: pytest.MonkeyPatch, home: Home, store: PostgresStore
) -> None:
    limits = Limits([Limit("tokens", 200, per=60.0)])
    try:
        await store.append([(Call(tokens=10), 1.0)])
        ((event, _),), _ = await store.claim("worker", 1, limits=limits, start=True)
        await store.close()
        be_newer(monkeypatch)
        assert (await store.upgrade()).found == CURRENT
        event.spend(tokens=50)
        await store.close()  # when that is done
        (room,) = await store.limit_usage(limits)
        assert room.used == 50
    finally:
        await forget(home)


@pytest.mark.promise("postgres-tables-made-once")
async def test_an_older_one_is_refused_until_it_is_upgraded(home, store, newer, opened):
    try:
        with pytest.raises(StoreError, match="run `lionpride migrate URL`"):
            await store.append([(Job(), 1.0)])
        schema = await store.schema()
        assert (schema.is_current, schema.found) == (False, migrations.VERSION - 1)
        ((version, text),) = schema.scripts
        assert (version, text.startswith("BEGIN;")) == (migrations.VERSION, True)
        assert (await store.upgrade()).found == migrations.VERSION - 1
        assert (await store.schema()).is_current
        await store.append([(Job(), 1.0)])
        assert (await store.counts())[EventStatus.PENDING] == 1
    finally:
        await forget(home)


@pytest.mark.promise("postgres-tables-made-once")
async def test_an_upgrade_that_fails_changes_nothing(home, store, newer):
    newer.append("SELECT 1 / 0")
    try:
        with pytest.raises(StoreError, match="division by zero"):
            await store.upgrade()
        assert (await store.schema()).found == migrations.VERSION - 1
    finally:
        await forget(home)


async def test_a_newer_one_is_left_alone(home, store):
    connection = await asyncpg.connect(home.url)
    try:
        await connection.execute(f"INSERT INTO {home.schema}.version (number) VALUES (99)")
        for verb in (store.schema, store.upgrade, store.counts):
            with pytest.raises(StoreError, match=r"of version 99.*: upgrade lionpride"):
                await verb()
    finally:
        await forget(home)
        await connection.close()


async def test_a_server_that_is_waited_for_is_told_of_once(opened, caplog, monkeypatch):
    monkeypatch.setattr("lionpride.stores.postgres.session.SILENT", 0.0)
    home = Home()
    home.url = "postgresql://me:secret@127.0.0.1:1/nothing"
    store = postgres_in(home, None, patience=0.2)
    for _ in range(2):
        with pytest.raises(StoreError, match="cannot be reached"):
            await store.counts()
    (told,) = [text for text in caplog.messages if "cannot be reached" in text]
    assert told.endswith("; it is tried for 0 s more")
    assert "secret" not in told
    await store.close()


async def test_a_server_that_is_not_there_is_named(opened):
    home = Home()
    home.url = "postgresql://me:secret@127.0.0.1:1/nothing"
    store = postgres_in(home, None, patience=0.1)
    with pytest.raises(StoreError, match="cannot be reached") as error:
        await store.schema()
    assert "secret" not in str(error.value)
    assert error.value.retryable
