"""Those who claim vacuum the hot tables, and not too often."""

import asyncio

import pytest
from stores.asking import claim, claim_one, put
from stores.homes import Home, aside
from stores.makers import QUEUE

from lionpride.stores.postgres import PostgresStore, vacuum
from lionpride.stores.postgres.vacuum import VacuumSchedule

LAST = "SELECT max(last_vacuum)::text FROM pg_stat_all_tables WHERE schemaname = $1"


async def test_after_many_claims_the_hot_tables_are_vacuumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vacuum, "MANY", 3)
    home, one = Home(), aside()
    ask = lambda: one.do(one.connection.fetchval(LAST, home.schema))  # noqa: E731
    before = ask()
    store = PostgresStore(home.url, QUEUE, schema=home.schema)
    try:
        await put(store, *map(float, range(6)))
        for _ in range(5):
            await claim_one(store)
    finally:
        await store.close()
    async with asyncio.timeout(10):
        while ask() == before:
            await asyncio.sleep(0.05)


def test_it_is_due_after_so_many_claims_and_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(vacuum, "monotonic", lambda: now)
    one = VacuumSchedule()
    assert not one.is_due(vacuum.MANY - 1)
    assert one.is_due(1)
    assert not one.is_due(vacuum.MANY), "it was done a moment ago"
    now += vacuum.REST
    assert one.is_due(0)


def test_of_many_workers_each_takes_its_share_of_the_claims(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vacuum, "monotonic", lambda: 100.0)
    for workers, claims in ((8, vacuum.MANY // 8), (1_000_000, vacuum.FEW)):
        one = VacuumSchedule()
        one.workers = workers
        assert not one.is_due(claims - 1)
        assert one.is_due(1)


async def test_a_sweep_tells_how_many_workers_there_are() -> None:
    home = Home()
    first, second = (PostgresStore(home.url, QUEUE, schema=home.schema) for _ in range(2))
    try:
        for store in (first, second):
            store.register_worker(f"worker {id(store)}", lambda _: None)
            await claim(store)  # which waits until it is on the list
        await first.reap()
        assert first._backend._vacuum.workers == 2
    finally:
        await first.close()
        await second.close()
