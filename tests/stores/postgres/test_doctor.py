"""What is wrong or slow with a database and its server."""

import os

import asyncpg
import pytest
from stores.homes import Home
from stores.makers import Clock, Job, postgres_in

from lionpride.stores.postgres import PostgresStore, doctor
from tools.postgres_server import GIVEN


@pytest.fixture
def home():
    return Home()


@pytest.fixture
def store(home, opened):
    made = postgres_in(home, None)
    opened.append(made)
    return made


async def found(store):
    """What there is beside that the tests' server does not wait for its disk."""
    return [each for each in await store.examine() if each.check != "fsync"]


async def test_a_database_that_is_well(store):
    await store.append([(Job(), 1.0)])
    (fsync,) = await store.examine()
    assert (fsync.check, fsync.level) == ("fsync", "note")


@pytest.mark.promise("postgres-old-transaction")
async def test_an_old_transaction_pins_the_horizon(store, home, monkeypatch):
    monkeypatch.setattr(doctor, "OLD", -1.0)
    connection = await asyncpg.connect(home.url)
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    await connection.execute("SELECT 1 FROM pg_class")
    pid = connection.get_server_pid()
    (one,) = [each for each in await found(store) if f"session {pid}," in each.what]
    assert (one.check, one.level) == ("horizon", "slow")
    assert f"pg_terminate_backend({pid})" in one.remedy
    await transaction.rollback()
    assert not [each for each in await found(store) if f"session {pid}," in each.what]
    await connection.close()


async def test_autovacuum_that_is_off_for_a_table(store, home):
    connection = await asyncpg.connect(home.url)
    table = f"{home.schema}.ready"
    await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    (one,) = await found(store)
    assert (one.check, one.level) == ("vacuum", "slow")
    await connection.execute(one.remedy)
    assert await found(store) == []
    await connection.close()


async def test_connections_that_are_nearly_all_taken(store, monkeypatch):
    monkeypatch.setattr(doctor, "FULL", 0.0)
    (one,) = await found(store)
    assert (one.check, one.level) == ("connections", "wrong")
    assert "connections are taken" in one.what


async def test_leases_of_workers_that_are_gone(home, opened):
    store = postgres_in(home, Clock(1_000.0))
    later = postgres_in(home, Clock(2_000.0))
    opened += [store, later]
    await store.append([(Job(), 1.0)])
    await store.claim("nobody", 1)
    assert await found(store) == []
    (one,) = await found(later)
    assert (one.check, one.level) == ("leases", "wrong")


@pytest.mark.skipif(GIVEN in os.environ, reason="needs a server whose users it may make")
async def test_a_user_who_sees_little_is_told_so(home):
    connection = await asyncpg.connect(home.url)
    role = f"user_of_{home.schema}"
    await connection.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {home.schema} TO {role}; "
        f"GRANT ALL ON ALL TABLES IN SCHEMA {home.schema} TO {role}"
    )
    url = home.url.replace("://postgres@", f"://{role}@")
    store = PostgresStore(url, "questions", schema=home.schema, listen=False)
    try:
        (one,) = await found(store)
        assert (one.check, one.level) == ("rights", "note")
        await connection.execute(one.remedy)
        assert await found(store) == []
    finally:
        await store.close()
        await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
        await connection.close()
