"""A file of an older schema version is upgraded when it is opened; its events are kept."""

from pathlib import Path
from typing import Any

import apsw
import pytest
from stores.sqlite.newer import SCRIPT, VERSION, be_newer

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.errors import StoreError
from lionpride.stores.sqlite import SqliteStore, file


class Deed(Event):
    fails: bool = False

    async def _invoke(self) -> dict[str, Any]:
        if self.fails:
            raise ValueError("it fails")
        return {"bytes": b"\x00"}


class Deeds(Processor):
    event_type = Deed


class DeedExecutor(Executor):
    processor_type = Deeds


def schema_of(path: Path) -> tuple[int, list[str]]:
    """Return the version of a file, and the columns of its events."""
    connection = apsw.Connection(str(path))
    try:
        version = connection.execute("SELECT max(number) FROM lionpride_version").get
        return version, [row[1] for row in connection.execute("PRAGMA table_info(lionpride_event)")]
    finally:
        connection.close()


async def make(path: Path) -> None:
    """Make a file with a completed, a failed, a claimed and two pending events."""
    executor = DeedExecutor(store=SqliteStore(path))
    for fails in (False, True):
        await executor.append(Deed(fails=fails))
        await executor.forward()
    await executor.append(Deed(), unique="only")
    await executor.append(Deed())
    await executor.append(Deed())
    await executor.store.claim("worker", 1)
    await executor.store.close()


async def test_an_upgrade_keeps_all_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.db"
    await make(path)
    version, columns = schema_of(path)
    assert (version, "more" in columns) == (file.VERSION, False)
    be_newer(monkeypatch)
    executor = DeedExecutor(store=SqliteStore(path))
    store = executor.store
    try:
        counts = await store.counts()
        assert {status.value: n for status, n in counts.items() if n} == {
            "pending": 2,
            "processing": 1,
            "completed": 1,
            "failed": 1,
        }
        (done,) = await store.list_records(EventStatus.COMPLETED)
        assert await executor.result(done.id) == {"bytes": b"\x00"}
        await executor.retry_failed()
        await executor.forward()
        counts = await store.counts()
        assert (counts[EventStatus.COMPLETED], counts[EventStatus.FAILED]) == (3, 1)
    finally:
        await store.close()
    version, columns = schema_of(path)
    assert (version, "more" in columns) == (VERSION, True)


async def test_an_upgrade_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.db"
    await make(path)
    before = schema_of(path)
    with monkeypatch.context() as patch:
        be_newer(patch, f"{SCRIPT}; SELECT * FROM nowhere;")
        store = SqliteStore(path)
        with pytest.raises(StoreError, match="no such table: nowhere"):
            await store.counts()
        await store.close()
    assert schema_of(path) == before
    store = SqliteStore(path)
    assert (await store.counts())[EventStatus.PENDING] == 2
    await store.close()
