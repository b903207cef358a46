"""The shortcut to JSON gives what the long way gives, and is taken where it is meant to be."""

import warnings
from collections.abc import Callable
from enum import Enum, IntEnum, StrEnum
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, Optional, TypeVar, Union
from uuid import UUID

import annotated_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    SecretStr,
    SerializeAsAny,
    StringConstraints,
    WrapSerializer,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from lionpride.core import Element, Event
from lionpride.model.collections.progression import Progression
from lionpride.model.event_data import EventData

T = TypeVar("T")


def slow(element: Element) -> dict[str, Any]:
    """The long way: an argument that says nothing new keeps the shortcut out."""
    return element.to_dict("json", created_at_format="isoformat")


def is_plain(element: Element) -> bool:
    return element._fast_dump.of(element) is not None


def assert_same(element: Element) -> None:
    short, long = element.to_dict("json"), slow(element)
    assert repr(short) == repr(long)  # order and types too: 1, 1.0 and True are equal


class Text(str):
    pass


class Number(int):
    def __repr__(self) -> str:
        return "a number"


class Ratio(float):
    pass


class Items(list[Any]):
    pass


class Table(dict[str, Any]):
    pass


class Colour(Enum):
    RED = "red"
    TWO = 2


class Word(StrEnum):
    A = "a"


class Size(IntEnum):
    BIG = 10


class Inner(BaseModel):
    n: int = 1
    key: SecretStr = SecretStr("s")


# --- values

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**63 - 2, max_value=2**63 + 2),
    st.integers(min_value=-(2**63) - 2, max_value=-(2**63) + 2),
    st.floats(),
    st.text(st.characters(codec=None)),
    st.sampled_from(["$tag", "$", "\ud800", "a\0b"]),
)
odd = st.one_of(
    st.binary(),
    st.uuids(),
    st.datetimes(),
    st.decimals(),
    st.sampled_from([*Colour, *Word, *Size, Inner(), SecretStr("x"), object, Ratio(2.5)]),
    st.builds(Text, st.text()),
    st.builds(Number, st.integers()),
    st.builds(Items, st.just([1])),
    st.builds(Table, st.just({"a": 1})),
    st.tuples(st.integers()),
    st.sets(st.integers()),
)
keys = st.one_of(st.text(), st.sampled_from(["$int", "$", "lion_class"]), st.integers())


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    )


values = nested(scalars) | nested(scalars | odd)


class Holder(Event):
    n: Any = None
    more: Any = None


@settings(max_examples=500, deadline=None)
@given(values, values, st.dictionaries(keys, values, max_size=2), values)
def test_any_value_is_written_as_the_long_way_writes_it(n, more, metadata, response):
    event = Holder(n=n, more=more, metadata=metadata)
    assert_same(event)
    event.execution.response = response
    event.execution.tries = 2
    assert_same(event)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (2**63 - 1, True),
        (2**63, False),
        (-(2**63), True),
        (-(2**63) - 1, False),
        (1e308, True),
        (float("nan"), False),
        (float("-inf"), False),
        ({"a": [1, {"b": None}]}, True),
        ([2**63], False),
        ([float("inf")], False),
        ({"$a": 1}, False),
        ({1: 1}, False),
        ({Text("a"): 1}, False),
        ((1,), False),
        (b"", False),
        (Text("a"), False),
        (Number(1), False),
        (Size.BIG, False),
        (Items(), False),
        (Table(), False),
        ([Table()], False),
    ],
)
def test_which_values_are_plain(value, plain):
    assert is_plain(Holder(n=value)) is plain
    assert is_plain(Holder(metadata={"k": value})) is plain
    assert_same(Holder(n=value))
    assert_same(Holder(metadata={"k": value}))


@pytest.mark.parametrize("depth", [5, 30, 40, 99, 100, 101, 120])
def test_depth_is_the_codecs_affair(depth):
    value: Any = 1
    for _ in range(depth):
        value = [value]
    assert_same(Holder(n=value))


def test_a_value_that_is_met_twice_is_no_cycle_and_a_cycle_is_the_codecs_affair():
    shared = [1]
    assert is_plain(Holder(n=[shared, shared]))
    assert_same(Holder(n=[shared, shared]))
    cycle: list[Any] = []
    cycle.append(cycle)
    event = Holder(metadata={"k": cycle})
    assert not is_plain(event)
    assert_same(event)


