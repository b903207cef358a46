"""Every store is asked the same questions: cancel, requeue, prune and remove."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from stores.asking import (
    ENDINGS,
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
from stores.makers import Clock, Job

from lionpride.errors import EventCancelledError, NotFoundError, OperationError
from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.model.unset import Unset
from lionpride.rules.state_machine import RETRYABLE, Ending, after_denial, after_interruption
from lionpride.stores.contract import Cancelled, Store

S = EventStatus

STATES = [*((status, True) for status in EventStatus), (S.PROCESSING, False)]
"""Every status; what is claimed both started and not yet started."""

states = pytest.mark.parametrize(("status", "started"), STATES)


# -- cancel ----------------------------------------------------------------------------------------


@states
async def test_cancel_answers_where_the_event_stands(
    store: Store, status: EventStatus, started: bool
) -> None:
    job = await bring(store, status, started=started)
    before = await picture(store)
    (answer,) = await store.cancel([job])
    if status is S.PENDING:
        assert answer is Cancelled.DONE
        assert job.status is S.CANCELLED
        assert isinstance(job.execution.error, EventCancelledError)
        assert await listed(store) == {job.id: S.CANCELLED}
        await check_counts(store)
    else:
        assert answer is (Cancelled.CLAIMED if status is S.PROCESSING else Cancelled.SETTLED)
        assert await picture(store) == before, "nothing changed"


async def test_cancel_takes_what_waits_out_a_delay(store: Store, clock: Clock) -> None:
    (job,) = await put(store, 1.0)
    await settle(store, await claim_one(store), after_denial(0, 5.0))
    assert await store.cancel([job]) == [Cancelled.DONE]
    clock.advance(5.0)
    assert await store.claim("worker", denied=True) == ([], None)
    assert job.execution.due is None


async def test_cancel_answers_one_by_one_in_order(store: Store) -> None:
    ended, waiting = await bring(store, S.COMPLETED), await bring(store, S.PENDING)
    answers = await store.cancel([waiting, ended, waiting])
    assert answers == [Cancelled.DONE, Cancelled.SETTLED, Cancelled.SETTLED]
    assert await store.cancel([]) == []


# -- requeue ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", sorted(RETRYABLE))
async def test_requeue_begins_anew_with_all_counters_at_zero(
    store: Store, clock: Clock, status: EventStatus
) -> None:
    (job,) = await put(store, 1.0)
    for outcome in (after_interruption(0), Ending(S.PENDING, tries=1), after_denial(0, 5.0)):
        await settle(store, await claim_one(store), outcome)
    clock.advance(5.0)
    await end(store, status)
    number, priority = (await record(store, job)).number, (await record(store, job)).priority
    await store.retry([job])
    state, found = job.execution, await record(store, job)
    assert await listed(store) == {job.id: S.PENDING}
    assert (state.tries, state.denials, state.interruptions, state.due) == (0, 0, 0, None)
    assert (state.error, state.response) == (Unset, Unset), "what went wrong is over"
    assert (found.number, found.priority) == (number, priority), "P2: its place"
    assert (found.tries, found.denials, found.interruptions) == (0, 0, 0)
    assert [attempt for _, attempt in await claim(store)] == [5], "F1: attempts go on"
    await check_counts(store)


@pytest.mark.parametrize(
    ("status", "started"), [each for each in STATES if each[0] not in RETRYABLE]
)
async def test_s3_requeue_refuses_what_has_not_ended_or_ended_well(
    store: Store, status: EventStatus, started: bool
) -> None:
    failed = await bring(store, S.FAILED)
    other = await bring(store, status, started=started)
    before = await picture(store)
    with pytest.raises(OperationError):
        await store.retry([failed, other])
    assert await picture(store) == before, "nothing is changed then"


async def test_requeue_of_one_twice_is_one_retry(store: Store) -> None:
    job = await bring(store, S.FAILED)
    await store.retry([job, job])
    await check_counts(store)
    assert len(await claim(store, 9)) == 1


# -- prune -----------------------------------------------------------------------------------------


async def test_prune_removes_the_ended_events_of_these_statuses(store: Store) -> None:
    jobs = {status: await bring(store, status) for status in EventStatus}
    pruned = await store.prune([S.FAILED, S.SKIPPED])
    assert set(pruned) == {jobs[S.FAILED], jobs[S.SKIPPED]}
    left = {job.id: status for status, job in jobs.items() if job not in pruned}
    assert await listed(store) == left
    assert [each.id for each in await pages(store)] == [
        job.id for job in jobs.values() if job not in pruned
    ]
    assert await store.get([job.id for job in pruned]) == [None, None]
    assert [job.execution.arrival for job in pruned] == [None, None], "nobody holds them"
    await check_counts(store)
    assert await store.prune([S.FAILED, S.SKIPPED]) == []


async def test_prune_leaves_what_has_not_ended(store: Store) -> None:
    await bring(store, S.PENDING)
    await bring(store, S.PROCESSING)
    await bring(store, S.PROCESSING, started=False)
    before = await picture(store)
    assert await store.prune(list(EventStatus)) == []
    assert await picture(store) == before


async def test_prune_takes_the_oldest_endings_first(store: Store) -> None:
    jobs = await put(store, *[1.0] * 4)
    claims = await claim(store, 4, start=True)
    for position in (2, 0, 3, 1):
        await settle(store, claims[position], ENDINGS[S.FAILED])
    assert await store.prune([S.FAILED], limit=0) == []
    assert await store.prune([S.FAILED], limit=2) == [jobs[2], jobs[0]]
    assert await store.prune([S.FAILED], limit=9) == [jobs[3], jobs[1]]


async def test_prune_takes_no_more_than_its_limit_over_all_statuses(store: Store) -> None:
    for status in TERMINAL:
        await bring(store, status)
    assert len(await store.prune(TERMINAL, limit=3)) == 3
    await check_counts(store)
    assert len(await store.prune(TERMINAL)) == len(TERMINAL) - 3


# -- remove ----------------------------------------------------------------------------------------


@states
async def test_remove_takes_what_no_worker_has(
    store: Store, status: EventStatus, started: bool
) -> None:
    job = await bring(store, status, started=started)
    other = await bring(store, S.COMPLETED)
    if status is S.PROCESSING:
        before = await picture(store)
        with pytest.raises(OperationError):
            await store.remove([other, job])
        assert await picture(store) == before, "none is removed then"
        return
    await store.remove([other, job])
    assert await listed(store) == {}
    assert await store.get([job.id]) == [None]
    assert job.status is status, "it stands as it stood"
    assert await claim(store, denied=True) == []
    await check_counts(store)


async def test_remove_takes_what_waits_out_a_delay(store: Store, clock: Clock) -> None:
    (job,) = await put(store, 1.0)
    await settle(store, await claim_one(store), after_denial(0, 5.0))
    await store.remove([job])
    clock.advance(5.0)
    assert await store.claim("worker", denied=True) == ([], None)


async def test_s1_a_removed_event_is_out_of_every_list(store: Store) -> None:
    job, other = await put(store, 1.0, 1.0)
    await store.remove([job])
    assert [each.id for each in store.states.items] == [other.id]
    assert not any(job.id in each for each in store.states.progressions)


# -- what is not here ------------------------------------------------------------------------------

VERBS: dict[str, Callable[[Store, list[Job]], Awaitable[Any]]] = {
    "cancel": lambda store, jobs: store.cancel(jobs),
    "retry": lambda store, jobs: store.retry(jobs),
    "remove": lambda store, jobs: store.remove(jobs),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_what_is_not_here_is_not_found_and_nothing_is_changed(
    store: Store, verb: str
) -> None:
    status = S.FAILED if verb == "retry" else S.PENDING
    known = await bring(store, status)
    gone = await bring(store, status)
    await store.remove([gone])
    before = await picture(store)
    for stranger in (Job(), gone):
        with pytest.raises(NotFoundError):
            await VERBS[verb](store, [known, stranger])
    assert await picture(store) == before


@pytest.mark.parametrize("verb", VERBS)
async def test_what_another_store_holds_is_not_found(make: Callable[[], Store], verb: str) -> None:
    status = S.FAILED if verb == "retry" else S.PENDING
    one, other = make(), make()
    await bring(one, status)
    theirs = await bring(other, status)
    before = await picture(one)
    with pytest.raises(NotFoundError):
        await VERBS[verb](one, [theirs])
    assert await picture(one) == before


async def test_nothing_to_do_is_done(store: Store) -> None:
    await bring(store, S.FAILED)
    before = await picture(store)
    for verb in VERBS.values():
        await verb(store, [])
    assert await store.prune([]) == []
    assert await picture(store) == before


async def test_an_event_passes_through_all_its_lives(store: Store, clock: Clock) -> None:
    (job,) = await put(store, 1.0)
    for status in (S.ABORTED, S.FAILED, S.CANCELLED):
        await end(store, status)
        await store.retry([job])
        await settle(store, await claim_one(store), after_denial(0, 5.0))
        clock.advance(5.0)
        await check_counts(store)
    await end(store, S.COMPLETED)
    assert (job.status, job.execution.attempt) == (S.COMPLETED, 7)
    assert await store.prune([S.COMPLETED]) == [job]
    assert await pages(store) == []


async def test_a_prune_follows_the_order_of_the_ends_though_the_clock_stands_still(
    store: Store,
) -> None:
    """The clock of these tests does not move: only the order of the calls tells."""
    jobs = await put(store, 1.0, 2.0, 3.0, 4.0, 5.0)
    claims = {one[0].id: one for one in await claim(store, 3, start=True)}
    ended = [jobs[4], jobs[2], jobs[0], jobs[3], jobs[1]]
    cancelled = ENDINGS[S.CANCELLED]
    await store.cancel([jobs[4]])
    await store.settle([(*claims[job.id], cancelled) for job in (jobs[2], jobs[0])])
    await store.cancel([jobs[3]])
    await store.settle([(*claims[jobs[1].id], cancelled)])
    pruned = []
    for _ in ended:
        pruned += await store.prune([S.CANCELLED], limit=1)
    assert pruned == ended
