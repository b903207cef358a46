"""`scope="fleet"`: capacity and concurrency that all workers on a queue share."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kept import url_of
from stores.asking import put
from stores.homes import Home
from stores.makers import QUEUE, Clock, postgres_in

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.errors import ValidationError
from lionpride.rules.explain import Hold, Why
from lionpride.rules.limits.fleet import fleet_limits
from lionpride.rules.limits.limit_set import Limits
from lionpride.stores.postgres import PostgresStore


class Errand(Event):
    label: str = ""

    async def _invoke(self) -> int:
        Errand.running += 1  # type: ignore[attr-defined]
        Errand.most = max(Errand.most, Errand.running)  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        Errand.running -= 1  # type: ignore[attr-defined]
        return Errand.running  # type: ignore[attr-defined]


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


class Long(Event):
    begun: ClassVar[asyncio.Event]
    over: ClassVar[asyncio.Event]

    async def _invoke(self) -> None:
        Long.begun.set()
        await Long.over.wait()


class LongRunner(Processor):
    event_type = Long


class Longs(Executor):
    processor_type = LongRunner


def urls(kind: str, folder: Path) -> str | None:
    return None if kind == "memory" else url_of(kind, folder)


def holds_of(why: Why, limit: str) -> Hold:
    """The one hold by a limit, which is this one."""
    (hold,) = [each for each in why.holds if each.kind == "limit"]
    assert hold.text.startswith(f"{limit} of all workers together has 1 of 1")
    return hold


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"concurrency_limit": 1}, "concurrency_limit"),
        ({"queue_capacity": 1, "capacity_refresh_time": 3600.0}, "queue_capacity"),
    ],
    ids=["concurrency", "capacity"],
)
async def test_why_names_what_holds_an_event_and_when_there_is_room(
    tmp_path: Path, kind: str, config: dict[str, Any], limit: str
) -> None:
    Long.begun, Long.over = asyncio.Event(), asyncio.Event()
    url = urls(kind, tmp_path)
    desk = Longs({**config, "scope": "fleet"}, store=url, queue=QUEUE)
    others = []
    if url is not None:  # another worker, one that is not started, one that knows of no limit
        others = [Longs({**config, "scope": "fleet"}, store=url, queue=QUEUE) for _ in range(2)]
        others.append(Longs(store=url, queue=QUEUE))
    try:
        _, waits = await desk.append_many([Long(), Long()], [1.0, 2.0])
        async with desk:
            await Long.begun.wait()
            for each in others[:1]:
                await each.start()
            for asked in (desk, *others):
                why = await asked.why(waits.id)
                hold = holds_of(why, limit)
                if limit == "queue_capacity":
                    assert hold.until is not None
                    assert 3500.0 < hold.until - why.now <= 3602.0
                    assert "in 60 min taken" in hold.text
                    assert why.expected == hold.until
                else:
                    assert hold.until is None
                    assert "available when a running event finishes" in hold.text
                    assert why.expected is None
            Long.over.set()
    finally:
        for each in (desk, *others):
            await each.store.close()


async def test_why_of_a_config_says_so_before_anybody_works(tmp_path: Path) -> None:
    config = {"queue_capacity": 1, "capacity_refresh_time": 60.0, "scope": "fleet"}
    desk = Longs(config, store=urls("sqlite", tmp_path))
    try:
        why = await desk.why(await desk.append(Long()))
        assert [hold.kind for hold in why.holds] == ["no worker"]
    finally:
        await desk.store.close()
