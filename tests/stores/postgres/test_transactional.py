"""Append in a transaction of the caller's own: there if it commits, and never else."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg import rows
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session
from stores.asking import record
from stores.homes import Home
from stores.makers import QUEUE
from stores.postgres.wire import wire_to

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.errors import ConfigurationError, ExistsError, NotFoundError, OperationError
from lionpride.stores.postgres import PostgresStore

S = EventStatus


class Mail(Event):
    to: str = ""

    async def _invoke(self) -> str:
        return f"to {self.to}"


class Mailer(Processor):
    event_type = Mail


class Desk(Executor):
    processor_type = Mailer


@pytest.fixture
def home() -> Home:
    return Home()


@pytest.fixture
def desk(home: Home) -> Desk:
    return Desk(store=PostgresStore(home.url, QUEUE, schema=home.schema))


async def pending(desk: Desk) -> int:
    return (await desk.store.counts())[S.PENDING]


async def asyncpg_one(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    begun = connection.transaction()
    await begun.start()
    yield connection, begun.commit, begun.rollback
    await connection.close()


async def psycopg_one(url: str) -> AsyncIterator[Any]:
    connection = await psycopg.AsyncConnection.connect(url)
    yield connection, connection.commit, connection.rollback
    await connection.close()


async def sqlalchemy_one(url: str) -> AsyncIterator[Any]:
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url)
    )
    connection = await engine.connect()
    await connection.begin()
    yield connection, connection.commit, connection.rollback
    await connection.close()
    await engine.dispose()


async def sqlalchemy_psycopg_one(url: str) -> AsyncIterator[Any]:
    connect = psycopg.AsyncConnection.connect
    engine = create_async_engine("postgresql+psycopg://", async_creator=lambda: connect(url))
    connection = await engine.connect()
    yield connection, connection.commit, connection.rollback
    await connection.close()
    await engine.dispose()


async def asyncpg_pool_one(url: str) -> AsyncIterator[Any]:
    async with asyncpg.create_pool(url, min_size=1) as pool, pool.acquire() as connection:
        begun = connection.transaction()
        await begun.start()
        yield connection, begun.commit, begun.rollback


class Row:
    """A row of two columns, which no statement of the library returns."""

    def __init__(self, name: str, age: int) -> None:
        raise AssertionError("not for this statement")


ROW_FACTORIES = {
    "dict_row": rows.dict_row,
    "namedtuple_row": rows.namedtuple_row,
    "scalar_row": rows.scalar_row,
    "class_row": rows.class_row(Row),
    "args_row": rows.args_row(Row),
    "kwargs_row": rows.kwargs_row(Row),
}
LEFT = """
SELECT (SELECT count(*) FROM {s}.event), (SELECT count(*) FROM {s}.ready),
    (SELECT count(*) FROM {s}.counter WHERE shard < 0)
