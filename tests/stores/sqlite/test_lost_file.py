"""A database file that another program removes, replaces or truncates while a store has it open."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from stores.makers import QUEUE, Job

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.errors import StoreError
from lionpride.stores.inspector import EventFilter
from lionpride.stores.sqlite import SqliteStore


def log_of(path: Path) -> Path:
    return Path(f"{path}-wal")


def index_of(path: Path) -> Path:
    return Path(f"{path}-shm")


def remove_all(path: Path) -> None:
    for each in (path, log_of(path), index_of(path)):
        each.unlink()


def replace(path: Path) -> None:
    """Put a file in its place, as a restored backup is; its content is the same."""
    path.with_name("backup.db").replace(path)


def replace_log(path: Path) -> None:
    new = log_of(path).with_name("new")
    new.write_bytes(b"")
    new.replace(log_of(path))


def cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


INTERVAL = "lionpride.stores.sqlite.file_guard.INTERVAL"
STOPPED = "while it was open|is damaged"  # SQLite may be the first to notice that pages are gone

HARMS: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "removed with its log": remove_all,
    "renamed": lambda path: path.rename(path.with_name("old.db")),
    "replaced": replace,
    "truncated to nothing": lambda path: cut(path, 0.0),
    "truncated to half": lambda path: cut(path, 0.5),
    "its folder renamed": lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
    "its log removed": lambda path: log_of(path).unlink(),
    "its log replaced": lambda path: replace_log(path),
    "its log truncated": lambda path: cut(log_of(path), 0.0),
    "its log truncated to half": lambda path: cut(log_of(path), 0.5),
    "its index removed": lambda path: index_of(path).unlink(),
}
every_harm = pytest.mark.parametrize("harm", HARMS.values(), ids=list(HARMS))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a hundred events, none of them in the log, and a backup beside it."""
    path = tmp_path / "folder" / "run.db"
    path.parent.mkdir()

    async def fill() -> None:
        store = SqliteStore(path, QUEUE)
        await store.append([(Job(label="x" * 1000), 1.0) for _ in range(100)])
        await store.close()

    asyncio.run(fill())
    shutil.copy(path, path.with_name("backup.db"))
    return path


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    """A store, whose last commits are in the log; it may be closed with its file lost."""
    store = SqliteStore(path, QUEUE)
    try:
        await store.append([(Job(), 1.0), (Job(), 1.0)])
        yield store
    finally:
        await store.close()


async def refusal(deed: Callable[[], Any]) -> StoreError:
    """The error of a deed that is done again and again until it is refused."""
    for _ in count():
        try:
            await deed()
        except StoreError as error:
            return error
        await asyncio.sleep(0.01)
    raise AssertionError


@pytest.mark.promise("lost-file-stops-everything")
@every_harm
async def test_appends_are_refused(harm: Callable[[Path], object], path: Path) -> None:
    async with opened(path) as store:
        harm(path)
        error = await refusal(lambda: store.append([(Job(), 1.0)]))
        assert "run.db" in str(error)
        assert re.search(STOPPED, str(error))
        assert not error.retryable
        with pytest.raises(StoreError, match=STOPPED):
            await store.append([(Job(), 1.0) for _ in range(1000)])


