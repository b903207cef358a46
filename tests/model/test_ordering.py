"""Ordering: a list of ids with holes, held to a plain list, and its cost counted."""

import copy
import pickle
import sys
from collections.abc import Callable
from itertools import pairwise
from random import Random
from types import FrameType
from typing import Any, Self
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lionpride.model.collections import ordering
from lionpride.model.collections.ordering import Ordering

A, B, C = (UUID(int=number) for number in (1, 2, 3))
X = UUID(int=99)


def test_it_is_a_sequence():
    order = Ordering([A, B, A, C])
    order.remove(B)
    assert (len(order), order.count(A), list(order)) == (3, 2, [A, A, C])
    assert order.index(A, 1) == 1
    assert order.index(C, 0, 3) == 2
    assert list(reversed(order)) == [C, A, A]
    assert list(pairwise(order)) == [(A, A), (A, C)]
    with pytest.raises(ValueError, match="is not in the order"):
        order.index(B)
    with pytest.raises(ValueError, match="is not in the order"):
        order.remove(B)
    with pytest.raises(IndexError, match="index 3 is out of range: there are 3 ids"):
        order.pop(3)


def test_copies_are_independent_and_without_holes():
    order = Ordering([A, B, C])
    order.remove(B)
    for other in (copy.copy(order), copy.deepcopy(order), pickle.loads(pickle.dumps(order))):
        assert other.ids() == other._slots == [A, C]
        other.append(B)
    assert order.ids() == [A, C]


# --- against a plain list

ids = st.sampled_from([UUID(int=number) for number in range(6)])
positions = st.integers(-12, 12)


class AgainstAList(RuleBasedStateMachine):
    """Does to an ordering what it does to a list, and compares; holes are closed early."""

    def __init__(self) -> None:
        super().__init__()
        self.small, ordering._SMALL = ordering._SMALL, 2
        self.ours = Ordering()
        self.list: list[UUID] = []

    def teardown(self) -> None:
        ordering._SMALL = self.small

    def both(self, ours: Callable[[], Any], plain: Callable[[], Any]) -> None:
        try:
            expected = plain()
        except (IndexError, ValueError) as error:
            with pytest.raises(type(error)):
                ours()
        else:
            assert ours() == expected

    @rule(uid=ids)
    def append(self, uid):
        self.both(lambda: self.ours.append(uid), lambda: self.list.append(uid))

    @rule(uids=st.lists(ids, max_size=6))
    def extend(self, uids):
        self.both(lambda: self.ours.extend(uids), lambda: self.list.extend(uids))

    @rule(index=positions, uid=ids)
    def insert(self, index, uid):
        self.both(lambda: self.ours.insert(index, uid), lambda: self.list.insert(index, uid))

    @rule(index=positions, uid=ids)
    def set(self, index, uid):
        self.both(
            lambda: self.ours.__setitem__(index, uid), lambda: self.list.__setitem__(index, uid)
        )

    @rule(uids=st.lists(ids, max_size=9))
    def replace(self, uids):
        self.ours.replace(uids)
        self.list = uids

    @rule(uid=ids)
    def remove(self, uid):
        self.both(lambda: self.ours.remove(uid), lambda: self.list.remove(uid))

    @rule(index=st.one_of(positions, st.sampled_from([0, -1])))
    def pop(self, index):
        self.both(lambda: self.ours.pop(index), lambda: self.list.pop(index))

    @rule(uid=ids)
    def index(self, uid):
        self.both(lambda: self.ours.index(uid), lambda: self.list.index(uid))

    @rule(uid=ids)
    def contains(self, uid):
        assert (uid in self.ours) == (uid in self.list)

    @rule(index=positions)
    def get(self, index):
        self.both(lambda: self.ours[index], lambda: self.list[index])

    @rule(start=positions, stop=positions)
    def slice(self, start, stop):
        assert self.ours[start:stop] == self.list[start:stop]

    @invariant()
    def same(self):
        assert len(self.ours) == len(self.list)
        assert list(self.ours) == self.ours.ids() == self.list

    @invariant()
    def sound(self):
        live = self.ours._slots[self.ours._head :]
        assert self.ours._holes == live.count(None)
        assert not live or None not in (live[0], live[-1])
        for uid, place in (self.ours._places or {}).items():
            serials = [place] if isinstance(place, int) else list(place)
            assert isinstance(place, int) or len(place) > 1
            slots = enumerate(self.ours._slots, self.ours._base)
            assert serials == [serial for serial, here in slots if here == uid]


TestAgainstAList = AgainstAList.TestCase
TestAgainstAList.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


# --- cost, counted in lines of Python and slots moved


class Work:
    """Counts the lines that `ordering.py` executes, and the slots that it copies or moves."""

    def __init__(self, watched: Ordering) -> None:
        self.watched = watched
        self.steps = 0

    def __enter__(self) -> Self:
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename != ordering.__file__:
            return None
        if frame.f_code.co_name in ("ids", "replace", "_cut_front", "__iter__"):
            self.steps += len(self.watched._slots)
        return self._line

    def _line(self, frame: FrameType, event: str, arg: object) -> Any:
        self.steps += event == "line"
        return self._line


def steps_per_call(size: int, act: Callable[[Ordering, UUID, int], Any]) -> float:
    uids = [uuid4() for _ in range(size)]
    order = Ordering(uids)
    assert X not in order  # the index is made
    with Work(order) as work:
        for number, uid in enumerate(uids):
            act(order, uid, number)
    return work.steps / size


def rotate(order: Ordering, uid: UUID, number: int) -> None:
    order.append(order.pop(0))
    assert uid in order


def take_inside(order: Ordering, uid: UUID, number: int) -> None:
    order.append(X)  # keeps the ends busy, so that what is removed leaves holes
    order.remove(uid)
    assert uid not in order


def repeat(order: Ordering, uid: UUID, number: int) -> None:
    order.append(X)
    if number % 2:
        order.remove(X)


QUICK: list[tuple[str, Callable[[Ordering, UUID, int], Any]]] = [
    ("append", lambda p, uid, _: p.append(X)),
    ("in", lambda p, uid, _: uid in p),
    ("popleft", lambda p, uid, _: p.pop(0)),
    ("pop", lambda p, uid, _: p.pop()),
    ("remove first", lambda p, uid, _: p.remove(uid)),
    ("remove last", lambda p, uid, number: p.remove(p[-1])),
    ("remove inside", take_inside),
    ("append and remove", lambda p, uid, _: (p.append(X), p.remove(X))),
    ("rotate", rotate),
    ("repeats", repeat),
]


@pytest.mark.parametrize("act", [case[1] for case in QUICK], ids=[case[0] for case in QUICK])
def test_a_step_costs_the_same_at_any_size(act):
    small, large = steps_per_call(200, act), steps_per_call(3200, act)
    assert large < 60
    assert large <= small * 1.25 + 1


def test_removing_at_random_costs_the_same_at_any_size():
    def per_call(size: int) -> float:
        uids = [uuid4() for _ in range(size)]
        order = Ordering(uids)
        Random(1).shuffle(uids)
        assert X not in order
        with Work(order) as work:
            for uid in uids:
                order.remove(uid)
        return work.steps / size

    assert per_call(3200) <= per_call(200) * 1.25 + 1


def test_the_dead_slots_stay_the_lesser_part():
    order = Ordering([uuid4() for _ in range(4000)])
    for uid in order.ids()[1:-1]:
        order.remove(uid)
    assert len(order._slots) <= 100
    for _ in range(4000):
        order.append(order.pop(0))
    assert len(order._slots) <= 100
