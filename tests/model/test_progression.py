"""Progression: a list of ids, held to a plain list by Hypothesis."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lionpride.errors import NotFoundError, OperationError, ValidationError
from lionpride.model.collections.ordering import Ordering
from lionpride.model.collections.progression import Progression
from lionpride.model.element import Element

A, B, C, D = (UUID(int=number) for number in (1, 2, 3, 4))
X = UUID(int=99)


class Card(Element):
    """Something to put in order."""


def abc(*ids: UUID) -> Progression:
    return Progression(order=list(ids) or [A, B, C])


# --- making one


@pytest.mark.parametrize(
    ("given", "order"),
    [
        (None, []),
        ([], []),
        (A, [A]),
        (str(A), [A]),
        ([A, str(B)], [A, B]),
        ((A, B), [A, B]),
        (iter([A, B]), [A, B]),
        ({A: 1}, [A]),
        ([A, B, A], [A, B, A]),
    ],
)
def test_order_takes_one_id_or_many(given, order):
    assert Progression(order=given).order == order


def test_elements_stand_for_their_ids():
    card = Card()
    assert Progression(order=card).order == [card.id]
    assert Progression(order=[card, A]).order == [card.id, A]
    assert Progression(order=Progression(order=[A], id=X)).order == [X]


@pytest.mark.parametrize("bad", ["x", ["x"], [A, 5], 5, [None], [[A]]])
def test_what_is_no_id_is_a_validation_error(bad):
    with pytest.raises(pydantic.ValidationError, match="is no id"):
        Progression(order=bad)
    with pytest.raises(pydantic.ValidationError):
        Progression.model_validate({"order": bad})
    progression = abc()
    with pytest.raises(pydantic.ValidationError):
        progression.order = bad
    assert progression.order == [A, B, C]


def test_the_error_names_every_bad_item():
    with pytest.raises(pydantic.ValidationError) as caught:
        Progression(order=[A, "x", B, 5])
    assert [error["loc"] for error in caught.value.errors()] == [("order", 1), ("order", 3)]


def test_names_and_identity():
    progression = Progression(name="a", id=A, created_at=0, metadata={"k": 1}, order=[B])
    assert (progression.name, progression.id, progression.metadata) == ("a", A, {"k": 1})
    assert Progression().name is None
    with pytest.raises(pydantic.ValidationError):
        Progression(name=5)
    with pytest.raises(pydantic.ValidationError):
        Progression(unknown=5)
    progression.name = "b"
    assert (progression.name, progression.order) == ("b", [B])


def test_a_subclass_may_set_a_name_and_add_fields():
    class Stage(Progression):
        name: str | None = "stage"
        limit: int = 3

    assert repr(Stage(order=[A])) == "Stage(len=1, name='stage')"
    assert Stage(name="x", limit=4).to_dict()["limit"] == 4


# --- the list

NO_CHANGE = [A, B, C]
LIST_CASES: list[tuple[str, Callable[[Progression], Any], Any, list[UUID]]] = [
    ("append", lambda p: p.append(A), None, [A, B, C, A]),
    ("append text", lambda p: p.append(str(D)), None, [A, B, C, D]),
    ("insert", lambda p: p.insert(1, D), None, [A, D, B, C]),
    ("insert before the start", lambda p: p.insert(-9, D), None, [D, A, B, C]),
    ("insert past the end", lambda p: p.insert(9, D), None, [A, B, C, D]),
    ("remove", lambda p: p.remove(B), None, [A, C]),
    ("pop", lambda p: p.pop(), C, [A, B]),
    ("pop first", lambda p: p.pop(0), A, [B, C]),
    ("pop middle", lambda p: p.pop(-2), B, [A, C]),
    ("pop default", lambda p: p.pop(9, None), None, NO_CHANGE),
    ("popleft", lambda p: p.popleft(), A, [B, C]),
    ("clear", lambda p: p.clear(), None, []),
    ("extend", lambda p: p.extend([A, str(D)]), None, [A, B, C, A, D]),
    ("extend by itself", lambda p: p.extend(p), None, [A, B, C, A, B, C]),
    ("index", lambda p: p.index(C), 2, NO_CHANGE),
    ("[i]", lambda p: p[1], B, NO_CHANGE),
    ("[-i]", lambda p: p[-3], A, NO_CHANGE),
    ("[a:b]", lambda p: p[1:], [B, C], NO_CHANGE),
    ("[::-1]", lambda p: p[::-1], [C, B, A], NO_CHANGE),
    ("[i]=", lambda p: p.__setitem__(1, D), None, [A, D, C]),
    ("[a:b]=", lambda p: p.__setitem__(slice(0, 2), [D]), None, [D, C]),
    ("reverse", lambda p: p.reverse(), None, [C, B, A]),
    ("reversed", lambda p: list(reversed(p)), [C, B, A], NO_CHANGE),
    ("len", len, 3, NO_CHANGE),
    ("bool", bool, True, NO_CHANGE),
    ("in", lambda p: A in p, True, NO_CHANGE),
    ("in, text", lambda p: str(A) in p, True, NO_CHANGE),
    ("not in", lambda p: X in p, False, NO_CHANGE),
    ("nonsense in", lambda p: object() in p, False, NO_CHANGE),
    ("move forward", lambda p: p.move(0, 2), None, [B, A, C]),
    ("move to the end", lambda p: p.move(0, 3), None, [B, C, A]),
    ("move back", lambda p: p.move(2, 0), None, [C, A, B]),
    ("move from the end", lambda p: p.move(-1, -3), None, [C, A, B]),
    ("swap", lambda p: p.swap(0, -1), None, [C, B, A]),
    ("include", lambda p: p.include(D), True, [A, B, C, D]),
    ("include again", lambda p: p.include(A), False, NO_CHANGE),
    ("exclude", lambda p: p.exclude(B), True, [A, C]),
    ("exclude what is not there", lambda p: p.exclude(D), False, NO_CHANGE),
]


@pytest.mark.parametrize(
    ("act", "result", "after"), [case[1:] for case in LIST_CASES], ids=[c[0] for c in LIST_CASES]
)
def test_list_operations(act, result, after):
    progression = abc()
    assert act(progression) == result
    assert progression.order == after
    assert [uid in progression for uid in after] == [True] * len(after)


ERROR_CASES: list[tuple[str, Callable[[Progression], Any], type[Exception]]] = [
    ("pop", lambda p: p.pop(3), NotFoundError),
    ("pop when empty", lambda p: Progression().pop(), NotFoundError),
    ("popleft when empty", lambda p: Progression().popleft(), NotFoundError),
    ("move from nowhere", lambda p: p.move(3, 0), NotFoundError),
    ("move to nowhere", lambda p: p.move(0, 4), NotFoundError),
    ("move when empty", lambda p: Progression().move(0, 0), NotFoundError),
    ("swap", lambda p: p.swap(0, 3), NotFoundError),
    ("swap, negative", lambda p: p.swap(-4, 0), NotFoundError),
    ("remove", lambda p: p.remove(X), ValueError),
    ("index", lambda p: p.index(X), ValueError),
    ("[i]", lambda p: p[3], IndexError),
    ("[-i]", lambda p: p[-4], IndexError),
    ("[i]=", lambda p: p.__setitem__(3, A), IndexError),
    ("[a:b]= no list", lambda p: p.__setitem__(slice(0, 1), A), TypeError),
    ("append nonsense", lambda p: p.append("x"), ValidationError),
    ("extend with nonsense", lambda p: p.extend([D, "x"]), ValidationError),
    ("[a:b]= nonsense", lambda p: p.__setitem__(slice(0, 1), [D, "x"]), ValidationError),
    ("include nonsense", lambda p: p.include(5), ValidationError),
]


@pytest.mark.parametrize(
    ("act", "error"), [case[1:] for case in ERROR_CASES], ids=[case[0] for case in ERROR_CASES]
)
def test_errors_change_nothing(act, error):
    progression = abc()
    with pytest.raises(error):
        act(progression)
    assert progression.order == [A, B, C]


def test_a_missing_position_says_where_and_what_to_do():
    with pytest.raises(NotFoundError, match=r"no index 7 in Progression\(len=3\): give a default"):
        abc().pop(7)
    with pytest.raises(KeyError):
        Progression().popleft()


def test_an_empty_progression_is_false():
    assert not Progression()
    assert Progression(order=[A])


def test_repeats_go_one_at_a_time():
    progression = abc(A, B, A, A)
    progression.remove(A)
    assert progression.order == [B, A, A]
    assert progression.exclude(A)
    assert progression.pop() == A
    assert A not in progression
    assert not progression.exclude(A)


def test_order_is_a_new_list_and_assigning_replaces():
    progression = abc()
    progression.order.clear()
    assert len(progression) == 3
    progression.order = [D, str(A)]
    assert progression.order == [D, A]
    assert B not in progression
    progression.order = None
    assert progression.order == []


def test_iterating_while_changing():
    progression = abc()
    for uid in progression:
        progression.remove(uid)
        progression.append(D)
    assert progression.order == [D, D, D]


# --- against a plain list

ids = st.sampled_from([UUID(int=number) for number in range(8)])
positions = st.integers(-12, 12)


class AgainstAList(RuleBasedStateMachine):
    """Does to a progression what it does to a list, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.ours = Progression()
        self.list: list[UUID] = []

    def both(self, ours: Callable[[], Any], plain: Callable[[], Any]) -> None:
        try:
            expected = plain()
        except (IndexError, ValueError):
            with pytest.raises((NotFoundError, IndexError, ValueError)):
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

    @rule(uid=ids)
    def remove(self, uid):
        self.both(lambda: self.ours.remove(uid), lambda: self.list.remove(uid))

    @rule(index=positions)
    def pop(self, index):
        self.both(lambda: self.ours.pop(index), lambda: self.list.pop(index))

    @rule()
    def popleft(self):
        self.both(self.ours.popleft, lambda: self.list.pop(0))

    @rule(uid=ids)
    def exclude(self, uid):
        here = uid in self.list
        if here:
            self.list.remove(uid)
        assert self.ours.exclude(uid) is here

    @rule(uid=ids)
    def include(self, uid):
        new = uid not in self.list
        if new:
            self.list.append(uid)
        assert self.ours.include(uid) is new

    @rule(index=positions, uid=ids)
    def set(self, index, uid):
        self.both(
            lambda: self.ours.__setitem__(index, uid), lambda: self.list.__setitem__(index, uid)
        )

    @rule(start=positions, stop=positions, uids=st.lists(ids, max_size=4))
    def set_slice(self, start, stop, uids):
        self.ours[start:stop] = uids
        self.list[start:stop] = uids

    @rule()
    def reverse(self):
        self.both(self.ours.reverse, self.list.reverse)

    @rule(first=positions, second=positions)
    def swap(self, first, second):
        def plain():
            order = self.list
            order[first], order[second] = order[second], order[first]

        if first < -len(self.list) or second < -len(self.list):
            return
        self.both(lambda: self.ours.swap(first, second), plain)

    @rule(uid=ids)
    def index(self, uid):
        self.both(lambda: self.ours.index(uid), lambda: self.list.index(uid))

    @rule(index=positions)
    def get(self, index):
        self.both(lambda: self.ours[index], lambda: self.list[index])

    @rule(start=positions, stop=positions)
    def slice(self, start, stop):
        assert self.ours[start:stop] == self.list[start:stop]

    @rule(uid=ids)
    def contains(self, uid):
        assert (uid in self.ours) == (uid in self.list)

    @rule()
    def clear(self):
        self.both(self.ours.clear, self.list.clear)

    @invariant()
    def same(self):
        assert len(self.ours) == len(self.list)
        assert list(self.ours) == self.ours.order == self.list
        assert list(reversed(self.ours)) == self.list[::-1]