QUESTIONS: dict[str, Callable[[SqliteStore, UUID], Any]] = {
    "counts": lambda store, uid: store.counts(),
    "list_records": lambda store, uid: store.list_records(),
    "get": lambda store, uid: store.get([uid]),
    "find": lambda store, uid: store.find(uid),
    "queues": lambda store, uid: store.queues(),
    "last_arrival": lambda store, uid: store.last_arrival(),
    "workers": lambda store, uid: store.workers(),
    "explain": lambda store, uid: store.explain(uid),
    "limit_usage": lambda store, uid: store.limit_usage(),
    "paused_until": lambda store, uid: store.paused_until(),
    "cancel": lambda store, uid: store.cancel([uid]),
    "retry": lambda store, uid: store.retry([uid]),
    "remove": lambda store, uid: store.remove([uid]),
    "claim": lambda store, uid: store.claim("w"),
    "reap": lambda store, uid: store.reap(),
    "prune": lambda store, uid: store.prune([EventStatus.COMPLETED]),
    "pause": lambda store, uid: store.pause(),
    "seen": lambda store, uid: store.inspector.version(),
    "sought": lambda store, uid: store.inspector.list_events(EventFilter()),
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
@pytest.mark.parametrize("harm", [HARMS["removed"], HARMS["replaced"]], ids=["removed", "replaced"])
async def test_questions_are_refused(
    harm: Callable[[Path], object], question: Callable[[SqliteStore, UUID], Any], path: Path
) -> None:
    async with opened(path) as store:
        (record,) = await store.list_records(limit=1)
        harm(path)
        await refusal(lambda: store.append([(Job(), 1.0)]))
        with pytest.raises(StoreError, match="while it was open"):
            await question(store, record.id)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
async def test_a_damaged_file_is_an_error_of_the_store(
    question: Callable[[SqliteStore, UUID], Any], path: Path
) -> None:
    async with opened(path) as store:
        (record,) = await store.list_records(limit=1)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    store = SqliteStore(path, QUEUE)
    with pytest.raises(StoreError, match="is damaged"):
        await question(store, record.id)
    await store.close()


async def test_a_file_that_is_put_back_is_used_again(path: Path) -> None:
    async with opened(path) as store:
        elsewhere = path.rename(path.with_name("elsewhere.db"))
        await refusal(lambda: store.append([(Job(), 1.0)]))
        elsewhere.rename(path)
        accepted = None
        while accepted is None:
            try:
                accepted = await store.append([(Job(label="again"), 1.0)])
            except StoreError:
                await asyncio.sleep(0.05)
    async with opened(path) as store:
        assert "again" in [
            record.payload["label"] for record in await store.list_records(limit=500)
        ]


async def test_a_store_that_is_opened_anew_takes_the_file_that_is_there(path: Path) -> None:
    async with opened(path) as store:
        remove_all(path)
        await refusal(store.counts)
    async with opened(path) as store:
        assert (await store.counts())[EventStatus.PENDING] == 2


# -- an executor -----------------------------------------------------------------------------------


class Task(Event):
    seconds: float = 0.0

    async def _invoke(self) -> None:
        await asyncio.sleep(self.seconds)


class Tasks(Processor):
    event_type = Task


class Desk(Executor):
    processor_type = Tasks


@pytest.mark.parametrize("harm", [HARMS["removed"], HARMS["replaced"]], ids=["removed", "replaced"])
@pytest.mark.parametrize("running", [0, 1, 2])  # of two slots
async def test_a_worker_stops_though_nothing_is_to_be_done(
    running: int, harm: Callable[[Path], object], path: Path
) -> None:
    async def work() -> None:
        two_slots = {"concurrency_limit": 2}
        async with Desk(two_slots, store=f"sqlite:///{path}", grace=0.1) as desk:
            await desk.result(await desk.append(Task()))
            for _ in range(running):
                await desk.append(Task(seconds=60.0))
            while len(desk.processing_events) < running:
                await asyncio.sleep(0.01)
            harm(path)
            await asyncio.Event().wait()

    with pytest.raises(StoreError, match="while it was open"):
        await work()


async def take(results: AsyncIterator[Any]) -> None:
    async for _ in results:
        pass


WAITS: dict[str, Callable[[Desk, Task], Any]] = {
    "result": lambda desk, task: desk.result(task),
    "as_completed": lambda desk, task: take(desk.as_completed([task])),
    "map": lambda desk, task: take(desk.map([Task()])),
    "stream": lambda desk, task: take(desk.stream(task)),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=list(WAITS))
async def test_a_caller_that_waits_is_told(wait: Callable[[Desk, Task], Any], path: Path) -> None:
    desk = Desk(store=f"sqlite:///{path}")
    task = await desk.append(Task())
    waiting = asyncio.create_task(wait(desk, task))
    await asyncio.sleep(0)
    path.unlink()
    with pytest.raises(StoreError, match="while it was open"):
        await waiting
    await desk.store.close()


# -- what is no harm -------------------------------------------------------------------------------

OTHER = """
import sys, apsw
path, deed = sys.argv[1:]
db = apsw.Connection(path)
db.set_busy_timeout(30_000)
{deed}
db.close()
"""

HARMLESS = {
    "reads": "list(db.execute('SELECT * FROM lionpride_event'))",
    "restarts the log": "db.execute('PRAGMA wal_checkpoint(RESTART)')",
    "empties the log": "db.execute('PRAGMA wal_checkpoint(TRUNCATE)')",
    "keeps the log short": (
        "db.execute('PRAGMA journal_size_limit = 0; PRAGMA wal_checkpoint(RESTART);"
        " CREATE TABLE IF NOT EXISTS mine (a); INSERT INTO mine VALUES (1)')"
    ),
    "packs the "
    "file": "db.execute('DELETE FROM lionpride_event WHERE number < 80'); db.execute('VACUUM')",
    "makes it smaller": (
        "db.execute('DELETE FROM lionpride_event WHERE number < 80'); db.execute('VACUUM');"
        " db.execute('PRAGMA wal_checkpoint(TRUNCATE)')"
    ),
    "copies it": (
        "copy = apsw.Connection(path + '-copy')\\n"
        "with copy.backup('main', db, 'main') as backup: backup.step()\\n"
        "copy.close()"
    ),
    "writes much": (
        "db.execute('CREATE TABLE IF NOT EXISTS mine (a)')\\n"
        "for _ in range(300): db.execute('INSERT INTO mine VALUES (zeroblob(20000))')"
    ),
}


@pytest.mark.parametrize("deed", HARMLESS.values(), ids=list(HARMLESS))
async def test_what_other_programs_may_do_is_no_harm(
    deed: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(INTERVAL, 0.0)
    async with opened(path) as store, opened(path) as beside:
        program = OTHER.replace("{deed}", deed.replace("\\n", "\n"))
        for number in range(3):
            other = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, str(path), deed
            )
            ended = asyncio.create_task(other.wait())
            while not ended.done():
                await store.append([(Job(label="x" * 5000), 1.0)])
                await beside.append([(Job(), 1.0)])
                await beside.counts()
                await beside.inspector.version()
            assert await ended == 0
            await store.append([(Job(label=f"{number}"), 1.0)])
        again = SqliteStore(path, QUEUE)
        await again.append([(Job(), 1.0)])
        await again.close()
        await store.append([(Job(), 1.0)])


async def test_a_long_run_gives_no_false_alarm(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(INTERVAL, 0.0)
    async with opened(path) as store:
        for _ in range(60):
            await store.append([(Job(label="x" * 2000), 1.0) for _ in range(100)])
            claims, _ = await store.claim("w", 100, start=True)
            for event, attempt in claims:
                store.complete_soon(event, attempt, "y" * 2000, 0.1)
            await store.settled()
