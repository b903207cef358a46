"""Flow: items, progressions, and that the two always fit."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lionpride.errors import ExistsError, NotFoundError, OperationError, ValidationError
from lionpride.model import registry
from lionpride.model.collections.flow import Flow
from lionpride.model.collections.pile import Pile
from lionpride.model.collections.progression import Progression
from lionpride.model.element import Element


class Card(Element):
    number: int = 0


class Ace(Card):
    """A special card."""


X = UUID(int=99)


def cards(count: int = 3) -> list[Card]:
    return [Card(number=number, id=UUID(int=number + 1)) for number in range(count)]


def board(**more: Any) -> Flow[Card, Progression]:
    """Three cards: two to do, one done."""
    one, two, three = cards()
    return Flow(
        items=[one, two, three],
        progressions=[
            Progression(name="todo", order=[one, two]),
            Progression(name="done", order=three),
        ],
        **more,
    )


def shape(flow: Flow[Any, Any]) -> dict[str | None, list[int]]:
    """The numbers of the items, and of the items in each progression."""
    found: dict[str | None, list[int]] = {"": [item.number for item in flow.items]}
    for progression in flow.progressions:
        found[progression.name] = [flow.items[uid].number for uid in progression]
    return found


WHOLE = {"": [0, 1, 2], "todo": [0, 1], "done": [2]}


# --- making one


def test_an_empty_flow():
    flow = Flow()
    assert (len(flow.items), len(flow.progressions), flow.name) == (0, 0, None)
    assert flow  # unlike what it holds, a flow is never false


def test_items_and_progressions_may_be_piles_many_or_one():
    one, *_ = cards()
    items, progressions = Pile([one]), Pile([Progression(name="a", order=one)])
    flow = Flow(items=items, progressions=progressions)
    assert flow.items is items
    assert flow.progressions is progressions
    assert shape(Flow([one], [Progression(name="a", order=one)])) == {"": [0], "a": [0]}
    assert shape(Flow(one, Progression(name="a", order=one))) == {"": [0], "a": [0]}


def test_plain_data_is_read_too():
    flow = board()
    data = flow.to_dict("json")
    assert shape(Flow(items=data["items"], progressions=data["progressions"])) == WHOLE
    nested = Flow(items=flow.items.to_dict(), progressions=flow.progressions.to_dict("json"))
    assert shape(nested) == WHOLE
    assert nested.items == flow.items


def test_an_item_may_be_in_several_progressions_and_more_than_once():
    (one,) = cards(1)
    flow = Flow(one, [Progression(name="a", order=[one, one]), Progression(name="b", order=one)])
    assert shape(flow) == {"": [0], "a": [0, 0], "b": [0]}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"progressions": [Progression(order=[X])]}, NotFoundError),
        ({"items": cards(), "progressions": Pile([Progression(order=[X])])}, NotFoundError),
        ({"progressions": [Progression(name="a"), Progression(name="a")]}, ExistsError),
        ({"progressions": [Progression(id=X), Progression(id=X)]}, ExistsError),
        ({"items": [*cards(), *cards(1)]}, ExistsError),
        ({"progressions": cards()}, TypeError),
        ({"progressions": Pile(cards())}, TypeError),
        ({"items": cards(), "item_type": Ace}, TypeError),
        ({"items": [Ace()], "item_type": Card, "strict_type": True}, TypeError),
        ({"items": Pile(cards()), "item_type": Card}, ValidationError),
        ({"items": ["x"]}, TypeError),
        ({"unknown": 1}, ValueError),
    ],
)
def test_what_does_not_fit_is_refused(arguments, error):
    with pytest.raises(error):
        Flow(**arguments)


def test_unnamed_progressions_do_not_clash():
    assert len(Flow(progressions=[Progression(), Progression()]).progressions) == 2


def test_item_type_is_kept():
    flow = Flow(item_type=Card)
    with pytest.raises(TypeError):
        flow.add_item(Progression())
    assert Flow(item_type=Card | Ace, strict_type=True).items.strict_type


def test_a_subclass_may_set_a_name_and_add_fields():
    class Named(Flow[Card, Progression]):
        name: str | None = "board"
        width: int = 7

    assert Named().name == "board"
    again = Flow.from_dict(Named(width=8).to_dict("json"))
    assert (type(again), again.width, again.name) == (Named, 8, "board")  # type: ignore[attr-defined]


# --- progressions


def test_progressions_are_found_by_name_id_text_or_itself():
    flow = board()
    todo = flow.progressions[0]
    for key in ("todo", todo.id, str(todo.id), todo, copy.deepcopy(todo)):
        assert flow.get_progression(key) is todo


@pytest.mark.parametrize("key", ["nowhere", X, str(X), Progression(), Progression(name="todo"), 5])
def test_what_is_not_in_the_flow_is_not_found(key):
    flow = board()
    for ask in (flow.get_progression, flow.remove_progression):
        with pytest.raises(NotFoundError, match="is no progression of Flow"):
            ask(key)
        with pytest.raises(KeyError):
            ask(key)
    with pytest.raises(NotFoundError):
        flow.add_item(Card(), progressions=["todo", key])
    assert shape(flow) == WHOLE


def test_add_progression():
    flow = board()
    flow.add_progression(Progression(name="later", order=flow.items[0]))
    flow.add_progression(Progression())
    assert shape(flow) == WHOLE | {"later": [0], None: []}


@pytest.mark.parametrize(
    ("progression", "error"),
    [
        (Progression(name="todo"), ExistsError),
        (Progression(name="x", order=[X]), NotFoundError),
        (Card(), TypeError),
        ("x", TypeError),
    ],
)
def test_add_progression_refuses_and_changes_nothing(progression, error):
    flow = board()
    with pytest.raises(error):
        flow.add_progression(progression)
    assert shape(flow) == WHOLE


def test_a_progression_that_is_here_is_not_added_again():
    flow = board()
    todo = flow.get_progression("todo")
    todo.name = "renamed"
    with pytest.raises(ExistsError):
        flow.add_progression(todo)


@pytest.mark.parametrize(
    "key_of", [lambda p: p, lambda p: p.id, lambda p: str(p.id), lambda p: p.name]
)
def test_remove_progression_leaves_the_items(key_of):
    flow = board()
    todo = flow.get_progression("todo")
    assert flow.remove_progression(key_of(todo)) is todo
    assert shape(flow) == {"": [0, 1, 2], "done": [2]}
    assert todo.order == [UUID(int=1), UUID(int=2)]
    flow.add_progression(Progression(name="todo"))


def test_a_name_may_change_at_any_time():
    flow = board()
    todo = flow.get_progression("todo")
    todo.name = "doing"
    assert flow.get_progression("doing") is todo
    with pytest.raises(NotFoundError):
        flow.get_progression("todo")
    flow.add_progression(Progression(name="todo"))
    with pytest.raises(ExistsError):
        flow.add_progression(Progression(name="doing"))
    assert flow.remove_progression("doing") is todo


def test_progressions_may_be_added_and_removed_directly():
    flow = board()
    late = Progression(name="late")
    flow.progressions.add(late)
    assert flow.get_progression("late") is late
    with pytest.raises(ExistsError):
        flow.add_progression(Progression(name="late"))
    flow.progressions.remove(late)
    flow.add_progression(Progression(name="late"))


def test_a_name_that_looks_like_an_id_is_a_name():
    named = Progression(name=str(X))
    other = Progression(id=X)
    flow = Flow(progressions=[other, named])
    assert flow.get_progression(str(X)) is named
    assert flow.get_progression(X) is other


# --- items


def test_add_item_to_progressions():
    flow = board()
    todo, done = flow.progressions
    flow.add_item(Card(number=3))
    flow.add_item(Card(number=4), progressions="todo")
    flow.add_item(Card(number=5), progressions=[todo.id, done])
    flow.add_item(Card(number=6), progressions=done)
    assert shape(flow) == {"": [0, 1, 2, 3, 4, 5, 6], "todo": [0, 1, 4, 5], "done": [2, 5, 6]}


@pytest.mark.parametrize(
    ("item", "error"),
    [(Card(id=UUID(int=1)), ExistsError), ("x", TypeError), (Progression(), TypeError)],
)
def test_add_item_refuses_and_changes_nothing(item, error):
    flow = Flow(cards(), [Progression(name="todo")], item_type=Card)
    with pytest.raises(error):
        flow.add_item(item, progressions="todo")
    assert shape(flow) == {"": [0, 1, 2], "todo": []}


@pytest.mark.parametrize("key_of", [lambda c: c, lambda c: c.id, lambda c: str(c.id)])
def test_remove_item_takes_it_out_of_everything(key_of):
    flow = board()
    one = flow.items[0]
    flow.get_progression("done").extend([one, one])
    assert flow.remove_item(key_of(one)) is one
    assert shape(flow) == {"": [1, 2], "todo": [1], "done": [2]}


def test_removing_what_is_not_there_changes_nothing():
    flow = board()
    with pytest.raises(NotFoundError):
        flow.remove_item(X)
    with pytest.raises(ValidationError):
        flow.remove_item("x")
    assert shape(flow) == WHOLE


def test_clear():
    flow = board(name="n")
    flow.clear()
    assert repr(flow) == "Flow(items=0, progressions=0, name='n')"


# --- plain data

KEYS = ["id", "created_at", "metadata", "name", "items", "progressions"]


@pytest.mark.parametrize("mode", ["python", "json", "db"])
def test_to_dict_lists_items_and_progressions(mode):
    data = board(name="n").to_dict(mode)
    db = [*KEYS[:2], "name", "node_metadata", "items", "progressions"]
    assert list(data) == (db if mode == "db" else KEYS)
    assert (len(data["items"]), len(data["progressions"])) == (3, 2)
    assert data["items"][0]["metadata"]["lion_class"] == registry.key_of(Card)
    assert [each["name"] for each in data["progressions"]] == ["todo", "done"]


@pytest.mark.parametrize("mode", ["python", "json", "db"])
def test_round_trip(mode):
    flow = board(name="n", metadata={"raw": b"\x00", "$x": 1})
    flow.add_item(Ace(number=3, metadata={"k": {"$tuple": 1}}), progressions=["todo", "done"])
    data = flow.to_dict(mode)
    if mode == "json":
        data = json.loads(json.dumps(data))
    before = copy.deepcopy(data)
    again = Element.from_dict(data)
    assert data == before
    assert type(again) is Flow
    assert again == flow
    assert (again.name, again.metadata, again.created_at) == ("n", flow.metadata, flow.created_at)
    assert shape(again) == shape(flow)
    assert list(again.items) == list(flow.items)
    assert [type(item) for item in again.items] == [Card, Card, Card, Ace]
    assert again.items[3].metadata == {"k": {"$tuple": 1}}
    assert again.get_progression("todo") == flow.get_progression("todo")


def test_item_types_are_kept_only_if_set():
    assert set(Flow().to_dict()) == set(KEYS)
    flow = Flow(items=cards(), item_type=Card, strict_type=True)
    data = flow.to_dict("json")
    assert list(data) == [*KEYS, "item_type", "strict_type"]
    assert data["item_type"] == [registry.key_of(Card)]
    again = Flow.from_dict(data)
    assert (again.items.item_type, again.items.strict_type) == ({Card}, True)
    assert set(flow.to_dict(exclude={"items", "item_type", "strict_type"})) == {*KEYS} - {"items"}
    assert set(flow.to_dict(include={"items"})) == {"items"}


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda d: d["progressions"][0]["order"].append(str(X)), NotFoundError),
        (lambda d: d["progressions"][0].update(name="done"), ExistsError),
        (lambda d: d["progressions"].append(d["progressions"][0]), ExistsError),
        (lambda d: d["items"].append(d["items"][0]), ExistsError),
        (lambda d: d["items"].pop(), NotFoundError),
        (lambda d: d["progressions"].append(d["items"][0]), TypeError),
        (lambda d: d.update(item_type=[registry.key_of(Ace)]), TypeError),
        (lambda d: d["items"][0]["metadata"].update(lion_class="no.such.Class"), NotFoundError),
        (lambda d: d["progressions"][0]["order"].append("x"), ValueError),
        (lambda d: d["items"][0].update(number="x"), ValueError),
        (lambda d: d.update(unknown=1), ValueError),
    ],
)
def test_reading_refuses_what_does_not_fit(spoil, error):
    data = board().to_dict("json")
    spoil(data)
    with pytest.raises(error):
        Flow.from_dict(data)


def test_item_meta_key():
    data = board().to_dict("json", item_meta_key="m", meta_key="f")
    assert "m" in data["items"][0]
    assert "m" in data["progressions"][0]
    assert shape(Flow.from_dict(data, meta_key="f", item_meta_key="m")) == WHOLE


def original(uid: int, kind: str, **fields: Any) -> dict[str, Any]:
    """An element as the original package wrote it."""
    return {
        "id": str(UUID(int=uid)),
        "created_at": "2025-01-01T00:00:00+00:00",
        "metadata": {"lion_class": f"lionpride.core.{kind}"},
        **fields,
    }


@pytest.mark.parametrize("meta_key", ["metadata", "node_metadata"])
def test_the_layout_of_the_original_package(meta_key):
    todo = original(4, "progression.Progression", name="todo", order=[str(UUID(int=1))])
    item = original(1, "progression.Progression", name="an item", order=[])
    pile = {"item_type": None, "strict_type": False}
    data = original(
        5,
        "flow.Flow",
        name="n",
        items=original(2, "pile.Pile", **pile, items=[item]),
        progressions=original(3, "pile.Pile", **pile, items=[todo]),
    )
    for each in (data, data["items"], data["progressions"]):
        each[meta_key] = each.pop("metadata")
    flow = Flow.from_dict(data)
    assert repr(flow) == "Flow(items=1, progressions=1, name='n')"
    assert flow.items.id == UUID(int=2)
    assert flow.get_progression("todo").order == [UUID(int=1)]


def test_a_flow_as_a_field_round_trips():
    class Game(Element):
        flow: Flow[Card, Progression]

    game = Game(flow=board(name="n"))
    for mode in ("python", "json", "db"):
        again = Game.from_dict(game.to_dict(mode))
        assert shape(again.flow) == WHOLE
        assert again.flow == game.flow


def test_classes_of_a_function_round_trip():
    class Task(Element):
        what: str

    again = Flow.from_dict(json.loads(Flow(items=[Task(what="x")]).to_json()))
    assert type(again.items[0]) is Task
    assert again.items[0].what == "x"


DUPLICATES: list[Callable[[Any], Any]] = [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]


@pytest.mark.parametrize("duplicate", DUPLICATES)
def test_copies_are_equal_and_independent(duplicate):
    flow = Flow(
        items=[Progression(id=X)], progressions=[Progression(name="a", order=[X])], name="n"
    )
    other = duplicate(flow)
    assert other == flow
    assert repr(other) == repr(flow)
    assert other.get_progression("a").order == [X]
    other.remove_item(X)
    assert flow.get_progression("a").order == [X]
    assert len(flow.items) == 1


def test_a_shallow_copy_shares_the_piles():
    flow = board()
    assert copy.copy(flow).items is flow.items


def test_repr_and_str():
    flow = Flow(items=cards(1), progressions=[Progression()], name="n")
    assert repr(flow) == str(flow) == "Flow(items=1, progressions=1, name='n')"
    assert repr(Flow()) == "Flow(items=0, progressions=0)"


# --- as a type

E = TypeVar("E", bound=Element)
P = TypeVar("P", bound=Progression)


class Lane(Progression):
    limit: int = 2


class Kanban(Flow[E, P], Generic[E, P]):
    title: str = ""


def test_parameters_are_for_type_checkers():
    assert Flow[Card, Progression] is Flow
    kanban = Kanban[Card, Lane](items=cards(), progressions=[Lane(name="a", limit=4)], title="t")
    again = Element.from_dict(kanban.to_dict("json"))
    assert (type(again), again.title) == (Kanban, "t")  # type: ignore[attr-defined]
    assert type(again.get_progression("a")) is Lane  # type: ignore[attr-defined]
    assert again.get_progression("a").limit == 4  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["items", "progressions", "id"])
def test_the_names_of_its_parts_are_taken(name):
    with pytest.raises(ValueError, match=f"'{name}' is taken"):
        type("Bad", (Flow,), {"__annotations__": {name: int}, "__module__": __name__})


@pytest.mark.parametrize("name", ["items", "progressions"])
def test_the_piles_are_not_replaced(name):
    with pytest.raises(ValueError, match=name):
        setattr(board(), name, Pile())


# --- standing over something else


class LivePile(Pile[Any]):
    """A pile that only its owner changes."""

    def _mutable(self) -> Any:
        raise OperationError("read-only")


class LiveProgression(Progression):
    def _ids(self) -> Any:
        return [UUID(int=1)]

    def _mutable(self) -> Any:
        raise OperationError("read-only")


def live_pile(*items: Any) -> LivePile:
    pile = LivePile()
    pile.__dict__["_items"] = {item.id: item for item in items}
    return pile


class States(Flow[Card, Progression]):
    """A view: its parts are given, not kept."""

    @property
    def items(self) -> Pile[Card]:  # type: ignore[override]
        return ITEMS

    @property
    def progressions(self) -> Pile[Progression]:  # type: ignore[override]
        return STATES


ITEMS = live_pile(*cards(1))
STATES = live_pile(LiveProgression(name="pending"))


def test_a_subclass_follows_what_it_stands_over():
    states = States(name="states")
    assert repr(states) == "States(items=1, progressions=1, name='states')"
    assert shape(states) == {"": [0], "pending": [0]}
    assert states.get_progression("pending") is STATES[0]
    data = states.to_dict("json")
    assert list(data) == KEYS
    assert data["progressions"][0]["order"] == [str(UUID(int=1))]


CHANGES: list[tuple[str, Callable[[States], Any]]] = [
    ("add_item", lambda s: s.add_item(Card(), progressions="pending")),
    ("remove_item", lambda s: s.remove_item(UUID(int=1))),
    ("add_progression", lambda s: s.add_progression(Progression(name="x"))),
    ("remove_progression", lambda s: s.remove_progression("pending")),
    ("clear", lambda s: s.clear()),
    ("items.add", lambda s: s.items.add(Card())),
    ("append", lambda s: s.get_progression("pending").append(X)),
]


@pytest.mark.parametrize("act", [case[1] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_read_only_parts_refuse_every_change(act):
    states = States(name="states")
    with pytest.raises(OperationError, match="read-only"):
        act(states)
    assert shape(states) == {"": [0], "pending": [0]}


# --- whatever is done through a flow, it fits and round-trips

NUMBERS = st.integers(0, 5)
NAMES = st.sampled_from(["a", "b", "c"])


class AlwaysFits(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.flow: Flow[Card, Progression] = Flow(item_type=Card)
        self.model: dict[str | None, list[int]] = {"": []}

    @rule(number=NUMBERS, names=st.lists(NAMES, max_size=3))
    def add_item(self, number, names):
        card = Card(number=number, id=UUID(int=number))
        if number in self.model[""] or any(name not in self.model for name in names):
            with pytest.raises((ExistsError, NotFoundError)):
                self.flow.add_item(card, progressions=names)
            return
        self.flow.add_item(card, progressions=names)
        for name in ("", *names):
            self.model[name].append(number)

    @rule(number=NUMBERS)
    def remove_item(self, number):
        if number not in self.model[""]:
            with pytest.raises(NotFoundError):
                self.flow.remove_item(UUID(int=number))
            return
        self.flow.remove_item(UUID(int=number))
        for name, order in self.model.items():
            self.model[name] = [each for each in order if each != number]

    @rule(name=NAMES, order=st.lists(NUMBERS, max_size=3))
    def add_progression(self, name, order):
        progression = Progression(name=name, order=[UUID(int=number) for number in order])
        if name in self.model or any(number not in self.model[""] for number in order):
            with pytest.raises((ExistsError, NotFoundError)):
                self.flow.add_progression(progression)
            return
        self.flow.add_progression(progression)
        self.model[name] = order

    @rule(name=NAMES)
    def remove_progression(self, name):
        if name not in self.model:
            with pytest.raises(NotFoundError):
                self.flow.remove_progression(name)
            return
        self.flow.remove_progression(name)
        del self.model[name]

    @rule(old=NAMES, new=NAMES)
    def rename(self, old, new):
        if old in self.model and new not in self.model:
            self.flow.get_progression(old).name = new
            self.model = {new if name == old else name: order for name, order in self.model.items()}

    @rule(mode=st.sampled_from(["python", "json", "db"]))
    def round_trip(self, mode):
        self.flow = Flow.from_dict(self.flow.to_dict(mode))

    @invariant()
    def same(self):
        assert shape(self.flow) == self.model


TestAlwaysFits = AlwaysFits.TestCase
TestAlwaysFits.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
