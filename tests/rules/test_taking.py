"""Taking of two accounts at once: in one frame what is usual, and to the unit whatever is not."""

from collections.abc import Callable, Mapping
from math import fsum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules.kit import Call

from lionpride.model.event_data import EventData
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.limits.taking import Pair, take_all


class Desk:
    """Takes as a store does: as usual if it can, else account by account."""

    def __init__(self, *limits: Limit) -> None:
        self.limits = Limits(limits)
        assert self.limits.pair is not None
        self.pair: Pair = self.limits.pair
        self.quick = 0

    def take(self, event: EventData, now: float) -> bool:
        if self.pair.take(event, now) is not None:
            self.quick += 1
            return True
        return take_all(self.limits.asked(event)[1], now) is not None

    def used(self, now: float) -> list[float]:
        return [limit.account(None).used(now) for limit in self.limits.values()]


def desk(requests: float = 5, tokens: float = 100) -> Desk:
    return Desk(Limit("requests", requests, per=10), Limit("tokens", tokens, per=60))


def crowded() -> tuple[Desk, float]:
    """A desk where there are so many that they share their instants; and the time."""
    here, now = desk(10**6, 10**6), 1_000.0
    for _ in range(300):
        now += 1e-6
        assert here.take(Call(tokens=0), now)
    return here, now


# -- what is usual ---------------------------------------------------------------------------------


def test_at_one_instant_all_but_the_first_are_quick() -> None:
    here = desk()
    assert [here.take(Call(tokens=10), 50.0) for _ in range(6)] == [True] * 5 + [False]
    assert here.quick == 3, "its class is not known at first, and the last unit takes a closer look"
    assert here.used(50.0) == [5, 50]


def test_in_a_crowd_nearly_all_are_quick() -> None:
    here, now = crowded()
    before = here.quick
    for _ in range(1_000):
        now += 1e-6
        assert here.take(Call(tokens=7), now)
    assert here.quick - before == 1_000
    assert here.used(now) == [1_300, 7_000]


def test_of_one_limit_alone_too() -> None:
    here = Desk(Limit("tokens", 100, per=60))
    assert [here.take(Call(tokens=30), 50.0) for _ in range(4)] == [True, True, True, False]
    assert here.quick == 2
    assert here.used(50.0) == [90]


def test_who_says_nothing_costs_one_request() -> None:
    here = desk()
    assert [here.take(EventData(), 50.0) for _ in range(6)] == [True] * 5 + [False]
    assert here.quick == 3
    assert here.used(50.0) == [5, 0]


class Odd(EventData):
    told: Any = None

    @property
    def costs(self) -> Mapping[str, float]:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told  # type: ignore[no-any-return]


def test_what_is_not_named_costs_nothing() -> None:
    here = desk()
    for told in ({"tokens": 5}, {"requests": 2}, {}, {"tokens": 5.5, "dollars": 9}):
        assert here.take(Odd(told=told), 50.0)
    assert here.used(50.0) == [2, 10.5]


@pytest.mark.parametrize(
    "told",
    [
        {"requests": -1, "tokens": 1},
        {"requests": 1, "tokens": float("nan")},
        {"requests": 1, "tokens": float("inf")},
        {"requests": 1, "tokens": "5"},
        {"requests": None, "tokens": 5},
        ["requests", "tokens"],
        None,
        KeyError("requests"),
        RuntimeError("no"),
    ],
)
def test_what_makes_no_sense_takes_nothing(told: Any) -> None:
    here = desk()
    assert here.take(Call(tokens=3), 50.0)
    assert here.take(Call(tokens=3), 50.0)
    assert here.pair.take(Odd(told={"requests": 1, "tokens": 1}), 50.0) is None, "not known yet"
    here.limits.asked(Odd(told={}))
    assert here.pair.take(Odd(told=told), 50.0) is None
    assert not here.pair.allows(Odd(told=told))
    assert here.used(50.0) == [2, 6]
    assert here.pair.take(Odd(told={"requests": 1, "tokens": 1}), 50.0) == (1, 1), "as before"