TestAgainstAList = AgainstAList.TestCase
TestAgainstAList.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@settings(max_examples=100, deadline=None)
@given(st.lists(ids, max_size=8), positions, positions)
def test_move_is_pop_and_insert(order, source, target):
    size = len(order)
    progression = Progression(order=order)
    if not (-size <= source < size and -size <= target <= size):
        with pytest.raises(NotFoundError):
            progression.move(source, target)
        return
    source, target = source % size, target + size if target < 0 else target
    moved = order.pop(source)
    order.insert(target - (source < target), moved)
    progression.move(source, target)
    assert progression.order == order


# --- cost: see test_ordering.py for that of the ordering itself


@pytest.mark.parametrize(
    "act",
    [
        lambda p: p.append(X),
        lambda p: p.include(X),
        lambda p: p.exclude(B),
        lambda p: p.remove(B),
        lambda p: p.popleft(),
        lambda p: p.pop(),
        lambda p: len(p),
        lambda p: bool(p),
        lambda p: B in p,
        lambda p: p[0],
        lambda p: p[-1],
        repr,
    ],
)
def test_quick_operations_do_not_walk_through_the_ids(act, monkeypatch):
    progression = abc()
    assert A in progression  # the index is made

    def walk(*_: object) -> Any:
        raise AssertionError("walked through all ids")

    for name in ("ids", "replace", "__iter__", "_close_holes"):
        monkeypatch.setattr(Ordering, name, walk)
    act(progression)


