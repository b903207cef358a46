"""What a power cut leaves: of each file what the disk was made to write, or any part beyond."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import apsw
import pytest
from stores.makers import QUEUE, Job

from lionpride.core import EventStatus
from lionpride.rules.state_machine import Completion
from lionpride.stores.sqlite import SqliteStore


class Disk(apsw.VFS):
    """Notes each file as it was when the disk was last made to write it: the rest may be lost."""

    def __init__(self, safe: Path) -> None:
        super().__init__("cut", "unix", makedefault=True)
        self.safe = safe

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:
        return File(self.safe, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        (self.safe / Path(filename).name).unlink(missing_ok=True)


class File(apsw.VFSFile):
    def __init__(self, safe: Path, name: Any, flags: Any) -> None:
        super().__init__("unix", name, flags)
        path = name if isinstance(name, str | None) else name.filename()
        self._path = Path(path or "nameless")
        self._safe = safe

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        shutil.copy(self._path, self._safe / self._path.name)


@pytest.fixture
def safe(tmp_path: Path) -> Iterator[Path]:
    """The folder as a power cut leaves it, if that takes all that it may take."""
    folder = tmp_path / "safe"
    folder.mkdir()
    disk = Disk(folder)
    yield folder
    disk.unregister()


@asynccontextmanager
async def opened(folder: Path, synchronous: str = "FULL") -> AsyncIterator[SqliteStore]:
    store = SqliteStore(folder / "run.db", QUEUE, synchronous=synchronous)
    try:
        yield store
    finally:
        await store.close()


async def work(store: SqliteStore) -> None:
    """Append, claim and complete: two events, one of them to its end."""
    await store.append([(Job(label="one"), 1.0), (Job(label="two"), 2.0)])
    ((event, attempt),), _ = await store.claim("w")
    store.start(event)
    await store.settle([(event, attempt, Completion("done", 0.1))])


async def left(folder: Path) -> dict[str, int]:
    """What is in a folder's file when it is opened again."""
    async with opened(folder) as store:
        connection = apsw.Connection(str(folder / "run.db"))
        assert connection.pragma("integrity_check") == "ok"
        connection.close()
        return {status.value: n for status, n in (await store.counts()).items() if n}


@pytest.mark.promise("power-cut-at-full")
async def test_full_keeps_all_that_was_acknowledged(safe: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.append([(Job(label="one"), 1.0), (Job(label="two"), 2.0)])
        shutil.copytree(safe, tmp_path / "appended")
        ((event, attempt),), _ = await store.claim("w")
        shutil.copytree(safe, tmp_path / "claimed")
        store.start(event)
        await store.settle([(event, attempt, Completion("done", 0.1))])
        shutil.copytree(safe, tmp_path / "settled")
    assert await left(tmp_path / "appended") == {"pending": 2}
    assert await left(tmp_path / "claimed") == {"pending": 1, "processing": 1}
    assert await left(tmp_path / "settled") == {"pending": 1, "completed": 1}


@pytest.mark.promise("power-cut-at-normal")
async def test_normal_loses_what_came_after_the_last_checkpoint(safe: Path, tmp_path: Path) -> None:
    async with opened(tmp_path, "NORMAL") as store:
        await store.append([(Job(), 1.0)])
        store._backend.file._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        await work(store)
        shutil.copytree(safe, tmp_path / "cut")
    assert await left(tmp_path / "cut") == {"pending": 1}
    assert await left(tmp_path) == {"pending": 2, "completed": 1}, "a process that is killed"


@pytest.mark.promise("power-cut-at-normal")
@pytest.mark.parametrize("seed", range(20))
async def test_what_is_lost_is_the_newest_and_never_half_of_a_batch(
    seed: int, tmp_path: Path
) -> None:
    cut, rng = tmp_path / "cut", Random(seed)
    cut.mkdir()
    async with opened(tmp_path, "NORMAL") as store:
        for number in range(10):
            await store.append([(Job(label=f"{number}"), 0.0) for _ in range(3)])
        for name in ("run.db", "run.db-wal"):
            shutil.copy(tmp_path / name, cut / name)
    with (cut / "run.db-wal").open("r+b") as log:
        log.truncate(rng.randrange(log.seek(0, 2)))
    async with opened(cut) as store:
        labels = [each.payload["label"] for each in await store.list_records(limit=100)]
        assert (await store.counts())[EventStatus.PENDING] == len(labels)
    whole = [f"{number}" for number in range(10) for _ in range(3)]
    assert labels == whole[: len(labels)]
    assert len(labels) % 3 == 0
