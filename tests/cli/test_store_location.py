"""What STORE may be: the path of a file, or a URL."""

import sqlite3
from pathlib import Path

import pytest

from lionpride.cli.store.location import locate_store
from lionpride.cli.usage import UsageError


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("run.db", "run.db"),
        ("/data/a b%20?#.db", "/data/a b%20?#.db"),
        ("sqlite:///run.db", "run.db"),
        ("sqlite:////data/run.db", "/data/run.db"),
        ("sqlite:///a%20b.db?lease=5", "a b.db"),
    ],
)
def test_a_path_and_a_url_name_a_file(text, path):
    place = locate_store(text)
    assert place.path == Path(path)
    assert place.name == text
    assert place.open("q").path == Path(path).absolute()  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["", "sqlite:", "sqlite://run.db", "mysql://x", "sqlite:///"])
def test_anything_else_is_refused(text):
    with pytest.raises(UsageError, match=r"write the path of a file"):
        locate_store(text)


def test_options_behind_a_plain_path_are_refused_and_not_taken_for_its_name():
    with pytest.raises(UsageError, match=r"options need the URL: 'sqlite:///r2\.db\?retain=7d'"):
        locate_store("r2.db?retain=7d")


async def test_what_is_not_there_is_not_made(tmp_path):
    path = tmp_path / "run.db"
    with pytest.raises(UsageError, match="no such file"):
        await locate_store(str(path)).check_made()
    path.touch()
    with pytest.raises(UsageError, match="is empty"):
        await locate_store(str(path)).check_made()
    assert path.read_bytes() == b""


async def test_a_file_with_other_tables_alone_is_no_store(tmp_path):
    path = tmp_path / "app.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"no tables for them.*lionpride migrate"):
        await locate_store(str(path)).check_made()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:secret@host:5432/db?schema=a", "postgresql://me@host:5432/db?schema=a"),
        ("postgresql://me:p@ss@host/db", "postgresql://me@host/db"),
        ("postgresql:///db?user=me&password=secret&a=b", "postgresql:///db?user=me&password=…&a=b"),
    ],
)
def test_a_database_has_no_path_and_its_password_is_not_shown(url, name):
    place = locate_store(url)
    assert (place.path, place.url, place.name) == (None, url, name)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+asyncpg://me@host/db",
        "postgresql+psycopg2://me@host/db",
        "POSTGRESQL://me@host/db",
        "Postgresql://me@host/db",
        "  postgresql://me@host/db\n",
    ],
)
def test_other_spellings_of_a_url_are_understood(text):
    assert locate_store(text).url == "postgresql://me@host/db"


def test_a_file_may_be_named_as_sqlalchemy_does():
    assert locate_store("sqlite+aiosqlite:///run.db").path == Path("run.db")
