"""Who may read a file: a new one and what stands beside it, and one that was there."""

import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest
from stores.makers import Job

from lionpride.stores.open import open_store
from lionpride.stores.sqlite import SqliteStore


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


async def modes(store: Any) -> dict[str, int]:
    """The modes of a file and of those beside it, while it is open."""
    await store.append([(Job(), 1.0)])
    await store.claim("worker")
    try:
        return {each.name: S_IMODE(each.stat().st_mode) for each in store.path.parent.iterdir()}
    finally:
        await store.close()


async def test_a_new_file_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    found = await modes(SqliteStore(tmp_path / "run.db", "jobs"))
    assert found.keys() == {"run.db", "run.db-wal", "run.db-shm", "run.db-turn"}
    assert set(found.values()) == {0o600}


async def test_a_group_may_share_it(tmp_path: Path, umask: int) -> None:
    url = f"sqlite:///{tmp_path}/run.db?mode=0660"
    found = await modes(open_store(url, queue="jobs", name="n"))
    assert set(found.values()) == {0o660}


async def test_a_file_that_exists_keeps_its_mode(tmp_path: Path, umask: int) -> None:
    await modes(SqliteStore(tmp_path / "run.db", "jobs"))
    (tmp_path / "run.db").chmod(0o644)
    (tmp_path / "run.db-turn").unlink()
    found = await modes(SqliteStore(tmp_path / "run.db", "jobs"))
    assert set(found.values()) == {0o644}


async def test_a_file_that_migrate_makes(tmp_path: Path, umask: int) -> None:
    await SqliteStore(tmp_path / "run.db").upgrade()
    assert S_IMODE((tmp_path / "run.db").stat().st_mode) == 0o600
