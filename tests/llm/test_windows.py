"""The judge of windows sees what it is to see: it is compared with one that looks everywhere."""

from hypothesis import given
from hypothesis import strategies as st
from llm.windows import Arrival, worst

instants = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), min_size=1).map(sorted)


@given(instants, st.integers(1, 20))
def test_the_worst_window_is_that_of_a_look_at_every_one(costs, span):
    begins = range(-span, 41)
    sums = (sum(cost for at, cost in costs if begin <= at < begin + span) for begin in begins)
    assert worst(costs, span) == max(sums)


def test_a_window_does_not_hold_what_comes_its_whole_length_later():
    assert worst([(0.0, 1), (2.0, 1), (4.0, 1)], 2.0) == 1
    assert worst([(0.0, 1), (1.999, 1), (4.0, 1)], 2.0) == 2


def test_a_bucket_that_is_full_at_the_start_is_seen():
    """Five at once and one more every 0.4 s are 5 in 2 s on average, and 9 in the first two."""
    bucket = [(0.0, 5), *((0.4 * n, 1) for n in range(1, 20))]
    assert worst(bucket, 2.0) == 9


def test_what_a_request_costs():
    arrival = Arrival(0.0, "prompt", 17)
    assert (arrival.cost("requests"), arrival.cost("tokens")) == (1, 17)


def test_nothing_costs_nothing():
    assert worst([], 1.0) == 0
