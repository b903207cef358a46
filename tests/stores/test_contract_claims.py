"""Every store is asked the same questions: who gets which event next, and whose it is."""

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
from lionpride.rules.state_machine import RELEASED, Ending, after_denial, after_interruption
from lionpride.stores.contract import Claim, Settled, Store

S = EventStatus


def labels(claims: list[Claim]) -> list[str]:
    return [event.label for event, _ in claims if isinstance(event, Job)]


# -- P: the order ----------------------------------------------------------------------------------


async def test_p1_a_claim_is_sorted_and_takes_the_first(store: Store) -> None:
    await put(store, 3.0, 1.0, 2.0, 1.0, -5.5, float(2**70))
    assert labels(await claim(store, 4)) == ["4", "1", "3", "2"]
    assert labels(await claim(store, 4)) == ["0", "5"]


@pytest.mark.promise("priority-across-processes")
async def test_p1_an_urgent_event_overtakes_all_that_is_not_claimed(store: Store) -> None:
    await put(store, 5.0, 5.0)
    assert labels(await claim(store)) == ["0"]
    urgent = Job(label="urgent")
    await store.append([(urgent, 1.0)])
    assert labels(await claim(store, 2)) == ["urgent", "1"]


async def test_a_claim_of_none_takes_none(store: Store) -> None:
    await put(store, 1.0)
    before = await picture(store)
    assert await claim(store, 0) == []
    assert await picture(store) == before


RETURNS = {
    "released": lambda: RELEASED,
    "denied": lambda: after_denial(0, 0.0),
    "interrupted": lambda: after_interruption(0),
    "retried at once": lambda: Ending(S.PENDING, tries=1),
}


@pytest.mark.parametrize("how", RETURNS)
@pytest.mark.parametrize("started", [False, True])
async def test_p2_what_comes_back_keeps_its_place_among_its_equals(
    store: Store, how: str, started: bool
) -> None:
    jobs = await put(store, 1.0, 1.0, 1.0)
    number = (await record(store, jobs[0])).number
    one = await claim_one(store, start=started)
    await settle(store, one, RETURNS[how]())
    assert (await record(store, jobs[0])).number == number
    assert labels(await claim(store, 3)) == ["0", "1", "2"]


async def test_p2_a_denied_event_stands_at_its_place_again_when_it_is_due(
    store: Store, clock: Clock
) -> None:
    await put(store, 1.0, 1.0)
    await settle(store, await claim_one(store), after_denial(0, 5.0))
    assert labels(await claim(store, 2)) == ["1"], "it does not hold up those behind it"
    await put(store, 1.0)
    clock.advance(5.0)
    assert labels(await claim(store, 1)) == ["0"]


@pytest.mark.parametrize("status", [S.FAILED, S.CANCELLED, S.ABORTED])
async def test_p2_a_retry_by_hand_keeps_its_place(store: Store, status: EventStatus) -> None:
    await put(store, 1.0, 1.0)
    event, _ = await end(store, status)
    await store.retry([event])
    assert labels(await claim(store, 2)) == ["0", "1"]


# -- F: whose it is --------------------------------------------------------------------------------


@pytest.mark.promise("one-attempt-at-a-time")
async def test_f4_no_event_is_claimed_by_two(store: Store) -> None:
    await put(store, *[1.0] * 5)
    first, _ = await store.claim("one", 3)
    second, _ = await store.claim("two", 3)
    third, wait = await store.claim("three", 3)
    assert labels(first) + labels(second) == ["0", "1", "2", "3", "4"]
    assert (third, wait) == ([], None)


async def test_f4_nor_with_any_of_its_conditions(store: Store) -> None:
    await put(store, 1.0, 1.0)
    await settle(store, await claim_one(store), after_denial(0, 5.0))
    assert len(await claim(store, 9, denied=True, until=await store.last_arrival())) == 2
    assert await claim(store, 9, denied=True, until=await store.last_arrival()) == []
    assert await claim(store, 9, start=True) == []


@pytest.mark.parametrize("start", [False, True])
async def test_f4_an_event_denied_twice_is_claimed_once(
    store: Store, clock: Clock, start: bool
) -> None:
    await put(store, 1.0)
    for denials in (0, 1):
        await settle(store, await claim_one(store), after_denial(denials, 1.0))
        if not denials:
            clock.advance(5.0)
    assert [attempt for _, attempt in await claim(store, 2, denied=True, start=start)] == [3]