def test_what_is_written_shares_nothing_with_the_event():
    event = Holder(n={"a": [1]}, metadata={"m": [1]})
    data = event.to_dict("json")
    data["n"]["a"].append(2)
    data["metadata"]["m"].append(2)
    assert event.n == {"a": [1]}
    assert event.metadata == {"m": [1]}


# --- classes


def cased(name: str) -> str:
    return name.upper()


def trimmed(text: str) -> str:
    return text.strip()


class Twice(annotated_types.GroupedMetadata):
    """A group of marks, one of which changes what is written."""

    def __iter__(self):
        yield annotated_types.Ge(0)
        yield PlainSerializer(lambda n: n * 2)


class PlainNumbers(Event):
    a: int
    b: float = 0
    c: float | None = 5
    d: Optional[bool] = None  # noqa: UP045  (what is tested)
    e: Annotated[int, Field(gt=0)] = 1


class PlainTexts(Event):
    a: str
    b: Annotated[str, StringConstraints(min_length=0)] = "b"
    c: Annotated[str, AfterValidator(cased), BeforeValidator(trimmed), "said"] = "c"
    d: Literal["x", 1] | None = "x"
    e: Colour = "red"
    f: Word = Word.A
    g: Size = 10


class PlainHolders(Event):
    a: list[int] = Field(default_factory=lambda: [1])
    b: dict[str, list[float | None]] = {"k": [1, 2.5, None]}  # noqa: RUF012
    c: list = []  # noqa: RUF012
    d: dict = {"k": {"k": []}}  # noqa: RUF012
    e: list[Annotated[int, Field(ge=0)]] | None = None
    f: list[str] | str = "f"
    g: dict[str, Any] = Field(default_factory=dict)


class Validated(Event):
    n: int = 0
    _seen: int = PrivateAttr(0)

    @field_validator("n")
    @classmethod
    def more(cls, n: int) -> int:
        return max(n, 4)

    @model_validator(mode="after")
    def note(self) -> "Validated":
        self._seen += 1
        return self

    @cached_property
    def kept(self) -> int:
        return 1


class Box(Element, Generic[T]):
    content: T


class Ignores(Event):
    model_config = ConfigDict(extra="ignore")
    n: int = 0


PLAIN: dict[str, Callable[[], Element]] = {
    "an element": Element,
    "work": lambda: EventData(timeout=3),
    "an event": lambda: Event(timeout=2.5, streaming=True),
    "numbers": lambda: PlainNumbers(a=1),
    "texts": lambda: PlainTexts(a="1", e=Colour.TWO, f="a", g=Size.BIG, c=" x "),
    "defaults": lambda: PlainHolders(),
    "holders": lambda: PlainHolders(a=[1, 2], e=[3], f=["f"], g={"a": [{}]}),
    "validated": lambda: Validated(n=3),
    "a generic's": lambda: Box[int](content=3),
    "what is given too much": lambda: Ignores(n=1, m=2),
    "with an identity": lambda: PlainNumbers(
        a=1, id=UUID(int=5), created_at="2025-01-01", metadata={"a": 1, "lion_class": "x"}
    ),
}


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN)
def test_these_classes_take_the_shortcut(make):
    element = make()
    assert is_plain(element)
    assert_same(element)
    _ = element.created_at, element.metadata
    assert_same(element)
    assert element.from_dict(element.to_dict("json")).to_dict("json") == element.to_dict("json")


class Excluded(Event):
    n: int = Field(default=1, exclude=True)


class Aliased(Event):
    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)
    n: int = Field(default=1, alias="m")


class Generated(Event):
    model_config = ConfigDict(
        alias_generator=AliasGenerator(serialization_alias=cased), serialize_by_alias=True
    )
    n: int = 1


class Computed(Event):
    n: int = 1

    @computed_field
    @property
    def twice(self) -> int:
        return self.n * 2


class FieldSerialized(Event):
    n: int = 1

    @field_serializer("n")
    def write(self, n: int) -> str:
        return f"<{n}>"


