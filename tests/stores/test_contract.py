"""Every store is asked the same questions: taking in, listing, and restoring.

The letters are the invariants of the store contract: S one status, A append, F fencing, P order,
D durability, C what is held. Claims and settlements are asked in the files beside this one.
"""

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from stores.asking import (
    bring,
    check_counts,
    claim,
    claim_one,
    end,
    listed,
    pages,
    picture,
    put,
    record,
    settle,
)
from stores.makers import Job

from lionpride.errors import ExistsError, NotFoundError, QueueFullError
from lionpride.model.execution import EventStatus
from lionpride.rules.state_machine import (
    RELEASED,
    Completion,
    after_denial,
)
from lionpride.stores.contract import Store, has_live_workers
from lionpride.stores.listeners import Signal

S = EventStatus
Make = Callable[[], Store]


# -- append ----------------------------------------------------------------------------------------


async def test_append_answers_the_events_and_they_are_pending(store: Store) -> None:
    jobs = [Job(label="a"), Job(label="b")]
    held = await store.append([(jobs[0], 2.0), (jobs[1], 1.0)])
    assert [id(each) for each in held] == [id(each) for each in jobs]
    assert await listed(store) == {jobs[0].id: S.PENDING, jobs[1].id: S.PENDING}
    await check_counts(store)


async def test_append_of_nothing_is_nothing(store: Store) -> None:
    assert await store.append([]) == []
    assert await pages(store) == []


async def test_p2_arrival_is_the_order_of_the_batches_and_within_each(store: Store) -> None:
    assert await store.last_arrival() == 0
    jobs = [*await put(store, 3.0, 1.0, 2.0), *await put(store, 0.0)]
    numbers = [(await record(store, job)).number for job in jobs]
    assert numbers == sorted(set(numbers))
    assert await store.last_arrival() == numbers[-1]


@pytest.mark.promise("append-is-atomic")
@pytest.mark.parametrize("status", EventStatus)
@pytest.mark.parametrize("started", [False, True])
async def test_a1_a_known_id_is_refused_in_every_status(
    store: Store, status: EventStatus, started: bool
) -> None:
    known = await bring(store, status, started=started)
    before = await picture(store)
    with pytest.raises(ExistsError):
        await store.append([(known, 1.0)])
    assert await picture(store) == before


async def test_a1_another_object_of_a_known_id_is_known(store: Store) -> None:
    (job,) = await put(store, 1.0)
    with pytest.raises(ExistsError):
        await store.append([(copy.copy(job), 1.0)])
    assert await listed(store) == {job.id: S.PENDING}


@pytest.mark.promise("append-is-atomic")
async def test_a1_a_batch_with_a_known_id_leaves_no_orphan(store: Store) -> None:
    (known,) = await put(store, 1.0)
    before = await picture(store)
    fresh = [Job(), Job()]
    with pytest.raises(ExistsError):
        await store.append([(fresh[0], 1.0), (known, 1.0), (fresh[1], 1.0)])
    assert await picture(store) == before
    assert await store.append([(each, 1.0) for each in fresh]) == fresh, "they are free"


async def test_a1_a_batch_with_an_id_twice_leaves_no_orphan(store: Store) -> None:
    job = Job()
    with pytest.raises(ExistsError):
        await store.append([(job, 1.0), (Job(), 1.0), (job, 1.0)])
    assert await pages(store) == []


@pytest.mark.parametrize("status", EventStatus)
async def test_a1_exist_ok_leaves_a_known_id_as_it_stands(
    store: Store, status: EventStatus
) -> None:
    known = await bring(store, status)
    before = await record(store, known)
    fresh = Job()
    held = await store.append([(copy.copy(known), 9.0), (fresh, 1.0)], exist_ok=True)
    assert held[0] is known, "the one that was there"
    assert held[1] is fresh
    assert await record(store, known) == before
    assert (await record(store, fresh)).status is S.PENDING


async def test_a1_exist_ok_takes_an_id_that_is_given_twice_once_as_first_given(
    store: Store,
) -> None:
    job = Job()
    held = await store.append([(job, 1.0), (copy.copy(job), 5.0)], exist_ok=True)
    assert held[0] is job
    assert held[1] is job
    (only,) = await pages(store)
    assert only.priority == 1.0


async def test_a1_an_event_that_another_store_holds_is_not_answered_as_accepted(
    make: Make,
) -> None:
    one, other = make(), make()
    (job,) = await put(one, 1.0)
    with pytest.raises(ExistsError):
        await other.append([(job, 1.0)])
    assert await pages(other) == []
    assert await listed(one) == {job.id: S.PENDING}


async def test_append_fills_the_room_and_not_more(store: Store) -> None:
    await put(store, 1.0)
    before = await picture(store)
    batch = [(Job(), 1.0), (Job(), 1.0)]
    with pytest.raises(QueueFullError):
        await store.append(batch, room=2)
    assert await picture(store) == before, "A1: all of it, or nothing"
    await store.append(batch, room=3)
    assert (await store.counts())[S.PENDING] == 3


