"""Every store is asked the same questions: what came of a claim, told once, late or again."""

import copy
from collections.abc import Awaitable, Callable

import pytest
from stores.asking import (
    ENDINGS,
    bring,
    check_counts,
    claim,
    claim_one,
    end,
    listed,
    picture,
    put,
    record,
    settle,
)
from stores.makers import Clock, Job

from lionpride.model.execution import EventStatus
from lionpride.model.unset import Unset
from lionpride.rules.state_machine import (
    RELEASED,
    Completion,
    Ending,
    Outcome,
    after_denial,
    after_interruption,
)
from lionpride.stores.contract import Claim, Settled, Store

S = EventStatus

COUNTERS = ("tries", "denials", "interruptions")


def counters(job: Job) -> tuple[int, ...]:
    return tuple(getattr(job.execution, name) for name in COUNTERS)


# -- what is put on record -------------------------------------------------------------------------


@pytest.mark.parametrize("status", ENDINGS)
async def test_an_ending_is_on_record(store: Store, status: EventStatus) -> None:
    (job,) = await put(store, 1.0)
    await end(store, status)
    outcome, state = ENDINGS[status], job.execution
    assert await listed(store) == {job.id: status}
    assert job.status is status
    assert (state.response, state.error) == (outcome.response, outcome.error)
    assert (state.duration, state.retryable) == (outcome.duration, outcome.retryable)
    payload = (await record(store, job)).payload["execution"]
    assert payload["status"] == status.value
    assert ("error" in payload and payload["error"] is not None) == (status is not S.COMPLETED)
    assert await claim(store) == [], "S3: it has ended"


async def test_a_batch_is_answered_one_by_one_in_order(store: Store) -> None:
    await put(store, 1.0, 2.0, 3.0, 4.0)
    done, late, fresh, again = await claim(store, 4, start=True)
    await settle(store, done, ENDINGS[S.COMPLETED])
    await settle(store, late, RELEASED)
    await claim(store)
    answers = await store.settle(
        [
            (*fresh, ENDINGS[S.FAILED]),
            (*late, ENDINGS[S.COMPLETED]),
            (*done, ENDINGS[S.COMPLETED]),
            (*again, RELEASED),
        ]
    )
    assert answers == [Settled.APPLIED, Settled.FENCED, Settled.REPLAYED, Settled.APPLIED]
    assert await store.settle([]) == []
    assert list((await listed(store)).values()).count(S.PENDING) == 1
    await check_counts(store)


@pytest.mark.promise("interrupted-is-not-failed")
@pytest.mark.parametrize(
    ("outcome", "added"),
    [
        (RELEASED, (0, 0, 0)),
        (after_denial(0, 0.0), (0, 1, 0)),
        (after_interruption(0), (0, 0, 1)),
        (Ending(S.PENDING, tries=1), (1, 0, 0)),
    ],
)
async def test_f5_each_outcome_adds_to_its_own_counter(
    store: Store, outcome: Ending, added: tuple[int, ...]
) -> None:
    (job,) = await put(store, 1.0)
    for times in (1, 2):
        await settle(store, await claim_one(store), outcome)
        assert counters(job) == tuple(times * each for each in added)
        found = await record(store, job)
        assert tuple(getattr(found, name) for name in COUNTERS) == counters(job)


async def test_the_third_denial_aborts_and_the_event_says_so(store: Store, clock: Clock) -> None:
    (job,) = await put(store, 1.0)
    for denials, status in enumerate((S.PENDING, S.PENDING, S.ABORTED)):
        one = await claim_one(store)
        await settle(store, one, after_denial(denials, 1.0))
        assert job.status is status
        assert await listed(store) == {job.id: status}
        clock.advance(2.0)
    assert counters(job) == (0, 3, 0)


async def test_a_delay_counts_from_the_settlement(store: Store, clock: Clock) -> None:
    (job,) = await put(store, 1.0)
    one = await claim_one(store)
    clock.advance(3.0)
    await settle(store, one, after_denial(0, 5.0))
    assert job.execution.due == clock.now + 5.0
    assert (await record(store, job)).due == clock.now + 5.0


