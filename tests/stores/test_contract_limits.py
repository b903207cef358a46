"""Every store is asked the same questions: what a claim under limits takes, and gives back."""

from collections.abc import Callable, Mapping
from math import fsum
from random import Random
from typing import Any

import pytest
from pydantic import Field
from rules.kit import Call
from stores.asking import check_counts, put, record, settle
from stores.makers import Clock, Job

from lionpride.errors import ConfigurationError, RateLimited
from lionpride.model.event_data import EventData
from lionpride.model.execution import EventStatus
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.limits.meter import refusal_of
from lionpride.rules.state_machine import RELEASED, Completion, after_error
from lionpride.stores.contract import Claim, Settled, Store
from lionpride.stores.listeners import Signal

S = EventStatus


async def calls(store: Store, *tokens: float, tenant: str | None = None) -> list[Call]:
    events = [Call(tokens=each, tenant=tenant) for each in tokens]
    await store.append([(event, 1.0) for event in events])
    return events


async def claim(store: Store, limits: Limits, n: int = 99, **how: Any) -> list[Claim]:
    claims, _ = await store.claim("worker", n, limits=limits, **{"start": True, **how})
    return claims


def amounts(claims: list[Claim]) -> list[float]:
    return [event.tokens for event, _ in claims if isinstance(event, Call)]


def tokens(amount: float = 100, per: float | None = 6.0, **how: Any) -> Limits:
    return Limits([Limit("tokens", amount, per, **how)])


DONE = Completion("done", 0.5)


async def test_all_is_reserved_or_nothing(store: Store, clock: Clock) -> None:
    limits = Limits([Limit("requests", 3, per=1), Limit("tokens", 100, per=6)])
    await calls(store, 50, 60, 40, 10)
    claims, wait = await store.claim("worker", 99, limits=limits, start=True)
    assert amounts(claims) == [50, 40, 10]
    assert wait == pytest.approx(6.0)
    clock.advance(5.9)
    assert await claim(store, limits) == []
    clock.advance(0.1)
    assert amounts(await claim(store, limits)) == [60]


async def test_an_event_that_says_nothing_costs_one_request(store: Store) -> None:
    await put(store, 1.0, 1.0, 1.0)
    assert len(await claim(store, Limits([Limit("requests", 2, per=10)]))) == 2


@pytest.mark.parametrize("order", ["priority", "arrival"])
async def test_p1_the_first_is_asked_first(store: Store, order: str) -> None:
    small, large = Call(tokens=30), Call(tokens=80)
    urgent = 0.0 if order == "priority" else 1.0
    entries = [(small, 1.0), (large, urgent)]
    await store.append(entries if order == "priority" else entries[::-1])
    assert amounts(await claim(store, tokens())) == [80]


async def test_what_never_started_is_given_back(store: Store) -> None:
    limits = Limits([Limit("tokens", 100, per=6), Limit("slots", 1)])
    await calls(store, 100)
    for _ in range(3):
        (one,) = await claim(store, limits, start=False)
        assert await claim(store, limits) == []
        assert await settle(store, one, RELEASED) is Settled.APPLIED
    (one,) = await claim(store, limits, start=False)
    store.start(one[0])
    assert await settle(store, one, RELEASED) is Settled.APPLIED
    assert await claim(store, limits) == [], "it has started"


async def test_a_start_leaves_the_window_by_its_own_time(store: Store, clock: Clock) -> None:
    limits = tokens()
    await calls(store, 100, 100)
    (one,) = await claim(store, limits, start=False)
    clock.advance(7.0)
    store.start(one[0])
    clock.advance(5.5)
    assert await claim(store, limits) == []
    clock.advance(0.5)
    assert amounts(await claim(store, limits)) == [100]


@pytest.mark.parametrize("start", [False, True])
async def test_c4_what_counts_at_once_is_free_when_its_claim_is_settled(
    store: Store, start: bool
) -> None:
    limits = tokens(100, None)
    await calls(store, 60, 60, 40)
    (first,) = await claim(store, limits, start=start)  # 40 might delay the second
    if not start:
        store.start(first[0])
    assert await settle(store, first, DONE) is Settled.APPLIED
    assert amounts(await claim(store, limits, start=start)) == [60, 40]