@pytest.mark.promise("one-recorded-completion")
async def test_f1_attempts_strictly_increase_whatever_came_between(
    store: Store, clock: Clock
) -> None:
    (job,) = await put(store, 1.0)
    attempts = []
    for outcome in (
        RELEASED,
        after_denial(0, 5.0),
        after_interruption(0),
        Ending(S.PENDING, tries=1, delay=5.0),
        ENDINGS[S.FAILED],
    ):
        event, attempt = await claim_one(store, start=True)
        attempts.append(attempt)
        await settle(store, (event, attempt), outcome)
        clock.advance(5.0)
    await store.retry([job])
    attempts.append((await claim_one(store))[1])
    assert attempts == sorted(set(attempts))
    assert job.execution.attempt == attempts[-1]


async def test_c4_what_is_claimed_counts_as_processing_and_is_shown_so_once_started(
    store: Store,
) -> None:
    (job,) = await put(store, 1.0)
    (event, _) = await claim_one(store)
    assert await listed(store) == {job.id: S.PROCESSING}
    assert job.execution.status is S.PENDING, "it does not run yet"
    assert event is job, "the object that the process holds"
    store.start(event)
    assert job.status is S.PROCESSING
    assert await listed(store) == {job.id: S.PROCESSING}
    await check_counts(store)


async def test_a_claim_may_start_what_it_takes(store: Store) -> None:
    jobs = await put(store, 2.0, 1.0, 1.5)
    await claim(store, 2, start=True)
    assert [job.status for job in jobs] == [S.PENDING, S.PROCESSING, S.PROCESSING]
    await check_counts(store)


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("conditions", [{}, {"denied": True}])
async def test_a_start_ends_a_row_of_denials(
    store: Store, clock: Clock, at_once: bool, conditions: dict[str, bool]
) -> None:
    (job,) = await put(store, 1.0)
    await settle(store, await claim_one(store), after_denial(0, 5.0))
    assert job.execution.denials == 1
    if not conditions:
        clock.advance(5.0)
    ((event, _),) = await claim(store, start=at_once, **conditions)
    if not at_once:
        store.start(event)
    assert job.execution.denials == 0
    assert (await record(store, job)).denials == 0


# -- which events ----------------------------------------------------------------------------------


async def test_until_leaves_what_has_arrived_later(store: Store) -> None:
    await put(store, 2.0, 3.0)
    until = await store.last_arrival()
    await put(store, 1.0)
    assert labels(await claim(store, 9, until=until)) == ["0", "1"]
    assert await claim(store, 9, until=until) == []
    assert labels(await claim(store, 9)) == ["0"], "it is not lost"


async def test_what_is_to_be_skipped_stays_in_its_place(store: Store) -> None:
    jobs = await put(store, 1.0, 1.0, 1.0, 2.0)
    first, third = [(await record(store, jobs[n])).number for n in (0, 2)]
    before = await record(store, jobs[0])
    assert labels(await claim(store, 1, skip={first, third})) == ["1"]
    assert labels(await claim(store, 9, skip={first, third})) == ["3"]
    assert await claim(store, 9, skip={first, third}) == []
    assert await record(store, jobs[0]) == before
    assert labels(await claim(store, 9, skip=set())) == ["0", "2"]


async def test_what_is_to_be_skipped_is_skipped_though_it_was_denied(
    store: Store, clock: Clock
) -> None:
    (job,) = await put(store, 1.0)
    await settle(store, await claim_one(store), after_denial(0, 5.0))
    number = (await record(store, job)).number
    assert await claim(store, 9, denied=True, skip={number}) == []
    assert len(await claim(store, 9, denied=True, skip={number + 1})) == 1
    await settle(store, (job, 2), RELEASED)
    clock.advance(5.0)
    assert await claim(store, 9, skip={number}) == []
    assert len(await claim(store, 9)) == 1, "it is not lost"


async def test_what_waits_out_a_denial_is_claimed_early_on_demand(store: Store) -> None:
    await put(store, 2.0, 1.0)
    await settle(store, await claim_one(store), after_denial(0, 5.0))
    assert labels(await claim(store, 9, until=await store.last_arrival())) == ["0"]
    claims = await claim(store, 9, denied=True)
    assert labels(claims) == ["1"]
    assert claims[0][1] == 2
    store.start(claims[0][0])
    assert claims[0][0].execution.due is None, "it waits no more"


async def test_what_was_claimed_early_and_released_waits_on(store: Store, clock: Clock) -> None:
    (job,) = await put(store, 1.0)
    await settle(store, await claim_one(store), after_denial(0, 5.0))
    clock.advance(2.0)
    (one,) = await claim(store, denied=True)
    await settle(store, one, RELEASED)
    assert await store.claim("worker") == ([], 3.0)
    assert job.execution.denials == 1
    assert len(await claim(store, denied=True)) == 1, "and can be claimed early again"