class FieldSerializedAbove(FieldSerialized):
    m: int = 2


class ModelSerialized(Event):
    n: int = 1

    @model_serializer(mode="wrap")
    def write(self, handler: Any) -> dict[str, Any]:
        return {"id": self.id, "wrapped": handler(self)["n"]}


class OwnDump(Event):
    @model_serializer(mode="wrap")
    def _dump(self, handler: Any, info: Any) -> dict[str, Any]:
        return super()._dump(handler, info) | {"own": 1}


class OwnModelDump(Event):
    def model_dump(self, **kwargs: Any) -> dict[str, Any]:
        return super().model_dump(**kwargs) | {"own": 1}


class OwnData(Event):
    def _data(self, encoder: Any, kwargs: Any) -> dict[str, Any]:
        return super()._data(encoder, kwargs) | {"own": 1}


class OwnToDict(Event):
    def to_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return super().to_dict(*args, **kwargs) | {"own": 1}


class Mixin:
    def model_dump(self, **kwargs: Any) -> dict[str, Any]:
        return super().model_dump(**kwargs) | {"mixed": 1}


class Mixed(Mixin, Event):
    n: int = 1


class OwnMetadata(Event):
    @property
    def metadata(self) -> dict[str, Any]:
        return {"own": 1}


class Extra(Event):
    model_config = ConfigDict(extra="allow")
    n: int = 1


class Marked(Event):
    n: Annotated[int, PlainSerializer(lambda n: n * 2)] = 1


class MarkedInside(Event):
    n: dict[str, list[Annotated[int, WrapSerializer(lambda n, write: write(n) * 2)]]] = Field(
        default_factory=lambda: {"k": [1]}
    )


class MarkedKeys(Event):
    n: dict[Annotated[str, PlainSerializer(str.upper)], int] = Field(
        default_factory=lambda: {"k": 1}
    )


class MarkedByGroup(Event):
    n: Annotated[int, Twice()] = 1


class MarkedByField(Event):
    n: list[Annotated[int, Field(gt=0), PlainSerializer(lambda n: n * 2)]] = [1]  # noqa: RUF012


class Modelled(Event):
    inner: Inner = Inner()


class Duck(Event):
    inner: SerializeAsAny[Inner] | None = None


class Secretive(Event):
    token: SecretStr | None = None


class Tupled(Event):
    pair: tuple[int, int] = (1, 2)


class TwoHolders(Event):
    n: list[int] | dict[str, int] = [1]  # noqa: RUF012


NOT_PLAIN: dict[str, Callable[[], Element]] = {
    "an excluded field": lambda: Excluded(n=2),
    "an alias": lambda: Aliased(m=2),
    "an alias generator": lambda: Generated(),
    "a computed field": lambda: Computed(n=2),
    "a field serializer": lambda: FieldSerialized(n=2),
    "an inherited field serializer": lambda: FieldSerializedAbove(n=2),
    "a model serializer": lambda: ModelSerialized(n=2),
    "a _dump of its own": lambda: OwnDump(),
    "a model_dump of its own": lambda: OwnModelDump(),
    "a mixin": lambda: Mixed(),
    "a _data of its own": lambda: OwnData(),
    "a to_dict of its own": lambda: OwnToDict(),
    "a metadata of its own": lambda: OwnMetadata(),
    "extra fields": lambda: Extra(n=2, m=b"3"),
    "no extra fields where there may be": lambda: Extra(n=2),
    "a serializer beside the type": lambda: Marked(n=2),
    "a serializer inside the type": lambda: MarkedInside(),
    "a serializer of keys": lambda: MarkedKeys(),
    "a serializer in a group of marks": lambda: MarkedByGroup(n=2),
    "a serializer beside a field inside": lambda: MarkedByField(),
    "a model inside": lambda: Modelled(),
    "a duck": lambda: Duck(),
    "a secret": lambda: Secretive(token="k"),
    "no secret": lambda: Secretive(),
    "a tuple": lambda: Tupled(),
    "two kinds of holders": lambda: TwoHolders(),
    "an unbound generic": lambda: Box(content=1),
    "a progression": lambda: Progression(name="x"),
}


