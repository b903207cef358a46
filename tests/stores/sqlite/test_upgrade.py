"""A file of an older schema is brought up to date when it is opened, with all that is in it."""

from pathlib import Path

import apsw
import pytest
from stores.makers import Clock, Folder

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.stores.sql.host import host
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.sqlite.file import VERSION

AT = 1795615332.0
"""When the file was made."""
THERE = "b1a29a84-12ad-401c-9a36-21217c8e4c4f/pid:[4026531836]"
"""The machine, and its boot, on which that was. Here it stands for this one, where the process of
the file's worker can be seen to be dead."""


class Deed(Event):
    how: str = "return"

    async def _invoke(self):
        return {"how": self.how, "bytes": b"\x00"}


class Deeds(Processor):
    event_type = Deed


class Desk(Executor):
    processor_type = Deeds


@pytest.fixture
def old():
    """The path of a file of schema 1, whose events are of a class that is here."""
    folder = Folder()
    path = folder.path / "run.db"
    script = Path(__file__).with_name("schema1.sql").read_text(encoding="utf-8")
    connection = apsw.Connection(str(path))
    assert THERE in script
    connection.execute(script.replace("old.Deed", f"{__name__}.Deed").replace(THERE, host()))
    connection.close()
    yield path
    del folder


def version_of(path):
    connection = apsw.Connection(str(path))
    try:
        return connection.pragma("user_version")
    finally:
        connection.close()


async def test_all_that_an_old_file_has_is_there_still_and_runs_on(old):
    assert version_of(old) == 1
    store = SqliteStore(old, "deeds", clock=Clock(AT + 100))
    desk = Desk(store=store)
    try:
        counts = await store.counts()
        assert {status.value: n for status, n in counts.items() if n} == {
            "pending": 2,
            "processing": 1,
            "completed": 1,
            "failed": 1,
            "cancelled": 1,
            "skipped": 1,
        }
        (done, *_) = await store.events(EventStatus.COMPLETED)
        assert await desk.result(done.id) == {"how": "return", "bytes": b"\x00"}
        assert await store.sweep() == 1  # the lease of a process that is long dead
        await desk.retry_failed()
        await desk.forward()
        counts = await store.counts()
        assert (counts[EventStatus.COMPLETED], counts[EventStatus.PENDING]) == (3, 2)
        assert await desk.append(Deed(), unique="only") in desk.pending_events
        assert await store.workers() == []
    finally:
        await store.close()
    assert version_of(old) == VERSION


async def test_a_worker_of_before_has_no_beginning(old):
    store = SqliteStore(old, "deeds", clock=Clock(AT + 1))
    try:
        (worker,) = await store.workers()
        assert (worker.name, worker.since, worker.host) == ("25319-a52efe6b", 0.0, "")
        assert [each.number for each in worker.held] == [7]
    finally:
        await store.close()