async def test_each_key_has_its_own(store: Store) -> None:
    limits = Limits([Limit("tenant", 2, per_key=True)])
    for tenant, many in (("a", 4), ("b", 1), (None, 3)):
        await calls(store, *[1] * many, tenant=tenant)
    claims = await claim(store, limits)
    assert [event.key for event, _ in claims] == ["a", "a", "b", None, None, None]
    assert await settle(store, claims[0], DONE) is Settled.APPLIED
    assert [event.key for event, _ in await claim(store, limits)] == ["a"]


async def test_what_can_never_start_is_claimed_with_its_refusal(store: Store) -> None:
    limits = tokens(100)
    await calls(store, 101, 100)
    refused, fine = await claim(store, limits)
    assert "101" in str(refusal_of(refused[0]))
    assert refusal_of(fine[0]) is None


# -- the true cost ---------------------------------------------------------------------------------


async def test_a_refund_can_be_had_at_once(store: Store) -> None:
    limits = tokens()
    await calls(store, 90, 60, 30, 30)
    (one,) = await claim(store, limits)
    one[0].spend(tokens=20)
    assert amounts(await claim(store, limits)) == [60]
    one[0].spend(tokens=10)
    one[0].spend(tokens=0)
    assert amounts(await claim(store, limits)) == [30]
    assert await settle(store, one, DONE) is Settled.APPLIED
    assert await claim(store, limits) == []


async def test_a_debt_is_paid_by_those_who_come_later(store: Store, clock: Clock) -> None:
    limits = tokens()
    await calls(store, 10, 100)
    (one,) = await claim(store, limits, 1)
    clock.advance(3.0)
    one[0].spend(tokens=150)
    clock.advance(5.5)
    assert await claim(store, limits) == []
    clock.advance(0.5)
    assert amounts(await claim(store, limits)) == [100]


async def test_a_refund_after_the_window_mints_nothing(store: Store, clock: Clock) -> None:
    limits = tokens()
    await calls(store, 100, 60, 60)
    (one,) = await claim(store, limits)
    clock.advance(6.0)
    assert amounts(await claim(store, limits)) == [60]
    one[0].spend(tokens=0)
    assert await claim(store, limits) == []


async def test_f2_who_has_lost_its_claim_changes_nothing(store: Store) -> None:
    limits = tokens()
    await calls(store, 80, 80)
    (one,) = await claim(store, limits)
    assert await settle(store, one, DONE) is Settled.APPLIED
    assert await settle(store, one, DONE) is Settled.REPLAYED
    assert await settle(store, one, RELEASED) is Settled.FENCED
    assert await claim(store, limits) == []


# -- too many --------------------------------------------------------------------------------------


async def too_many(store: Store, one: Claim, limit: str | None) -> None:
    error = RateLimited(retry_after=8.0, limit=limit)
    assert await settle(store, one, after_error(one[0], error, None, False)) is Settled.APPLIED


async def test_too_many_pauses_the_limit_that_is_named(store: Store, clock: Clock) -> None:
    limits = Limits([Limit("tokens", 100, per=1), Limit("requests", 100, per=1)])
    events = await calls(store, 1, 2, 0)
    (one,) = await claim(store, limits, 1)
    await too_many(store, one, "tokens")
    claims, wait = await store.claim("worker", 99, limits=limits, start=True)
    assert amounts(claims) == [0]
    assert wait == pytest.approx(8.0)
    found = await record(store, events[0])
    assert (found.status, found.tries, found.attempt) == (S.PENDING, 0, 1)
    clock.advance(8.0)
    assert amounts(await claim(store, limits)) == [1, 2]


@pytest.mark.parametrize("name", [None, "nothing"])
@pytest.mark.parametrize("limited", [False, True])
async def test_too_many_pauses_the_queue(
    store: Store, clock: Clock, name: str | None, limited: bool
) -> None:
    how: dict[str, Any] = {"limits": tokens()} if limited else {}
    await calls(store, 1, 2)
    (one,), _ = await store.claim("worker", 1, start=True, **how)
    await too_many(store, one, name)
    await calls(store, 3)
    claims, wait = await store.claim("worker", 99, start=True, **how)
    assert (claims, wait) == ([], pytest.approx(8.0))
    clock.advance(7.0)
    assert (await store.claim("worker", 99, denied=True, **how))[0] == []
    clock.advance(1.0)
    assert amounts((await store.claim("worker", 99, start=True, **how))[0]) == [1, 2, 3]


