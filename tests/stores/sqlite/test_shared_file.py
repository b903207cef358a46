"""Tables of a user's own program in the same SQLite file.

The program uses apsw: a process that has a store open must not close the file in another way.
"""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from lionpride.core import Event, EventStatus, Executor
from lionpride.errors import StoreError
from lionpride.stores.sqlite import SqliteStore

TABLES = """
PRAGMA user_version = 42;
CREATE TABLE event (name TEXT, at TEXT);
CREATE TABLE queue (person TEXT);
CREATE TABLE ready (number INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE INDEX later ON event (at);
CREATE VIEW leased AS SELECT person FROM queue;
INSERT INTO event VALUES ('concert', 'tonight');
INSERT INTO queue VALUES ('Ada'), ('Bob');
INSERT INTO ready DEFAULT VALUES;
"""


class Ticket(Event):
    number: int

    async def _invoke(self) -> int:
        return self.number


def make_tables(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(TABLES)


def tables_of(path: Path) -> list[Any]:
    """Return all that the user's program has in a file."""
    queries = (
        "PRAGMA user_version",
        "PRAGMA application_id",
        "SELECT * FROM event",
        "SELECT * FROM leased",
        "SELECT * FROM ready",
        "SELECT sql FROM sqlite_schema WHERE tbl_name NOT LIKE 'lionpride%' ORDER BY name",
    )
    with closing(apsw.Connection(str(path))) as connection:
        return [connection.execute(query).fetchall() for query in queries]


async def work(path: Path) -> str:
    """Append ten events, run them, and prune five; return the name of the queue."""
    executor = Executor.of(Ticket, store=f"sqlite:///{path}")
    async with executor:
        await executor.append_many([Ticket(number=number) for number in range(10)])
        await executor.join()
        assert await executor.store.prune([EventStatus.COMPLETED], limit=5)
    store = SqliteStore(path, executor.store.queue)
    try:
        assert (await store.counts())[EventStatus.COMPLETED] == 5
        assert await store.examine() == []
    finally:
        await store.close()
    return store.queue


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
async def test_the_file_of_a_user_takes_events_beside_its_tables(
    tmp_path: Path, journal: str
) -> None:
    path = tmp_path / "app.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    make_tables(path)
    before = tables_of(path)
    await work(path)
    assert tables_of(path) == before


async def test_a_file_with_events_takes_tables_of_a_user(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    store = SqliteStore(path)
    await store.counts()
    make_tables(path)  # while it is open
    before = tables_of(path)
    await store.close()
    await work(path)
    assert tables_of(path) == before


async def test_a_backup_has_the_events_and_the_tables_of_the_user(tmp_path: Path) -> None:
    path, copy = tmp_path / "app.db", tmp_path / "copy.db"
    make_tables(path)
    queue = await work(path)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    assert tables_of(copy) == tables_of(path)
    store = SqliteStore(copy, queue)
    try:
        assert (await store.counts())[EventStatus.COMPLETED] == 5
    finally:
        await store.close()


async def test_a_write_of_the_user_waits_for_no_lock_between_two_commits(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    make_tables(path)
    store = SqliteStore(path)
    await store.append([(Ticket(number=1), 1.0)])

    def book() -> None:
        with closing(apsw.Connection(str(path))) as connection:
            connection.set_busy_timeout(10_000)
            for _ in range(20):
                connection.execute("INSERT INTO queue VALUES ('Eve')")

    booking = asyncio.get_running_loop().run_in_executor(None, book)
    for number in range(20):
        await store.append([(Ticket(number=number), 1.0)])
    await booking
    assert (await store.counts())[EventStatus.PENDING] == 21
    await store.close()


async def test_a_file_from_before_the_first_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(
            "CREATE TABLE queue (number INTEGER PRIMARY KEY, name TEXT);"
            "PRAGMA application_id = 0x4C696F6E; PRAGMA user_version = 3;"
        )
    before = path.read_bytes()
    store = SqliteStore(path)
    with pytest.raises(StoreError, match=r"from before the first release.*Give another path"):
        await store.counts()
    await store.close()
    assert path.read_bytes() == before
