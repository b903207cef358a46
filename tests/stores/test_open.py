"""A store from what a user gives."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from stores.makers import Clock, Job

from lionpride.core import EventStatus
from lionpride.errors import ConfigurationError
from lionpride.rules.state_machine import Completion
from lionpride.stores.memory import MemoryStore
from lionpride.stores.open import open_store
from lionpride.stores.postgres import PostgresStore
from lionpride.stores.sqlite import SqliteStore


@pytest.mark.parametrize("given", [None, "memory://"])
def test_nothing_is_memory(given: str | None) -> None:
    store = open_store(given, queue="q", name="n")
    assert (store.queue, store.states.name) == ("q", "n")


def test_a_store_is_taken_as_it_is() -> None:
    store = MemoryStore()
    assert open_store(store, queue="q", name="n") is store


@pytest.mark.parametrize("url", ["mysql:///run.db", "redis://host/0", "nonsense"])
def test_what_there_is_no_store_for_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigurationError, match=url):
        open_store(url, queue="q", name="n")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///run.db", Path.cwd() / "run.db"),
        ("sqlite:///a/run.db", Path.cwd() / "a" / "run.db"),
        ("sqlite:////abs/run.db", Path("/abs/run.db")),
        ("sqlite:///what%3F.db", Path.cwd() / "what?.db"),
    ],
)
def test_a_url_names_a_file(url: str, path: Path) -> None:
    store: Any = open_store(url, queue="q", name="n")
    assert isinstance(store, SqliteStore)
    assert (store.path, store.queue, store.states.name) == (path, "q", "n")


@pytest.mark.parametrize(
    "url", ["sqlite:run.db", "sqlite://run.db", "sqlite:///", "sqlite:///run.db#part"]
)
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write .sqlite:///run\.db"):
        open_store(url, queue="q", name="n")


@pytest.mark.parametrize(
    ("option", "name", "value"),
    [
        ("synchronous=NORMAL", "synchronous", "NORMAL"),
        ("synchronous=full", "synchronous", "FULL"),
        ("mode=0660", "mode", 0o660),
        ("mode=600", "mode", 0o600),
        ("lease=2.5", "lease", 2.5),
        ("patience=0", "patience", 0.0),
        ("retain=10000", "retain", 10_000),
        ("retain=0", "retain", 0),
        ("retain=7d", "retain", timedelta(days=7)),
        ("retain=12h", "retain", timedelta(hours=12)),
        ("retain=30m", "retain", timedelta(minutes=30)),
    ],
)
def test_an_option_of_a_url_is_passed_to_the_store(
    option: str, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def note(store: SqliteStore, path: str, queue: str, **options: Any) -> None:
        given.update(options)

    monkeypatch.setattr(SqliteStore, "__init__", note)
    open_store(f"sqlite:///run.db?patience=3&{option}", queue="q", name="n")
    assert given[name] == value


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("retian=5", "'retian' is no option; there are synchronous, mode, lease, patience, retain"),
        ("synchronous=OFF", "synchronous='OFF': give FULL or NORMAL"),
        ("mode=rw", "mode='rw': give the permissions of a new file as chmod takes them"),
        ("mode=0888", "mode='0888': give"),
        ("mode=0400", "mode=0o400: give permissions that let the owner read and write"),
        ("lease=0", "lease='0': give a number of seconds above 0"),
        ("lease=nan", "lease='nan': give a number"),
        ("lease=", "lease='': give a number"),
        ("patience=-1", "patience='-1': give a number of seconds, 0 or more"),
        ("patience=inf", "patience='inf': give a number"),
        ("retain=", "retain='': give a number of finished events to keep, as 10000, or a time"),
        ("retain=-1", "retain='-1': give a number"),
        (
            "retain=7w",
            "retain='7w': give a number of finished events to keep, as 10000, or a time, as",
        ),
        ("retain=1.5h", "retain='1.5h': give a number"),
        ("retain=99999999999d", "retain='99999999999d': give a number"),
    ],
)
def test_an_option_that_makes_no_sense_is_named_with_its_remedy(option: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        open_store(f"sqlite:///run.db?{option}", queue="q", name="n")


@pytest.mark.parametrize(("option", "left"), [("retain=2", [4, 5]), ("retain=30m", [5])])
async def test_what_is_not_retained_goes(option: str, left: list[int], tmp_path: Path) -> None:
    store: Any = open_store(f"sqlite:///{tmp_path}/run.db?{option}", queue="q", name="n")
    store._backend.lease_time = clock = Clock()
    try:
        await store.append([(Job(), 0.0) for _ in range(5)])
        for number in range(1, 6):
            ((event, _),), _ = await store.claim("w")
            assert event.execution.arrival == number
            store.start(event)
            await store.settle([(event, 1, Completion(None, 0.1))])
            clock.advance(1000.0)
        await store.claim("w")
        records = await store.list_records(EventStatus.COMPLETED)
        assert [each.number for each in records] == left
    finally:
        await store.close()


def test_a_url_of_a_database_opens_a_store_with_its_options_and_passes_on_the_rest() -> None:
    url = (
        "postgresql://me:secret@host:99/db?sslmode=require&lionpride_schema=other&lionpride_poll=3"
    )
    store = open_store(url, queue="q", name="n")
    assert isinstance(store, PostgresStore)
    assert (store.queue, store.names.schema) == ("q", "other")
    assert store.place == "postgresql://me@host:99/db?sslmode=require"


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("lionpride_schem=a", "schem"),
        ("lionpride_schema=a-b", "schema"),
        ("lionpride_prefix=0", "prefix"),
        ("lionpride_connections=0", "connections"),
        ("lionpride_connections=many", "connections"),
        ("lionpride_listen=perhaps", "listen"),
        ("lionpride_poll=0", "poll"),
        ("lionpride_lease=-1", "lease"),
    ],
)
def test_an_option_of_a_database_that_makes_no_sense_is_named(option: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        open_store(f"postgresql://host/db?{option}", queue="q", name="n")


def test_an_option_of_a_database_needs_no_prefix() -> None:
    url = "postgresql://host/db?retain=7d&lionpride_lease=3&application_name=a"
    store: Any = open_store(url, queue="q", name="n")
    assert store._retain == timedelta(days=7)
    assert store.place == "postgresql://host/db?application_name=a"


@pytest.mark.parametrize(
    "url", ["sqlite:///:memory:", "sqlite://:memory:", "sqlite:///file::memory:"]
)
def test_a_sqlite_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="leave `store` out"):
        open_store(url, queue="q", name="n")
