"""`lionpride migrate`: tables are made or brought up to date, or it is said what is to be done."""

import asyncio
import re
import sqlite3
from pathlib import Path

import asyncpg
import pytest
from cli.texts import plain
from kept import over_kept, url_of

from lionpride.cli.place import place_of
from lionpride.stores.sqlite.file import VERSION

OLD = Path(__file__).parents[1] / "stores" / "sqlite" / "schema1.sql"


@pytest.fixture
def old(place):
    """A file of the first schema."""
    make_old(place.path / "old.db")
    return place


def make_old(path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(OLD.read_text(encoding="utf-8"))
    connection.close()


def tables(path):
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    pragmas = ("user_version", "application_id", "journal_mode")
    marks = [connection.execute(f"PRAGMA {name}").fetchone() for name in pragmas]
    connection.close()
    return sorted(found), marks


@over_kept
def test_what_is_not_there_is_made(place):
    done = place.run("migrate", place.kept, "--check")
    assert (done.returncode, done.stderr) == (1, "")
    assert "has no tables yet" in done.stdout
    assert place.run("counts", place.kept).returncode == 2, "it was not made"
    done = place.run("migrate", place.kept)
    assert done.returncode == 0
    made = re.fullmatch(r"(.*): created, with schema (\d+)\n", done.stdout)
    assert made[1] == place_of(place.kept).name
    for options in ((), ("--check",)):
        done = place.run("migrate", place.kept, *options)
        assert done.returncode == 0
        assert done.stdout == f"{made[1]}: up to date, with schema {made[2]}\n"
    assert place.store("counts", place.kept, "--json") == []


@over_kept
def test_it_prints_what_would_be_run_and_runs_none_of_it(place):
    done = place.run("migrate", place.kept, "--sql")
    assert (done.returncode, done.stderr) == (0, "")
    assert "CREATE TABLE" in done.stdout
    assert place.run("migrate", place.kept, "--check").returncode == 1


async def test_what_it_prints_for_a_server_makes_the_tables(place):
    url = url_of("postgres", place.path)
    printed = await asyncio.to_thread(place.run, "migrate", url, "--sql")
    connection = await asyncpg.connect(url.partition("?lionpride")[0].partition("&lionpride")[0])
    await connection.execute(printed.stdout)
    await connection.close()
    checked = await asyncio.to_thread(place.run, "migrate", url, "--check")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_what_is_old_is_brought_up_to_date(old, snapshot):
    done = old.run("migrate", "old.db", "--check")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"lionpride migrate upgrades it to schema {VERSION}" in done.stdout
    assert plain(done.stdout, version=VERSION) == snapshot
    done = old.run("migrate", "old.db")
    assert done.returncode == 0
    assert plain(done.stdout, version=VERSION) == snapshot
    assert old.run("migrate", "old.db", "--check").returncode == 0


@pytest.mark.parametrize("name", ["new.db", "old.db"])
def test_the_statements_that_it_prints_do_what_it_does(old, name):
    printed = old.run("migrate", name, "--sql")
    assert (printed.returncode, printed.stderr) == (0, "")
    if name == "old.db":
        make_old(old.path / "by_hand.db")
    by_hand = sqlite3.connect(old.path / "by_hand.db")
    by_hand.executescript(printed.stdout)
    by_hand.close()
    assert old.run("migrate", name).returncode == 0
    assert tables(old.path / "by_hand.db") == tables(old.path / name)
    assert old.run("migrate", name, "--sql").stdout.startswith("-- ")


def test_what_is_not_ours_is_left_alone(place, snapshot):
    (place.path / "run.db").write_text("something else, longer than a header of SQLite" * 3)
    done = place.run("migrate", "run.db")
    assert done.returncode == 1
    assert plain(done.stderr, folder=place.path) == snapshot
    assert place.run("migrate", "run.db", "--check", "--sql").returncode == 2
