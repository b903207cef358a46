"""Every store is asked the same questions: what becomes of a claim whose cancel was answered.

``cancel`` of a claimed event answers CLAIMED. From then on the event may finish, and never
returns to PENDING.
"""

from typing import Any

import pytest
from rules.kit import Call
from stores.asking import (
    ENDINGS,
    bring,
    check_counts,
    claim,
    claim_one,
    listed,
    picture,
    put,
    record,
    settle,
)
from stores.makers import Clock, Job, beside

from lionpride.errors import EventCancelledError, ExecutionError, RateLimited
from lionpride.model.attempts import Attempt
from lionpride.model.execution import EventStatus
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.state_machine import (
    RELEASED,
    Completion,
    Ending,
    Pause,
    after_denial,
    after_interruption,
)
from lionpride.stores.contract import Cancelled, Claim, Settled, Store
from lionpride.stores.listeners import Signal
from lionpride.stores.memory import MemoryStore
from lionpride.stores.terms import Terms

S = EventStatus

ERROR = ExecutionError("no luck")
ATTEMPT = Attempt(1, 900.0, 0.1, "ExecutionError: no luck")
BUSY = RateLimited("too many", retry_after=5.0)

BACK: dict[str, Ending] = {
    "retry": Ending(S.PENDING, error=ERROR, duration=0.1, delay=5.0, tries=1, attempt=ATTEMPT),
    "rate limited": Ending(S.PENDING, error=BUSY, duration=0.1, delay=5.0, pause=Pause(None, 5.0)),
    "denied": after_denial(0, 5.0),
    "deferred": Ending(S.PENDING, delay=5.0),
    "released": RELEASED,
    "interrupted": after_interruption(0),
}
"""Each outcome after which an event returns to PENDING."""

STARTED = {
    name: [True] if name in ("retry", "rate limited") else [False, True] for name in BACK
} | {"denied": [False]}

back = pytest.mark.parametrize(
    ("way", "started"), [(way, each) for way in BACK for each in STARTED[way]]
)


def another_process(store: Store, clock: Clock, opened: list[Store]) -> Store:
    """A second store over the same database, as another process has it."""
    if not store.is_shared:
        pytest.skip("only one process can use the store")
    return beside(store, clock, opened)


async def claimed_and_cancelled(store: Store, *, started: bool = True) -> Claim:
    job = await bring(store, S.PROCESSING, started=started)
    assert await store.cancel([job]) == [Cancelled.CLAIMED]
    return job, 1


async def is_over(store: Store, clock: Clock) -> bool:
    """Whether nothing of the store can be claimed any more, however long one waits."""
    clock.advance(3600.0)
    return await claim(store, 9, denied=True) == []


# -- settled ---------------------------------------------------------------------------------------


@pytest.mark.promise("answered-cancel-is-final")
@back
async def test_an_event_whose_cancel_was_answered_does_not_return_to_pending(
    store: Store, clock: Clock, way: str, started: bool
) -> None:
    one = await claimed_and_cancelled(store, started=started)
    job = one[0]
    assert await settle(store, one, BACK[way]) is Settled.CANCELLED
    assert job.status is S.CANCELLED
    assert isinstance(job.execution.error, EventCancelledError)
    assert job.execution.retryable
    assert job.execution.due is None
    assert await listed(store) == {job.id: S.CANCELLED}
    await check_counts(store)
    assert await is_over(store, clock)


@back
async def test_the_counters_say_what_the_attempt_came_to(
    store: Store, way: str, started: bool
) -> None:
    one = await claimed_and_cancelled(store, started=started)
    await settle(store, one, BACK[way])
    job, found, outcome = one[0], await record(store, one[0]), BACK[way]
    for name in ("tries", "denials", "interruptions"):
        wanted = getattr(outcome, name)
        assert (getattr(job.execution, name), getattr(found, name)) == (wanted, wanted)
    assert list(job.execution.attempts) == ([ATTEMPT] if way == "retry" else [])


@back
async def test_a_repeat_of_such_a_settlement_is_replayed(
    store: Store, way: str, started: bool
) -> None:
    one = await claimed_and_cancelled(store, started=started)
    await settle(store, one, BACK[way])
    before = await picture(store)
    assert await settle(store, one, BACK[way]) is Settled.REPLAYED
    assert await picture(store) == before
    assert await settle(store, one, ENDINGS[S.COMPLETED]) is Settled.FENCED
    assert await picture(store) == before


