"""Pile: elements by id, held to a plain dict by Hypothesis."""

import copy
import json
import pickle
import sys
from collections.abc import Callable, Mapping, MutableMapping
from types import FrameType
from typing import Any, Generic, TypeVar, Union
from uuid import UUID, uuid4

import pydantic
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pydantic import Field

from lionpride.errors import ExistsError, NotFoundError, OperationError, ValidationError
from lionpride.model import registry
from lionpride.model.collections.pile import Pile
from lionpride.model.collections.progression import Progression
from lionpride.model.element import Element


class Card(Element):
    number: int = 0


class Ace(Card):
    """A special card."""


class Joker(Element):
    """No card at all."""


X = UUID(int=99)


def cards(count: int = 3) -> list[Card]:
    return [Card(number=number, id=UUID(int=number + 1)) for number in range(count)]


def numbers(pile: Pile[Any]) -> list[int]:
    return [card.number for card in pile]


@pytest.fixture
def pile() -> Pile[Card]:
    return Pile(items=cards())


# --- making one


def test_items_may_be_none_one_or_many():
    one, two, _ = cards()
    assert len(Pile()) == 0
    assert list(Pile(items=[one, two])) == [one, two]
    assert list(Pile([one])) == list(Pile(one)) == [one]
    assert list(Pile(iter([one, two]))) == [one, two]
    assert list(Pile(Pile([one]))) == [one]
    assert list(Pile(Progression(order=[X], id=X))) == [Progression(id=X)]


def test_items_that_are_plain_data_are_read():
    (card,) = cards(1)
    pile = Pile(items=[card.to_dict()])
    assert list(pile) == [card]
    assert type(pile[0]) is Card


def test_items_twice_are_refused():
    (card,) = cards(1)
    with pytest.raises(ExistsError):
        Pile(items=[card, card])


@pytest.mark.parametrize("item", ["x", 5, None, object(), {"no": "element"}])
def test_what_is_no_element_is_refused(item):
    with pytest.raises((TypeError, ValueError)):
        Pile(items=[item])
    with pytest.raises(TypeError):
        Pile().add(item)


def test_order_puts_items_first():
    first, second, third = cards()
    assert list(Pile([first, second, third], order=[third, str(first.id)])) == [
        third,
        first,
        second,
    ]
    assert list(Pile([first, second], order=Progression(order=[second, first]))) == [second, first]
    assert list(Pile([first], order=[])) == [first]


def test_order_names_items_once():
    first, second, _ = cards()
    with pytest.raises(NotFoundError):
        Pile([first], order=[second])
    with pytest.raises(ValidationError, match="twice"):
        Pile([first], order=[first, first])


# --- item types


@pytest.mark.parametrize(
    "item_type",
    [
        Card,
        [Card],
        (Card,),
        {Card},
        frozenset([Card]),
        Card | Joker,
        Union[Card, Joker],  # noqa: UP007  (the old spelling is the case)
        [Card, Joker],
        [Card | Joker],
    ],
)
def test_item_type_allows_its_classes_and_their_subclasses(item_type):
    pile = Pile(items=[Card(), Ace()], item_type=item_type)
    assert pile.item_type >= {Card}
    with pytest.raises(TypeError, match=r"the pile takes .*Card.*, not Progression"):
        pile.add(Progression())


def test_strict_type_refuses_subclasses():
    with pytest.raises(TypeError, match=r"takes Card \(strict_type: no subclasses\), not Ace"):
        Pile(items=[Ace()], item_type=Card, strict_type=True)
    assert Pile(items=[Ace()], item_type=[Card, Ace], strict_type=True)


@pytest.mark.parametrize("item_type", [int, "no.such.Class", 5, [int], Card | None, Card()])
def test_item_type_takes_classes_of_elements(item_type):
    with pytest.raises((pydantic.ValidationError, NotFoundError)):
        Pile(item_type=item_type)


def test_item_type_and_strict_type_are_fixed():
    pile = Pile(item_type=Card)
    for name, value in (("item_type", {Joker}), ("strict_type", True)):
        with pytest.raises(pydantic.ValidationError, match="frozen"):
            setattr(pile, name, value)


def test_a_subclass_may_set_its_item_type():
    class Hand(Pile[Card]):
        item_type: set[type[Any]] | None = Field(default={Card}, frozen=True)
        strict_type: bool = Field(default=True, frozen=True)

    assert Hand([Card()]).item_type == {Card}
    with pytest.raises(TypeError):
        Hand([Ace()])


