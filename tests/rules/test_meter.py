"""Meters: what a claim has taken of the limits, and gives back, from then to its end."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules.kit import Bench, Call, bench

from lionpride.errors import OperationError, ValidationError
from lionpride.model.event_data import EventData
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.meter import end_meter, refusal_of

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


@given(st.lists(st.floats(0.001, 30), min_size=1, max_size=9), st.randoms())
def test_the_whole_limit_is_free_again_after_fractional_amounts_were_held_and_started(
    amounts: list[float], random: Random
) -> None:
    here = bench()
    meters = [here.meter(Call(tokens=amount)) for amount in amounts]
    random.shuffle(meters)
    for meter in meters:
        meter.begin()
        here.now += 1.0
    here.now += 60.0
    assert here.used("tokens") == 0.0
    assert here.limits["tokens"].account(None).free_at(100, here.now) == here.now


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
    here, event = bench(), EventData()
    meter = here.meter(event)
    meter.begin()
    meter.spend({"tokens": 12, "host": 3, "dollars": 5})
    assert here.used("tokens") == 12


def test_a_debt_is_its_keys_though_the_key_had_nothing_on_its_account_meanwhile() -> None:
    here = Bench(Limit("tokens", 10, per=1, per_key=True), Limit("host", 2, per_key=True))
    meter = here.meter(Call(tokens=10, tenant="a"))
    meter.begin()
    meter.spend({"host": 0})
    for number in range(2_000):  # so many keys that those with nothing are forgotten
        here.now += 0.01
        for limit in here.limits.values():
            assert limit.account(str(number)).take(1, here.now) is not None
    assert "a" not in here.limits["tokens"].accounts
    meter.spend({"tokens": 15, "host": 1})
    assert (here.used("tokens", "a"), here.used("host", "a")) == (5, 1)
    assert not here.limits["tokens"].account("a").fits(6, here.now)
    meter.spend({"tokens": 0})
    assert here.used("tokens", "a") == 0, "and nothing is minted"
    meter.end()
    assert here.used("host", "a") == 0


def test_what_counts_at_once_can_be_spent_too() -> None:
    here, event = bench(), EventData()
    here.meter(event).begin()
    event.__dict__["_status"] = "processing"
    event.spend(slots=3)
    assert here.used("slots") == 3
    event.spend(slots=2)
    end_meter(event)
    assert here.used("slots") == 0


def test_nothing_is_spent_before_the_start() -> None:
    event = EventData()
    with pytest.raises(OperationError, match="spend"):
        bench().meter(event).spend({"tokens": 1})
    with pytest.raises(OperationError, match="spend"):
        EventData().spend(tokens=1)
    with pytest.raises(ValidationError, match="tokens"):
        event.spend(tokens=-1)


def test_only_the_refused_have_a_refusal() -> None:
    event = EventData()
    assert refusal_of(event) is None
    bench().meter(event)
    assert refusal_of(event) is None