"""


async def left_in(connection: asyncpg.Connection, home: Home) -> tuple[int, ...]:
    """Count the rows of events that a transaction sees: kept, ready and counted in it."""
    return tuple(await connection.fetchrow(LEFT.replace("{s}", f'"{home.schema}"')))


@pytest.mark.parametrize("factory", sorted(ROW_FACTORIES))
async def test_any_row_factory_of_psycopg_works(desk: Desk, home: Home, factory: str) -> None:
    row_factory: Any = ROW_FACTORIES[factory]
    connect = psycopg.AsyncConnection.connect
    try:
        known = await desk.append(Mail())
        async with await connect(home.url, row_factory=row_factory) as connection:
            await desk.append_many([Mail(), Mail()], connection=connection)
            with pytest.raises(ExistsError, match=str(known.id)):
                await desk.append_many([Mail(), Mail(id=known.id)], connection=connection)
        assert await pending(desk) == 3
    finally:
        await desk.store.close()


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
async def test_a_refused_append_leaves_nothing_behind(
    desk: Desk, home: Home, isolation: Any
) -> None:
    """Another process appends one of the ids after the transaction has begun."""
    connection = await asyncpg.connect(home.url)
    try:
        mail = await desk.append(Mail())
        async with connection.transaction(isolation=isolation):
            await desk.append(Mail(), connection=connection)
            before = await left_in(connection, home)
            contested = await desk.append(Mail())
            batch = [Mail(), Mail(id=contested.id), Mail()]
            with pytest.raises((ExistsError, asyncpg.SerializationError)):
                await desk.append_many(batch, connection=connection)
            with pytest.raises(ExistsError, match=str(mail.id)):
                await desk.append_many([Mail(), Mail(id=mail.id)], connection=connection)
            others = 1 if isolation == "read_committed" else 0  # it sees what others committed
            events, ready, counted = before
            now = await left_in(connection, home)
            assert now == (events + others, ready + others, counted)
            await desk.append(Mail(), connection=connection)
        assert await pending(desk) == 4
        assert len(await desk.store.list_records()) == 4
    finally:
        await connection.close()
        await desk.store.close()


async def test_a_parent_that_is_removed_during_the_append_cancels_its_child(
    desk: Desk, home: Home
) -> None:
    """Another process removes the parent after it was found."""
    store = desk.store
    try:
        one, two = await desk.append_many([Mail(), Mail()])
        await desk.cancel(one)
        async with wire_to(home.url) as wire:
            connection = await asyncpg.connect(wire.url)
            async with connection.transaction():
                wire.hold('"dependency"')
                child = Mail()
                append = asyncio.create_task(
                    desk.append(child, after=[one, two], connection=connection)
                )
                await wire.held.wait()
                await desk.remove(one)
                wire.let_go()
                await append
            await connection.close()
        await store.claim("worker", until=0)  # it resolves first
        found = await record(store, child)
        assert found.status is S.CANCELLED
        assert "removed" in found.payload["execution"]["error"]["message"]
    finally:
        await store.close()


@pytest.mark.parametrize("driver", [asyncpg_one, psycopg_one])
async def test_an_append_may_have_parents(desk: Desk, home: Home, driver: Any) -> None:
    try:
        one, unknown = await desk.append(Mail()), Mail()
        async for connection, commit, _ in driver(home.url):
            two, child, last = Mail(), Mail(), Mail()
            with pytest.raises(NotFoundError, match=str(unknown.id)):
                await desk.append(Mail(), after=[one, unknown], connection=connection)
            after: Any = {child: [two, one], last: child}
            await desk.append_many([last, child, two], after=after, connection=connection)
            await commit()
        assert [each.record.id async for each in desk.parents(child)] == [two.id, one.id]
        assert [each.record.id async for each in desk.parents(last)] == [child.id]
        async with desk:
            await desk.join()
        assert (await desk.store.counts())[S.COMPLETED] == 4
    finally:
        await desk.store.close()


REFUSE = """
CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'not today'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON {s}.ready EXECUTE FUNCTION {s}.refuse();
"""


@pytest.mark.parametrize("driver", ["asyncpg", "asyncpg, BEGIN", "psycopg"])
async def test_the_transaction_goes_on_after_an_append_that_the_server_refused(
    desk: Desk, home: Home, driver: str
) -> None:
    """Any error of the server would end the transaction, if there were no savepoint."""
    s = f'"{home.schema}"'
    other = await asyncpg.connect(home.url)
    connection: Any
    try:
        await pending(desk)
        await other.execute(REFUSE.replace("{s}", s))
        if driver == "psycopg":
            connection = await psycopg.AsyncConnection.connect(home.url)
        else:
            connection = await asyncpg.connect(home.url)
            begun = connection.transaction()
            await (connection.execute("BEGIN") if "BEGIN" in driver else begun.start())
        error = psycopg.Error if driver == "psycopg" else asyncpg.PostgresError
        with pytest.raises(error, match="not today"):
            await desk.append_many([Mail(), Mail()], connection=connection)
        await connection.execute(f"CREATE TABLE {s}.kept (n int)")
        await connection.execute("COMMIT")
        assert await left_in(other, home) == (0, 0, 0)
        assert await other.fetchval(f"SELECT count(*) FROM {s}.kept") == 0
        await connection.close()
    finally:
        await other.execute(f"DROP TABLE IF EXISTS {s}.kept; DROP FUNCTION {s}.refuse CASCADE")
        await other.close()
        await desk.store.close()


async def test_a_connection_outside_a_transaction_appends_all_or_nothing(
    desk: Desk, home: Home
) -> None:
    """On such a connection each statement is committed by itself."""
    connect = psycopg.AsyncConnection.connect
    other = await asyncpg.connect(home.url)
    try:
        known = await desk.append(Mail())
        async with await connect(home.url, autocommit=True) as connection:
            for each in (connection, other):
                await desk.append_many([Mail(), Mail()], connection=each)
                with pytest.raises(ExistsError):
                    await desk.append_many([Mail(), Mail(id=known.id)], connection=each)
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            assert not other.is_in_transaction()
            assert await pending(desk) == 5, "there at once"
    finally:
        await other.close()
        await desk.store.close()


DRIVERS = [asyncpg_one, asyncpg_pool_one, psycopg_one, sqlalchemy_one, sqlalchemy_psycopg_one]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("ends", ["commit", "roll back"])
async def test_it_is_there_if_and_only_if_the_transaction_commits(
    desk: Desk, home: Home, driver: Any, ends: str
) -> None:
    try:
        async for connection, commit, roll_back in driver(home.url):
            mail = await desk.append(Mail(to="you"), 1.0, connection=connection)
            assert await pending(desk) == 0, "nobody sees it before"
            await (commit if ends == "commit" else roll_back)()
        assert await pending(desk) == (1 if ends == "commit" else 0)
        assert mail.execution.arrival is None, "the object is free"
        if ends == "commit":
            async with desk:
                assert await desk.result(mail.id) == "to you"
    finally:
        await desk.store.close()


async def test_a_synchronous_connection_is_refused_with_the_remedy(desk: Desk, home: Home) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(home.url))
    try:
        await pending(desk)
        with (
            psycopg.connect(home.url) as plain,
            engine.connect() as wrapped,
            Session(engine) as session,
        ):
            for connection in (plain, wrapped, session):
                with pytest.raises(ConfigurationError) as caught:
                    await desk.append(Mail(to="you"), connection=connection)
                assert "is synchronous" in str(caught.value)
                assert "AsyncSession" in str(caught.value)
        assert await pending(desk) == 0
    finally:
        engine.dispose()
        await desk.store.close()


async def test_a_session_appends_with_what_it_changes(desk: Desk, home: Home) -> None:
    """A row of the user's own and the event commit together, or neither."""
    creator: Any = {"async_creator": lambda: asyncpg.connect(home.url)}
    engine = create_async_engine("postgresql+asyncpg://", **creator)
    try:
        await pending(desk)
        make = async_sessionmaker(engine)
        async with make() as session:
            await desk.append(Mail(to="you"), connection=session)
            await session.rollback()
        assert await pending(desk) == 0
        async with make() as session, session.begin():
            await session.execute(text("SELECT 1"))
            await desk.append_many([Mail(to="you"), Mail()], connection=session)
            assert await pending(desk) == 0
        assert await pending(desk) == 2
    finally:
        await engine.dispose()
        await desk.store.close()


