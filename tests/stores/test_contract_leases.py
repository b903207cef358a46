"""Every store is asked the same questions: what a process does with leases of its own that lapsed.

A process that was stopped, or whose heartbeat was held up, cannot have renewed its leases in time.
What it runs goes on running all the same. So it keeps what no other process has taken over.
"""

from typing import Any

import pytest
from stores.asking import ENDINGS, check_counts, claim, claim_one, listed, put, record, settle
from stores.makers import Clock, beside

from lionpride.model.execution import EventStatus
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.state_machine import Completion
from lionpride.stores.contract import Settled, Store
from lionpride.stores.listeners import Signal

S = EventStatus
DONE = Completion("done", 0.5)
LONG = 60.0
"""Seconds: longer than any lease."""


def another_store(store: Store, clock: Clock, opened: list[Store]) -> Store:
    """A second store over the same database, in this process."""
    if not store.is_shared:
        pytest.skip("no lease lapses in a store of one process")
    return beside(store, clock, opened)


def work(store: Store) -> None:
    """Register the worker whose name the helpers of `stores.asking` claim under."""
    store.register_worker("worker", lambda event: None)


@pytest.mark.promise("one-attempt-at-a-time")
@pytest.mark.parametrize("started", [False, True])
async def test_a_process_does_not_reap_what_it_runs(
    store: Store, clock: Clock, started: bool
) -> None:
    work(store)
    (job,) = await put(store, 1.0)
    one = await claim_one(store, start=started)
    clock.advance(LONG)
    assert await store.reap() == 0
    assert await claim(store) == []
    assert await listed(store) == {job.id: S.PROCESSING}
    assert (await record(store, job)).interruptions == 0
    if not started:
        store.start(job)
    assert await settle(store, one, DONE) is Settled.APPLIED
    await check_counts(store)


@pytest.mark.promise("one-attempt-at-a-time")
async def test_a_process_that_goes_on_after_a_stop_renews_what_it_runs(
    store: Store, clock: Clock, opened: list[Store]
) -> None:
    other = another_store(store, clock, opened)
    work(store)
    await put(store, 1.0)
    one = await claim_one(store, start=True)
    clock.advance(LONG)
    assert await store.reap() == 0
    assert await other.reap() == 0, "the lease was renewed"
    assert await settle(store, one, DONE) is Settled.APPLIED


@pytest.mark.promise("one-attempt-at-a-time")
async def test_the_leases_of_a_worker_that_has_left_are_reaped(store: Store, clock: Clock) -> None:
    if not store.is_shared:
        pytest.skip("no lease lapses in a store of one process")
    work(store)
    await put(store, 1.0)
    await claim_one(store, start=True)
    store.unregister_worker("worker")
    clock.advance(LONG)
    assert await store.reap() == 1


LIMITS: list[Any] = [None, Limits([Limit("requests", 10, per=1.0)])]


@pytest.mark.promise("one-attempt-at-a-time")
@pytest.mark.parametrize("limits", LIMITS, ids=["", "limits"])
async def test_a_process_does_not_start_again_what_it_still_runs(
    store: Store, clock: Clock, opened: list[Store], limits: Limits | None
) -> None:
    other = another_store(store, clock, opened)
    work(store)
    job, beside = await put(store, 1.0, 2.0)
    (one,) = await claim(store, start=True, limits=limits)
    clock.advance(LONG)
    assert await other.reap() == 1
    claims = await claim(store, 2, start=True, limits=limits)
    claims += await claim(store, 2, start=True, limits=limits)
    assert claims == [(beside, 1)], "the first event is running here"
    assert job.execution.attempt == 1, "the number that it was started with"
    heard: list[str] = []
    store.subscribe(Signal.READY, lambda: heard.append("ready"), once=True)
    assert await settle(store, one, DONE) is Settled.FENCED
    assert heard, "the worker looks again"
    ((again, attempt),) = await claim(store, 2, start=True, limits=limits)
    assert again is job
    assert attempt == job.execution.attempt > 1
    assert (await record(store, job)).interruptions == 1
    assert await settle(store, (job, attempt), ENDINGS[S.COMPLETED]) is Settled.APPLIED
    await check_counts(store)


@pytest.mark.promise("one-attempt-at-a-time")
async def test_code_sees_the_attempt_number_that_it_was_started_with(
    store: Store, clock: Clock, opened: list[Store]
) -> None:
    other = another_store(store, clock, opened)
    work(store)
    (job,) = await put(store, 1.0)
    one = await claim_one(store, start=True)
    clock.advance(LONG)
    assert await other.reap() == 1
    assert [attempt for _, attempt in await claim(other, start=True)] == [2]
    assert await store.find(job.id) is job
    await store.counts()
    assert job.execution.attempt == 1
    assert await settle(store, one, DONE) is Settled.FENCED
    assert job.execution.attempt == 2