@pytest.mark.parametrize("status", [each for each in ENDINGS if each is not S.ABORTED])
async def test_a_final_outcome_that_was_reached_first_stands(
    store: Store, status: EventStatus
) -> None:
    one = await claimed_and_cancelled(store)
    assert await settle(store, one, ENDINGS[status]) is Settled.APPLIED
    assert await listed(store) == {one[0].id: status}
    assert one[0].execution.error == ENDINGS[status].error


async def test_the_denial_that_aborts_stands(store: Store) -> None:
    one = await claimed_and_cancelled(store, started=False)
    assert await settle(store, one, ENDINGS[S.ABORTED]) is Settled.APPLIED
    assert await listed(store) == {one[0].id: S.ABORTED}


async def test_settlements_of_one_batch_are_answered_one_by_one(store: Store) -> None:
    jobs = await put(store, *[float(n) for n in range(5)])
    claims = await claim(store, 5, start=True)
    await store.cancel([jobs[1], jobs[3]])
    outcomes = (BACK["retry"], BACK["retry"], ENDINGS[S.FAILED], ENDINGS[S.COMPLETED], RELEASED)
    answers = await store.settle(
        [(*one, outcome) for one, outcome in zip(claims, outcomes, strict=True)]
    )
    applied = Settled.APPLIED
    assert answers == [applied, Settled.CANCELLED, applied, applied, applied]
    wanted = [S.PENDING, S.CANCELLED, S.FAILED, S.COMPLETED, S.PENDING]
    assert [job.status for job in jobs] == wanted
    assert list((await listed(store)).values()).count(S.PENDING) == 2
    await check_counts(store)


# -- by another process ----------------------------------------------------------------------------


@back
async def test_a_cancel_that_another_process_was_answered_is_kept(
    store: Store, clock: Clock, opened: list[Store], way: str, started: bool
) -> None:
    other = another_process(store, clock, opened)
    job = await bring(store, S.PROCESSING, started=started)
    assert await other.cancel([job.id]) == [Cancelled.CLAIMED]
    assert await settle(store, (job, 1), BACK[way]) is Settled.CANCELLED
    assert job.status is S.CANCELLED
    for each in (store, other):
        assert await listed(each) == {job.id: S.CANCELLED}
        await check_counts(each)
    seen = await other.find(job.id)
    assert seen is not None
    assert isinstance(seen.execution.error, EventCancelledError)
    assert await is_over(other, clock)


@pytest.mark.parametrize("started", [False, True])
async def test_a_lapsed_lease_with_a_cancel_ends_the_event(
    store: Store, clock: Clock, opened: list[Store], started: bool
) -> None:
    other = another_process(store, clock, opened)
    kept, job = await put(store, 1.0, 2.0)
    for _ in range(2):
        await claim(store, start=started)
    assert await other.cancel([job.id]) == [Cancelled.CLAIMED]
    clock.advance(11.0)
    assert await other.reap() == 2
    assert await listed(other) == {kept.id: S.PENDING, job.id: S.CANCELLED}
    await check_counts(other)
    found = await record(other, job)
    assert (found.interruptions, found.attempt) == (1, 1)
    seen = await other.find(job.id)
    assert seen is not None
    assert isinstance(seen.execution.error, EventCancelledError)
    assert await settle(store, (job, 1), ENDINGS[S.FAILED]) is Settled.FENCED
    assert job.status is S.CANCELLED, "the process that had it shows what is on record"
    assert [event.id for event, _ in await claim(other, 9)] == [kept.id]


async def test_a_lapsed_lease_of_this_process_ends_the_event_too(
    store: Store, clock: Clock, opened: list[Store]
) -> None:
    another_process(store, clock, opened)
    (job,) = await put(store, 1.0)
    await claim(store, start=True)
    await store.cancel([job])
    clock.advance(11.0)
    heard: list[Any] = []
    store.subscribe(Signal.FINISHED, lambda: heard.append(job), event=job, once=True)
    assert await store.reap() == 1
    assert heard, "a caller that waits for the result is told"
    assert job.status is S.CANCELLED
    await check_counts(store)


async def test_a_late_settlement_of_the_attempt_that_was_reaped_is_a_repeat(
    store: Store, clock: Clock, opened: list[Store]
) -> None:
    other = another_process(store, clock, opened)
    (job,) = await put(store, 1.0)
    one = (await claim(store, start=True))[0]
    await other.cancel([job.id])
    clock.advance(11.0)
    assert await other.reap() == 1
    assert await settle(store, one, BACK["retry"]) is Settled.REPLAYED
    assert job.status is S.CANCELLED


# -- what belongs to it ----------------------------------------------------------------------------


