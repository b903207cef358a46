"""The numbers of the timeline: lanes, percentiles, ticks, and how many waited."""

import itertools

import pytest

from lionpride.drawing.chart import RETRIED, Chart, Span, assign_lanes, percentile


def ran(arrival, start, end, status="completed"):
    return Span(arrival, start, end, status)


def lanes_of(*spans, until=100.0):
    return [(bar.start, bar.lane) for bar in assign_lanes(spans, until)]


def step_of(seconds):
    """Return the step between the ticks of a run of this length."""
    first, second, *_ = Chart([ran(0, 0, seconds)]).axis.ticks()
    return second - first


def test_a_span_takes_the_lowest_lane_that_is_free():
    spans = [ran(0, 0, 4), ran(0, 0, 2), ran(0, 1, 3), ran(0, 2, 5), ran(0, 4, 6)]
    assert lanes_of(*spans) == [(0, 0), (0, 1), (1, 2), (2, 0), (4, 1)]


def test_a_span_that_starts_when_another_ends_takes_its_lane():
    assert lanes_of(ran(0, 0, 1), ran(0, 1, 1), ran(0, 1, 2)) == [(0, 0), (1, 0), (1, 0)]


def test_no_two_spans_of_a_lane_overlap():
    spans = [ran(0, i * 0.37 % 5, i * 0.37 % 5 + i % 7 * 0.2) for i in range(300)]
    by_lane: dict[int, list] = {}
    for bar in assign_lanes(spans, 10):
        by_lane.setdefault(bar.lane, []).append(bar)
    assert sum(map(len, by_lane.values())) == 300
    for bars in by_lane.values():
        assert all(a.end <= b.start for a, b in itertools.pairwise(bars))
        assert all(a.end == b.free_since for a, b in itertools.pairwise(bars))


def test_a_running_span_keeps_its_lane_until_the_end():
    assert lanes_of(Span(0, 0, None, "processing"), ran(0, 5, 6)) == [(0, 0), (5, 1)]


def test_a_span_that_never_ran_has_no_bar():
    assert lanes_of(Span(0, None, 3, "aborted"), Span(0, None, None, "pending")) == []


def test_percentile_is_a_value_that_occurred():
    values = list(range(1, 101))
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.95) == 95
    assert percentile([7.0], 0.95) == 7.0
    assert percentile([], 0.5) == 0.0


@pytest.mark.parametrize(
    ("seconds", "step"), [(0.01, 0.001), (0.43, 0.05), (4.4, 0.5), (12, 2), (100, 10), (4000, 600)]
)
def test_ticks_are_round(seconds, step):
    assert step_of(seconds) == pytest.approx(step)


def test_any_length_of_time_has_at_most_a_dozen_ticks():
    assert all(4 <= 10**n / step_of(10**n) <= 12 for n in range(-6, 9))


def test_depth_counts_events_that_have_arrived_and_not_started():
    spans = [
        ran(0, 0, 2),
        ran(0, 2, 3),
        Span(1, None, 4, "cancelled"),
        Span(3, None, None, "pending"),
    ]
    assert Chart(spans).depth() == [(0, 1), (1, 2), (2, 1), (3, 2), (4, 1)]


def test_a_retried_attempt_is_not_another_event():
    chart = Chart([ran(0, 0, 1, "pending"), ran(1, 2, 3)])
    assert (chart.events, chart.settled) == (1, 1)
    assert chart.counts == {RETRIED: 1, "completed": 1}
    assert chart.waits == [0, 1]


def test_pending_and_running_events_are_not_settled():
    chart = Chart([ran(0, 0, 1), Span(0, None, None, "pending"), Span(0, 1, None, "processing")])
    assert (chart.events, chart.settled, chart.seconds) == (3, 1, 1)


def test_no_events_make_an_empty_chart():
    chart = Chart([])
    assert (chart.events, chart.seconds, chart.depth()) == (0, 0, [])