# -- who waits, and how long -----------------------------------------------------------------------


class Costly(EventData):
    """Costs what its bill says."""

    bill: Mapping[str, float] = Field(default_factory=dict)

    @property
    def costs(self) -> Mapping[str, float]:
        return self.bill


async def costly(store: Store, **bill: float) -> EventData:
    (event,) = await store.append([(Costly(bill={"slots": 0, **bill}), 1.0)])
    return event


async def claimed_and_done(store: Store, limits: Limits, n: int = 99) -> list[Claim]:
    claims = await claim(store, limits, n)
    for one in claims:
        assert await settle(store, one, DONE) is Settled.APPLIED
    return claims


@pytest.mark.parametrize("first", ["a", "b", "c"])
async def test_a_claim_is_told_when_the_first_of_all_that_wait_may_start(
    store: Store, first: str
) -> None:
    limits = Limits([Limit(name, 1, per) for name, per in (("a", 5.0), ("b", 3.0), ("c", 9.0))])
    names = [first, *(name for name in "abc" if name != first)]
    for name in names * 2:
        await costly(store, **{name: 1})
    claims, wait = await store.claim("worker", 99, limits=limits, start=True)
    assert (len(claims), wait) == (3, pytest.approx(3.0))


async def test_a_claim_that_is_cut_off_is_told_that_there_is_more(store: Store) -> None:
    limits = tokens(100, 6.0)
    await calls(store, 10, 10, 10)
    waits = [(await store.claim("worker", 1, limits=limits, start=True))[1] for _ in range(3)]
    assert waits == [0.0, 0.0, None]


async def test_a_worker_that_nothing_may_start_for_does_not_spin(store: Store) -> None:
    """However many wait for a limit, a claim soon answers a time to wait for, and the right one."""
    limits = Limits([Limit("tokens", 10, 6.0), Limit("requests", 10_000, 6.0)])
    await calls(store, 10, *[10] * 1_000)
    assert len(await claim(store, limits)) == 1
    waits = []
    while not waits or (waits[-1] == 0.0 and len(waits) < 20):
        claims, wait = await store.claim("worker", 99, limits=limits, start=True)
        assert claims == []
        waits.append(wait)
    assert waits[-1] == pytest.approx(6.0)


@pytest.mark.parametrize("many", [1, 2])
async def test_p1_those_that_were_passed_over_wait_on(
    store: Store, clock: Clock, many: int
) -> None:
    """Those that a claim cannot start are neither leased nor lost."""
    limits = Limits([Limit("tokens", 10, 6.0), Limit("requests", 100, 6.0)])
    events = await calls(store, 10, 10, 0, 10, 0)
    assert amounts(await claimed_and_done(store, limits, 1)) == [10]
    assert amounts(await claimed_and_done(store, limits, many)) == [0, 0][:many]
    assert amounts(await claimed_and_done(store, limits)) == [0, 0][many:]
    await check_counts(store)
    assert [(await record(store, event)).status for event in events[1:4:2]] == [S.PENDING] * 2
    for _ in range(2):
        clock.advance(6.0)
        assert amounts(await claimed_and_done(store, limits)) == [10]
    await check_counts(store)


async def test_what_waits_for_another_to_end_is_not_delayed_by_those_behind_it(
    store: Store,
) -> None:
    """Its slot may be free at any time: then its tokens have to be there."""
    limits = Limits([Limit("slots", 1), Limit("tokens", 100, 10.0)])
    await costly(store, slots=1, tokens=15)
    (running,) = await claim(store, limits)
    large = await costly(store, slots=1, tokens=80)
    for amount in (10, 5, 5):
        await costly(store, tokens=amount)
    (small,) = await claim(store, limits)
    assert small[0].costs["tokens"] == 5, "15 + 80 + 5 are all there is"
    assert await settle(store, running, DONE) is Settled.APPLIED
    assert [event for event, _ in await claim(store, limits)] == [large]