def test_filter_by_type():
    pile = Pile(items=[Card(number=1), Ace(number=2), Joker()])
    assert numbers(pile.filter_by_type(Card)) == [1, 2]
    assert numbers(pile.filter_by_type([Ace])) == [2]
    assert len(pile.filter_by_type(Card | Joker)) == 3
    with pytest.raises(NotFoundError, match="no Progression"):
        pile.filter_by_type(Progression)
    typed = Pile(items=[Card(), Ace()], item_type=Card)
    assert len(typed.filter_by_type(Element)) == 2
    assert len(typed.filter_by_type(Ace)) == 1
    assert typed.filter_by_type(Ace).item_type == {Card}
    with pytest.raises(TypeError, match="takes Card, not Joker"):
        typed.filter_by_type(Joker)
    strict = Pile(items=[Card()], item_type=Card, strict_type=True)
    with pytest.raises(TypeError):
        strict.filter_by_type(Element)


# --- adding and removing


def test_add_and_update(pile):
    old = pile[1]
    new = Card(number=7, id=old.id)
    with pytest.raises(ExistsError):
        pile.add(new)
    assert pile[1] is old
    pile.update(new)
    assert pile[1] is new
    assert numbers(pile) == [0, 7, 2]
    with pytest.raises(NotFoundError):
        pile.update(Card())
    with pytest.raises(TypeError):
        pile.update("x")


@pytest.mark.parametrize("as_key", [lambda c: c, lambda c: c.id, lambda c: str(c.id)])
def test_items_are_found_by_id_text_or_element(pile, as_key):
    card = pile[1]
    key = as_key(card)
    assert pile.get(key) is pile[key] is card
    assert key in pile
    assert pile.remove(key) is card
    assert key not in pile
    assert pile.get(key, None) is pile.pop(key, None) is None
    for ask in (pile.get, pile.pop, pile.remove, pile.__getitem__):
        with pytest.raises(NotFoundError, match="is not in the pile"):
            ask(key)


def test_what_is_no_id_is_an_error_but_is_not_in(pile):
    assert "x" not in pile
    assert 5 not in pile
    for ask in (pile.get, pile.pop, pile.remove):
        with pytest.raises(ValidationError, match="is no id"):
            ask("x")


def test_include_and_exclude_answer_whether_it_is_so():
    card = Card()
    pile = Pile(item_type=Card)
    assert pile.include(card)
    assert pile.include(card)
    assert len(pile) == 1
    assert not pile.include(Joker())
    assert not pile.include("x")
    assert pile.exclude(card)
    assert pile.exclude(card)
    assert not pile.exclude("x")
    assert len(pile) == 0


def test_clear_and_emptiness(pile):
    assert pile
    assert not pile.is_empty()
    pile.clear()
    assert not pile
    assert pile.is_empty()
    assert len(pile) == 0


def test_changing_while_iterating(pile):
    everything = list(pile)
    for number, item in enumerate(pile):
        pile.remove(item)
        pile.add(Card(number=10 + number))
    assert numbers(pile) == [10, 11, 12]
    for walk in (pile.keys(), pile.items(), iter(pile)):
        pile.clear()
        assert len(list(walk)) == 3
        pile = Pile(everything)


def test_keys_items_and_progression(pile):
    ids = [card.id for card in pile]
    assert list(pile.keys()) == ids
    assert list(pile.items()) == list(zip(ids, pile, strict=True))
    progression = pile.progression
    assert progression.order == ids
    progression.clear()
    assert len(pile) == 3


# --- selecting

SELECT: list[tuple[str, Callable[[Pile[Card]], Any], list[int]]] = [
    ("slice", lambda p: p[1:], [1, 2]),
    ("slice backwards", lambda p: p[::-1], [2, 1, 0]),
    ("empty slice", lambda p: p[5:], []),
    ("positions", lambda p: p[[2, 0]], [2, 0]),
    ("positions in a tuple", lambda p: p[0, -1], [0, 2]),
    ("ids", lambda p: p[[p[1].id, str(p[0].id)]], [1, 0]),  # type: ignore[index]
    ("elements", lambda p: p[[p[1]]], [1]),  # type: ignore[index]
    ("progression", lambda p: p[Progression(order=[p[2], p[0], p[2]])], [2, 0]),
    ("empty progression", lambda p: p[Progression()], []),
    ("function", lambda p: p[lambda card: card.number != 1], [0, 2]),
]


