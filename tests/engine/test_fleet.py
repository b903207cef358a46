"""`scope="fleet"`: capacity and concurrency that all workers on a queue share."""

import asyncio

import pytest
from stores.asking import put
from stores.homes import Home
from stores.makers import QUEUE, Clock, postgres_in

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.errors import ValidationError
from lionpride.rules.fleet import fleet_limits
from lionpride.rules.metering import Limits
from lionpride.stores.postgres import PostgresStore


class Errand(Event):
    label: str = ""

    async def _invoke(self) -> int:
        Errand.running += 1
        Errand.most = max(Errand.most, Errand.running)
        await asyncio.sleep(0)
        Errand.running -= 1
        return Errand.running


Errand.running = Errand.most = 0  # type: ignore[attr-defined]


class Runner(Processor):
    event_type = Errand


class Desk(Executor):
    processor_type = Runner


async def test_two_workers_keep_one_limit_of_what_runs_and_all_is_done() -> None:
    home = Home()
    config = {"concurrency_limit": 2, "queue_capacity": 1_000, "scope": "fleet"}
    desks = [
        Desk(config, store=PostgresStore(home.url, QUEUE, schema=home.schema)) for _ in range(2)
    ]
    Errand.most = 0  # type: ignore[attr-defined]
    await desks[0].append_many([Errand() for _ in range(30)])
    try:
        async with desks[0], desks[1]:
            await desks[0].join()
            counts = await desks[1].store.counts()
    finally:
        for desk in desks:
            await desk.store.close()
    assert counts[EventStatus.COMPLETED] == 30
    assert 1 <= Errand.most <= 2  # type: ignore[attr-defined]


async def test_in_memory_it_holds_as_the_worker_s_own_does() -> None:
    desk = Desk({"concurrency_limit": 1, "scope": "fleet"})
    Errand.most = 0  # type: ignore[attr-defined]
    await desk.append_many([Errand() for _ in range(5)])
    async with desk:
        await desk.join()
    assert len(desk.completed_events) == 5
    assert Errand.most == 1  # type: ignore[attr-defined]


def test_a_scope_that_there_is_not_is_named() -> None:
    with pytest.raises(ValidationError, match="galaxy"):
        Runner(scope="galaxy")


async def test_the_starts_of_all_together_fit_the_window_and_use_it() -> None:
    home, clock = Home(), Clock()
    one, other = (postgres_in(home, clock) for _ in range(2))
    try:
        await put(one, *[1.0] * 20)
        starts = []
        for _ in range(3):
            for store, n in ((one, 3), (other, 9)):
                limits = Limits(fleet_limits(QUEUE, 5, 1.0, 100))
                claims, _ = await store.claim("worker", n, limits=limits, start=True)
                starts.append(len(claims))
            clock.advance(1.0)
        assert starts == [3, 2, 3, 2, 3, 2]
    finally:
        await one.close()
        await other.close()
