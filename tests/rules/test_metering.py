"""Metering: what an event takes of the limits, and gives back, from its claim to its end."""

from collections.abc import Mapping
from typing import Any

import pytest

from lionpride.errors import ConfigurationError, OperationError, ValidationError
from lionpride.model.work import Work
from lionpride.rules.limits import Limit
from lionpride.rules.metering import Limits, Meter, end_meter, refusal_of


class Call(Work):
    tokens: int = 0
    tenant: str | None = None

    @property
    def costs(self) -> Mapping[str, float]:
        return {"requests": 1, "tokens": self.tokens}

    @property
    def key(self) -> str | None:
        return self.tenant


class Bench:
    """A source of meters whose time is moved by hand."""

    def __init__(self, *limits: Limit) -> None:
        self.limits = Limits(limits)
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def meter(self, event: Work) -> Meter:
        key, shares = self.limits.asked(event)
        meter = event.__dict__["_meter"] = Meter(self, key, shares, None)
        meter.hold()
        return meter

    def used(self, name: str, key: str | None = None) -> float:
        return self.limits[name].account(key).used(self.now)


def bench() -> Bench:
    limits = Limit("requests", 5, per=10), Limit("tokens", 100, per=60), Limit("slots", 3)
    return Bench(*limits, Limit("host", 2, per_key=True))


# -- what is asked ---------------------------------------------------------------------------------


def test_limits_are_found_by_name() -> None:
    limits = bench().limits
    assert list(limits) == ["requests", "tokens", "slots", "host"]
    assert limits["tokens"].amount == 100
    assert "tokens" in repr(limits)
    assert limits.holds
    assert not Limits([Limit("tokens", 1, per=1)]).holds


@pytest.mark.parametrize("wrong", [Limit("a", 1), "tokens", 5, ["tokens"], [None], {"tokens": 5}])
def test_limits_are_a_list_of_them(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="limits must be a list"):
        Limits(wrong)


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'a'"):
        Limits([Limit("a", 1), Limit("a", 2)])


def asked(limits: Limits, event: Work) -> dict[str, float]:
    return {account.limit.name: amount for account, amount in limits.asked(event)[1]}


def test_an_event_asks_for_what_it_names_and_for_one_of_what_counts_at_once() -> None:
    limits = bench().limits
    assert asked(limits, Work()) == {"requests": 1, "slots": 1}
    assert asked(limits, Call()) == {"requests": 1, "slots": 1}
    assert asked(limits, Call(tokens=7, tenant="a")) == {
        "requests": 1,
        "tokens": 7,
        "slots": 1,
        "host": 1,
    }


def test_keys_have_accounts_of_their_own() -> None:
    limits = bench().limits
    (one,), (other,) = (
        [account for account, _ in limits.asked(Call(tenant=key))[1] if account.limit.per_key]
        for key in "ab"
    )
    assert one is not other


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (5, "mapping"),
        ({"tokens": -1}, r"costs\['tokens'\]"),
        ({"tokens": float("nan")}, r"costs\['tokens'\]"),
        ({"tokens": "9"}, r"costs\['tokens'\]"),
        ({"tokens": 101}, "can never give more than 100"),
    ],
)
def test_costs_that_make_no_sense_or_can_never_be_met_are_refused(wrong: Any, names: str) -> None:
    class Odd(Work):
        @property
        def costs(self) -> Any:
            return wrong

    with pytest.raises(ValidationError, match=names):
        bench().limits.check(Odd())


def test_a_key_is_a_text() -> None:
    class Odd(Work):
        @property
        def key(self) -> Any:
            return 5

    with pytest.raises(ValidationError, match="key"):
        bench().limits.check(Odd())
    Limits([Limit("tokens", 1)]).check(Odd())  # nobody asks for it


def test_what_can_be_met_by_a_key_alone_is_not_asked_of_those_without() -> None:
    class Big(Call):
        @property
        def costs(self) -> Mapping[str, float]:
            return {"host": 5}

    bench().limits.check(Big())
    with pytest.raises(ValidationError, match="host"):
        bench().limits.check(Big(tenant="a"))