@pytest.mark.parametrize(
    ("select", "expected"), [case[1:] for case in SELECT], ids=[case[0] for case in SELECT]
)
def test_several_items_are_a_new_pile(select, expected):
    pile = Pile(items=cards(), item_type=Card, strict_type=True)
    selected = select(pile)
    assert numbers(selected) == expected
    assert type(selected) is Pile
    assert (selected.item_type, selected.strict_type) == ({Card}, True)
    assert len(pile) == 3


def test_one_item_by_position(pile):
    assert (pile[0].number, pile[-1].number) == (0, 2)
    with pytest.raises(IndexError):
        pile[3]


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (X, NotFoundError),
        ([X], NotFoundError),
        (Progression(order=[X]), NotFoundError),
        ([7], IndexError),
        ([], ValueError),
        ([0, X], TypeError),
        ([None], TypeError),
        (1.5, TypeError),
        (None, TypeError),
        ("x", ValueError),
    ],
)
def test_keys_that_select_nothing(pile, key, error):
    with pytest.raises(error):
        pile[key]


# --- against a plain dict

NUMBERS = st.integers(0, 7)


class AgainstADict(RuleBasedStateMachine):
    """Does to a pile what it does to a dict, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.pile: Pile[Card] = Pile(item_type=Card)
        self.dict: dict[UUID, Card] = {}

    @rule(number=NUMBERS)
    def add(self, number):
        card = Card(number=number, id=UUID(int=number))
        if card.id in self.dict:
            with pytest.raises(ExistsError):
                self.pile.add(card)
        else:
            self.dict[card.id] = card
            self.pile.add(card)

    @rule(number=NUMBERS)
    def update(self, number):
        card = Card(number=number, id=UUID(int=number))
        if card.id in self.dict:
            self.dict[card.id] = card
            self.pile.update(card)
        else:
            with pytest.raises(NotFoundError):
                self.pile.update(card)

    @rule(number=NUMBERS)
    def remove(self, number):
        uid = UUID(int=number)
        if uid in self.dict:
            assert self.pile.remove(uid) is self.dict.pop(uid)
        else:
            with pytest.raises(NotFoundError):
                self.pile.remove(uid)

    @rule(number=NUMBERS)
    def include(self, number):
        card = Card(number=number, id=UUID(int=number))
        self.dict.setdefault(card.id, card)
        assert self.pile.include(card)

    @rule(number=NUMBERS)
    def exclude(self, number):
        self.dict.pop(UUID(int=number), None)
        assert self.pile.exclude(UUID(int=number))

    @rule(number=NUMBERS)
    def pop(self, number):
        uid = UUID(int=number)
        assert self.pile.pop(uid, None) is self.dict.pop(uid, None)

    @rule()
    def clear(self):
        self.pile.clear()
        self.dict.clear()

    @rule(mode=st.sampled_from(["python", "json", "db"]))
    def round_trip(self, mode):
        self.pile = Pile.from_dict(self.pile.to_dict(mode))
        self.dict = dict(self.pile.items())

    @invariant()
    def same(self):
        assert list(self.pile.keys()) == list(self.dict)
        assert [id(item) for item in self.pile] == [id(item) for item in self.dict.values()]
        assert (len(self.pile), bool(self.pile)) == (len(self.dict), bool(self.dict))
        for number in range(8):
            uid = UUID(int=number)
            assert (uid in self.pile) == (uid in self.dict)
            assert self.pile.get(uid, None) is self.dict.get(uid)
        for position, card in enumerate(self.dict.values()):
            assert self.pile[position] is card


TestAgainstADict = AgainstADict.TestCase
TestAgainstADict.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def lines_of(act: Callable[[], Any]) -> int:
    """How many lines of `pile.py` an action executes."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.endswith("pile.py"):
            return None
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(None)
    return count


class Watched(dict[UUID, Any]):
    """Fails when it is walked through."""

    def _walked(self, *_: object) -> Any:
        raise AssertionError("walked through all items")

    __iter__ = keys = values = items = copy = _walked


def test_by_id_nothing_walks_through_the_items():
    def steps(size: int) -> list[int]:
        pile: Pile[Card] = Pile(cards(size))
        pile.__dict__["_items"] = Watched(pile._items)
        last, new = UUID(int=size), Card()
        return [
            lines_of(lambda: pile.add(new)),
            lines_of(lambda: pile.get(last)),
            lines_of(lambda: pile[last]),
            lines_of(lambda: last in pile),
            lines_of(lambda: len(pile)),
            lines_of(lambda: pile.update(Card(id=last))),
            lines_of(lambda: pile.remove(last)),
            lines_of(lambda: pile.pop(new)),
            lines_of(lambda: pile.include(new)),
            lines_of(lambda: pile.exclude(new)),
        ]

    assert steps(10) == steps(1000)


