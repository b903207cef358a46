"""I/O errors in COMMIT: the outcome is unknown until the file is recovered."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from stores.makers import Job

from lionpride.errors import StoreError
from lionpride.stores.sqlite import SqliteStore


class Disk(apsw.VFS):
    """Fails to sync a log, once it is told to."""

    def __init__(self) -> None:
        self.fails = False
        super().__init__("failing", base="unix", makedefault=True)

    def xOpen(self, name: Any, flags: Any) -> apsw.VFSFile:
        return File(self, name, flags)


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: Any) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk

    def xSync(self, flags: int) -> None:
        if self._disk.fails:
            raise apsw.IOError("the disk is gone")
        super().xSync(flags)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.unregister()


@pytest.mark.parametrize("size", [1, 2, 1000])
async def test_the_error_says_that_the_outcome_is_unknown(
    size: int, tmp_path: Path, disk: Disk
) -> None:
    path, crashed = tmp_path / "run.db", tmp_path / "crashed"
    crashed.mkdir()
    store = SqliteStore(path)
    await store.append([(Job(), 1.0)])
    jobs = [Job() for _ in range(size)]
    disk.fails = True
    names = rf"append {jobs[0].id}.* again with exist_ok=True"
    with pytest.raises(StoreError, match=rf"unknown whether this step was written.*{names}"):
        await store.append([(job, 1.0) for job in jobs])
    disk.fails = False
    for name in ("run.db", "run.db-wal"):
        shutil.copy(tmp_path / name, crashed)  # what a restart finds
    await store.append([(job, 1.0) for job in jobs], exist_ok=True)
    assert sum((await store.counts()).values()) == 1 + size
    await store.close()
    other = SqliteStore(crashed / "run.db")
    await other.append([(job, 1.0) for job in jobs], exist_ok=True)
    assert sum((await other.counts()).values()) == 1 + size
    await other.close()


async def test_claims_and_settlements_say_so_as_well(tmp_path: Path, disk: Disk) -> None:
    store = SqliteStore(tmp_path / "run.db")
    await store.append([(Job(), 1.0)])
    disk.fails = True
    with pytest.raises(StoreError) as error:
        await store.claim("w")
    disk.fails = False
    assert re.search("unknown whether .* look at the events, and try again", str(error.value))
    ((_, attempt),), _ = await store.claim("w")
    assert attempt == 1
    await store.close()
