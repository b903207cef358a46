"""What STORE may be, and the queues that are in it."""

import asyncio
from pathlib import Path

import pytest
from cli.shelves import fill

from lionpride.cli.durable import Shelf, finish, place_of, told_counts
from lionpride.cli.usage import UsageError
from lionpride.core import EventStatus


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
    place = place_of(text)
    assert place.path == Path(path)
    assert place.name == text
    assert place.open("q").path == Path(path).absolute()


@pytest.mark.parametrize("text", ["", "sqlite:", "sqlite://run.db", "postgresql://x", "sqlite:///"])
def test_anything_else_is_refused(text):
    with pytest.raises(UsageError, match=r"write the path of a file"):
        place_of(text)


def test_what_is_not_there_is_not_made(tmp_path):
    path = tmp_path / "run.db"
    with pytest.raises(UsageError, match="no such file"):
        place_of(str(path)).check_exists()
    path.touch()
    with pytest.raises(UsageError, match="is empty"):
        place_of(str(path)).check_exists()
    assert path.read_bytes() == b""


async def open_shelf(path, only=None):
    async with Shelf(place_of(str(path)), only) as shelf:
        page = await shelf.page(None, 0, 7)
        return shelf.queues, [record.number for record in page], {r.queue for r in page}


def test_a_shelf_has_all_queues_or_one(tmp_path):
    fill(tmp_path / "run.db", "b", "a")
    assert asyncio.run(open_shelf(tmp_path / "run.db")) == (
        ["b", "a"],
        [1, 2, 3, 4, 5, 6, 7],
        {"a", "b"},
    )
    assert asyncio.run(open_shelf(tmp_path / "run.db", "b"))[1:] == ([1, 2, 3, 4, 5, 6], {"b"})
    with pytest.raises(UsageError, match=r"--queue c: .*run\.db has b, a"):
        asyncio.run(open_shelf(tmp_path / "run.db", "c"))


def test_looking_makes_no_queue(tmp_path):
    fill(tmp_path / "run.db", "a")
    with pytest.raises(UsageError):
        asyncio.run(open_shelf(tmp_path / "run.db", "c"))
    assert asyncio.run(open_shelf(tmp_path / "run.db"))[0] == ["a"]


def test_counts_in_words():
    assert told_counts({EventStatus.PENDING: 0, EventStatus.FAILED: 1200}) == "1,200 failed"


def test_an_interruption_is_a_status(capsys):
    async def interrupted():
        raise KeyboardInterrupt

    assert finish(interrupted()) == 130
    assert capsys.readouterr().err == "lionpride: interrupted\n"