# --- plain data, copies


def test_to_dict_lists_the_items(pile):
    data = pile.to_dict()
    assert list(data) == ["id", "created_at", "metadata", "item_type", "strict_type", "items"]
    assert [item["number"] for item in data["items"]] == [0, 1, 2]
    assert data["items"][0]["metadata"]["lion_class"] == registry.key_of(Card)
    assert "items" not in pile.to_dict(exclude={"items"})
    assert set(pile.to_dict(include={"items", "id"})) == {"items", "id"}
    assert len(pile.model_dump()["items"]) == 3


@pytest.mark.parametrize("mode", ["python", "json", "db"])
@pytest.mark.parametrize("strict", [False, True])
def test_round_trip(mode, strict):
    pile = Pile(
        items=[Card(number=1, metadata={"raw": b"\x00"}), Ace(number=2)],
        item_type=[Card, Ace],
        strict_type=strict,
        metadata={"$odd": {1, 2}, "when": None},
    )
    data = pile.to_dict(mode)
    if mode == "json":
        data = json.loads(json.dumps(data))
    before = copy.deepcopy(data)
    again = Element.from_dict(data)
    assert data == before
    assert type(again) is Pile
    assert again == pile
    assert again.metadata == pile.metadata
    assert list(again) == list(pile)
    assert [type(item) for item in again] == [Card, Ace]
    assert again[0].metadata == {"raw": b"\x00"}
    assert (again.item_type, again.strict_type) == ({Card, Ace}, strict)


def test_what_looks_like_a_tag_survives_in_items_of_a_tagged_pile():
    pile = Pile(items=[Card(metadata={"k": {"$x": 1}})], metadata={"raw": b"\x00"})
    assert Pile.from_dict(pile.to_dict("json"))[0].metadata == {"k": {"$x": 1}}


def test_piles_of_piles():
    inner = Pile(items=cards(2))
    again = Pile.from_dict(json.loads(Pile(items=[inner]).to_json()))
    assert numbers(again[0]) == [0, 1]


def test_item_meta_key_and_item_created_at_format(pile):
    data = pile.to_dict("json", item_meta_key="m", item_created_at_format="timestamp")
    assert "lion_class" in data["metadata"]
    assert "lion_class" in data["items"][0]["m"]
    assert isinstance(data["items"][0]["created_at"], float)
    again = Pile.from_dict(data, item_meta_key="m")
    assert numbers(again) == [0, 1, 2]
    data = pile.to_dict("json", meta_key="p")
    assert Pile.from_dict(data, meta_key="p").id == pile.id


class Counted(Element):
    """Counts how often it is built."""

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)
        BUILT.append(self)


BUILT: list[Counted] = []


def test_types_are_checked_before_anything_is_built():
    data = Pile(items=[Counted(), Counted(), Joker()]).to_dict("json")
    BUILT.clear()
    with pytest.raises(TypeError, match="takes Counted, not Joker"):
        Pile.from_dict(data, item_type=Counted)
    with pytest.raises(TypeError):
        Pile.from_dict(data | {"item_type": [registry.key_of(Counted)]})
    with pytest.raises(TypeError):
        Element.from_dict(data, item_type=Counted)
    data["items"][2]["metadata"]["lion_class"] = "no.such.Class"
    with pytest.raises(NotFoundError, match=r"no\.such\.Class"):
        Pile.from_dict(data)
    assert BUILT == []


def test_item_type_of_the_caller_goes_before_that_of_the_data(pile):
    data = Pile(items=cards(), item_type=Card).to_dict("json")
    with pytest.raises(TypeError):
        Pile.from_dict(data, item_type=Joker)
    assert Pile.from_dict(data, item_type=Element).item_type == {Element}


def test_reading_refuses_an_item_twice(pile):
    data = pile.to_dict("json")
    data["items"].append(data["items"][0])
    with pytest.raises(ExistsError):
        Pile.from_dict(data)


