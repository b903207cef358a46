"""What stores over a database do alike: in pieces, and for what this process knows."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from stores.asking import claim, claim_one, finish_expired, put
from stores.makers import STORES, Clock, Job

from lionpride.errors import StoreError, ValidationError
from lionpride.model.execution import EventStatus
from lionpride.rules.state_machine import Completion
from lionpride.stores.contract import Store, has_live_workers
from lionpride.stores.inspector import EventFilter
from lionpride.stores.listeners import Signal
from lionpride.stores.sql.operations import EXPIRE
from lionpride.stores.sql.requests import CHUNK, ignore_error, map_in_pieces
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.terms import Terms

S = EventStatus
MORE = CHUNK + 7


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest, clock: Clock, opened: list[Store]) -> Callable[[], Store]:
    """Makes one more empty store over a database."""

    def make() -> Store:
        store = STORES[request.param](clock)
        opened.append(store)
        return store

    return make


async def test_more_than_a_piece_is_read_in_order_and_pruned(store: Store) -> None:
    jobs = await put(store, *map(float, range(MORE)))
    claims = await claim(store, MORE, start=True)
    assert [record.number for record in await store.list_records(limit=MORE)] == sorted(
        job.execution.arrival or 0 for job in jobs
    )
    assert len(await store.list_records(limit=CHUNK)) == CHUNK
    await store.settle([(*one, Completion(None, 0.1)) for one in claims])
    assert len(await store.prune({S.COMPLETED}, limit=CHUNK + 1)) == CHUNK + 1
    assert len(await store.prune({S.COMPLETED})) == MORE - CHUNK - 1
    assert await store.list_records(limit=MORE) == []


async def test_more_than_a_piece_expires_and_each_is_told_of_once(
    store: Store, clock: Clock
) -> None:
    told: list[Any] = []
    all_told = asyncio.Event()

    def tell(event: Any, _: Any) -> None:
        told.append(event)
        if len(told) >= len(jobs):
            all_told.set()

    store.subscribe(Signal.EXPIRED, tell)
    jobs = [Job() for _ in range(EXPIRE + 7)]
    await store.append([(job, 1.0) for job in jobs], terms=Terms(expires=clock() + 5))
    clock.advance(6.0)
    await finish_expired(store)
    await asyncio.wait_for(all_told.wait(), 30.0)
    await finish_expired(store)
    assert sorted(map(id, told)) == sorted(map(id, jobs))
    assert {job.status for job in jobs} == {S.CANCELLED}


class Keyed(Job):
    """Its label is its key."""

    @property
    def key(self) -> str:
        return self.label


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
async def test_a_key_that_cannot_be_kept_is_refused_before_anything_changes(
    store: Store, text: str
) -> None:
    with pytest.raises(ValidationError, match=r"Keyed\.key must"):
        await store.append([(Keyed(label=text), 1.0)])
    bad = Keyed(label=text)
    with pytest.raises(ValidationError, match=r"Keyed\.key must"):
        await store.append([(Job(), 1.0), (bad, 1.0), (Keyed(label="a"), 1.0)])
    assert await store.list_records() == []
    assert bad.execution.arrival is None
    fine = Job(label=text)  # what is no column is kept, whatever it is
    await store.append([(fine, 1.0)])
    (record,) = await store.list_records()
    assert record.payload["label"] == text
    for name in ("kind", "key"):
        other = replace(record, id=uuid4(), **{name: text})
        with pytest.raises(ValidationError, match=f"{name} of the record of {other.id} must"):
            await store.import_records([other])
    assert (await store.counts())[S.PENDING] == 1


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
async def test_a_queue_s_name_can_be_kept_and_what_cannot_be_is_nowhere_found(
    make: Callable[[], Any], text: str, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match="queue must"):
        SqliteStore(tmp_path / "run.db", text)
    store = make()
    await put(store, 1.0)
    assert await store.inspector.count_events(EventFilter(text=text)) == 0
    assert await store.inspector.count_events(EventFilter(kind=text)) == 0


async def test_who_was_discharged_is_asked_nothing_more(store: Store) -> None:
    asked: list[Any] = []
    await put(store, 1.0)
    event, _ = await claim_one(store, start=True)
    store.register_worker("worker", asked.append)
    await store.cancel([event])
    assert asked == [event]
    store.unregister_worker("worker")
    store.unregister_worker("worker")
    await store.cancel([event])
    assert asked == [event]
    assert not await has_live_workers(store)


async def test_what_is_made_of_many_lets_others_have_their_turn() -> None:
    turns: list[int] = []
    loop = asyncio.get_running_loop()
    loop.call_soon(turns.append, 1)
    assert await map_in_pieces(range(CHUNK), str) == [str(n) for n in range(CHUNK)]
    assert turns == [], "a piece is made at once"
    made = await map_in_pieces(range(2 * CHUNK + 1), lambda n: (n, len(turns)))
    assert [n for n, _ in made] == list(range(2 * CHUNK + 1))
    assert made[0][1] == 0
    assert made[-1][1] == 1


async def test_a_failure_that_nobody_waits_for_is_no_unheard_one() -> None:
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[None] = loop.create_future()
    failed.set_exception(StoreError("the disk is full"))
    ignore_error(failed)
    cancelled: asyncio.Future[None] = loop.create_future()
    cancelled.cancel()
    ignore_error(cancelled)
