"""Who waits for a transaction of its own gets it, though others never have nothing to ask for."""

import asyncio
from pathlib import Path

import pytest
from stores.makers import Clock, Job

from lionpride.model.execution import EventStatus
from lionpride.stores.contract import Store
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.sqlite.large_appends import LargeAppends


@pytest.fixture
def store(tmp_path: Path, clock: Clock, opened: list[Store]) -> SqliteStore:
    store = SqliteStore(tmp_path / "run.db", clock=clock, synchronous="NORMAL")
    opened.append(store)
    return store


def many(n: int) -> list[tuple[Job, float]]:
    return [(Job(), 1.0) for _ in range(n)]


async def test_a_large_append_among_others_that_never_rest(store: SqliteStore) -> None:
    ended = asyncio.Event()

    async def go_on() -> None:
        while not ended.is_set():
            await store.append_soon(Job(), 1.0)

    others = [asyncio.create_task(go_on()) for _ in range(3)]
    await store.append_soon(Job(), 1.0)
    await store.append(many(1_200))
    ended.set()
    await asyncio.gather(*others)
    assert (await store.counts())[EventStatus.PENDING] > 1_200


async def test_shared_transactions_go_first_in_proportion_to_its_size() -> None:
    queue = LargeAppends()
    turn = queue.join(300)
    assert [queue.call(True) for _ in range(4)] == [False, False, False, True]
    assert turn.done()
    turn = queue.join(100_000)
    assert queue.call(False), "nobody else asks for anything"
    assert turn.done()
    assert not queue.call(False), "nobody waits"


async def test_who_is_cancelled_holds_up_nobody(store: SqliteStore) -> None:
    sizes = (600, 700, 800)
    tasks = [asyncio.ensure_future(store.append(many(n))) for n in sizes]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(tasks[0], tasks[2])
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert (await store.counts())[EventStatus.PENDING] == 1_400


@pytest.mark.parametrize("turns", range(12))
async def test_one_that_is_cancelled_as_its_turn_comes(store: SqliteStore, turns: int) -> None:
    tasks = [asyncio.ensure_future(store.append(many(600)))]
    for _ in range(turns):
        await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.wait(tasks)
    await store.append_soon(Job(), 1.0)
    assert (await store.counts())[EventStatus.PENDING] in (1, 601)
