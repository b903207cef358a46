"""Every store is asked the same questions: where an event stands, and who is at work."""

from collections.abc import Mapping
from math import inf
from uuid import uuid4

import pytest
from stores.asking import bring, claim, put, settle
from stores.makers import Clock, Job

from lionpride.core import RateLimited
from lionpride.model.execution import EventStatus
from lionpride.rules.explain import explain
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.queue_position import About, QueueWorker, Standing
from lionpride.rules.state_machine import Ending, after_denial, after_error
from lionpride.stores.contract import Store, has_live_workers
from lionpride.stores.terms import Terms

S = EventStatus


class Call(Job):
    tokens: float = 1
    tenant: str | None = None

    @property
    def costs(self) -> Mapping[str, float]:
        return {"tokens": self.tokens}

    @property
    def key(self) -> str | None:
        return self.tenant


async def standing(store: Store, job: Job, limits: Limits | None = None) -> Standing:
    found = await store.explain(job.id, limits)
    assert found is not None
    assert (found.id, found.queue) == (job.id, store.queue)
    assert found.kind.endswith(type(job).__name__)
    return found


async def test_an_id_that_is_not_here_stands_nowhere(store: Store) -> None:
    assert await store.explain(uuid4()) is None


@pytest.mark.parametrize("status", EventStatus)
async def test_the_status_is_the_stores(store: Store, status: EventStatus) -> None:
    job = await bring(store, status)
    assert (await standing(store, job)).status is status


async def test_how_many_are_before_it_by_priority_and_arrival(store: Store) -> None:
    jobs = await put(store, 2.0, 1.0, 2.0, 3.0)
    assert [(await standing(store, job)).ahead for job in jobs] == [1, 0, 2, 3]
    ((first, _),) = await claim(store)
    assert first is jobs[1]
    assert [(await standing(store, job)).ahead for job in jobs] == [0, 0, 1, 2]


async def test_what_is_not_due_is_before_nobody(store: Store, clock: Clock) -> None:
    later, job = Job(), Job()
    await store.append([(later, 1.0)], terms=Terms(due=clock.now + 5))
    await store.append([(job, 2.0)])
    found = await standing(store, later)
    assert (found.due, found.ahead, found.now) == (clock.now + 5, 0, clock.now)
    assert (await standing(store, job)).ahead == 0
    clock.advance(6)
    assert (await standing(store, job)).ahead == 1
    assert (await standing(store, later)).ahead == 0


async def test_its_counters_and_what_it_waits_out(store: Store, clock: Clock) -> None:
    (job,) = await put(store, 1.0)
    (one,) = await claim(store)
    await settle(store, one, after_denial(0, 2.0))
    found = await standing(store, job)
    assert (found.denials, found.attempt, found.due) == (1, 1, clock.now + 2)
    clock.advance(2)
    (one,) = await claim(store, start=True)
    failed = Ending(S.PENDING, error=ValueError("no"), duration=0.5, delay=4.0, tries=1)
    await settle(store, one, failed)
    found = await standing(store, job)
    assert (found.tries, found.attempt, found.due) == (1, 2, clock.now + 4)


async def test_a_queue_that_is_paused_says_until_when(store: Store, clock: Clock) -> None:
    first, second = await put(store, 1.0, 2.0)
    assert (await standing(store, second)).paused is None
    (one,) = await claim(store, start=True)
    await settle(
        store, one, after_error(first, RateLimited("slow down", retry_after=7), None, False)
    )
    assert (await standing(store, second)).paused == clock.now + 7
    clock.advance(7)
    now_paused = (await standing(store, second)).paused
    assert now_paused is None or now_paused <= clock.now


async def test_a_service_that_refuses_one_event_pauses_no_other(store: Store, clock: Clock) -> None:
    first, second = await put(store, 1.0, 2.0)
    (one,) = await claim(store, start=True)
    refused = RateLimited("slow down", retry_after=7, pause=False)
    await settle(store, one, after_error(first, refused, None, False))
    assert (await standing(store, first)).due == clock.now + 7
    assert (await standing(store, second)).paused is None
    ((event, _),) = await claim(store)
    assert event.id == second.id


async def test_what_it_needs_of_limits_and_when_there_is_room(store: Store, clock: Clock) -> None:
    limits = Limits([Limit("tokens", 5, per=10)])
    await store.append([(Call(tokens=4), 1.0)])
    await store.claim("worker", 9, limits=limits, start=True)
    clock.advance(3)
    waits = Call(tokens=2)
    await store.append([(waits, 1.0)])
    (room,) = (await standing(store, waits, limits)).rooms
    assert (room.limit, room.key, room.amount, room.per) == ("tokens", None, 5, 10)
    assert (room.cost, room.used, room.at) == (2, 4, pytest.approx(clock.now + 7))


