"""What STORE may be, and the queues that are in it."""

import asyncio

import pytest
from cli.sample_store import fill

from lionpride.cli.grammar import finish
from lionpride.cli.store.location import locate_store
from lionpride.cli.store.queues import StoreQueues, told_counts
from lionpride.cli.usage import UsageError
from lionpride.core import EventStatus


async def open_queues(path, only=None):
    async with StoreQueues(locate_store(str(path)), only) as queues:
        page = [
            one for name in queues.names for one in await queues.of(name).list_records(limit=100)
        ]
        return queues.names, sorted(record.number for record in page)[:7], {r.queue for r in page}


def test_all_queues_of_a_store_are_opened_or_one(tmp_path):
    fill(tmp_path / "run.db", "b", "a")
    assert asyncio.run(open_queues(tmp_path / "run.db")) == (
        ["b", "a"],
        [1, 2, 3, 4, 5, 6, 7],
        {"a", "b"},
    )
    assert asyncio.run(open_queues(tmp_path / "run.db", "b"))[1:] == ([1, 2, 3, 4, 5, 6], {"b"})
    with pytest.raises(UsageError, match=r"--queue c: .*run\.db has b, a"):
        asyncio.run(open_queues(tmp_path / "run.db", "c"))


def test_looking_makes_no_queue(tmp_path):
    fill(tmp_path / "run.db", "a")
    with pytest.raises(UsageError):
        asyncio.run(open_queues(tmp_path / "run.db", "c"))
    assert asyncio.run(open_queues(tmp_path / "run.db"))[0] == ["a"]


def test_counts_in_words():
    assert told_counts({EventStatus.PENDING: 0, EventStatus.FAILED: 1200}) == "1,200 failed"


def test_an_interruption_is_a_status(capsys):
    async def interrupted():
        raise KeyboardInterrupt

    assert finish(interrupted)() == 130
    assert capsys.readouterr().err == "lionpride: interrupted\n"
