"""Element: an identity, fields as pydantic has them, and plain data that reads back."""

import copy
import json
import math
import pickle
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from uuid import UUID

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, computed_field, field_validator, model_validator

from lionpride.errors import (
    ConfigurationError,
    NotFoundError,
    UnknownClassError,
    ValidationError,
)
from lionpride.model.collections.pile import Pile
from lionpride.model.element import Element, as_id, utc_time
from lionpride.model.serialization.codec import Unserializable, error_from_dict, error_to_dict

ID = UUID(int=7)
TIME = datetime(2025, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Colour(Enum):
    RED = "red"


class Card(Element):
    number: int = 0
    tags: list[str] = Field(default_factory=list)
    content: Any = None


# --- identity


def test_the_identity_is_made_once_and_is_its_own():
    one, two = Card(), Card()
    assert one.id == one.id
    assert one.id.version == 7
    assert one.id != two.id
    assert one.created_at is one.created_at
    assert one.created_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - one.created_at) < timedelta(seconds=5)
    assert one.created_timestamp == pytest.approx(one.created_at.timestamp())
    assert one.metadata == {}
    one.metadata["k"] = 1
    assert one.metadata == {"k": 1}


class Curious(Element):
    """Reads its identity while it is made."""

    seen: Any = None

    def model_post_init(self, context):
        self.__dict__["seen"] = self.look()

    @model_validator(mode="after")
    def look_again(self):
        assert self.look() == self.seen
        self.metadata["looked"] = True
        return self

    def look(self):
        return self.id, self.created_at, self.created_timestamp


@given(st.floats(1_500_000_000, 4_000_000_000))
def test_an_element_is_never_created_after_it_was_made(made):
    """A rounded time could be later than a ``now()`` taken afterwards."""
    assert utc_time(made).timestamp() <= made
    assert made - utc_time(made).timestamp() < 2e-6


