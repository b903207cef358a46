"""The order against a sorted list."""

import random
from heapq import heapify, heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionpride.stores.memory.priority_queue import PriorityQueue


@given(
    st.lists(st.tuples(st.sampled_from([0.0, -1.0, 2.5, 1e300]), st.integers(1, 50)), unique=True)
)
def test_it_pops_by_priority_then_number(entries: list[tuple[float, int]]) -> None:
    order = PriorityQueue(entries)
    popped = []
    while order:
        first = order.first()
        popped.append((first[0], order.pop()))
        assert popped[-1] == first
    assert popped == sorted(entries)


@given(st.lists(st.one_of(st.none(), st.tuples(st.floats(-3, 3), st.integers(1, 9)))))
def test_pushes_between_pops(steps: list[tuple[float, int] | None]) -> None:
    order, model = PriorityQueue(), list[tuple[float, int]]()
    for step in steps:
        if step is not None:
            order.push(*step)
            model.append(step)
        elif model:
            assert order.pop() == min(model)[1]
            model.remove(min(model))
    assert bool(order) is bool(model)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("different", [3, 50, 10**9])
def test_a_run_and_newcomers_beside_it(different: int, share: float) -> None:
    chance = random.Random(f"{different} {share}")
    model = [(float(chance.randrange(different)), number) for number in range(500)]
    order = PriorityQueue(model)
    heapify(model)
    for number in range(500, 3000):
        if chance.random() < share:
            entry = (float(chance.randrange(different)), number)
            order.push(*entry)
            heappush(model, entry)
        elif model:
            assert order.first() == model[0]
            assert order.pop() == heappop(model)[1]
    assert [order.pop() for _ in model] == [number for _, number in sorted(model)]
    assert order.pop() is None


def test_the_sorted_may_be_taken_by_hand_up_to_where_the_chunks_begin() -> None:
    order, chance = PriorityQueue(), random.Random(5)
    priorities = [chance.random() for _ in range(1_000)]
    order.new.extend(range(1_000))
    order.new_at.extend(priorities)
    taken = [order.pop()]
    assert order.chunks, "there are more than a run has"
    while order:
        while order.run:
            taken.append(order.run.popleft())
        taken.append(order.pop())
    assert [n for n in taken if n is not None] == sorted(range(1_000), key=priorities.__getitem__)