async def test_a_known_id_is_refused_and_their_transaction_goes_on(desk: Desk, home: Home) -> None:
    connection = await asyncpg.connect(home.url)
    try:
        known = await desk.append(Mail())
        async with connection.transaction():
            with pytest.raises(ExistsError):
                await desk.append(Mail(id=known.id), connection=connection)
            await desk.append(Mail(), connection=connection)
        assert await pending(desk) == 2
    finally:
        await connection.close()
        await desk.store.close()


async def test_what_is_put_around_appends_is_put_around_these(desk: Desk, home: Home) -> None:
    errors: list[BaseException | None] = []

    @contextmanager
    def traced(event: Any) -> Iterator[None]:
        event.metadata["trace"] = "t"
        try:
            yield
        except BaseException as error:
            errors.append(error)
            raise
        errors.append(None)

    connection = await asyncpg.connect(home.url)
    try:
        desk.observe_appends(traced)
        await desk.append(Mail(), connection=connection)
        mails = await desk.append_many([Mail(), Mail()], connection=connection)
        assert errors == [None] * 3
        for record in await desk.store.list_records():
            assert record.payload["metadata"]["trace"] == "t"
        with pytest.raises(ExistsError):
            await desk.append(Mail(id=mails[0].id), connection=connection)
        assert isinstance(errors.pop(), ExistsError)
    finally:
        await connection.close()
        await desk.store.close()


async def test_what_was_counted_there_is_added_up(desk: Desk, home: Home) -> None:
    connection = await asyncpg.connect(home.url)
    store: Any = desk.store
    try:
        for _ in range(3):
            await desk.append(Mail(), connection=connection)
        await store.reap()
        loose = f'SELECT count(*) FROM "{home.schema}".counter WHERE shard < 0'
        assert await connection.fetchval(loose) == 0
        assert await pending(desk) == 3
    finally:
        await connection.close()
        await desk.store.close()


