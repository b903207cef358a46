"""Names of events: whole ids, beginnings of ids, and what is neither."""

import asyncio

import pytest
from cli.sample_store import Deed, Deeds, fill

from lionpride.cli.store import event_ids as find
from lionpride.cli.store.event_ids import find_all, scan
from lionpride.cli.store.location import locate_store
from lionpride.cli.store.queues import StoreQueues
from lionpride.cli.usage import UsageError
from lionpride.errors import NotFoundError


@pytest.fixture
def look(kept):
    async def put():
        desk = Deeds(store=kept, queue="b")
        ids = ("aaaa0000", "aaaa1111", "bbbb0000")
        await desk.append_many(
            [Deed(id=f"{start}-0000-4000-8000-{i:012}") for i, start in enumerate(ids)]
        )
        await desk.store.close()

    fill(kept, "a")
    asyncio.run(put())

    def look(*names):
        async def work():
            async with StoreQueues(locate_store(kept)) as queues:
                return [str(record.id)[:8] for record in await find_all(queues, names)]

        return asyncio.run(work())

    return look


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["aaaa0000-0000-4000-8000-000000000000"], ["aaaa0000"]),
        (["AAAA0000000040008000000000000000"], ["aaaa0000"]),
        (["aaaa0"], ["aaaa0000"]),
        (["bbbb0000-0000-4"], ["bbbb0000"]),
        (["bbbb", "aaaa1", "bbbb0000", "bbbb"], ["bbbb0000", "aaaa1111"]),
    ],
)
def test_a_whole_id_or_enough_of_it(look, names, found):
    assert look(*names) == found


def test_too_little_of_an_id_names_what_begins_so(look):
    with pytest.raises(NotFoundError, match=r"aaaa: 2 events begin with it: aaaa0000.*, aaaa1111"):
        look("aaaa")


def test_what_is_not_there(look):
    with pytest.raises(NotFoundError, match="no event of this id"):
        look("aaaa0", "abcdef01")


@pytest.mark.parametrize("name", ["zzz", "", "-", "a" * 33, "line 3"])
def test_what_is_no_id(look, name):
    with pytest.raises(UsageError, match="is no id"):
        look(name)


def test_a_scan_meets_each_event_once(kept, monkeypatch):
    monkeypatch.setattr(find, "PAGE", 4)
    fill(kept, "a", "b")

    async def numbers():
        async with StoreQueues(locate_store(kept)) as queues:
            return [record.number async for record in scan(queues, "b")]

    assert asyncio.run(numbers()) == [7, 8, 9, 10, 11, 12]