@given(st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_a_time_that_is_given_is_kept_to_the_microsecond(time):
    assert utc_time(time.timestamp()) == time


@pytest.mark.parametrize("given", [{}, {"id": ID}, {"created_at": TIME}, {"metadata": {"a": 1}}])
def test_the_identity_may_be_asked_for_while_the_element_is_made(given):
    for _ in range(2):
        card = Curious(**given)
        assert card.seen[:2] == (card.id, card.created_at)
        assert card.created_timestamp == pytest.approx(card.created_at.timestamp(), abs=1e-6)
        assert card.metadata == {**given.get("metadata", {}), "looked": True}
        assert card.id == given.get("id", card.id)
        assert card.created_at == given.get("created_at", card.created_at)
        assert Curious.from_dict(card.to_dict()).seen[:2] == card.seen[:2]


def test_an_element_that_was_not_validated_has_an_identity_too():
    card = Card.model_construct(number=3)
    assert card.created_timestamp == pytest.approx(card.created_at.timestamp(), abs=1e-6)
    assert Card.from_dict(card.to_dict()) == card


def test_the_time_is_of_making_and_not_of_asking():
    one = Card()
    two = Card()
    assert one.created_at <= two.created_at
    later = two.created_at
    assert one.created_at <= later


@pytest.mark.parametrize("given", [ID, str(ID), ID.hex, "{" + str(ID) + "}", Element(id=ID)])
def test_id_takes_a_uuid_its_text_or_an_element(given):
    assert Card(id=given).id == as_id(given) == ID


@pytest.mark.parametrize("given", ["x", "", 5, None, [ID], b"x", True, 1.5])
def test_what_is_no_id_is_a_validation_error_of_its_field(given):
    with pytest.raises(pydantic.ValidationError) as caught:
        Card(id=given)
    assert caught.value.errors()[0]["loc"] == ("id",)
    with pytest.raises(ValidationError, match="is no id: give a UUID, its text, or an Element"):
        as_id(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (TIME, TIME),
        (TIME.replace(tzinfo=None), TIME),
        (TIME.astimezone(timezone(timedelta(hours=5))), TIME),
        (TIME.isoformat(), TIME),
        ("2025-01-02T03:04:05.678901", TIME),
        ("2025-01-02T03:04:05.678901Z", TIME),
        (TIME.timestamp(), TIME),
        (str(TIME.timestamp()), TIME),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_created_at_takes_a_datetime_its_text_or_a_timestamp(given, expected):
    card = Card(created_at=given)
    assert card.created_at == expected
    assert card.created_at.tzinfo is UTC
    assert card.created_timestamp == expected.timestamp()


@pytest.mark.parametrize("given", ["x", "", None, [], True, math.nan, math.inf, "nan", 1e300, {}])
def test_what_is_no_time_is_a_validation_error_of_its_field(given):
    with pytest.raises(pydantic.ValidationError) as caught:
        Card(created_at=given)
    assert caught.value.errors()[0]["loc"] == ("created_at",)


class Settings(BaseModel):
    a: int = 1


class Plain:
    def __init__(self) -> None:
        self.a = 1


@pytest.mark.parametrize("given", [{"a": 1}, Settings(), Plain()])
def test_metadata_takes_a_mapping_or_an_object(given):
    card = Card(metadata=given)
    assert card.metadata == {"a": 1}
    card.metadata["b"] = 2
    assert not isinstance(given, dict) or given == {"a": 1}
    card.metadata = given
    assert card.metadata == {"a": 1}


class Tagged:
    """Says of itself what its metadata is, and has no other attributes."""

    __slots__ = ()

    def to_dict(self) -> dict[str, int]:
        return {"a": 1}


def test_metadata_takes_what_to_dict_of_an_object_returns():
    assert Card(metadata=Tagged()).metadata == {"a": 1}
    with pytest.raises(pydantic.ValidationError, match="metadata"):
        Card(metadata=Tagged)


def test_metadata_none_is_empty():
    assert Card(metadata=None).metadata == {}


@pytest.mark.parametrize("given", [5, "x", [1], Plain, object])
def test_what_is_no_mapping_is_a_validation_error_of_its_field(given):
    with pytest.raises(pydantic.ValidationError) as caught:
        Card(metadata=given)
    assert caught.value.errors()[0]["loc"] == ("metadata",)


@pytest.mark.parametrize("made", [Card(), Card(id=ID, created_at=TIME)], ids=["made", "given"])
@pytest.mark.parametrize("name", ["id", "created_at"])
def test_the_identity_is_read_only(made, name):
    before = getattr(made, name)
    with pytest.raises(ValueError):
        setattr(made, name, before)
    assert getattr(made, name) == before


# --- fields


def test_fields_are_pydantics():
    with pytest.raises(pydantic.ValidationError):
        Card(number="x")
    with pytest.raises(pydantic.ValidationError):
        Card(unknown=1)
    card = Card(number="5")
    assert card.number == 5
    with pytest.raises(pydantic.ValidationError):
        card.number = "x"
    card.number = "6"
    assert card.number == 6


def test_assigning_keeps_the_identity():
    card = Card(id=ID, created_at=TIME, metadata={"k": 1})
    card.number = 3
    assert (card.id, card.created_at, card.metadata) == (ID, TIME, {"k": 1})
    fresh = Card()
    before = fresh.created_timestamp
    fresh.number = 3
    assert fresh.created_timestamp == before


def test_assigning_leaves_the_dict_the_same_object():
    card = Card()
    own = vars(card)
    card.number = "5"
    assert vars(card) is own
    with pytest.raises(pydantic.ValidationError):
        card.number = "five"
    assert vars(card) is own
    assert own["number"] == card.number == 5


def test_enums_are_kept_as_their_values():
    class Painted(Element):
        colour: Colour = Colour.RED

    assert Painted(colour=Colour.RED).colour == "red"
    assert Painted.from_dict(Painted(colour="red").to_dict("json")).colour == "red"


def test_model_validate_and_validators():
    class Even(Element):
        number: int

        @field_validator("number")
        @classmethod
        def even(cls, number: int) -> int:
            if number % 2:
                raise ValueError("odd")
            return number

    assert Even.model_validate({"id": str(ID), "number": 2}).id == ID
    card = Even(number=2)
    assert Even.model_validate(card) is card
    with pytest.raises(pydantic.ValidationError, match="odd"):
        Even(number=3)


def test_classes_may_override_defaults_and_have_class_variables():
    class Special(Card):
        number: int = 9
        kinds: ClassVar[int] = 3

    assert Special().number == 9
    assert Special.kinds == 3


@pytest.mark.parametrize("name", ["id", "created_at", "metadata"])
def test_a_field_that_takes_a_reserved_name_is_refused(name):
    assert name in Element.reserved()
    with pytest.raises(ConfigurationError, match=f"'{name}' is taken .* such as {name}_"):
        type("Bad", (Element,), {"__annotations__": {name: int}, "__module__": __name__})


# --- comparing


def test_equal_is_what_has_one_id():
    one, again, other = Card(id=ID), Element(id=ID), Card()
    assert one == again
    assert one != other
    assert one != "x"
    assert one != ID
    assert hash(one) == hash(again)
    assert {one: 1}[again] == 1  # type: ignore[index]
    assert len({one, again, other}) == 2


def test_an_element_is_true_and_shows_its_id():
    assert Element(id=ID)
    assert repr(Card(id=ID)) == f"Card(id={ID})"
    assert Card.class_name() == "Card"
    assert Card.class_name(full=True).endswith("test_element.Card")
    assert Element.class_name(full=True) == "lionpride.core.Element"


# --- plain data

KEYS = ["id", "created_at", "metadata", "number", "tags", "content"]


def test_python_mode_keeps_objects():
    content = {"raw": b"\x00", 1: {2}}
    data = Card(id=ID, created_at=TIME, metadata={"k": b"x"}, content=content).to_dict()
    assert list(data) == KEYS
    assert (data["id"], data["created_at"], data["content"]) == (ID, TIME, content)
    assert data["metadata"]["k"] == b"x"
    assert data["metadata"]["lion_class"].endswith("test_element.Card")


def test_json_mode_has_json_only():
    data = Card(id=ID, created_at=TIME, number=3).to_dict("json")
    assert list(data) == KEYS
    assert (data["id"], data["created_at"], data["number"]) == (str(ID), TIME.isoformat(), 3)
    json.dumps(data, allow_nan=False)


def test_db_mode_renames_the_metadata_and_keeps_the_time():
    data = Card(id=ID, created_at=TIME).to_dict("db")
    assert (data["id"], data["created_at"]) == (str(ID), TIME)
    assert "metadata" not in data
    assert "lion_class" in data["node_metadata"]


@pytest.mark.parametrize("mode", ["python", "json", "db"])
@pytest.mark.parametrize(
    ("how", "expected"),
    [("datetime", TIME), ("isoformat", TIME.isoformat()), ("timestamp", TIME.timestamp())],
)
def test_created_at_format(mode, how, expected):
    card = Card(created_at=TIME)
    if (mode, how) == ("json", "datetime"):
        with pytest.raises(ValueError, match="use 'isoformat' or 'timestamp'"):
            card.to_dict(mode, created_at_format=how)
        return
    data = card.to_dict(mode, created_at_format=how)
    assert data["created_at"] == expected
    assert Card.from_dict(data).created_at == TIME


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="'yaml' is none of"):
        Card().to_dict("yaml")


@pytest.mark.parametrize("mode", ["python", "json", "db"])
def test_meta_key(mode):
    data = Card(metadata={"k": 1}).to_dict(mode, meta_key="m")
    assert data["m"]["k"] == 1
    assert not {"metadata", "node_metadata"} & data.keys()
    assert Card.from_dict(data, meta_key="m").metadata == {"k": 1}


def test_include_exclude_and_aliases():
    class Named(Element):
        inner: int = Field(default=1, alias="outer")

    card = Card(number=3)
    assert set(card.to_dict(include={"number", "id"})) == {"number", "id"}
    assert set(card.to_dict("json", exclude={"id", "metadata", "created_at"})) == set(KEYS[3:])
    assert set(card.to_dict(exclude={"id"})) == {*KEYS} - {"id"}
    assert "outer" in Named(outer=2).to_dict(by_alias=True)
    assert list(card.model_dump()) == KEYS
    assert json.loads(card.model_dump_json())["id"] == str(card.id)


CONTENT = [
    None,
    b"\x00\xff",
    2**80,
    math.inf,
    (1, (2,)),
    {1, 2},
    {1: "a", (2, 3): b"x"},
    {"$bytes": "no tag"},
    {"$x": {"$y": [{"$z": ()}]}},
    TIME,
    Decimal("1.50"),
    ID,
    [{"deep": [b"x", {"$k": (1,)}]}],
]


@pytest.mark.parametrize("data", [5, None, "{}", [("content", 1)]])
def test_what_to_dict_did_not_give_is_refused(data):
    with pytest.raises(TypeError, match=r"the dict that to_dict returned.*from_json"):
        Card.from_dict(data)


@pytest.mark.parametrize("mode", ["python", "json", "db"])
@pytest.mark.parametrize("content", CONTENT, ids=repr)
def test_round_trip(mode, content):
    card = Card(id=ID, created_at=TIME, metadata={"m": content, "$odd": 1}, content=content)
    data = card.to_dict(mode)
    if mode == "json":
        data = json.loads(json.dumps(data, allow_nan=False))
    before = copy.deepcopy(data)
    again = Element.from_dict(data)
    assert data == before
    assert type(again) is Card
    assert (again.id, again.created_at, again.metadata) == (ID, TIME, card.metadata)
    assert (again.content, type(again.content)) == (content, type(content))
    assert again.to_dict(mode) == data


class Rich(Element):
    path: Path = Path("a")
    paths: dict[str, list[PurePosixPath]] = Field(default_factory=dict)
    address: IPv4Address | None = None
    pattern: re.Pattern[str] | None = None
    url: pydantic.AnyUrl | None = None
    other: Any = None

    @computed_field
    @property
    def depth(self) -> int:
        return len(self.path.parts)


class Aliased(Element):
    inner: int = Field(alias="outer")
    split: int = Field(validation_alias="read", serialization_alias="written")


@pytest.mark.parametrize("mode", ["python", "json", "db"])
@pytest.mark.parametrize(
    "element",
    [
        Rich(path="/a/b", paths={"x": ["a", "b"]}, address="127.0.0.1", pattern="a+"),
        Rich(url="https://example.com/", other=b"tagged"),
        Aliased(outer=1, read=2),
    ],
    ids=["of types that JSON has not", "a url", "aliased"],
)
def test_fields_come_back_as_they_were_declared(element, mode):
    data = element.to_dict(mode)
    again = Element.from_dict(
        data if mode == "python" else json.loads(json.dumps(data, default=str))
    )
    assert type(again) is type(element)
    assert again.model_dump() == element.model_dump()
    assert again.to_dict(mode) == data


def test_what_neither_json_nor_pydantic_can_write_is_a_marker():
    data = Rich(other={"p": Path("x")}).to_dict("json")
    assert Rich.from_dict(data).other == {"p": Unserializable("PosixPath", "PosixPath('x')")}


def test_nan_comes_back():
    assert math.isnan(Card.from_dict(json.loads(Card(content=math.nan).to_json())).content)


@settings(max_examples=50, deadline=None)
@given(st.floats(3e7, 4e9).map(lambda stamp: datetime.fromtimestamp(stamp, UTC)))
def test_any_time_comes_back_to_the_microsecond(when):
    card = Card(created_at=when)
    for how in ("isoformat", "timestamp"):
        again = Card.from_dict(card.to_dict("json", created_at_format=how))
        assert abs(again.created_at - when) <= timedelta(
            microseconds=0 if how == "isoformat" else 1
        )
        assert again.created_timestamp == card.created_timestamp


def test_a_made_time_comes_back_just_so():
    card = Card()
    for mode in ("python", "json", "db"):
        again = Card.from_dict(card.to_dict(mode))
        assert again.created_at == card.created_at


def test_json_text():
    card = Card(id=ID, number=3)
    assert Element.from_json(card.to_json()).number == 3  # type: ignore[attr-defined]
    assert isinstance(card.to_json(decode=False), bytes)
    assert Card.from_json(card.to_json(decode=False)) == card
    assert card.to_json(pretty=True).count("\n") > 5
    keys = list(json.loads(card.to_json(sort_keys=True)))
    assert keys == sorted(keys)


def test_sorted_sets_in_json_text():
    content = {"b", "a", "c", "d", "e"}
    text = Card(id=ID, created_at=TIME, content=content).to_json(deterministic_sets=True)
    assert json.loads(text)["content"] == {"$set": ["a", "b", "c", "d", "e"]}
    assert Card.from_json(text).content == content


# --- reading


def test_the_class_is_the_datas_own():
    data = Card(number=3).to_dict("json")
    for kind in (Element, Card):
        again = kind.from_dict(data)
        assert type(again) is Card
        assert again.number == 3


def test_without_a_class_it_is_the_one_that_is_asked():
    card = Card.from_dict({"number": 3})
    assert (type(card), card.number, card.metadata) == (Card, 3, {})


def test_another_kind_of_element_is_refused():
    class Other(Element):
        """No card."""

    with pytest.raises(ValidationError, match="is not a Card: read it with its own class"):
        Card.from_dict(Other().to_dict())


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"number": "x"}, pydantic.ValidationError),
        ({"unknown": 1}, pydantic.ValidationError),
        ({"id": "x"}, pydantic.ValidationError),
        ({"metadata": {"lion_class": "no.such"}}, NotFoundError),
        ({"metadata": {"lion_class": "no.such"}}, ValueError),
        ({"metadata": {"lion_class": 5}}, ValueError),
        ({"metadata": {"lion_tags": True}, "content": {"$unheard": 1}}, ValidationError),
    ],
)
def test_data_that_does_not_fit_is_refused(data, error):
    with pytest.raises(error):
        Card.from_dict(data)