def test_limits_by_key_or_of_what_runs_at_once_are_no_pair_nor_are_three() -> None:
    rate = Limit("a", 1, per=1)
    for others in ([Limit("b", 1)], [Limit("b", 1, per=1, per_key=True)]):
        assert Limits([rate, *others]).pair is None
    assert Limits([rate, Limit("b", 1, per=1), Limit("c", 1, per=1)]).pair is None
    assert Limits([]).pair is None


# -- what comes between ----------------------------------------------------------------------------


def pause(limit: Limit, now: float) -> None:
    limit.account(None).pause(now + 5.0)


def lower(limit: Limit, now: float) -> None:
    limit.amount = limit.account(None).used(now)


def hold(limit: Limit, now: float) -> None:
    account = limit.account(None)
    account.hold(limit.amount - account.used(now))


def owe(limit: Limit, now: float) -> None:
    account = limit.account(None)
    account.stamp(limit.amount - account.used(now), now)


@pytest.mark.parametrize("name", ["requests", "tokens"])
@pytest.mark.parametrize("happens", [pause, lower, hold, owe])
def test_what_is_changed_holds_at_once(happens: Callable[[Limit, float], None], name: str) -> None:
    here, now = crowded()
    assert here.pair.take(Call(tokens=1), now) is not None
    happens(here.limits[name], now)
    before = here.used(now)
    assert not here.take(Call(tokens=1), now)
    assert here.used(now) == before, "nothing of the other was kept"


def test_another_loops_time_begins_anew() -> None:
    here, now = crowded()
    assert here.take(Call(tokens=1), now - 500.0)
    assert here.used(now - 500.0) == [1, 1]


def test_another_processors_take_counts() -> None:
    shared = Limit("requests", 5, per=10), Limit("tokens", 100, per=60)
    one, other = Desk(*shared), Desk(*shared)
    takes = [each.take(Call(tokens=1), 50.0) for _ in range(3) for each in (one, other)]
    assert takes == [True] * 5 + [False]
    assert one.used(50.0) == [5, 5]


step = st.one_of(
    st.tuples(st.just("take"), st.integers(0, 6)),
    st.tuples(st.just("take"), st.floats(0, 6)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 1e-5, 1e-4, 0.1, 0.3, 1.0])),
    st.tuples(st.just("hold"), st.integers(0, 3)),
    st.tuples(st.just("let go"), st.just(0)),
    st.tuples(st.just("back"), st.floats(0, 1)),
    st.tuples(st.just("pause"), st.sampled_from([1e-5, 0.2])),
    st.tuples(st.just("amount"), st.integers(3, 12)),
)


@given(st.lists(step, max_size=80), st.sampled_from([1.0, 0.7]), st.booleans())
def test_c3_no_span_sees_more_than_the_limit(
    steps: list[tuple[str, Any]], per: float, is_crowd: bool
) -> None:
    here = Desk(Limit("requests", 300 + 8, per=per), Limit("tokens", 10, per=per))
    tokens, now, paused, held = here.limits["tokens"], 1_000.0, 0.0, 0.0
    account = tokens.account(None)
    for number in range(300 if is_crowd else 0):
        assert here.take(Call(tokens=0), now + number * 1e-9)
    now += 1e-6
    granted: list[list[float]] = []
    for what, much in steps:
        if what == "wait":
            now += much
        elif what == "pause":
            account.pause(now + much)
            paused = max(paused, now + much)
        elif what == "amount":
            tokens.amount = much
        elif what == "hold":
            account.hold(much)
            held += much
        elif what == "let go":
            account.release(held)
            held = 0.0
        elif what == "back" and granted:
            one = granted[-1]
            bill = 1, one[1]
            if one[2] == now and account.open[0] >= now:  # as `spend` does, at the same instant
                account.return_to(account.open, bill[1] * much)
                one[1] -= bill[1] * much
        elif what == "take" and here.take(Call(tokens=0) if not much else _costing(much), now):
            granted.append([now, much, now])
            assert not much or now >= paused
            seen = fsum(n for at, n, _ in granted if fsum((at, per, -now)) > 0)
            assert not much or seen + held <= tokens.amount + 1e-9


def _costing(tokens: float) -> EventData:
    return Odd(told={"requests": 1, "tokens": tokens})