async def test_what_is_taken_now_is_taken_of_what_the_first_leaves(
    store: Store, clock: Clock
) -> None:
    """Several that fit beside it one by one do not fit together. The second is not guarded."""
    limits = tokens(100, 10.0)
    await calls(store, 60)
    assert amounts(await claim(store, limits)) == [60]
    clock.advance(5.0)
    await calls(store, 70, 95, 20, 20, 10, 1)
    assert amounts(await claim(store, limits)) == [20, 10]
    clock.advance(5.0)
    assert amounts(await claim(store, limits)) == [70]


async def test_p1_an_urgent_event_may_delay_a_large_one_that_waits(
    store: Store, clock: Clock
) -> None:
    limits = tokens(100, 10.0)
    await calls(store, 60)
    assert amounts(await claim(store, limits)) == [60]
    clock.advance(5.0)
    await calls(store, 70, 40)
    assert amounts(await claim(store, limits)) == []
    await store.append([(Call(tokens=40), 0.0)])
    ((urgent, _),) = await claim(store, limits)
    assert urgent.execution.priority == 0.0


# -- changed while it runs -------------------------------------------------------------------------


async def test_a_change_holds_for_what_starts_from_then_on_and_rings(store: Store) -> None:
    limits, rung = tokens(), []
    await calls(store, 90, 90)
    await claim(store, limits)
    assert await claim(store, limits) == []
    store.subscribe(Signal.READY, lambda: rung.append(1), once=True)
    limits["tokens"].amount = 180
    assert rung
    assert amounts(await claim(store, limits)) == [90]


async def test_limits_of_one_pool_count_together(store: Store) -> None:
    await calls(store, 60, 60, 60)
    assert amounts(await claim(store, tokens())) == [60]
    assert amounts(await claim(store, tokens())) == []
    assert amounts(await claim(store, tokens(pool="other"))) == [60]
    if not store.is_shared:
        with pytest.raises(ConfigurationError, match="pool"):
            await claim(store, tokens(99))


# -- C3: exact, whatever happens -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
async def test_c3_no_span_sees_more_than_the_limit(
    make: Callable[[], Store], clock: Clock, seed: int
) -> None:
    store, rng = make(), Random(seed)
    limits = Limits([Limit("tokens", 20, per=5.0), Limit("requests", 6, per=2.0)])
    taken: dict[str, list[tuple[float, float]]] = {"tokens": [], "requests": []}
    running: list[Claim] = []
    for _ in range(120):
        deed = rng.random()
        if deed < 0.3:
            await calls(store, *[rng.randint(0, 8) for _ in range(rng.randint(1, 3))])
        elif deed < 0.65:
            start = rng.random() < 0.7
            for one in await claim(store, limits, rng.randint(1, 4), start=start):
                if not start and rng.random() < 0.4:
                    await settle(store, one, RELEASED)
                    continue
                if not start:
                    store.start(one[0])
                running.append(one)
                taken["tokens"].append((clock.now, one[0].tokens))  # type: ignore[attr-defined]
                taken["requests"].append((clock.now, 1))
        elif deed < 0.85:
            clock.advance(rng.choice((0.1, 0.5, 1.0, 2.5)))
        elif running:
            one = running.pop(rng.randrange(len(running)))
            await settle(store, one, rng.choice((DONE, RELEASED)))
    for name, per, most in (("tokens", 5.0, 20), ("requests", 2.0, 6)):
        assert len(taken[name]) > 5
        for end, _ in taken[name]:
            seen = [n for at, n in taken[name] if at <= end and fsum((at, per, -end)) > 0]
            assert sum(seen) <= most, f"{name} in {per} s until {end}"


async def test_costs_and_key_are_on_record(store: Store) -> None:
    events: list[EventData] = [Call(tokens=5, tenant="a"), Job()]
    await store.append([(event, 1.0) for event in events])
    own, usual = await store.get([event.id for event in events])
    assert own is not None
    assert usual is not None
    assert (own.key, own.costs) == ("a", {"requests": 1, "tokens": 5})
    assert (usual.key, usual.costs) == (None, {})