@pytest.mark.parametrize("key", ["metadata", "node_metadata", "meta"])
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", {}),
        (0, {}),
        ([], {}),
        ('{"a": 1}', {"a": 1}),
        ("text", {"legacy": "text"}),
        ('["a"]', {"legacy": ["a"]}),
        ("[" * 100_000, {"legacy": "[" * 100_000}),
        (5, {"legacy": 5}),
        ([["a", 1]], {"legacy": [["a", 1]]}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_metadata_that_is_no_mapping_is_accepted_from_data(key, written, read):
    card = Card.from_dict({"number": 3, key: written}, meta_key=key)
    assert (card.number, card.metadata) == (3, read)
    assert Card.from_json(card.to_json()).metadata == read
    with pytest.raises(pydantic.ValidationError, match="metadata must be a mapping"):
        Card(number=3, metadata=written)


def test_metadata_in_json_text_names_the_class():
    data = {"number": 3, "metadata": json.dumps({"lion_class": Card.class_name(full=True)})}
    (card,) = Pile.from_dict({"items": [data]}, item_type=Card)
    assert (type(card), card.number, card.metadata) == (Card, 3, {})


def test_an_unknown_class_is_a_missing_name_and_a_wrong_value():
    with pytest.raises(
        UnknownClassError, match=r"'no\.such' is not defined in this process"
    ) as got:
        Element.from_dict({"metadata": {"lion_class": "no.such"}})
    assert isinstance(got.value, NotFoundError)
    assert isinstance(got.value, KeyError)
    assert isinstance(got.value, ValueError)
    assert not got.value.retryable
    assert str(got.value).startswith("class 'no.such'"), "no quotation marks of KeyError"
    assert type(error_from_dict(error_to_dict(got.value))) is UnknownClassError


def test_the_layout_of_the_original_package():
    data = {
        "id": str(ID),
        "created_at": "2025-01-02T03:04:05.678901+00:00",
        "metadata": {"lion_class": "lionpride.core.element.Element", "$k": {"$bytes": 1}},
    }
    element = Element.from_dict(data)
    assert (element.id, element.created_at) == (ID, TIME)
    assert element.metadata == {"$k": {"$bytes": 1}}
    data["node_metadata"] = data.pop("metadata")
    assert Element.from_dict(data).metadata == element.metadata


def test_an_element_within_an_element():
    class Hand(Element):
        best: Card
        all: list[Card]

    hand = Hand(best=Card(content=b"x"), all=[Card(number=1), Card(number=2)])
    for mode in ("python", "json", "db"):
        again = Element.from_dict(hand.to_dict(mode))
        assert again.best == hand.best  # type: ignore[attr-defined]
        assert again.best.content == b"x"  # type: ignore[attr-defined]
        assert [card.number for card in again.all] == [1, 2]  # type: ignore[attr-defined]
        assert again.all == hand.all  # type: ignore[attr-defined]


# --- copies

DUPLICATES: list[Callable[[Card], Card]] = [
    copy.copy,
    copy.deepcopy,
    lambda card: pickle.loads(pickle.dumps(card)),
    Card.model_copy,
    lambda card: card.model_copy(deep=True),
]


@pytest.mark.parametrize("duplicate", DUPLICATES)
@pytest.mark.parametrize("made", [Card, lambda: Card(id=ID, created_at=TIME, metadata={"k": 1})])
def test_a_copy_is_the_same_thing(duplicate, made):
    card = made()
    other = duplicate(card)  # before anything of the identity was read
    assert other is not card
    assert type(other) is Card
    assert (other.id, other.created_at, other.metadata) == (card.id, card.created_at, card.metadata)
    other.number = 8
    assert card.number == 0


def test_a_deep_copy_shares_nothing():
    card = Card(metadata={"k": [1]}, tags=["a"])
    other = copy.deepcopy(card)
    other.metadata["k"].append(2)
    other.tags.append("b")
    assert (card.metadata, card.tags) == ({"k": [1]}, ["a"])


def test_model_copy_with_changes():
    card = Card(number=1)
    assert card.model_copy(update={"number": 2}).number == 2
    assert card.number == 1


def test_no_uuid_is_made_before_it_is_asked(monkeypatch):
    def refuse(own: dict[str, object], created: float) -> UUID:
        raise AssertionError("made too early")

    monkeypatch.setattr("lionpride.model.element.made_id", refuse)
    card = Card(number=1)
    card.number = 2
    assert card.created_timestamp > 0
    monkeypatch.undo()
    assert card.id.version == 7


class WithJsonText(Element):
    j: pydantic.Json[list[int]]
    side: int = 2

    @computed_field  # type: ignore[prop-decorator]
    @property
    def area(self) -> int:
        return self.side**2


def test_a_dump_with_json_text_keeps_its_computed_fields() -> None:
    made = WithJsonText(j="[1, 2]")  # type: ignore[arg-type]
    assert made.to_dict("json")["area"] == 4
    assert made.to_dict("json", exclude={"side"})["area"] == 4
    assert made.to_dict("json", include={"area", "j"})["area"] == 4
    assert "area" not in made.to_dict("json", exclude={"area"})
    assert json.loads(made.to_dict("json")["j"]) == [1, 2]