def test_the_layout_of_the_original_package():
    data = {
        "id": str(X),
        "created_at": "2025-01-01T00:00:00+00:00",
        "metadata": {"lion_class": "lionpride.core.pile.Pile", "progression_name": "p"},
        "item_type": ["lionpride.core.progression.Progression"],
        "strict_type": False,
        "items": [
            {
                "id": str(UUID(int=7)),
                "created_at": "2025-01-01T00:00:00+00:00",
                "metadata": {"lion_class": "lionpride.core.progression.Progression"},
                "name": "a",
                "order": [str(X)],
            }
        ],
    }
    pile = Element.from_dict(data)
    assert (type(pile), pile.id, pile.item_type) == (Pile, X, {Progression})  # type: ignore[attr-defined]
    assert pile[0].order == [X]  # type: ignore[index]


DUPLICATES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    lambda x: pickle.loads(pickle.dumps(x)),
    Pile.model_copy,
]


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_copies_are_equal_and_independent(duplicate):
    pile = Pile[Element](items=[Progression(name="a")], item_type=Progression)
    other = duplicate(pile)
    assert other == pile
    assert list(other) == list(pile)
    assert other.item_type == {Progression}
    other.add(Progression())
    assert (len(pile), len(other)) == (1, 2)


def test_a_deep_copy_has_items_of_its_own(pile):
    other = copy.deepcopy(pile)
    assert other[0] == pile[0]
    assert other[0] is not pile[0]


def test_repr_and_str(pile):
    assert repr(pile) == str(pile) == "Pile(len=3)"


# --- as a type


def test_parameters_are_for_type_checkers(pile):
    assert Pile[Card] is Pile
    assert type(Pile[Card](items=cards())) is Pile


T = TypeVar("T", bound=Element)


class Stack(Pile[T], Generic[T]):
    top: int = 0


def test_a_generic_subclass():
    stack = Stack[Card](items=cards(), top=2)
    again = Element.from_dict(json.loads(stack.to_json()))
    assert type(again) is Stack
    assert (again.top, numbers(again)) == (2, [0, 1, 2])


def test_a_pile_as_a_field_round_trips(pile):
    class Hand(Element):
        cards: Pile[Card]
        played: Progression

    hand = Hand(cards=pile, played=Progression(order=[pile[0]]))
    for mode in ("python", "json", "db"):
        again = Element.from_dict(hand.to_dict(mode))
        assert type(again) is Hand
        assert numbers(again.cards) == [0, 1, 2]
        assert type(again.cards[0]) is Card
        assert again.cards == pile
        assert again.played.order == hand.played.order


def test_the_names_of_its_parts_are_taken():
    with pytest.raises(ValueError, match="'progression' is taken"):

        class Bad(Pile[Card]):
            progression: int = 0


# --- standing over something else


class View(Mapping[UUID, Card]):
    """Cards by id, without a dict."""

    def __getitem__(self, uid: UUID) -> Card:
        if uid.int not in (1, 2):
            raise KeyError(uid)
        return Card(number=uid.int, id=uid)

    def __iter__(self) -> Any:
        return iter([UUID(int=1), UUID(int=2)])

    def __len__(self) -> int:
        return 2


class Live(Pile[Card]):
    def _mapping(self) -> Mapping[UUID, Card]:
        return View()

    def _mutable(self) -> MutableMapping[UUID, Card]:
        raise OperationError("read-only")


def test_a_subclass_follows_what_it_stands_over():
    live = Live()
    one = UUID(int=1)
    assert (len(live), bool(live), live.is_empty()) == (2, True, False)
    assert numbers(live) == [1, 2]
    assert (one in live, str(one) in live, X in live) == (True, True, False)
    assert (live[0].number, live[-1].number, live[one].number) == (1, 2, 1)
    assert live.get(X, None) is None
    assert numbers(live[1:]) == numbers(live[lambda card: card.number > 1]) == [2]
    assert list(live.keys()) == live.progression.order == [one, UUID(int=2)]
    assert [uid for uid, _ in live.items()] == [one, UUID(int=2)]
    assert len(live.filter_by_type(Card)) == 2
    assert len(live.to_dict("json")["items"]) == 2
    assert repr(live) == "Live(len=2)"
    with pytest.raises(NotFoundError):
        live[X]


CHANGES: list[tuple[str, Callable[[Pile[Card]], Any]]] = [
    ("add", lambda p: p.add(Card())),
    ("update", lambda p: p.update(Card())),
    ("remove", lambda p: p.remove(uuid4())),
    ("pop", lambda p: p.pop(uuid4(), None)),
    ("clear", lambda p: p.clear()),
    ("include", lambda p: p.include(Card())),
    ("exclude", lambda p: p.exclude(uuid4())),
]


@pytest.mark.parametrize("act", [case[1] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_one_method_refuses_every_change(act):
    with pytest.raises(OperationError, match="read-only"):
        act(Live())
