"""Who works on a queue, as every store says it."""

import os

from stores.asking import put
from stores.makers import Folder, Job, sqlite_in

from lionpride.model.registry import key_of
from lionpride.rules.state_machine import RELEASED


def ignore(event):
    """Nobody asks that anything be cancelled."""


async def test_every_store_has_a_roster_and_nobody_is_on_it_at_first(store):
    assert await store.workers() == []


async def test_a_worker_is_on_it_from_its_beginning_to_its_end(store, clock):
    store.register_worker("one", ignore)
    await store.reap()
    clock.advance(2)
    store.register_worker("other", ignore)
    await store.reap()
    first, second = await store.workers()
    assert (first.name, second.name) == ("one", "other")
    assert (first.queue, first.pid, first.alive, first.held) == (store.queue, os.getpid(), True, ())
    assert (first.since, second.since) == (1_000.0, 1_002.0)
    assert first.host
    store.unregister_worker("one")
    await store.reap()
    assert [each.name for each in await store.workers()] == ["other"]


async def test_it_says_what_a_worker_holds(store):
    store.register_worker("one", ignore)
    first, second, _ = await put(store, 1, 2, 3)
    claims, _ = await store.claim("one", 2)
    (worker,) = await store.workers()
    assert [(each.id, each.kind, each.attempt) for each in worker.held] == [
        (first.id, key_of(Job), 1),
        (second.id, key_of(Job), 1),
    ]
    assert [each.number for each in worker.held] == [1, 2]
    await store.settle([(*claim, RELEASED) for claim in claims])
    (worker,) = await store.workers()
    assert worker.held == ()


async def test_who_gives_no_sign_of_life_is_not_alive(clock, opened):
    folder = Folder()
    one, other = (sqlite_in(folder, clock, lease=10) for _ in range(2))
    opened += [one, other]
    one.register_worker("one", ignore)
    await one.reap()
    clock.advance(10)
    (worker,) = await other.workers()
    assert (worker.alive, worker.silent) == (True, 10)
    clock.advance(1)
    (worker,) = await other.workers()
    assert (worker.alive, worker.silent, worker.seen) == (False, 11, 1_000.0)
