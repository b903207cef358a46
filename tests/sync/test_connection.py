"""Appends in a transaction of the caller, which its own thread carries out."""

import asyncio
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from stores.homes import Home
from sync.jobs import postgres_url, square

from lionpride import Event
from lionpride.errors import ConfigurationError, ExistsError, NotFoundError, OperationError
from lionpride.sync import Executor


@pytest.fixture
def executor(home: Home) -> Iterator[Executor]:
    executor = Executor.of(square, queue="q", store=postgres_url(home))
    yield executor
    executor.close()


class RollBack(Exception):
    """Leaves a transaction."""


@contextmanager
def psycopg_one(url: str) -> Iterator[Any]:
    with psycopg.connect(url, row_factory=dict_row) as connection, connection.transaction():
        yield connection


@contextmanager
def psycopg_autocommit_one(url: str) -> Iterator[Any]:
    with psycopg.connect(url, autocommit=True) as connection, connection.transaction():
        yield connection


@contextmanager
def psycopg2_one(url: str) -> Iterator[Any]:
    connection = psycopg2.connect(url, cursor_factory=psycopg2.extras.RealDictCursor)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


@contextmanager
def engine_of(driver: Any, url: str) -> Iterator[Any]:
    engine = create_engine(f"postgresql+{driver.__name__}://", creator=lambda: driver.connect(url))
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def sqlalchemy_one(url: str, driver: Any = psycopg) -> Iterator[Any]:
    with engine_of(driver, url) as engine, engine.begin() as connection:
        yield connection


def sqlalchemy_psycopg2_one(url: str) -> AbstractContextManager[Any]:
    return sqlalchemy_one(url, psycopg2)


@contextmanager
def session_one(url: str) -> Iterator[Any]:
    with engine_of(psycopg, url) as engine, Session(engine) as session, session.begin():
        yield session


@contextmanager
def scoped_session_one(url: str) -> Iterator[Any]:
    """As Flask-SQLAlchemy has it."""
    with engine_of(psycopg2, url) as engine:
        session = scoped_session(sessionmaker(engine))
        try:
            with session.begin():
                yield session
        finally:
            session.remove()


def django_connection(url: str) -> Any:
    """Return the default connection of Django in this thread."""
    from django.conf import settings
    from django.db import connection

    if not settings.configured:
        parts = conninfo_to_dict(url)
        names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST"}
        names["port"] = "PORT"
        database = {names[key]: value for key, value in parts.items() if key in names}
        engine = "django.db.backends.postgresql"
        settings.configure(DATABASES={"default": {"ENGINE": engine} | database})
    return connection


@contextmanager
def django_one(url: str) -> Iterator[Any]:
    connection = django_connection(url)
    from django.db import transaction

    try:
        with transaction.atomic():
            yield connection
    finally:
        connection.close()


DRIVERS = [
    psycopg_one,
    psycopg_autocommit_one,
    psycopg2_one,
    sqlalchemy_one,
    sqlalchemy_psycopg2_one,
    session_one,
    scoped_session_one,
    django_one,
]
ONE_OF_EACH = [psycopg_one, psycopg2_one, session_one, django_one]

Driver = Callable[[str], AbstractContextManager[Any]]


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_event_exists_if_and_only_if_the_transaction_commits(
    executor: Executor, home: Home, driver: Driver
) -> None:
    with suppress(RollBack), driver(home.url) as connection:
        executor.append(square(5), connection=connection)
        raise RollBack
    assert executor.counts()["pending"] == 0
    with driver(home.url) as connection:
        event = executor.append(square(6), 1.0, delay=0, connection=connection)
        assert executor.counts()["pending"] == 0, "nobody sees it before"
    assert executor.counts()["pending"] == 1
    assert event.execution.arrival is None, "the object is free"
    with executor:
        assert executor.result(event.id, timeout=20) == 36


@pytest.mark.parametrize("driver", ONE_OF_EACH)
def test_a_batch_with_options_and_parents(executor: Executor, home: Home, driver: Driver) -> None:
    events = [square(number) for number in range(2_500)]
    parent, child = executor.append(square(0)), square(1)
    with driver(home.url) as connection:
        held = executor.append_many(
            (event for event in events),
            (float(number % 7) for number in range(2_500)),
            ttl=3600.0,
            connection=connection,
        )
        assert held == events
        after: Any = {child: [parent, events[0]]}
        executor.append_many([child], after=after, connection=connection)
    assert executor.counts()["pending"] == 2_502
    assert [each.record.id for each in executor.parents(child)] == [parent.id, events[0].id]
    found = executor.get(events[8].id)
    assert isinstance(found, Event)
    assert found.execution.priority == 1.0


@pytest.mark.parametrize("driver", ONE_OF_EACH)
def test_the_transaction_goes_on_after_a_refused_append(
    executor: Executor, home: Home, driver: Driver
) -> None:
    known, unknown = executor.append(square(1)), square(2)
    with driver(home.url) as connection:
        with pytest.raises(ExistsError, match=str(known.id)):
            executor.append_many([square(3), known.as_fresh_event(), known], connection=connection)
        with pytest.raises(NotFoundError, match=str(unknown.id)):
            executor.append(square(4), after=unknown, connection=connection)
        executor.append(square(5), connection=connection)
    assert executor.counts()["pending"] == 2


