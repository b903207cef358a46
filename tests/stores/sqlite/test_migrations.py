"""The schema of a file from outside: it is looked at, and not touched."""

import pytest

from lionpride.errors import ConfigurationError, StoreError
from lionpride.stores.maintenance import Maintenance
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.sqlite.file import VERSION
from lionpride.stores.sqlite.migrations import schema_of, upgrade


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    schema = schema_of(tmp_path / "run.db")
    assert (schema.found, schema.newest, schema.is_current) == (0, VERSION, False)
    assert [version for version, _ in schema.scripts] == list(range(1, VERSION + 1))
    assert not list(tmp_path.iterdir())


def test_it_is_brought_up_to_date_once(tmp_path):
    path = tmp_path / "run.db"
    assert upgrade(path, synchronous="FULL", patience=1.0).found == 0
    assert upgrade(path, synchronous="FULL", patience=1.0).is_current
    assert schema_of(path) == schema_of(path)
    assert schema_of(path).scripts == ()


def test_what_cannot_be_a_store_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="is a directory"):
        schema_of(tmp_path)
    (tmp_path / "text").write_text("no database" * 20)
    with pytest.raises(StoreError, match="no SQLite database"):
        schema_of(tmp_path / "text")


async def test_a_store_that_is_open_can_be_asked(tmp_path):
    store = SqliteStore(tmp_path / "run.db")
    assert isinstance(store, Maintenance)
    assert (await store.schema()).found == 0
    await store.counts()
    assert (await store.schema()).is_current
    assert (await store.upgrade()).is_current
    await store.close()
