"""Limits: an exact account of what was taken, however it was (C3)."""

from math import fsum, inf, nextafter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lionpride.errors import ValidationError
from lionpride.rules.limits.limit import Account, Entry, Limit
from lionpride.rules.limits.taking import take_all


def account(amount: float = 10, per: float | None = 60.0, **how: Any) -> Account:
    return Limit("tokens", amount, per, **how).account(None)


# -- what a limit is -------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), True, "60", [1]])
@pytest.mark.parametrize("field", ["amount", "per"])
def test_a_limit_takes_numbers_above_zero(field: str, wrong: Any) -> None:
    given_: dict[str, Any] = {"amount": 5, "per": 60}
    with pytest.raises(ValidationError, match=f"{field} of limit 'tokens'"):
        Limit("tokens", **(given_ | {field: wrong}))
    limit = Limit("tokens", **given_)
    with pytest.raises(ValidationError, match=f"{field} of limit 'tokens'"):
        setattr(limit, field, wrong)
    assert (limit.amount, limit.per) == (5, 60)


@pytest.mark.parametrize("wrong", ["", None, 5])
def test_a_limit_has_a_name(wrong: Any) -> None:
    with pytest.raises(ValidationError, match=r"Limit\.name"):
        Limit(wrong, 1)


def test_a_pool_is_a_word_and_per_key_a_truth() -> None:
    with pytest.raises(ValidationError, match=r"Limit\.pool"):
        Limit("tokens", 1, pool="")
    wrong: Any = "host"
    with pytest.raises(ValidationError, match=r"Limit\.per_key"):
        Limit("tokens", 1, per_key=wrong)


def test_a_limit_says_what_it_is() -> None:
    assert repr(Limit("tokens", 90_000, per=60)) == "Limit('tokens', 90000, per=60)"
    assert repr(Limit("host", 2, per_key=True)) == "Limit('host', 2, per_key=True)"
    assert repr(Limit("a", 1, pool="b")) == "Limit('a', 1, pool='b')"


def test_a_limit_in_a_time_stays_one() -> None:
    with pytest.raises(ValidationError, match="another Limit"):
        Limit("tokens", 1, per=5).per = None
    with pytest.raises(ValidationError, match="another Limit"):
        Limit("tokens", 1).per = 5.0


def test_the_accounts_of_keys_are_apart_and_forgotten() -> None:
    limit = Limit("host", 1, per=1.0, per_key=True)
    for number in range(5_000):
        assert limit.account(str(number)).take(1, float(number)) is not None
        assert limit.account(str(number)).take(1, float(number)) is None
        assert len(limit.accounts) <= 1_000
    assert limit.account("4999").used(4_999.5) == 1


# -- the account -----------------------------------------------------------------------------------


def test_what_was_taken_leaves_the_window_at_the_exact_instant() -> None:
    tokens = account(10, 60.0)
    assert tokens.take(10, 100.1) is not None
    assert tokens.take(1, 160.0) is None
    assert tokens.free_at(1, 160.0) == pytest.approx(160.1, abs=1e-9)
    assert tokens.take(10, 160.1) is not None


def test_when_there_will_be_so_much() -> None:
    tokens = account(10, 60.0)
    for at, amount in ((0.0, 3), (10.0, 3), (20.0, 4)):
        tokens.stamp(amount, at)
    assert [tokens.free_at(n, 30.0) for n in (3, 4, 6, 7, 10)] == [60.0, 70.0, 70.0, 80.0, 80.0]
    assert tokens.free_at(11, 30.0) == inf
    assert [tokens.used_at(t, 30.0) for t in (30.0, 60.0, 70.0, 80.0)] == [10, 7, 4, 0]


@given(st.floats(0, 1e10), st.floats(1e-3, 1e5))
def test_when_there_will_be_so_much_is_no_instant_too_early(at: float, per: float) -> None:
    tokens = account(10, per)
    tokens.stamp(10, at)
    free = tokens.free_at(1, at)
    assert tokens.take(1, nextafter(free, -inf)) is None, "nor later than it has to be"
    assert tokens.take(1, free) is not None


def test_a_sum_that_is_rounded_down_has_not_left_yet() -> None:
    tokens = account(10, 10.0)
    tokens.stamp(10, 1017.0775565736882)
    assert tokens.free_at(1, 1027.077556573688) > 1027.077556573688


def test_all_is_there_again_whatever_rounding_has_left() -> None:
    tokens = account(100, 60.0)
    for at in (0.0, 1.0, 2.0):
        tokens.stamp(0.3, at)
    assert tokens.free_at(100, 10.0) == 62.0
    slots = account(2e9, None)
    amounts = [1e6 + number / 7 for number in range(1_000)]
    for amount in amounts:
        slots.take(amount, 0.0)
    for amount in amounts:
        slots.release(amount)
    assert slots.free_at(2e9, 0.0) == 0.0