@pytest.mark.parametrize("driver", [asyncpg_one, psycopg_one, sqlalchemy_one])
@pytest.mark.parametrize("ends", ["commit", "roll back"])
async def test_a_batch_is_there_as_a_whole_if_and_only_if_the_transaction_commits(
    desk: Desk, home: Home, driver: Any, ends: str
) -> None:
    mails = [Mail(to=str(n)) for n in range(2_500)]
    priorities = [float(n % 7) for n in range(2_500)]
    try:
        async for connection, commit, roll_back in driver(home.url):
            held = await desk.append_many(mails, priorities, connection=connection, ttl=3600.0)
            assert held == mails
            assert await pending(desk) == 0, "nobody sees them before"
            await (commit if ends == "commit" else roll_back)()
        assert all(mail.execution.arrival is None for mail in mails), "the objects are free"
        records = await desk.store.list_records(limit=3_000)
        if ends == "roll back":
            assert records == []
            return
        assert [record.id for record in records] == [mail.id for mail in mails]
        assert [record.priority for record in records] == priorities
        assert {"expires"} <= records[0].payload["execution"].keys()
        assert await pending(desk) == 2_500
    finally:
        await desk.store.close()


async def test_no_event_of_a_batch_with_a_known_id_is_taken_in(desk: Desk, home: Home) -> None:
    connection = await asyncpg.connect(home.url)
    try:
        known = await desk.append(Mail())
        twice = Mail()
        async with connection.transaction():
            with pytest.raises(ExistsError, match=str(known.id)):
                await desk.append_many([Mail(), Mail(id=known.id)], connection=connection)
            with pytest.raises(ExistsError, match=str(twice.id)):
                await desk.append_many([twice, Mail(), twice], connection=connection)
            assert await desk.append_many([], connection=connection) == []
            await desk.append_many([Mail(), Mail()], connection=connection)
        assert await pending(desk) == 3
    finally:
        await connection.close()
        await desk.store.close()


async def test_a_batch_that_loses_a_race_for_an_id_is_taken_back(desk: Desk, home: Home) -> None:
    first, second = await asyncpg.connect(home.url), await asyncpg.connect(home.url)
    is_waiting = (
        "SELECT wait_event_type = 'Lock' FROM pg_stat_activity "
        f"WHERE pid = {second.get_server_pid()}"
    )
    contested = Mail()
    try:
        begun = first.transaction()
        await begun.start()
        await desk.append(Mail(id=contested.id), connection=first)
        async with second.transaction():
            batch = [Mail(), contested, Mail()]
            late = asyncio.create_task(desk.append_many(batch, connection=second))
            while not await first.fetchval(is_waiting):
                assert not late.done()
            await begun.commit()
            with pytest.raises(ExistsError, match=str(contested.id)):
                await late
            await desk.append(Mail(), connection=second)
        assert await pending(desk) == 2
        assert len(await desk.store.list_records()) == 2
    finally:
        await first.close()
        await second.close()
        await desk.store.close()


async def test_what_cannot_be_is_refused(desk: Desk, home: Home) -> None:
    connection = await asyncpg.connect(home.url)
    try:
        with pytest.raises(OperationError, match="unique"):
            await desk.append(Mail(), connection=connection, unique="a")
        with pytest.raises(OperationError, match="exist_ok"):
            await desk.append(Mail(), connection=connection, exist_ok=True)
        with pytest.raises(OperationError, match="exist_ok"):
            await desk.append_many([Mail()], connection=connection, exist_ok=True)
        ran = Mail()
        await ran.invoke()
        with pytest.raises(OperationError, match="cannot be appended"):
            await desk.append_many([Mail(), ran], connection=connection)
        with pytest.raises(ConfigurationError, match="no connection that is known here"):
            await desk.append(Mail(), connection=object())
        with pytest.raises(OperationError, match="PostgreSQL"):
            await Desk().append(Mail(), connection=connection)
    finally:
        await connection.close()
        await desk.store.close()


async def test_an_idle_worker_comes_to_it_without_being_told(desk: Desk, home: Home) -> None:
    other = Desk(store=PostgresStore(home.url, QUEUE, schema=home.schema))
    connection = await asyncpg.connect(home.url)
    try:
        async with other:
            async with connection.transaction():
                mail = await desk.append(Mail(to="me"), connection=connection)
            async with asyncio.timeout(20):
                assert await desk.result(mail.id) == "to me"
    finally:
        await connection.close()
        await desk.store.close()
        await other.store.close()