@pytest.mark.parametrize("way", BACK)
async def test_a_retry_by_hand_starts_without_the_request(
    store: Store, clock: Clock, way: str
) -> None:
    one = await claimed_and_cancelled(store, started=STARTED[way][0])
    await settle(store, one, BACK[way])
    await store.retry([one[0]])
    clock.advance(60.0)
    again = await claim_one(store, start=STARTED[way][0])
    assert again == (one[0], 2)
    assert await settle(store, again, BACK[way]) is Settled.APPLIED
    assert await listed(store) == {one[0].id: S.PENDING}
    clock.advance(60.0)
    last = await claim_one(store, start=True)
    assert await settle(store, last, Completion("done", 0.1)) is Settled.APPLIED


async def test_the_request_ends_with_its_claim_whatever_came_of_it(store: Store) -> None:
    one = await claimed_and_cancelled(store)
    await settle(store, one, ENDINGS[S.FAILED])
    await store.retry([one[0]])
    again = await claim_one(store, start=True)
    assert await settle(store, again, RELEASED) is Settled.APPLIED


async def test_a_caller_that_waits_for_the_result_is_told(store: Store) -> None:
    one = await claimed_and_cancelled(store)
    heard: list[str] = []
    store.subscribe(Signal.FINISHED, lambda: heard.append("ended"), event=one[0], once=True)
    store.subscribe(Signal.IDLE, lambda: heard.append("idle"), once=True)
    await settle(store, one, BACK["retry"])
    assert sorted(heard) == ["ended", "idle"]


@pytest.mark.parametrize("way", BACK)
async def test_what_the_claim_had_reserved_of_limits_is_given_back(
    store: Store, clock: Clock, way: str
) -> None:
    limits = Limits([Limit("tokens", 100, None)])
    first, second = Call(tokens=80), Call(tokens=90)
    await store.append([(first, 1.0), (second, 2.0)])
    start = STARTED[way][0]
    claims, _ = await store.claim("worker", 9, limits=limits, start=start)
    assert claims == [(first, 1)]
    await store.cancel([first])
    assert await settle(store, claims[0], BACK[way]) is Settled.CANCELLED
    clock.advance(10.0)
    claims, _ = await store.claim("worker", 9, limits=limits, start=True)
    assert claims == [(second, 1)]


async def test_what_a_service_asked_for_holds_though_the_event_is_cancelled(
    store: Store, clock: Clock
) -> None:
    one = await claimed_and_cancelled(store)
    (other,) = await put(store, 1.0)
    await settle(store, one, BACK["rate limited"])
    assert await claim(store) == [], "the queue is paused for 5 s"
    clock.advance(5.0)
    assert await claim(store) == [(other, 1)]


async def test_a_unique_value_is_free_again(store: Store, clock: Clock) -> None:
    terms = Terms(unique=("report", clock.now), period=0.0)
    first, second = Job(label="first"), Job(label="second")
    await store.append([(first, 1.0)], terms=terms)
    one = await claim_one(store, start=True)
    await store.cancel([first])
    await settle(store, one, BACK["retry"])
    assert await store.append([(second, 1.0)], terms=terms) == [second]


async def test_it_can_be_pruned_and_removed_like_any_finished_event(store: Store) -> None:
    for going in ("prune", "remove"):
        one = await claimed_and_cancelled(store)
        await settle(store, one, BACK["retry"])
        if going == "prune":
            assert await store.prune([S.CANCELLED]) == [one[0]]
        else:
            await store.remove([one[0]])
        assert await listed(store) == {}
        await check_counts(store)


async def test_it_says_of_itself_that_it_has_ended(store: Store) -> None:
    one = await claimed_and_cancelled(store)
    await settle(store, one, BACK["retry"])
    standing = await store.explain(one[0].id)
    assert standing is not None
    assert standing.status is S.CANCELLED
    assert standing.due is None


# -- the immediate path of the store in memory -----------------------------------------------------


@pytest.mark.parametrize("limits", [None, Limits([Limit("requests", 100, None)])])
async def test_a_completion_by_the_immediate_path_ends_the_request(limits: Limits | None) -> None:
    store = MemoryStore()
    jobs = await put(store, *[float(n) for n in range(5)])
    while (started := store.claim_now(limits)) is not None:
        await store.cancel([started[0]])
        assert store.complete_now(*started[:2], "done", 0.1) is Settled.APPLIED
    assert [job.status for job in jobs] == [S.COMPLETED] * 5
    assert not store._cancelling, "nothing is kept of finished events"
