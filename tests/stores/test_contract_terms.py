"""Every store is asked the same questions: what an append may ask beside a priority."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from stores.asking import (
    ENDINGS,
    bring,
    check_counts,
    claim,
    claim_one,
    finish_expired,
    listed,
    picture,
    put,
    record,
    settle,
)
from stores.makers import Clock, Job

from lionpride.errors import EventCancelledError, ExistsError
from lionpride.model.attempts import Attempt
from lionpride.model.collections.flow import Flow
from lionpride.model.execution import EventStatus
from lionpride.model.retry_policy import Retry
from lionpride.rules.state_machine import (
    RELEASED,
    Completion,
    Ending,
    after_denial,
    after_interruption,
)
from lionpride.stores.contract import Cancelled, Settled, Store
from lionpride.stores.listeners import Signal
from lionpride.stores.terms import Terms

S = EventStatus


async def put_on(store: Store, terms: Terms, priority: float = 1.0, label: str = "") -> Job:
    """Append a job on these terms."""
    job = Job(label=label)
    assert await store.append([(job, priority)], terms=terms) == [job]
    return job


# -- due -------------------------------------------------------------------------------------------


async def test_a_store_says_what_time_it_is(store: Store, clock: Clock) -> None:
    assert store.time() == clock.now
    clock.advance(2.5)
    assert store.time() == clock.now


async def test_what_is_due_later_is_pending_and_not_claimed_before(
    store: Store, clock: Clock
) -> None:
    job = await put_on(store, Terms(due=clock.now + 5.0))
    assert (job.status, job.execution.due) == (S.PENDING, clock.now + 5.0)
    found = await record(store, job)
    assert (found.status, found.due) == (S.PENDING, clock.now + 5.0)
    assert found.payload["execution"]["due"] == clock.now + 5.0
    claims, wait = await store.claim("worker", denied=True)
    assert (claims, wait) == ([], 5.0), "and a round overrides denials only"
    clock.advance(4.999)
    assert await claim(store) == []
    clock.advance(0.001)
    assert await claim(store) == [(job, 1)]
    await check_counts(store)


async def test_p1_of_what_is_due_priority_decides(store: Store, clock: Clock) -> None:
    now = clock.now
    late = await put_on(store, Terms(due=now + 3.0), 0.0)
    soon = await put_on(store, Terms(due=now + 1.0), 1.0)
    (ready,) = await put(store, 2.0)
    assert await claim(store, 9) == [(ready, 1)]
    clock.advance(3.0)
    assert [event.id for event, _ in await claim(store, 9)] == [late.id, soon.id]


async def test_terms_hold_for_all_of_a_batch(store: Store, clock: Clock) -> None:
    jobs = [Job(), Job()]
    await store.append([(job, 1.0) for job in jobs], terms=Terms(due=clock.now + 1.0))
    assert await claim(store, 9) == []
    clock.advance(1.0)
    assert len(await claim(store, 9)) == 2


async def test_a1_a_refused_append_leaves_no_terms_on_the_event(store: Store, clock: Clock) -> None:
    (known,) = await put(store, 1.0)
    job, before = Job(), await picture(store)
    with pytest.raises(ExistsError):
        await store.append([(job, 1.0), (known, 1.0)], terms=Terms(due=clock.now + 5.0))
    assert await picture(store) == before
    assert job.execution.due is None
    assert known.execution.due is None


async def test_a1_terms_do_not_touch_what_is_known(store: Store, clock: Clock) -> None:
    (known,) = await put(store, 1.0)
    terms = Terms(due=clock.now + 5.0)
    (held,) = await store.append([(known, 1.0)], exist_ok=True, terms=terms)
    assert held is known
    assert await claim(store) == [(known, 1)]


async def test_what_is_due_later_can_be_cancelled_and_removed(store: Store, clock: Clock) -> None:
    jobs = [await put_on(store, Terms(due=clock.now + 5.0)) for _ in range(2)]
    assert await store.cancel([jobs[0]]) == [Cancelled.DONE]
    await store.remove([jobs[1]])
    clock.advance(5.0)
    assert await store.claim("worker") == ([], None)
    assert await listed(store) == {jobs[0].id: S.CANCELLED}
    await check_counts(store)


async def test_a_start_ends_the_due_time(store: Store, clock: Clock) -> None:
    job = await put_on(store, Terms(due=clock.now + 1.0))
    clock.advance(1.0)
    one = await claim_one(store, start=True)
    assert job.execution.due is None
    await settle(store, one, Completion(1, 0.1))
    assert (await record(store, job)).due is None


@pytest.mark.parametrize("outcome", [RELEASED, after_denial(0, 0.0)])
async def test_what_comes_back_before_its_start_is_due_still(
    store: Store, clock: Clock, outcome: Any
) -> None:
    job = await put_on(store, Terms(due=clock.now + 1.0))
    clock.advance(1.0)
    await settle(store, await claim_one(store), outcome)
    assert await claim(store) == [(job, 2)]


async def test_an_append_of_what_is_due_later_rings_so_that_who_sleeps_looks_again(
    store: Store, clock: Clock
) -> None:
    bell = asyncio.Event()
    store.subscribe(Signal.READY, bell.set, once=True)
    await put_on(store, Terms(due=clock.now + 5.0))
    async with asyncio.timeout(10):
        await bell.wait()


# -- retry -----------------------------------------------------------------------------------------

POLICY = Retry(attempts=7, on=OSError)
TRIED = Attempt(
    1, 999.0, 0.5, "ValueError: no", '  File "x.py", line 1, in f\n    "\u201cthere\u201d"\n'
)


def again(**how: Any) -> Ending:
    """A failed attempt that is tried again."""
    return Ending(S.PENDING, error=ValueError("no"), duration=0.5, tries=1, attempt=TRIED, **how)


async def test_a_policy_is_on_record_through_every_life(store: Store) -> None:
    job = await put_on(store, Terms(retry=POLICY))
    for outcome in (again(), ENDINGS[S.FAILED]):
        assert job.execution.retry == POLICY
        payload = (await record(store, job)).payload["execution"]
        assert payload["retry"] == {"attempts": 7, "on": ["builtins.OSError"]}
        await settle(store, await claim_one(store, start=True), outcome)
    await store.retry([job])
    assert job.execution.retry == POLICY
    await settle(store, await claim_one(store, start=True), Completion(1, 0.1))
    assert job.execution.retry == POLICY
    assert "retry" in (await record(store, job)).payload["execution"]


async def test_an_attempt_that_failed_is_kept_through_every_life(store: Store) -> None:
    (job,) = await put(store, 1.0)
    one = await claim_one(store, start=True)
    assert await settle(store, one, again()) is Settled.APPLIED
    kept = [TRIED._asdict()]
    assert job.execution.attempts == (TRIED,)
    assert (await record(store, job)).payload["execution"]["attempts"] == kept
    await settle(store, await claim_one(store), RELEASED)
    await settle(store, await claim_one(store, start=True), after_interruption(0))
    assert (await record(store, job)).payload["execution"]["attempts"] == kept
    await settle(store, await claim_one(store, start=True), Completion(1, 0.1))
    assert job.execution.attempts == (TRIED,)
    assert (await record(store, job)).payload["execution"]["attempts"] == kept


async def test_the_last_attempt_is_kept_too_and_a_retry_by_hand_keeps_all(store: Store) -> None:
    (job,) = await put(store, 1.0)
    await settle(store, await claim_one(store, start=True), again())
    last = Ending(S.FAILED, error=ValueError(), tries=1, attempt=TRIED._replace(number=2))
    one = await claim_one(store, start=True)
    await settle(store, one, last)
    assert [each.number for each in job.execution.attempts] == [1, 2]
    assert await settle(store, one, last) is Settled.REPLAYED
    await store.retry([job])
    assert [each.number for each in job.execution.attempts] == [1, 2]
    payload = (await record(store, job)).payload["execution"]
    assert [each["number"] for each in payload["attempts"]] == [1, 2]
    await check_counts(store)


async def test_f2_a_stale_failure_leaves_no_attempt(store: Store) -> None:
    (job,) = await put(store, 1.0)
    old = await claim_one(store, start=True)
    await settle(store, old, after_interruption(0))
    await claim_one(store, start=True)
    before = await picture(store)
    assert await settle(store, old, again()) is Settled.FENCED
    assert await picture(store) == before
    assert job.execution.attempts == ()


async def test_d3_attempts_and_policies_come_through_an_export_and_a_load(
    make: Callable[[], Store],
) -> None:
    one, other, third = make(), make(), make()
    job = await put_on(one, Terms(retry=POLICY))
    await settle(one, await claim_one(one, start=True), again())
    await other.import_records(await one.list_records())
    await third.load(list(Flow.from_dict(one.states.to_dict("json")).items))
    for store in (other, third):
        assert (await record(store, job)).payload == (await record(one, job)).payload
        copy, _ = await claim_one(store)
        assert copy.execution.retry == POLICY
        assert copy.execution.attempts == (TRIED,)


# -- expires ---------------------------------------------------------------------------------------


@pytest.mark.promise("expired-events-do-not-start")
async def test_what_is_not_started_in_time_is_cancelled_by_the_next_claim(
    store: Store, clock: Clock
) -> None:
    job = await put_on(store, Terms(expires=clock.now + 5.0))
    (other,) = await put(store, 2.0)
    assert job.execution.expires == clock.now + 5.0
    assert (await record(store, job)).payload["execution"]["expires"] == clock.now + 5.0
    clock.advance(5.0)
    assert await claim(store, 9) == [(other, 1)], "not even at that very instant"
    assert job.status is S.CANCELLED
    assert isinstance(job.execution.error, EventCancelledError)
    assert "not started in time: its ttl was over at 1970-01-01 00:16:45 UTC" in str(
        job.execution.error
    )
    assert (job.execution.expires, job.execution.attempt, job.execution.retryable) == (
        None,
        0,
        True,
    )
    found = await record(store, job)
    assert found.status is S.CANCELLED
    assert "expires" not in found.payload["execution"]
    await check_counts(store)


async def test_what_is_claimed_before_is_not_too_late(store: Store, clock: Clock) -> None:
    job = await put_on(store, Terms(expires=clock.now + 5.0))
    clock.advance(4.999)
    one = await claim_one(store, start=True)
    clock.advance(5.0)
    await finish_expired(store)
    assert await settle(store, one, Completion(1, 0.1)) is Settled.APPLIED
    assert job.status is S.COMPLETED
    assert job.execution.expires is None
    assert "expires" not in (await record(store, job)).payload["execution"]


@pytest.mark.promise("expired-events-do-not-start")
async def test_a_claim_whose_answer_came_too_late_is_not_to_be_started(
    store: Store, clock: Clock
) -> None:
    job = await put_on(store, Terms(expires=clock.now + 5.0))
    clock.advance(4.999)
    one = await claim_one(store, start=True)
    assert store.holds(*one)
    clock.advance(0.001)
    assert not store.holds(*one)
    assert await settle(store, one, RELEASED) is Settled.APPLIED
    assert await claim(store) == []
    assert job.status is S.CANCELLED
    assert "not started in time" in str(job.execution.error)


async def test_a_claim_that_may_take_no_event_finishes_what_expired(
    store: Store, clock: Clock
) -> None:
    heard: list[Any] = []
    store.subscribe(Signal.EXPIRED, lambda event, _: heard.append(event))
    jobs = [await put_on(store, Terms(expires=clock.now + n)) for n in (1.0, 2.0, 9.0)]
    await finish_expired(store)
    assert heard == []
    clock.advance(2.0)
    await finish_expired(store)
    assert heard == jobs[:2]
    assert [job.status for job in jobs] == [S.CANCELLED, S.CANCELLED, S.PENDING]
    await finish_expired(store)
    assert heard == jobs[:2], "each is told of once"
    await check_counts(store)


async def test_an_event_expires_without_a_claim(store: Store, clock: Clock) -> None:
    expired = asyncio.Event()
    store.subscribe(Signal.EXPIRED, lambda *_: expired.set())
    job = await put_on(store, Terms(expires=clock.now + 0.05))
    clock.advance(0.05)
    await asyncio.wait_for(expired.wait(), 10.0)
    assert job.status is S.CANCELLED
    await check_counts(store)


@pytest.mark.parametrize("how", [{"denied": True}, {"skip": [99]}, {"start": True}], ids=str)
async def test_no_claim_of_any_kind_takes_what_has_expired(
    store: Store, clock: Clock, how: Any
) -> None:
    job = await put_on(store, Terms(expires=clock.now + 1.0))
    await settle(store, await claim_one(store), after_denial(0, 50.0))
    clock.advance(1.0)
    assert await claim(store, 9, **how) == []
    assert job.status is S.CANCELLED


async def test_very_many_may_expire_at_one_instant(store: Store, clock: Clock) -> None:
    jobs = [Job() for _ in range(1_200)]
    await store.append([(job, 1.0) for job in jobs], terms=Terms(expires=clock.now + 1.0))
    (other,) = await put(store, 2.0)
    heard: list[Any] = []
    all_heard = asyncio.Event()

    def hear(event: Any, _: Any) -> None:
        heard.append(event)
        if len(heard) >= len(jobs):
            all_heard.set()

    store.subscribe(Signal.EXPIRED, hear)
    clock.advance(1.0)
    assert await claim(store, 3) == [(other, 1)], "none of them is in its way"
    await asyncio.wait_for(all_heard.wait(), 30.0)
    assert {job.status for job in jobs} == {S.CANCELLED}
    assert heard == jobs, "each is heard of once, in order"
    await check_counts(store)


async def test_it_expires_while_it_is_not_due(store: Store, clock: Clock) -> None:
    job = await put_on(store, Terms(due=clock.now + 3.0, expires=clock.now + 5.0))
    clock.advance(9.0)
    assert await claim(store) == []
    assert job.status is S.CANCELLED


@pytest.mark.parametrize("outcome", [RELEASED, after_denial(0, 0.0), Ending(S.PENDING, delay=0.5)])
async def test_what_comes_back_before_its_start_expires_still(
    store: Store, clock: Clock, outcome: Any
) -> None:
    job = await put_on(store, Terms(expires=clock.now + 1.0))
    one = await claim_one(store)
    clock.advance(2.0)
    await finish_expired(store)
    assert (await store.counts())[S.PROCESSING] == 1, "a claimed event does not expire"
    await settle(store, one, outcome)
    assert await claim(store, denied=True) == []
    assert job.status is S.CANCELLED
    await check_counts(store)


@pytest.mark.parametrize(
    "outcome",
    [after_interruption(0), Ending(S.PENDING, error=ValueError("429"), delay=0.5)],
    ids=["interrupted", "rate limited"],
)
async def test_what_comes_back_after_its_start_does_not_expire(
    store: Store, clock: Clock, outcome: Any
) -> None:
    job = await put_on(store, Terms(expires=clock.now + 1.0))
    await settle(store, await claim_one(store, start=True), outcome)
    assert job.execution.expires is None
    clock.advance(9.0)
    assert await claim(store) == [(job, 2)]


async def test_after_a_failed_attempt_the_deadline_counts_and_its_error_stands(
    store: Store, clock: Clock
) -> None:
    job = await put_on(store, Terms(expires=clock.now + 1.0))
    outcome = again(delay=60.0, expires=clock.now + 90.0)
    await settle(store, await claim_one(store, start=True), outcome)
    assert job.execution.expires == clock.now + 90.0
    clock.advance(89.0)
    await settle(store, await claim_one(store), RELEASED)
    clock.advance(1.0)
    assert await claim(store) == []
    state = job.execution
    assert (state.status, state.tries, state.retryable) == (S.FAILED, 1, True)
    assert "no" in str(state.error)
    assert state.duration == 0.5
    assert state.attempts == (TRIED,)
    await check_counts(store)


async def test_a_retry_by_hand_of_what_expired_has_all_the_time(store: Store, clock: Clock) -> None:
    job = await put_on(store, Terms(expires=clock.now + 1.0))
    clock.advance(1.0)
    await finish_expired(store)
    await store.retry([job])
    clock.advance(99.0)
    assert await claim(store) == [(job, 1)]


@pytest.mark.parametrize("going", ["cancel", "remove"])
async def test_what_has_left_does_not_expire(store: Store, clock: Clock, going: str) -> None:
    job = await put_on(store, Terms(expires=clock.now + 1.0))
    await getattr(store, going)([job])
    clock.advance(1.0)
    heard: list[Any] = []
    store.subscribe(Signal.EXPIRED, lambda event, _: heard.append(event))
    await finish_expired(store)
    assert heard == []
    assert job.status is (S.CANCELLED if going == "cancel" else S.PENDING)
    if going == "remove":
        await store.append([(job, 1.0)])
        assert await claim(store) == [(job, 1)]


async def test_what_expires_rings_for_who_waits_for_its_end_for_idleness_and_for_room(
    store: Store, clock: Clock
) -> None:
    job = await put_on(store, Terms(expires=clock.now + 1.0))
    rung: list[str] = []
    store.subscribe(Signal.FINISHED, lambda: rung.append("ended"), event=job, once=True)
    store.subscribe(Signal.IDLE, lambda: rung.append("idle"), once=True)
    store.subscribe(Signal.CAPACITY, lambda: rung.append("room"), once=True)
    clock.advance(1.0)
    await finish_expired(store)
    assert sorted(rung) == ["ended", "idle", "room"]


# -- unique ----------------------------------------------------------------------------------------


def only(clock: Clock, value: str = "report", period: float = 0.0) -> Terms:
    return Terms(unique=(value, clock.now), period=period)


@pytest.mark.parametrize("started", [False, True])
async def test_while_one_waits_or_is_claimed_it_stands_for_the_next(
    store: Store, clock: Clock, started: bool
) -> None:
    first = await put_on(store, only(clock))
    assert first.execution.unique == ("report", clock.now)
    since = clock.now
    clock.advance(5.0)
    second = Job()
    assert await store.append([(second, 0.0)], terms=only(clock)) == [first]
    one = await claim_one(store, start=started)
    assert await store.append([(second, 0.0)], terms=only(clock)) == [first]
    assert second.execution.arrival is None, "it is free"
    assert second.execution.unique is None
    assert list(await listed(store)) == [first.id]
    await settle(store, one, Ending(S.FAILED, error=ValueError()))
    assert await store.append([(second, 0.0)], terms=only(clock)) == [second]
    assert (await record(store, first)).payload["execution"]["unique"] == ["report", since]
    await check_counts(store)


async def test_other_values_are_other_values(store: Store, clock: Clock) -> None:
    jobs = [await put_on(store, only(clock, value)) for value in ("a", "A", "a ", "ä")]
    assert len(await listed(store)) == len(jobs)


async def test_for_a_period_one_that_has_ended_stands_too(store: Store, clock: Clock) -> None:
    first = await put_on(store, only(clock))
    await settle(store, await claim_one(store, start=True), Completion(1, 0.1))
    second = Job()
    clock.advance(59.0)
    assert await store.append([(second, 1.0)], terms=only(clock, period=60.0)) == [first]
    clock.advance(1.0)
    assert await store.append([(second, 1.0)], terms=only(clock, period=60.0)) == [second]
    assert await store.append([(Job(), 1.0)], terms=only(clock, period=60.0)) == [second]


@pytest.mark.parametrize("going", ["remove", "prune"])
async def test_one_that_is_gone_stands_for_nothing(store: Store, clock: Clock, going: str) -> None:
    first = await put_on(store, only(clock))
    await settle(store, await claim_one(store, start=True), Completion(1, 0.1))
    await (store.remove([first]) if going == "remove" else store.prune([S.COMPLETED]))
    second = Job()
    assert await store.append([(second, 1.0)], terms=only(clock, period=60.0)) == [second]


async def test_an_older_event_that_waits_again_stands_for_the_next_once_the_newest_is_gone(
    store: Store, clock: Clock
) -> None:
    first = await put_on(store, only(clock))
    await store.cancel([first])
    newest = await put_on(store, only(clock))
    await store.retry([first])
    await store.remove([newest])
    assert await store.append([(Job(), 1.0)], terms=only(clock)) == [first]


async def test_the_same_event_twice_is_itself(store: Store, clock: Clock) -> None:
    first = await put_on(store, only(clock))
    assert await store.append([(first, 1.0)], terms=only(clock)) == [first]
    assert list(await listed(store)) == [first.id]


async def test_what_stands_for_it_needs_no_room(store: Store, clock: Clock) -> None:
    first = await put_on(store, only(clock))
    assert await store.append([(Job(), 1.0)], room=1, terms=only(clock)) == [first]


async def test_a_known_id_of_another_value_is_refused(store: Store, clock: Clock) -> None:
    first = await put_on(store, only(clock))
    with pytest.raises(ExistsError):
        await store.append([(first, 1.0)], terms=only(clock, "other"))
    assert await store.append([(Job(), 1.0)], terms=only(clock, "other")) != [first]


async def test_a_value_outlives_an_export_and_a_load(
    make: Callable[[], Store], clock: Clock
) -> None:
    one, other, third = make(), make(), make()
    first = await put_on(one, only(clock))
    await other.import_records(await one.list_records())
    await third.load(list(Flow.from_dict(one.states.to_dict("json")).items))
    for store in (other, third):
        (held,) = await store.append([(Job(), 1.0)], terms=only(clock))
        assert held.id == first.id
        assert held.execution.unique == first.execution.unique


# -- through an export -----------------------------------------------------------------------------


async def test_d3_the_due_time_comes_through_an_export(
    make: Callable[[], Store], clock: Clock
) -> None:
    one, other = make(), make()
    job = await put_on(one, Terms(due=clock.now + 5.0))
    await bring(one, S.COMPLETED)
    await other.import_records(await one.list_records())
    found = await record(other, job)
    assert found.due == clock.now + 5.0
    assert await claim(other, 9) == []
    clock.advance(5.0)
    assert [event.id for event, _ in await claim(other, 9)] == [job.id]