async def test_ended_events_take_no_room(store: Store) -> None:
    await bring(store, S.COMPLETED)
    await bring(store, S.PROCESSING)
    await store.append([(Job(), 1.0)], room=1)
    assert (await store.counts())[S.PENDING] == 1


async def test_a_known_id_needs_no_room(store: Store) -> None:
    (known,) = await put(store, 1.0)
    (held,) = await store.append([(known, 1.0)], room=1, exist_ok=True)
    assert held is known


async def test_nothing_new_needs_no_room_in_a_queue_that_is_too_full(store: Store) -> None:
    jobs = await put(store, 1.0, 1.0, 1.0)
    assert await store.append([(jobs[0], 1.0)], room=1, exist_ok=True) == [jobs[0]]
    assert await store.append([], room=1) == []


async def test_f1_an_event_may_come_back_after_its_removal_as_the_last(store: Store) -> None:
    job, other = await put(store, 1.0, 1.0)
    (taken, attempt) = await claim_one(store)
    await settle(store, (taken, attempt), RELEASED)
    await store.remove([job])
    await store.append([(job, 1.0)])
    claims = await claim(store, 2)
    assert [event.id for event, _ in claims] == [other.id, job.id]
    assert claims[1][1] > attempt


# -- asking ----------------------------------------------------------------------------------------


async def test_a_record_says_what_the_event_is(store: Store) -> None:
    (job,) = await put(store, 2.5)
    found = await record(store, job)
    assert (found.id, found.queue, found.status) == (job.id, store.queue, S.PENDING)
    assert (found.priority, found.due, found.attempt) == (2.5, None, 0)
    assert (found.tries, found.denials, found.interruptions) == (0, 0, 0)
    assert found.kind == Job.class_name(full=True)
    assert json.loads(json.dumps(found.payload)) == found.payload, "it is plain JSON"
    back = found.event()
    assert type(back) is Job
    assert back == job
    assert back.label == job.label


async def test_get_answers_in_order_and_none_for_what_is_not_here(store: Store) -> None:
    first, second = await put(store, 1.0, 2.0)
    found = await store.get([second.id, uuid4(), first.id])
    assert [each and each.id for each in found] == [second.id, None, first.id]
    assert await store.get([]) == []


async def test_s1_pages_follow_arrival_and_no_event_is_on_two(store: Store) -> None:
    jobs = await put(store, 5.0, 4.0, 3.0, 2.0, 1.0)
    assert [each.id for each in await pages(store, limit=2)] == [job.id for job in jobs]
    first = await store.list_records(limit=2)
    assert [each.id for each in first] == [jobs[0].id, jobs[1].id]
    await store.remove([jobs[0]])  # what has been read may go meanwhile
    rest = await store.list_records(after=first[-1].number, limit=10)
    assert [each.id for each in rest] == [job.id for job in jobs[2:]]
    assert await store.list_records(after=rest[-1].number) == []
    assert await store.list_records(limit=0) == []


async def test_s2_counts_equal_listings_with_an_event_in_every_status(store: Store) -> None:
    assert await store.counts() == dict.fromkeys(EventStatus, 0)
    for status in EventStatus:
        await bring(store, status)
        await check_counts(store)
    await bring(store, S.PROCESSING, started=False)
    await check_counts(store)
    counts = await store.counts()
    assert counts == {each: 2 if each is S.PROCESSING else 1 for each in EventStatus}


@pytest.mark.promise("notebook-status-queries")
async def test_s1_the_event_its_progression_and_its_record_agree(store: Store) -> None:
    for status in EventStatus:
        job = await bring(store, status)
        assert job.status is status
        assert (await record(store, job)).status is status
        holds = [each.name for each in store.states.progressions if job.id in each]
        assert holds == [status.value]


async def test_l1_who_has_gone_is_at_work_no_more(store: Store) -> None:
    """At once: `join()` asks when the last one goes, and nothing rings for it later."""
    await put(store, 1.0)
    assert not await has_live_workers(store)
    for _ in range(2):
        store.register_worker("worker", lambda event: None)
        await put(store, 1.0)  # and what a durable store has noted of it is on record
        assert await has_live_workers(store)
        store.unregister_worker("worker")
        assert not await has_live_workers(store)
    await claim(store)
    assert not await has_live_workers(store)


# -- bells: hints, but one that waits for them must not wait for ever -----------------------------