# --- plain data, copies


def test_to_dict_has_the_order_as_plain_text_in_json():
    progression = Progression(name="a", order=[A, B, A])
    assert list(progression.to_dict()) == ["id", "created_at", "metadata", "name", "order"]
    assert progression.to_dict()["order"] == [A, B, A]
    assert progression.to_dict("json")["order"] == [str(A), str(B), str(A)]
    assert "lion_tags" not in progression.to_dict("json")["metadata"]
    assert progression.model_dump()["order"] == [A, B, A]
    assert json.loads(progression.model_dump_json())["order"] == [str(A), str(B), str(A)]


def test_include_and_exclude_leave_the_order_out():
    progression = abc()
    assert set(progression.to_dict(include={"order"})) == {"order"}
    assert "order" not in progression.to_dict(exclude={"order"})
    assert "order" not in progression.to_dict(exclude={"order": True})
    assert "order" not in progression.model_dump(exclude={"order"})


@pytest.mark.parametrize("mode", ["python", "json", "db"])
def test_round_trip(mode):
    progression = Progression(name="a", order=[A, B, A], metadata={"raw": b"\x00", "$k": {1: 2}})
    data = progression.to_dict(mode)
    if mode == "json":
        data = json.loads(json.dumps(data))
    again = Element.from_dict(data)
    assert type(again) is Progression
    assert again == progression
    assert (again.name, again.order) == ("a", [A, B, A])
    assert again.metadata == progression.metadata
    assert again.created_at == progression.created_at