@pytest.mark.parametrize("make", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_these_classes_go_the_long_way(make):
    element = make()
    assert not is_plain(element)
    assert_same(element)


TYPES = [
    (int, st.integers()),
    (float, st.floats()),
    (bool, st.booleans()),
    (str, st.text()),
    (bytes, st.binary()),
    (Any, values),
    (Colour, st.sampled_from([*Colour, "red", 2])),
    (Literal["a", 2], st.sampled_from(["a", 2])),
    (UUID, st.uuids()),
    (SecretStr, st.text()),
    (Inner, st.builds(Inner)),
    (Annotated[int, PlainSerializer(lambda n: -n)], st.integers()),
    (Annotated[int, Field(strict=True)], st.integers()),
]


def field_types() -> st.SearchStrategy[tuple[Any, st.SearchStrategy[Any]]]:
    return st.recursive(
        st.sampled_from(TYPES),
        lambda inner: st.one_of(
            inner.map(lambda t: (list[t[0]], st.lists(t[1], max_size=2))),
            inner.map(lambda t: (dict[str, t[0]], st.dictionaries(keys.map(str), t[1]))),
            inner.map(lambda t: (Optional[t[0]], st.none() | t[1])),  # noqa: UP045
            st.tuples(inner, inner).map(lambda t: (Union[t[0][0], t[1][0]], t[0][1] | t[1][1])),  # noqa: UP007
        ),
        max_leaves=3,
    )


how = st.fixed_dictionaries(
    {},
    optional={
        "exclude": st.booleans(),
        "serialization_alias": st.sampled_from(["other", "n"]),
        "repr": st.booleans(),
        "description": st.just("said"),
    },
)
configs = st.fixed_dictionaries(
    {},
    optional={
        "extra": st.sampled_from(["allow", "ignore", "forbid"]),
        "use_enum_values": st.booleans(),
        "serialize_by_alias": st.booleans(),
        "validate_default": st.booleans(),
        "json_encoders": st.just({int: str}),
    },
)


@settings(max_examples=200, deadline=None)
@given(field_types(), how, configs, st.data())
def test_any_class_is_written_as_the_long_way_writes_it(typed, settings_of_field, config, data):
    annotation, allowed = typed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of json_encoders, and of odd values in unions
        base = type(
            "Base", (Event,), {"model_config": ConfigDict(**config), "__module__": __name__}
        )
        field = (annotation, Field(**settings_of_field))
        kind = create_model("Made", __base__=base, __module__=__name__, n=field)
        assert_same(kind(n=data.draw(allowed)))


def test_a_class_that_is_not_complete_yet_is_looked_at_later():
    class Early(Event):
        later: "list[Later]" = []  # noqa: RUF012
        n: int = 0

    assert not Early._fast_dump._look()
    Later = int
    Early.model_rebuild()
    event = Early(later=[1])
    assert is_plain(event)
    assert_same(event)


# --- values that pydantic has not seen


def test_what_does_not_fit_its_field_goes_the_long_way_with_its_warning():
    event = PlainNumbers(a=1)
    event.__dict__["a"] = "text"
    assert not is_plain(event)
    with pytest.warns(UserWarning, match="Expected `int`"):
        assert event.to_dict("json")["a"] == "text"
    held = PlainHolders()
    held.a.append("text")
    with pytest.warns(UserWarning, match="Expected `int`"):
        assert held.to_dict("json")["a"] == [1, "text"]


def test_a_field_that_was_deleted_is_left_out():
    event = PlainNumbers(a=1)
    del event.__dict__["e"]
    assert not is_plain(event)
    assert_same(event)


def test_a_changed_event_is_written_as_it_is_now():
    event = PlainNumbers(a=1)
    before = event.to_dict("json")
    event.a = 2
    event.metadata["k"] = "v"
    event.status = "failed"
    after = event.to_dict("json")
    assert (before["a"], after["a"]) == (1, 2)
    assert after["metadata"]["k"] == "v"
    assert after["execution"]["status"] == "failed"
    assert_same(event)


def test_the_time_is_not_kept_for_having_been_written():
    event = PlainNumbers(a=1)
    event.to_dict("json")
    assert "created_at" not in vars(event)