def test_what_counts_at_once_is_free_when_it_is_let_go() -> None:
    slots = account(2, None)
    assert slots.take(2, 0.0) is not None
    assert slots.take(1, 0.0) is None
    assert slots.free_at(1, 0.0) == inf
    rung: list[str] = []
    slots.on_change(lambda: rung.append("free"))
    slots.release(1)
    slots.release(1)
    assert (rung, slots.used(0.0)) == (["free"], 0.0)


def test_a_paused_account_gives_nothing_until_then() -> None:
    tokens = account()
    tokens.pause(50.0)
    tokens.pause(40.0)
    assert tokens.take(1, 49.0) is None
    assert tokens.free_at(1, 10.0) == 50.0
    assert tokens.take(1, 50.0) is not None


def test_what_is_given_back_is_free_once_and_not_after_the_window() -> None:
    tokens = account(10, 60.0)
    entry, late = tokens.take(6, 0.0), tokens.take(4, 10.0)
    assert entry is not None
    assert late is not None
    assert tokens.return_to(entry, 5)
    assert tokens.used(10.0) == 5
    assert tokens.used(65.0) == 4
    assert not tokens.return_to(entry, 1), "it has left the window"
    assert tokens.used(65.0) == 4, "nothing is minted"


def test_another_amount_holds_from_then_on() -> None:
    limit = Limit("tokens", 10, per=60)
    tokens, rung = limit.account(None), []
    tokens.stamp(10, 0.0)
    tokens.on_change(lambda: rung.append(1))
    limit.amount = 15
    assert rung
    assert tokens.take(5, 1.0) is not None
    limit.amount = 3
    assert tokens.free_at(1, 2.0) == 61.0
    limit.per = 30
    assert tokens.used(31.5) == 0


def test_time_that_goes_back_is_another_loops() -> None:
    tokens = account()
    tokens.stamp(10, 1_000.0)
    tokens.pause(2_000.0)
    assert tokens.take(10, 5.0) is not None


def test_a_long_log_stays_short_and_never_early() -> None:
    tokens, at, taken = account(10**9, 60.0), 0.0, []
    for _ in range(20_000):
        at += 0.006
        assert tokens.take(1, at) is not None
        taken.append(at)
    assert len(tokens) <= 8_300
    assert tokens.used(at) >= sum(1 for each in taken if fsum((each, 60.0, -at)) > 0)
    assert tokens.used(at) <= sum(1 for each in taken if each > at - 60.0 * (1 + 1 / 4096))


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.5]), st.integers(0, 6)), max_size=60),
    st.sampled_from([1.0, 2.5, 0.7]),
)
def test_c3_no_span_sees_more_than_the_limit(steps: list[tuple[float, int]], per: float) -> None:
    tokens, now = account(6, per), 1_000.0
    granted: list[tuple[float, int]] = []
    for pause, amount in steps:
        now += pause
        at = tokens.free_at(amount, now)
        if tokens.take(amount, now) is not None:
            assert at == now
            granted.append((now, amount))
        else:
            assert at > now, "who is refused is told a later instant"
    for end, _ in granted:
        seen = [n for at, n in granted if at <= end and fsum((at, per, -end)) > 0]
        assert sum(seen) <= 6


# -- against a naive account -----------------------------------------------------------------------


class Naive:
    """An account that keeps every single take, and adds up all of them whenever it is asked."""

    def __init__(self, amount: float, per: float) -> None:
        self.amount, self.per = amount, per
        self.taken: list[list[float]] = []
        self.held = 0.0
        self.paused = -inf

    def counts(self, at: float, now: float) -> bool:
        """Return True if what was taken at one instant is in the window at another."""
        return fsum((at, self.per, -now)) > 0

    def used(self, now: float) -> float:
        return self.held + sum(amount for at, amount in self.taken if self.counts(at, now))

    def fits(self, amount: float, now: float) -> bool:
        return self.used(now) + amount <= self.amount and self.paused <= now

    def free_at(self, amount: float, now: float) -> float:
        """Try each instant at which something leaves the window."""
        leaves = [at + self.per for at, _ in self.taken if self.counts(at, now)]
        later = [at for one in leaves for at in (one, nextafter(one, inf))]
        for instant in sorted({now, max(now, self.paused), *later}):
            if instant >= now and self.fits(amount, instant):
                return instant
        return inf