async def rings(bell: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await bell.wait()


async def released(store: Store) -> None:
    await settle(store, await claim_one(store), RELEASED)


async def denied(store: Store) -> None:
    await settle(store, await claim_one(store), after_denial(0, 1.0))


async def requeued(store: Store) -> None:
    event, _ = await end(store, S.FAILED)
    await store.retry([event])


async def loaded(store: Store) -> None:
    await store.load([Job()])


async def appended(store: Store) -> None:
    await put(store, 1.0)


@pytest.mark.parametrize("step", [released, denied, requeued, loaded, appended])
async def test_a_claim_may_find_something_so_ready_is_signalled(
    store: Store, step: Callable[[Store], Awaitable[None]]
) -> None:
    if step in (released, denied, requeued):
        await put(store, 1.0)
    bell, count = asyncio.Event(), list[int]()

    def ring() -> None:
        bell.set()
        count.append(1)

    store.subscribe(Signal.READY, ring, once=True)
    await step(store)
    await rings(bell)
    await put(store, 1.0)
    assert len(count) == 1


async def completed(store: Store) -> None:
    await settle(store, await claim_one(store, start=True), Completion(1, 0.0))


async def aborted(store: Store) -> None:
    await settle(store, await claim_one(store), after_denial(2, 1.0))


async def cancelled(store: Store) -> None:
    await store.cancel(list(store.states.items))


async def removed(store: Store) -> None:
    await store.remove(list(store.states.items))


@pytest.mark.parametrize("step", [completed, aborted, cancelled, removed])
async def test_nothing_is_pending_or_claimed_so_idle_is_signalled(
    store: Store, step: Callable[[Store], Awaitable[None]]
) -> None:
    await put(store, 1.0)
    bell, count = asyncio.Event(), list[int]()

    def ring() -> None:
        bell.set()
        count.append(1)

    store.subscribe(Signal.IDLE, ring, once=True)
    await step(store)
    await rings(bell)
    await put(store, 1.0)
    await completed(store)
    assert len(count) == 1


async def started(store: Store) -> None:
    await claim_one(store, start=True)


@pytest.mark.parametrize("step", [started, aborted, cancelled, removed])
async def test_fewer_may_be_pending_so_capacity_is_signalled(
    store: Store, step: Callable[[Store], Awaitable[None]]
) -> None:
    await put(store, 1.0)
    count: list[str] = []
    store.subscribe(Signal.CAPACITY, lambda: count.append("room"), once=True)
    await put(store, 1.0)
    assert not count
    await step(store)
    assert count == ["room"]
    await step(store)
    assert count == ["room"]


async def test_a_batch_that_has_no_room_says_how_much_there_is(store: Store) -> None:
    await put(store, 1.0)
    with pytest.raises(QueueFullError) as raised:
        await store.append([(Job(), 1.0), (Job(), 1.0)], room=2)
    assert raised.value.details == {"queue_size": 1, "max_size": 2, "events": 2}


async def test_a_worker_that_stops_signals_idle(store: Store) -> None:
    await put(store, 1.0)
    store.register_worker("worker", lambda event: None)
    count: list[str] = []
    store.subscribe(Signal.IDLE, lambda: count.append("a"), once=True)
    store.subscribe(Signal.IDLE, lambda: count.append("b"), once=True)
    store.unregister_worker("worker")
    store.unregister_worker("worker")
    assert count == ["a", "b"], "once each, though an event is pending"


@pytest.mark.parametrize("once", [True, False])
async def test_a_listener_is_not_called_after_it_was_removed(store: Store, once: bool) -> None:
    count: list[str] = []
    (job,) = await put(store, 1.0)
    removals = [
        store.subscribe(signal, lambda: count.append("removed"), event=event, once=once)
        for signal, event in (
            (Signal.READY, None),
            (Signal.IDLE, None),
            (Signal.CAPACITY, None),
            (Signal.FINISHED, job),
        )
    ]
    store.subscribe(Signal.READY, lambda: count.append("ready"), once=True)
    store.subscribe(Signal.IDLE, lambda: count.append("idle"), once=True)
    for remove in (*removals, *removals):
        remove()
    await put(store, 1.0)
    await completed(store)
    await completed(store)
    assert count == ["ready", "idle"]


async def test_a_listener_that_stays_is_called_each_time(store: Store) -> None:
    said = dict[Signal, int]()
    jobs = await put(store, 1.0, 1.0, 1.0)

    def note(signal: Signal) -> Callable[[], None]:
        return lambda: said.update({signal: said.get(signal, 0) + 1})

    for signal in (Signal.READY, Signal.IDLE, Signal.CAPACITY):
        store.subscribe(signal, note(signal))
    store.subscribe(Signal.FINISHED, note(Signal.FINISHED), event=jobs[0])
    for _ in range(3):
        await completed(store)
        await put(store, 1.0)
        await completed(store)
    assert said[Signal.FINISHED] == 1
    assert said[Signal.READY] >= 3
    assert said[Signal.CAPACITY] >= 3
    assert said[Signal.IDLE] >= 1


async def test_an_event_that_is_not_here_has_no_listeners(store: Store) -> None:
    with pytest.raises(NotFoundError):
        store.subscribe(Signal.FINISHED, lambda: None, event=Job())


async def test_a_store_may_be_closed_twice(store: Store) -> None:
    await put(store, 1.0)
    await store.close()
    await store.close()


async def test_nobody_attends_as_soon_as_the_last_worker_is_discharged(store: Store) -> None:
    assert not await has_live_workers(store)
    store.register_worker("w", lambda event: None)
    await put(store, 1.0)  # that it is there has been written meanwhile
    assert await has_live_workers(store)
    store.unregister_worker("w")
    assert not await has_live_workers(store), "that it is gone may not have been"