def test_the_connection_is_used_in_the_thread_of_the_caller(executor: Executor, home: Home) -> None:
    threads = set()

    class Connection(psycopg.Connection[Any]):
        def wait(self, *args: Any, **options: Any) -> Any:
            threads.add(threading.current_thread())
            return super().wait(*args, **options)

    with Connection.connect(home.url) as connection:
        threads.clear()
        executor.append(square(1), connection=connection)
    assert threads == {threading.current_thread()}


@contextmanager
def sqlalchemy_autocommit(url: str) -> Iterator[Any]:
    with engine_of(psycopg, url) as engine, engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def psycopg2_autocommit(url: str) -> Iterator[Any]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    yield connection
    connection.close()


@contextmanager
def django_autocommit(url: str) -> Iterator[Any]:
    connection = django_connection(url)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "driver",
    [
        lambda url: psycopg.connect(url, autocommit=True),
        psycopg2_autocommit,
        sqlalchemy_autocommit,
        django_autocommit,
    ],
    ids=["psycopg", "psycopg2", "sqlalchemy", "django"],
)
def test_a_connection_outside_a_transaction_is_refused(
    executor: Executor, home: Home, driver: Driver
) -> None:
    with driver(home.url) as connection:
        with pytest.raises(ConfigurationError, match="is not in a transaction"):
            executor.append(square(1), connection=connection)
        with pytest.raises(ConfigurationError, match=r"with transaction\.atomic"):
            executor.append_many([square(1)], connection=connection)
    assert executor.counts()["pending"] == 0


def test_a_transaction_of_django_that_has_failed_is_refused(executor: Executor, home: Home) -> None:
    with suppress(RollBack), django_one(home.url) as connection:
        from django.db import transaction

        with suppress(RollBack), transaction.atomic(savepoint=False):
            raise RollBack
        with pytest.raises(transaction.TransactionManagementError):
            executor.append(square(1), connection=connection)
    assert executor.counts()["pending"] == 0


def test_an_interruption_takes_the_append_back(executor: Executor, home: Home) -> None:
    """It comes while the append waits for another transaction, which has the same id."""
    contested = square(1)
    url = home.url
    with psycopg.connect(url) as first, psycopg.connect(url) as second:
        executor.append(square(2), connection=second)
        executor.append(contested, connection=first)
        pid = second.info.backend_pid
        main = threading.get_ident()

        def interrupt() -> None:
            query = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
            with psycopg.connect(url, autocommit=True) as third:
                while not third.execute(query, (pid,)).fetchone()[0]:
                    pass
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            executor.append(contested.model_copy(), connection=second)
        thread.join()
        executor.append(square(3), connection=second)
        first.rollback()
    assert executor.counts()["pending"] == 2


async def _refused(make: Callable[[], Any], executor: Executor) -> None:
    connection = await make()
    with pytest.raises(ConfigurationError, match="is asynchronous: it belongs to an event loop"):
        await asyncio.to_thread(executor.append, square(1), connection=connection)
    await connection.close()


def test_an_asynchronous_connection_is_refused(executor: Executor, home: Home) -> None:
    engine = create_async_engine("postgresql+psycopg://")

    async def session() -> AsyncSession:
        return AsyncSession(engine)

    async def refuse() -> None:
        await _refused(lambda: asyncpg.connect(home.url), executor)
        await _refused(lambda: psycopg.AsyncConnection.connect(home.url), executor)
        await _refused(session, executor)

    asyncio.run(refuse())
    assert executor.counts()["pending"] == 0


def test_what_cannot_be_is_refused(executor: Executor, home: Home, tmp_path: Path) -> None:
    with psycopg.connect(home.url) as connection, sqlite3.connect(":memory:") as other:
        for unknown in (object(), other):
            with pytest.raises(ConfigurationError, match="is no connection to PostgreSQL that is"):
                executor.append(square(1), connection=unknown)
        with pytest.raises(OperationError, match="exist_ok"):
            executor.append(square(1), connection=connection, exist_ok=True)
        with pytest.raises(OperationError, match="unique"):
            executor.append(square(1), connection=connection, unique="a")
        for store in ("memory://", f"sqlite:///{tmp_path / 'run.db'}"):
            with pytest.raises(OperationError, match="connection= needs a store in PostgreSQL"):
                Executor.of(square, store=store).append(square(1), connection=connection)
        with pytest.raises(TimeoutError, match="nothing was done"):
            executor.append(square(1), connection=connection, timeout=0)
    assert executor.counts()["pending"] == 0


def test_a_session_commits_its_rows_and_the_event_together(executor: Executor, home: Home) -> None:
    with engine_of(psycopg, home.url) as engine, Session(engine) as session:
        session.execute(text("CREATE TEMP TABLE customer (name text)"))
        session.commit()
        session.execute(text("INSERT INTO customer VALUES ('Ada')"))
        executor.append(square(1), connection=session)
        session.rollback()
        assert executor.counts()["pending"] == 0
        session.execute(text("INSERT INTO customer VALUES ('Bob')"))
        executor.append(square(2), connection=session)
        session.commit()
        assert session.execute(text("SELECT name FROM customer")).scalars().all() == ["Bob"]
    assert executor.counts()["pending"] == 1
