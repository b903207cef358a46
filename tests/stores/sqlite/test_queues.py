"""Queues that share a file: whatever is done in one, the other stays as it was."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from stores.asking import ENDINGS, claim, claim_one, end, pages, picture, put, settle
from stores.makers import Clock, Job

from lionpride.core import EventStatus
from lionpride.rules.state_machine import after_denial
from lionpride.stores.contract import Store
from lionpride.stores.sqlite import SqliteStore

S = EventStatus

SOON, LONG = 2.0, 1e6
"""Seconds: within any lease, and after it; then anything is due."""


@pytest.fixture
def red_and_blue(
    tmp_path: Path, clock: Clock, opened: list[Store]
) -> tuple[SqliteStore, SqliteStore]:
    """Two queues of a file."""
    stores = [
        SqliteStore(tmp_path / "run.db", name, clock=clock, retain=retain, synchronous="NORMAL")
        for name, retain in (("red", 1), ("blue", None))
    ]
    opened += stores
    return stores[0], stores[1]


async def fill(store: SqliteStore) -> None:
    """An event in each status, one that is due later, and one whose lease will lapse."""
    for status in ENDINGS:
        await put(store, 0.0)
        await end(store, status)
    await put(store, 0.0, 0.0, -5.0)
    await claim_one(store, start=True)
    assert await settle(store, await claim_one(store), after_denial(0, 60.0))


async def append(store: SqliteStore) -> None:
    await put(store, -9.0, 0.0)
    await store.append([(Job(), 1.0) for _ in range(600)])


async def claim_all(store: SqliteStore) -> None:
    await claim(store, 100)
    await claim(store, 100, denied=True, skip=[1], until=10**6)
    assert not await pages(store, S.PENDING)


async def reap(store: SqliteStore) -> None:
    await store.reap()


async def retain(store: SqliteStore) -> None:
    await claim(store)
    await store.settled()
    counts = await store.counts()
    assert sum(counts[status] for status in ENDINGS) == 1


async def prune(store: SqliteStore) -> None:
    assert len(await store.prune(list(S))) == 5


async def cancel(store: SqliteStore) -> None:
    await store.cancel([each.id for each in await pages(store)])


async def requeue(store: SqliteStore) -> None:
    for status in (S.FAILED, S.CANCELLED, S.ABORTED):
        await store.retry([each.id for each in await pages(store, status)])


async def remove(store: SqliteStore) -> None:
    await store.remove([each.id for each in await pages(store) if each.status is not S.PROCESSING])


async def restore(store: SqliteStore) -> None:
    records = await pages(store, S.COMPLETED)
    await store.remove([each.id for each in records])
    await store.import_records(records)


async def come_and_go(store: SqliteStore) -> None:
    store.register_worker("red worker", lambda event: None)
    store.unregister_worker("red worker")
    await store.settled()
    await store.close()


DEEDS = (
    append,
    claim_all,
    reap,
    retain,
    prune,
    cancel,
    requeue,
    remove,
    restore,
    come_and_go,
)


@pytest.mark.parametrize("later", [SOON, LONG], ids=["soon", "after the leases"])
@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
async def test_what_is_done_in_one_queue_changes_nothing_in_another(
    deed: Callable[[SqliteStore], Awaitable[Any]],
    later: float,
    red_and_blue: tuple[SqliteStore, SqliteStore],
    clock: Clock,
) -> None:
    red, blue = red_and_blue
    for store in red_and_blue:
        await fill(store)
    clock.advance(later)
    before = await picture(blue)
    await deed(red)
    assert await picture(blue) == before
    if later == LONG:
        assert await blue.reap() == 1, "its own lease has lapsed, and is its own to take back"
        assert len(await claim(blue, 100)) == 3


async def test_nobody_waits_for_what_is_due_in_another_queue(
    red_and_blue: tuple[SqliteStore, SqliteStore], clock: Clock
) -> None:
    red, blue = red_and_blue
    await fill(red)
    assert await blue.claim("worker") == ([], None)
    clock.advance(LONG)
    assert await blue.claim("worker") == ([], None)
