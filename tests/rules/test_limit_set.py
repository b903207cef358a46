"""Metering: the limits of one processor, and what an event takes of each."""

from collections.abc import Mapping
from typing import Any

import pytest
from rules.kit import Call, bench

from lionpride.errors import ConfigurationError, ValidationError
from lionpride.model.event_data import EventData
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits

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


def asked(limits: Limits, event: EventData) -> dict[str, float]:
    return {account.limit.name: amount for account, amount in limits.asked(event)[1]}


def test_an_event_asks_for_what_it_names_and_for_one_of_what_counts_at_once() -> None:
    limits = bench().limits
    assert asked(limits, EventData()) == {"requests": 1, "slots": 1}
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
    class Odd(EventData):
        @property
        def costs(self) -> Any:
            return wrong

    with pytest.raises(ValidationError, match=names):
        bench().limits.check(Odd())


def test_a_key_is_a_text() -> None:
    class Odd(EventData):
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