DUPLICATES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    lambda x: pickle.loads(pickle.dumps(x)),
    Progression.model_copy,
]


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_copies_are_equal_and_independent(duplicate):
    progression = Progression(name="a", order=[A, B, C])
    progression.remove(B)
    other = duplicate(progression)
    assert other == progression
    assert (other.name, other.order) == ("a", [A, C])
    other.append(D)
    assert progression.order == [A, C]
    assert D in other
    assert D not in progression


def test_model_construct_gives_an_empty_one():
    assert Progression.model_construct(name="a").order == []


def test_repr_and_str():
    progression = Progression(name="a", order=[A])
    assert repr(progression) == str(progression) == "Progression(len=1, name='a')"
    assert repr(Progression()) == "Progression(len=0)"


def test_the_name_order_is_taken():
    with pytest.raises(ValueError, match="'order' is taken"):

        class Bad(Progression):
            order: int = 0


# --- standing over something else


class Live(Progression):
    """A read-only view of the keys of somebody's dict."""

    def _ids(self) -> Any:
        return list(SOURCE)

    def _mutable(self) -> Ordering:
        raise OperationError("read-only")


SOURCE: dict[UUID, str] = {}


def test_a_subclass_follows_what_it_stands_over():
    live = Live(name="live")
    assert not live
    SOURCE.update({A: "a", B: "b"})
    try:
        assert (len(live), list(live), live.order, live[-1], live[0:1]) == (
            2,
            [A, B],
            [A, B],
            B,
            [A],
        )
        assert (A in live, str(B) in live, C in live) == (True, True, False)
        assert (live.index(B), list(reversed(live))) == (1, [B, A])
        assert live.to_dict("json")["order"] == [str(A), str(B)]
        assert repr(live) == "Live(len=2, name='live')"
        with pytest.raises(IndexError):
            live[2]
        with pytest.raises(ValueError, match="not in"):
            live.index(C)
    finally:
        SOURCE.clear()


CHANGES: list[tuple[str, Callable[[Progression], Any]]] = [
    ("append", lambda p: p.append(A)),
    ("extend", lambda p: p.extend([A])),
    ("insert", lambda p: p.insert(0, A)),
    ("[i]=", lambda p: p.__setitem__(0, A)),
    ("[a:b]=", lambda p: p.__setitem__(slice(0, 1), [A])),
    ("remove", lambda p: p.remove(A)),
    ("pop", lambda p: p.pop()),
    ("popleft", lambda p: p.popleft()),
    ("clear", lambda p: p.clear()),
    ("reverse", lambda p: p.reverse()),
    ("move", lambda p: p.move(0, 0)),
    ("swap", lambda p: p.swap(0, 0)),
    ("include", lambda p: p.include(A)),
    ("exclude", lambda p: p.exclude(A)),
    ("order=", lambda p: setattr(p, "order", [A])),
]


@pytest.mark.parametrize("act", [case[1] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_one_method_refuses_every_change(act):
    with pytest.raises(OperationError, match="read-only"):
        act(Live())