steps = st.one_of(
    st.tuples(st.just("take"), st.integers(1, 6)),
    st.tuples(st.just("take"), st.integers(1, 6)),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.3, 1.0, 2.5])),
    st.tuples(st.just("hold"), st.integers(1, 4)),
    st.tuples(st.just("let go"), st.integers(0, 9)),
    st.tuples(st.just("owe"), st.integers(1, 6)),
    st.tuples(st.just("refund"), st.integers(0, 9)),
    st.tuples(st.just("pause"), st.sampled_from([0.2, 1.0])),
    st.tuples(st.just("amount"), st.integers(4, 12)),
)


def compare(tokens: Account, history: list[tuple[str, Any]], per: float) -> None:
    """Ask an account and a naive one the same questions after each step of a history."""
    naive, now = Naive(10, per), 1_000.0
    entries: list[tuple[Entry, list[float]]] = []
    held: list[float] = []
    for what, much in history:
        if what == "wait":
            now += much
        elif what == "take":
            fits = naive.fits(much, now)
            taken = take_all([(tokens, much)], now)
            assert (taken is not None) is fits, f"take {much} at {now}"
            if taken is not None:
                naive.taken.append([now, much])
                entries.append((taken[0], naive.taken[-1]))
        elif what == "owe":
            naive.taken.append([now, much])
            entries.append((tokens.stamp(much, now), naive.taken[-1]))
        elif what == "refund" and entries:
            entry, one = entries[much % len(entries)]
            tokens.used(now)
            assert tokens.return_to(entry, one[1]) is naive.counts(one[0], now)
            one[1] = 0.0
        elif what == "hold":
            tokens.hold(much)
            held.append(much)
        elif what == "let go" and held:
            tokens.release(held.pop(much % len(held)))
        elif what == "pause":
            tokens.pause(now + much)
            naive.paused = max(naive.paused, now + much)
        elif what == "amount":
            tokens.limit.amount = naive.amount = much
        naive.held = sum(held)
        assert tokens.used(now) == naive.used(now)
        for amount in (1, 4):
            possible = naive.held + amount <= naive.amount
            free_at = naive.free_at(amount, now) if possible else inf
            assert tokens.free_at(amount, now) == free_at


@settings(max_examples=300)
@given(st.lists(steps, max_size=40), st.sampled_from([1.0, 2.5, 0.7]))
def test_c3_every_history_gives_the_answers_of_a_naive_account(
    history: list[tuple[str, Any]], per: float
) -> None:
    compare(account(10, per), history, per)


@given(st.lists(st.floats(0.001, 9), min_size=1, max_size=30), st.randoms())
def test_c4_what_was_held_is_all_there_again_in_whatever_order_it_is_let_go(
    amounts: list[float], random: Any
) -> None:
    slots = account(300, None)
    taken = [amount for amount in amounts if slots.take(amount, 0.0) is not None]
    assert taken == amounts
    random.shuffle(taken)
    for amount in taken:
        slots.release(amount)
    assert slots.used(0.0) == 0.0
    assert slots.take(300, 0.0) is not None
    assert slots.take(0.001, 0.0) is None


# -- the comparison finds faults -------------------------------------------------------------------


class BudgetWithoutTheHeld(Account):
    """What may be added to the open entry without asking leaves out what is held."""

    def take(self, amount: float, now: float) -> Entry | None:
        entry = super().take(amount, now)
        if entry:
            entry[2] += self.held
        return entry


class HoldsUnnoticed(Account):
    """What is held later does not count for what is added to the open entry."""

    def hold(self, amount: float) -> None:
        self.held += amount


class LetsNothingGo(Account):
    """What is let go of is held still."""

    def release(self, amount: float) -> None:
        self.notify()


class LetsAllGo(Account):
    """The first that lets go lets go of all."""

    def release(self, amount: float) -> None:
        super().release(self.held)


class PausesUnnoticed(Account):
    """A pause does not count for what is added to the open entry."""

    def pause(self, until: float) -> None:
        self.paused = max(self.paused, until)


FAULTS = [BudgetWithoutTheHeld, HoldsUnnoticed, LetsNothingGo, LetsAllGo, PausesUnnoticed]


def histories(seed: int) -> list[tuple[str, Any]]:
    rng = Random(seed)
    kinds = ["take"] * 4 + ["wait", "hold", "let go", "owe", "refund", "pause"]
    return [
        (kind, rng.choice((0.3, 1.0)) if kind in {"wait", "pause"} else rng.randint(1, 4))
        for kind in rng.choices(kinds, k=30)
    ]


def test_sound_accounts_pass_the_histories_that_find_faults() -> None:
    for seed in range(200):
        compare(account(10, 2.5), histories(seed), 2.5)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: type[Account]) -> None:
    found = 0
    for seed in range(200):
        try:
            compare(fault(Limit("tokens", 10, 2.5)), histories(seed), 2.5)
        except AssertionError:
            found += 1
    assert found >= 5, "of 200"
