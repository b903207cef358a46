"""`lionpride migrate`: tables are made or brought up to date, or it is said what is to be done."""

import asyncio
import re
import sqlite3

import asyncpg
import pytest
from cli.texts import plain
from kept import over_kept, url_of
from stores.sqlite.newer import be_newer

from lionpride.cli import main
from lionpride.cli.store.location import locate_store
from lionpride.stores.sqlite.file import VERSION


def tables(path):
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    versions = connection.execute("SELECT number FROM lionpride_version").fetchall()
    mode = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    return sorted(found), versions, mode


@over_kept
def test_what_is_not_there_is_made(place):
    done = place.run("migrate", place.kept, "--check")
    assert (done.returncode, done.stderr) == (1, "")
    assert "has no tables yet" in done.stdout
    assert place.run("counts", place.kept).returncode == 2, "it was not made"
    done = place.run("migrate", place.kept)
    assert done.returncode == 0
    made = re.fullmatch(r"(.*): created, with schema (\d+)\n", done.stdout)
    assert made[1] == locate_store(place.kept).name
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


@pytest.fixture
def migrate(place, monkeypatch, capsys):
    """Run the command in this process; returns its exit status and its output."""

    def run(*options):
        monkeypatch.chdir(place.path)
        status = main(["migrate", *options])
        return status, capsys.readouterr().out

    return run


def test_an_older_file_is_upgraded(migrate, monkeypatch, snapshot):
    assert migrate("old.db")[0] == 0
    be_newer(monkeypatch)
    status, said = migrate("old.db", "--check")
    assert status == 1
    assert plain(said, version=VERSION + 1) == snapshot
    status, said = migrate("old.db")
    assert status == 0
    assert plain(said, version=VERSION + 1) == snapshot
    assert migrate("old.db", "--check")[0] == 0


@pytest.mark.parametrize("name", ["new.db", "old.db"])
def test_the_printed_statements_do_what_the_command_does(place, migrate, monkeypatch, name):
    if name == "old.db":
        for each in (name, "by_hand.db"):
            migrate(each)
    be_newer(monkeypatch)
    status, printed = migrate(name, "--sql")
    assert status == 0
    by_hand = sqlite3.connect(place.path / "by_hand.db")
    by_hand.executescript(printed)
    by_hand.close()
    assert migrate(name)[0] == 0
    assert tables(place.path / "by_hand.db") == tables(place.path / name)
    assert migrate(name, "--sql")[1].startswith("-- ")


def test_what_is_not_ours_is_left_alone(place, snapshot):
    (place.path / "run.db").write_text("something else, longer than a header of SQLite" * 3)
    done = place.run("migrate", "run.db")
    assert done.returncode == 1
    assert plain(done.stderr, folder=place.path) == snapshot
    assert place.run("migrate", "run.db", "--check", "--sql").returncode == 2
