"""A claim in the transaction that takes events in: the first of what waits and of what is new."""

import asyncio
import random
from pathlib import Path

import pytest
from stores.makers import Clock, Job

from lionpride.model.execution import EventStatus
from lionpride.stores.contract import Store
from lionpride.stores.listeners import Signal
from lionpride.stores.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path, clock: Clock, opened: list[Store]) -> SqliteStore:
    store = SqliteStore(tmp_path / "run.db", clock=clock, synchronous="NORMAL")
    opened.append(store)
    return store


async def enter(store: SqliteStore, some: list[tuple[float, Job]]) -> None:
    await asyncio.gather(*(store.append_soon(job, priority) for priority, job in some))


@pytest.mark.parametrize("seed", range(30))
async def test_p1_the_first_of_what_waits_and_of_what_is_new(store: SqliteStore, seed: int) -> None:
    chance = random.Random(seed)
    waiting: list[tuple[float, int, Job]] = []
    arrival = 0
    for _ in range(8):
        some = [(float(chance.randrange(5)), Job()) for _ in range(chance.randrange(12))]
        entering = asyncio.ensure_future(enter(store, some))
        await asyncio.sleep(0)
        n = chance.randrange(1, 12)
        claims, wait = await store.claim("w", n, start=chance.random() < 0.5)
        await entering
        for priority, job in some:
            arrival += 1
            waiting.append((priority, arrival, job))
        waiting.sort(key=lambda one: one[:2])
        first, waiting = waiting[:n], waiting[n:]
        assert [(event, attempt) for event, attempt in claims] == [(job, 1) for *_, job in first]
        assert wait == (0.0 if waiting else None)
        counts = await store.counts()
        assert counts[EventStatus.PENDING] == len(waiting)
        assert [each.number for each in await store.list_records(EventStatus.PENDING)] == sorted(
            number for _, number, _ in waiting
        )


@pytest.mark.parametrize("seed", range(20))
async def test_f4_several_claims_of_one_transaction_take_different_events(
    store: SqliteStore, seed: int
) -> None:
    chance = random.Random(seed)
    some = [(float(chance.randrange(5)), Job()) for _ in range(9)]
    entering = asyncio.ensure_future(enter(store, some))
    await asyncio.sleep(0)
    asked = [store.claim(f"w{n}", chance.randrange(1, 6), start=n != 1) for n in range(3)]
    claims = [one for taken, _ in await asyncio.gather(*asked) for one in taken]
    await entering
    in_order = [job for _, _, job in sorted((p, at, j) for at, (p, j) in enumerate(some))]
    assert claims == [(job, 1) for job in in_order[: len(claims)]]
    assert (await store.counts())[EventStatus.PROCESSING] == len(claims)


async def test_what_is_known_leaves_the_others_of_its_transaction_alone(
    store: SqliteStore,
) -> None:
    known = Job()
    await enter(store, [(1.0, known)])
    again = Job(id=known.id)
    jobs = [Job(), Job()]
    asked = [store.append_soon(job, 0.0) for job in (jobs[0], again, jobs[1])]
    claims, _ = await store.claim("w", 5)
    assert [event for event, _ in claims] == [*jobs, known]
    assert [
        type(each).__name__ for each in await asyncio.gather(*asked, return_exceptions=True)
    ] == [
        "NoneType",
        "ExistsError",
        "NoneType",
    ]


async def test_a_bell_rings_in_time_for_a_claim_in_the_same_commit(store: SqliteStore) -> None:
    await store.counts()
    asked: list[asyncio.Task[object]] = []
    store.subscribe(
        Signal.READY, lambda: asked.append(asyncio.create_task(store.claim("w", 5))), once=True
    )
    jobs = [Job(), Job()]
    await enter(store, [(2.0, jobs[0]), (1.0, jobs[1])])
    # Both are on record now, and nothing has been awaited since but their append.
    counts = await store.counts()
    assert (counts[EventStatus.PENDING], counts[EventStatus.PROCESSING]) == (0, 2)
    assert [await each for each in asked] == [([(jobs[1], 1), (jobs[0], 1)], None)]