async def test_a_delay_of_nothing_is_no_delay(store: Store) -> None:
    (job,) = await put(store, 1.0)
    await settle(store, await claim_one(store), after_denial(0, 0.0))
    assert job.execution.due is None
    assert len(await claim(store)) == 1


@pytest.mark.parametrize("outcome", [RELEASED, after_denial(0, 0.0), after_interruption(0)])
async def test_what_comes_back_keeps_the_error_of_the_last_try(
    store: Store, outcome: Outcome
) -> None:
    (job,) = await put(store, 1.0)
    failure = ValueError("first try")
    retry = Ending(S.PENDING, error=failure, duration=0.5, tries=1)
    await settle(store, await claim_one(store, start=True), retry)
    await settle(store, await claim_one(store), outcome)
    assert job.execution.error is failure
    assert counters(job)[0] == 1


async def test_a_success_after_a_failed_try_has_no_error(store: Store) -> None:
    (job,) = await put(store, 1.0)
    retry = Ending(S.PENDING, error=ValueError(), duration=0.5, retryable=True, tries=1)
    await settle(store, await claim_one(store, start=True), retry)
    await settle(store, await claim_one(store, start=True), Completion(7, 0.1))
    state = job.execution
    assert (state.response, state.error, state.duration) == (7, None, 0.1)
    assert (await record(store, job)).payload["execution"]["error"] is None
    assert (await record(store, job)).payload["execution"]["response"] == 7


async def test_an_event_whose_code_raised_before_it_ran_ends_without_a_start(
    store: Store,
) -> None:
    for status in (S.FAILED, S.CANCELLED, S.SKIPPED):
        (job,) = await put(store, 1.0)
        await settle(store, await claim_one(store), Ending(status, error=ValueError()))
        assert job.status is status
    await check_counts(store)


# -- F3: once, and again ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", ENDINGS)
async def test_f3_the_same_ending_once_more_is_a_replay(store: Store, status: EventStatus) -> None:
    await put(store, 1.0)
    one = await end(store, status)
    before = await picture(store)
    again = copy.copy(ENDINGS[status])
    again.duration = 99.0
    assert await settle(store, one, again) is Settled.REPLAYED
    assert await picture(store) == before


@pytest.mark.parametrize("outcome", [RELEASED, after_denial(0, 5.0), after_interruption(0)])
async def test_f3_coming_back_once_more_is_a_replay(store: Store, outcome: Outcome) -> None:
    await put(store, 1.0)
    one = await claim_one(store)
    assert await settle(store, one, outcome) is Settled.APPLIED
    before = await picture(store)
    assert await settle(store, one, outcome) is Settled.REPLAYED
    assert await picture(store) == before


async def test_f3_the_same_settlement_twice_in_a_batch_counts_once(store: Store) -> None:
    (job,) = await put(store, 1.0)
    one = await claim_one(store)
    twice = [(*one, after_denial(0, 5.0))] * 2
    assert await store.settle(twice) == [Settled.APPLIED, Settled.REPLAYED]
    assert counters(job) == (0, 1, 0)


@pytest.mark.promise("one-recorded-completion")
@pytest.mark.parametrize("first", ENDINGS)
@pytest.mark.parametrize("second", [*ENDINGS, S.PENDING])
async def test_f3_another_ending_of_the_same_attempt_changes_nothing(
    store: Store, first: EventStatus, second: EventStatus
) -> None:
    await put(store, 1.0)
    one = await end(store, first)
    before = await picture(store)
    answer = await settle(store, one, ENDINGS.get(second, RELEASED))
    # A settlement to PENDING may have been recorded as CANCELLED: it cannot be told apart.
    same = first is second or (first, second) == (S.CANCELLED, S.PENDING)
    assert answer is (Settled.REPLAYED if same else Settled.FENCED)
    assert await picture(store) == before, "S3: terminal is final"


# -- F2: too late ----------------------------------------------------------------------------------


async def lapse(store: Store) -> tuple[Claim, Claim]:
    """A claim that was lost, and the one that took its place."""
    await put(store, 1.0)
    old = await claim_one(store, start=True)
    await settle(store, old, after_interruption(0))
    new = await claim_one(store, start=True)
    return old, new


