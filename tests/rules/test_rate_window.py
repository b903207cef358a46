"""The sliding window: exact, at every edge."""

from fractions import Fraction
from itertools import pairwise
from math import inf, nextafter

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lionpride.rules.rate_window import RateWindow

SPANS = st.one_of(
    st.sampled_from([0.01, 0.1, 0.3, 1.0, 2.5, 60.0, 3600.0]),
    st.floats(0.01, 3600.0),
)
TIMES = st.one_of(
    st.integers(0, 4_000).map(lambda n: n / 10),
    st.integers(0, 100_000).map(lambda n: n / 1000),
    st.floats(0.0, 1e6),
)
STEPS = st.lists(st.floats(0.0, 10.0) | st.sampled_from([0.0, 0.1, 0.7, 1.0]), max_size=40)


def inside(starts: list[float], now: float, span: float) -> int:
    """Starts in (now - span, now], in exact arithmetic."""
    edge = Fraction(now) - Fraction(span)
    return sum(1 for start in starts if edge < Fraction(start) <= Fraction(now))


def window(capacity: int, span: float, starts: list[float]) -> RateWindow:
    made = RateWindow(capacity, span)
    for start in starts:
        made.stamp(start)
    return made


# -- by brute force --------------------------------------------------------------------------------


@given(st.integers(1, 5), SPANS, TIMES, STEPS)
def test_a_start_is_allowed_if_and_only_if_fewer_than_capacity_lie_in_the_span(
    capacity: int, span: float, now: float, steps: list[float]
) -> None:
    asked, starts = RateWindow(capacity, span), list[float]()
    for step in steps:
        now += step
        count = inside(starts, now, span)
        assert (asked.wait(now) == 0.0) is (count < capacity)
        assert asked.free(now) == capacity - count
        if asked.wait(now) == 0.0:
            asked.stamp(now)
            starts.append(now)
    for start in starts:
        assert inside(starts, start, span) <= capacity


@given(st.integers(1, 5), SPANS, TIMES, STEPS)
def test_starts_as_early_as_allowed_are_a_whole_span_apart(
    capacity: int, span: float, now: float, steps: list[float]
) -> None:
    """A loop that sleeps as long as it is told, and then starts."""
    asked, starts = RateWindow(capacity, span), list[float]()
    for step in [*steps[:5], *[0.0] * (3 * capacity)]:
        now += step
        turns = 0
        while wait := asked.wait(now):
            now += wait
            turns += 1
            assert turns < 4, "it has waited as long as it was told"
        asked.stamp(now)
        starts.append(now)
    for first, last in zip(starts, starts[capacity:], strict=False):
        assert Fraction(last) - Fraction(first) >= Fraction(span)


@given(st.integers(1, 3), SPANS, TIMES, st.lists(TIMES, max_size=8))
def test_starts_by_hand_count_though_they_are_not_held_back(
    capacity: int, span: float, first: float, gaps: list[float]
) -> None:
    starts = [first]
    for gap in gaps:
        starts.append(starts[-1] + gap / 100)
    asked = window(capacity, span, starts)
    now = starts[-1]
    assert (asked.wait(now) == 0.0) is (inside(starts, now, span) < capacity)
    assert asked.free(now) == max(0, capacity - inside(starts, now, span))


# -- at the edge -----------------------------------------------------------------------------------


@given(TIMES, SPANS)
@example(0.7, 0.1)
@example(500.126, 46.68)
def test_the_edge_is_where_exact_arithmetic_puts_it(start: float, span: float) -> None:
    """Sums round: the three floats around ``start + span`` lie on either side of the edge."""
    edge = start + span
    for now in (nextafter(edge, -inf), edge, nextafter(edge, inf)):
        allowed = Fraction(now) - Fraction(start) >= Fraction(span)
        asked = window(1, span, [start])
        assert (asked.wait(now) == 0.0) is allowed
        assert asked.free(now) == int(allowed)


def test_the_end_of_the_span_is_open() -> None:
    asked = window(1, 2.0, [10.0])
    assert asked.wait(10.0) == 2.0
    assert asked.wait(11.5) == 0.5
    assert asked.wait(12.0) == 0.0


# -- plainly ---------------------------------------------------------------------------------------


def test_an_unused_window_allows_its_capacity_at_once() -> None:
    asked = RateWindow(3, 1.0)
    assert asked.free(0.0) == 3
    for left in (2, 1, 0):
        assert asked.wait(0.0) == 0.0
        asked.stamp(0.0)
        assert asked.free(0.0) == left
    assert asked.wait(0.0) == 1.0
    assert asked.free(0.999) == 0
    assert asked.free(1.0) == 3


def test_starts_leave_the_span_one_by_one() -> None:
    asked = window(2, 1.0, [5.0, 5.25])
    assert asked.wait(5.5) == 0.5
    asked.stamp(6.0)
    assert asked.wait(6.0) == 0.25
    assert [asked.free(now) for now in (6.0, 6.25, 7.0)] == [0, 1, 2]


@pytest.mark.parametrize("capacity", [1, 2, 7])
def test_a_steady_stream_goes_at_the_rate(capacity: int) -> None:
    asked, now, starts = RateWindow(capacity, 1.0), 0.0, list[float]()
    while len(starts) < 5 * capacity:
        now += asked.wait(now)
        asked.stamp(now)
        starts.append(now)
    assert starts == [float(n // capacity) for n in range(5 * capacity)]
    assert all(one <= other for one, other in pairwise(starts))


@given(TIMES, SPANS)
def test_to_wait_is_to_wait_more_than_nothing(start: float, span: float) -> None:
    asked = window(1, span, [start])
    assume(start + span / 2 > start)
    assert 0.0 < asked.wait(start + span / 2) <= span