# -- shared over a store ---------------------------------------------------------------------------


def test_limits_of_one_pool_count_together() -> None:
    pools: dict[str, Limit] = {}
    one, other = (Limits([Limit("tokens", 10, per=60)]) for _ in range(2))
    one.adopt(pools)
    other.adopt(pools)
    assert one["tokens"] is other["tokens"]
    apart = Limits([Limit("tokens", 10, per=60, pool="other")])
    apart.adopt(pools)
    assert apart["tokens"] is not one["tokens"]
    with pytest.raises(ConfigurationError, match="pool"):
        Limits([Limit("tokens", 11, per=60)]).adopt(pools)


# -- from the claim to the end ---------------------------------------------------------------------


def test_a_start_is_counted_from_the_claim_on_and_leaves_the_window_after_the_start() -> None:
    here = bench()
    meter = here.meter(Call(tokens=60))
    here.now += 500.0
    assert here.used("tokens") == 60, "it is held"
    meter.begin()
    here.now += 59.0
    assert here.used("tokens") == 60
    assert here.used("slots") == 1
    here.now += 1.0
    assert here.used("tokens") == 0
    assert here.used("slots") == 1


@pytest.mark.parametrize("started", [False, True])
def test_what_never_started_gives_all_back(started: bool) -> None:
    here, event = bench(), Call(tokens=60, tenant="a")
    meter = here.meter(event)
    if started:
        meter.begin()
    end_meter(event)
    rates = (1, 60) if started else (0, 0)
    assert (here.used("requests"), here.used("tokens")) == rates
    assert (here.used("slots"), here.used("host", "a")) == (0, 0)
    end_meter(event)  # once more changes nothing
    assert here.used("slots") == 0


def test_the_true_cost_is_a_refund_or_a_debt() -> None:
    here, event = bench(), Call(tokens=60)
    meter = here.meter(event)
    meter.begin()
    meter.spend({"tokens": 20})
    assert here.used("tokens") == 20
    here.now += 30.0
    meter.spend({"tokens": 130})
    assert here.used("tokens") == 130, "more than there is"
    here.now += 30.0
    assert here.used("tokens") == 110, "the debt counts from when it was made"
    meter.spend({"tokens": 125})
    assert here.used("tokens") == 105
    assert here.used("requests") == 1 - 1, "what is not named stays as it is"
    here.now += 30.0
    assert here.used("tokens") == 0


def test_a_refund_after_the_window_mints_nothing() -> None:
    here, event = bench(), Call(tokens=60)
    meter = here.meter(event)
    meter.begin()
    here.now += 60.0
    assert here.used("tokens") == 0
    meter.spend({"tokens": 0})
    assert here.used("tokens") == 0


def test_what_was_not_reserved_can_be_spent_and_what_is_no_limit_is_left_alone() -> None:
    here, event = bench(), Work()
    meter = here.meter(event)
    meter.begin()
    meter.spend({"tokens": 12, "host": 3, "dollars": 5})
    assert here.used("tokens") == 12


def test_what_counts_at_once_can_be_spent_too() -> None:
    here, event = bench(), Work()
    here.meter(event).begin()
    event.__dict__["_status"] = "processing"
    event.spend(slots=3)
    assert here.used("slots") == 3
    event.spend(slots=2)
    end_meter(event)
    assert here.used("slots") == 0


def test_nothing_is_spent_before_the_start() -> None:
    event = Work()
    with pytest.raises(OperationError, match="spend"):
        bench().meter(event).spend({"tokens": 1})
    with pytest.raises(OperationError, match="spend"):
        Work().spend(tokens=1)
    with pytest.raises(ValidationError, match="tokens"):
        event.spend(tokens=-1)


def test_only_the_refused_have_a_refusal() -> None:
    event = Work()
    assert refusal_of(event) is None
    bench().meter(event)
    assert refusal_of(event) is None