LATE: dict[str, Outcome] = {
    **{status.value: outcome for status, outcome in ENDINGS.items() if status is not S.ABORTED},
    "released": RELEASED,
    "interrupted": after_interruption(0),
    "delayed": Ending(S.PENDING, delay=5.0, tries=1),
}


@pytest.mark.promise("one-recorded-completion")
@pytest.mark.parametrize("late", LATE)
async def test_f2_a_worker_that_comes_too_late_changes_nothing(store: Store, late: str) -> None:
    old, new = await lapse(store)
    before = await picture(store)
    assert await settle(store, old, LATE[late]) is Settled.FENCED
    assert await picture(store) == before
    assert await settle(store, new, ENDINGS[S.COMPLETED]) is Settled.APPLIED
    after = await picture(store)
    assert await settle(store, old, LATE[late]) is Settled.FENCED, "nor after the end"
    assert await picture(store) == after
    assert new[0].execution.response == "done"


async def test_f2_an_attempt_that_never_was_is_fenced(store: Store) -> None:
    (job,) = await put(store, 1.0)
    for attempt in (0, 1, 2):
        assert await settle(store, (job, attempt), ENDINGS[S.COMPLETED]) is Settled.FENCED
    event, attempt = await claim_one(store, start=True)
    before = await picture(store)
    assert await settle(store, (event, attempt + 1), ENDINGS[S.COMPLETED]) is Settled.FENCED
    assert await picture(store) == before


async def test_f2_an_ended_attempt_is_stale_once_the_event_has_been_requeued(
    store: Store,
) -> None:
    await put(store, 1.0)
    one = await end(store, S.FAILED)
    await store.retry([one[0]])
    before = await picture(store)
    assert await settle(store, one, ENDINGS[S.FAILED]) is Settled.FENCED
    assert await picture(store) == before


async def removed(store: Store, one: Claim) -> None:
    await store.remove([one[0]])


async def pruned(store: Store, one: Claim) -> None:
    await store.prune([one[0].execution.status])


@pytest.mark.parametrize("going", [removed, pruned])
async def test_f2_what_has_left_does_not_come_back(
    store: Store, going: Callable[[Store, Claim], Awaitable[None]]
) -> None:
    await put(store, 1.0, 1.0)
    one = await end(store, S.FAILED)
    await going(store, one)
    before = await picture(store)
    for outcome in (*ENDINGS.values(), RELEASED):
        assert await settle(store, one, outcome) is Settled.FENCED
    assert await picture(store) == before


async def test_c4_a_cancel_of_what_is_claimed_leaves_the_end_to_its_worker(store: Store) -> None:
    job = await bring(store, S.PROCESSING)
    await store.cancel([job])
    assert await settle(store, (job, 1), ENDINGS[S.COMPLETED]) is Settled.APPLIED
    assert job.status is S.COMPLETED
    assert job.execution.error is None
    assert job.execution.response is not Unset


async def test_f2_what_another_store_holds_is_not_settled_here(make: Callable[[], Store]) -> None:
    one, other = make(), make()
    await bring(one, S.PROCESSING)
    theirs = await bring(other, S.PROCESSING)  # the same arrival number, the same attempt
    before = await picture(one), await picture(other)
    for outcome in (ENDINGS[S.COMPLETED], ENDINGS[S.FAILED], RELEASED):
        assert await settle(one, (theirs, 1), outcome) is Settled.FENCED
    assert (await picture(one), await picture(other)) == before


async def test_f2_a_late_outcome_beside_the_valid_one_in_one_call_is_refused(
    store: Store,
) -> None:
    (job,) = await put(store, 1.0)
    first = await claim_one(store, start=True)
    assert await settle(store, first, RELEASED) is Settled.APPLIED
    second = await claim_one(store, start=True)
    outcomes = [(*first, Completion("late", 0.1)), (*second, Completion("valid", 0.1))]
    assert await store.settle(outcomes) == [Settled.FENCED, Settled.APPLIED]
    assert (await record(store, job)).attempt == 2