async def test_the_first_event_before_it_and_what_that_needs_of_limits(
    store: Store, clock: Clock
) -> None:
    limits = Limits([Limit("tokens", 5, per=10)])
    await store.append([(Call(tokens=4), 1.0)])
    await store.claim("worker", 9, limits=limits, start=True)
    large, others = Call(tokens=3), [Call(tokens=1) for _ in range(39)]
    await store.append([(others[0], 2.0), (large, 1.0), *((each, 2.0) for each in others[1:])])
    later = Call(tokens=1)
    await store.append([(later, 0.0)], terms=Terms(due=clock.now + 5))
    assert (await standing(store, large, limits)).first is None
    found = await standing(store, others[-1], limits)
    assert found.first is not None
    assert (found.ahead, found.first.id, found.first.kind) == (39, large.id, found.kind)
    (room,) = found.first.rooms
    assert (room.limit, room.cost, room.used) == ("tokens", 3, 4)
    assert room.at == pytest.approx(clock.now + 10)
    held = [each for each in explain(found).holds if each.kind == "behind"]
    assert [each.text.partition(":")[0] for each in held] == [
        "the first of the 39 before it waits for limit tokens"
    ]
    clock.advance(6)
    found = await standing(store, others[-1], limits)
    assert found.first is not None
    assert (found.ahead, found.first.id) == (40, later.id)
    assert (await standing(store, others[-1])).ahead == 40  # no worker, so no limits


async def test_what_is_taken_of_limits(store: Store, clock: Clock) -> None:
    per_key = Limit("hosts", 2, per_key=True)
    limits = Limits([Limit("tokens", 5, per=10), Limit("at once", 3), per_key])
    assert [room.used for room in await store.limit_usage(limits)] == [0, 0]
    await store.append([(Call(tokens=4), 1.0)])
    await store.claim("worker", 9, limits=limits, start=True)
    tokens, at_once = await store.limit_usage(limits)
    assert (tokens.limit, tokens.amount, tokens.per, tokens.used) == ("tokens", 5, 10, 4)
    assert (at_once.limit, at_once.used) == ("at once", 1)
    clock.advance(11)
    assert [room.used for room in await store.limit_usage(limits)] == [0, 1]
    about = About(
        3, limits=tuple((e.name, e.amount, e.per, e.per_key, e.pool) for e in limits.values())
    )
    store.register_worker("worker", lambda event: None, lambda: about)
    await put(store, 1.0)
    assert [(room.limit, room.used) for room in await store.limit_usage()] == [
        ("tokens", 0),
        ("at once", 1),
    ]
    store.unregister_worker("worker")


async def test_what_runs_at_once_for_a_key(store: Store) -> None:
    limits = Limits([Limit("tokens", 2, per_key=True)])
    await store.append([(Call(tokens=2, tenant="a"), 1.0)])
    await store.claim("worker", 9, limits=limits, start=True)
    same, other = Call(tenant="a"), Call(tenant="b")
    await store.append([(same, 1.0), (other, 1.0)])
    (room,) = (await standing(store, same, limits)).rooms
    assert (room.key, room.used, room.at) == ("a", 2, inf)
    (room,) = (await standing(store, other, limits)).rooms
    assert (room.key, room.used) == ("b", 0)
    assert room.at < inf


async def test_a_worker_is_known_from_its_beginning_to_its_end(store: Store) -> None:
    (job,) = await put(store, 1.0)
    assert (await standing(store, job)).workers == ()
    about = About(3, 0, False, 5, 2.0, (("tokens", 5, 10.0, False, "tokens"),))
    store.register_worker("worker", lambda event: None, lambda: about)
    await put(store, 1.0)
    assert (await standing(store, job)).workers == (QueueWorker("worker", True, 0, about),)
    paused = about._replace(paused=True)
    store.register_worker("worker", lambda event: None, lambda: paused)
    await put(store, 1.0)
    (worker,) = (await standing(store, job)).workers
    assert worker.about == paused
    assert [each.about for each in await store.workers()] == [paused]
    store.unregister_worker("worker")
    assert [each for each in (await standing(store, job)).workers if each.is_live] == []


async def test_a_worker_may_say_nothing_of_itself(store: Store) -> None:
    store.register_worker("worker", lambda event: None)
    (job,) = await put(store, 1.0)
    assert (await standing(store, job)).workers == (QueueWorker("worker", True, 0, None),)
    store.unregister_worker("worker")


async def test_a_worker_of_this_process_is_told_of_as_it_is_now(store: Store) -> None:
    (job,) = await put(store, 1)
    says = [About(3)]
    store.register_worker("one", lambda event: None, lambda: says[0])
    for about in (About(3), About(3, paused=True), About(7), About(7, stopped=True)):
        says[0] = about  # it is not enlisted again
        assert (await standing(store, job)).workers == (QueueWorker("one", True, 0, about),)
        assert [(each.name, each.alive, each.about) for each in await store.workers()] == [
            ("one", True, about)
        ]
        assert await has_live_workers(store)
    store.unregister_worker("one")
    assert (await standing(store, job)).workers == ()
    assert await store.workers() == []


async def test_the_limits_of_a_worker_of_this_process_are_those_of_now(store: Store) -> None:
    amount = [5.0]

    def about() -> About:
        return About(3, limits=(("tokens", amount[0], None, False, "tokens"),))

    store.register_worker("one", lambda event: None, about)
    for amount[0] in (5.0, 9.0):
        assert [(room.limit, room.amount) for room in await store.limit_usage()] == [
            ("tokens", amount[0])
        ]
    store.unregister_worker("one")
    assert await store.limit_usage() == []