async def test_denied_and_ready_events_are_claimed_in_one_order(store: Store) -> None:
    await put(store, 3.0, 1.0, 2.0)
    for one in await claim(store, 2):
        await settle(store, one, after_denial(0, 5.0))
    assert labels(await claim(store, 2, denied=True)) == ["1", "2"]
    assert labels(await claim(store, 2, denied=True)) == ["0"]


async def test_until_holds_for_denied_events_too(store: Store, clock: Clock) -> None:
    (early,) = await put(store, 2.0)
    await put(store, 1.0)
    await settle(store, await claim_one(store), after_denial(0, 5.0))
    claims = await claim(store, 9, denied=True, until=(await record(store, early)).number)
    assert [event for event, _ in claims] == [early]
    assert await claim(store, 9) == [], "the denied one still waits"
    clock.advance(5.0)
    assert len(await claim(store, 9)) == 1


async def test_a_delay_that_is_no_denial_is_waited_out_by_all(store: Store, clock: Clock) -> None:
    await put(store, 1.0)
    one = await claim_one(store, start=True)
    await settle(store, one, Ending(S.PENDING, delay=5.0, tries=1))
    assert await claim(store, denied=True) == []
    clock.advance(5.0)
    assert len(await claim(store)) == 1


async def test_an_old_denial_does_not_shorten_the_delay_of_a_retry(
    store: Store, clock: Clock
) -> None:
    await put(store, 1.0)
    await settle(store, await claim_one(store), after_denial(0, 5.0))
    clock.advance(5.0)
    one = await claim_one(store, start=True)
    await settle(store, one, Ending(S.PENDING, delay=50.0, tries=1))
    assert await claim(store, denied=True) == []


async def test_what_has_been_cancelled_or_removed_is_not_claimed(store: Store) -> None:
    jobs = await put(store, 1.0, 2.0, 3.0, 4.0)
    for one in await claim(store, 2):
        await settle(store, one, after_denial(0, 5.0))
    await store.cancel([jobs[0], jobs[2]])
    await store.remove([jobs[1]])
    assert labels(await claim(store, 9, denied=True)) == ["3"]


# -- when to ask again -----------------------------------------------------------------------------


async def test_nothing_waits_so_the_bell_will_say_when_to_ask_again(store: Store) -> None:
    assert await store.claim("worker") == ([], None)
    await bring(store, S.COMPLETED)
    await bring(store, S.PROCESSING)
    assert await store.claim("worker", 5) == ([], None)


async def test_a_claim_says_when_the_next_event_is_due(store: Store, clock: Clock) -> None:
    await put(store, 1.0, 1.0)
    for delay in (8.0, 3.0):
        await settle(store, await claim_one(store), after_denial(0, delay))
    assert await store.claim("worker") == ([], 3.0)
    clock.advance(2.5)
    assert await store.claim("worker") == ([], 0.5)
    clock.advance(0.5)
    claims, wait = await store.claim("worker")
    assert labels(claims) == ["1"], "at that very instant"
    assert wait == 5.0


async def test_more_may_be_claimed_at_once(store: Store) -> None:
    await put(store, 1.0, 1.0)
    _, wait = await store.claim("worker")
    assert wait == 0.0


# -- leases ----------------------------------------------------------------------------------------


async def test_c4_no_lease_leaks_when_all_has_been_settled(store: Store, clock: Clock) -> None:
    await put(store, *[1.0] * 6)
    claims = await claim(store, 6)
    for event, _ in claims[:4]:
        store.start(event)
    ends = [outcome for status, outcome in ENDINGS.items() if status is not S.ABORTED]
    outcomes = [*ends, RELEASED, after_denial(0, 5.0)]
    await store.settle([(*one, outcome) for one, outcome in zip(claims, outcomes, strict=True)])
    assert (await store.counts())[S.PROCESSING] == 0
    clock.advance(60.0)
    assert await store.reap() == 0


async def test_a_sweep_takes_nothing_from_under_a_live_lease(store: Store) -> None:
    await put(store, 1.0, 2.0)
    claims = await claim(store, 2)
    store.start(claims[0][0])
    before = await picture(store)
    assert await store.reap() == 0
    assert await picture(store) == before
    answers = await store.settle([(*one, RELEASED) for one in claims])
    assert answers == [Settled.APPLIED, Settled.APPLIED]
