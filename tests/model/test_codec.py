"""The codec: any value as JSON, and back."""

import asyncio
import copy
import json
import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretBytes, SecretStr

from lionpride.errors import (
    ExecutionError,
    LionTimeoutError,
    NotFoundError,
    QueueFullError,
    Skip,
    ValidationError,
)
from lionpride.model.serialization.codec import (
    MAX_DEPTH,
    Encoder,
    Unserializable,
    decode,
    encode,
    error_from_dict,
    error_to_dict,
)
from lionpride.model.unset import Unset


def through_json(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value), allow_nan=False)))


def alike(left: Any, right: Any) -> bool:
    """Equal in value and type, all the way down; NaN is alike NaN."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        pairs = zip(left.items(), right.items(), strict=True)
        return len(left) == len(right) and all(
            alike(k1, k2) and alike(v1, v2) for (k1, v1), (k2, v2) in pairs
        )
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(alike, left, right))
    if isinstance(left, set | frozenset):
        return sorted(map(repr, left)) == sorted(map(repr, right))
    return left == right or (left != left and right != right)


PLAIN = [
    None,
    True,
    0,
    -(2**63),
    2**63 - 1,
    1.5,
    -0.0,
    "",
    "text ✓ \x00",
    [],
    [1, [2, None]],
    {},
    {"a": {"b": [1]}, "": 2},
]

TAGGED = [
    b"\x00\xff",
    bytearray(b"\x00\xff"),
    2**63,
    -(2**63) - 1,
    10**400,
    math.nan,
    math.inf,
    -math.inf,
    (),
    (1, (2, [3])),
    set(),
    {1, "a"},
    frozenset({(1, 2)}),
    {1: "a", "1": "b"},
    {"$x": 1},
    {"$dict": [["a", 1]]},
    {"$bytes": "AA==", "more": 1},
    {(1, 2): {None: True}},
    {"ok": {"$nested": {"$deeper": b"x"}}},
    datetime(2025, 1, 2, 3, 4, 5, 6),
    datetime(2025, 1, 2, tzinfo=UTC),
    datetime(2025, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    date(2025, 1, 2),
    time(3, 4, 5, 6),
    timedelta(days=-1, microseconds=1),
    UUID(int=5),
    Decimal("1.10"),
    Decimal("Infinity"),
    complex(1.5, -math.inf),
    SecretStr("s"),
    SecretBytes(b"s"),
    Unset,
    Unserializable("Socket", "<socket>"),
    [{"a": (b"x", {1: 2})}],
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_json_values_stay_as_they_are(value):
    encoder = Encoder()
    assert alike(encoder.encode(value), value)
    assert not encoder.tagged
    assert alike(through_json(value), value)


def name(value: object) -> str:
    """The same in each process, which a set of texts is not written as."""
    return f"set {sorted(map(repr, value))}" if isinstance(value, set) else repr(value)[:40]


@pytest.mark.parametrize("value", TAGGED, ids=name)
def test_other_values_are_tagged_and_come_back(value):
    encoder = Encoder()
    encoder.encode(value)
    assert encoder.tagged
    assert alike(through_json(value), value)


def test_equal_sets_give_equal_text():
    names = [f"name {number}" for number in range(50)]
    backwards = names[::-1]
    assert encode(set(names)) == encode(set(backwards))
    assert encode(frozenset(names))["$frozenset"] == sorted(names)
    assert len(encode({1, "1", None, (2,)})["$set"]) == 4


def test_encoding_changes_nothing_and_shares_nothing():
    value = {"a": [1, {2: 3}], "b": (4,)}
    before = copy.deepcopy(value)
    encoded = encode(value)
    encoded["a"].append(5)
    assert value == before


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Text(str):
    """A text of the user's own."""

    __slots__ = ()


class Model(BaseModel):
    a: int = 1
    raw: bytes = b"x"


@dataclass
class Point:
    x: int
    tags: set[str] = field(default_factory=set)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Text("x"), "x"),
        (OrderedDict(a=1), {"a": 1}),
        (Model(), {"a": 1, "raw": b"x"}),
        (Point(1, {"a"}), {"x": 1, "tags": {"a"}}),
        ({Colour.RED: Level.HIGH}, {"red": 3}),
    ],
)
def test_users_classes_come_back_as_plain_data(value, plain):
    assert alike(through_json(value), plain)


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class HostileMapping(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (object, "type", "<class 'object'>"),
        (len, "builtin_function_or_method", "<built-in function len>"),
        (Hostile(), "Hostile", "<Hostile: repr raised RuntimeError>"),
        (HostileMapping(a=1), "HostileMapping", "{'a': 1}"),
        (iter([]), "list_iterator", None),
        (Point, "type", None),
    ],
)
def test_what_cannot_be_written_leaves_a_marker(value, name, text):
    marker = through_json(value)
    assert isinstance(marker, Unserializable)
    assert marker.type == name
    assert text is None or marker.repr == text


def test_a_marker_does_not_spoil_its_neighbours():
    assert through_json({"a": 1, "b": [object(), b"x"]})["b"][1] == b"x"


def test_a_long_repr_is_cut():
    class Long:
        def __repr__(self) -> str:
            return "x" * 5000

    assert len(through_json(Long()).repr) == 1001


def nested(depth: int) -> Any:
    value: Any = "end"
    for _ in range(depth):
        value = [value]
    return value


def test_nesting_ends_in_a_marker():
    assert through_json(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    text = json.dumps(encode(nested(5 * MAX_DEPTH)))
    assert "$repr" in text


def looped() -> list[Any]:
    """Values that hold themselves, some at many places."""
    once: list[Any] = []
    once.append(once)
    twice: dict[str, Any] = {}
    twice.update(a=twice, b=twice, c=[twice, twice])
    parent: dict[str, Any] = {"children": []}
    parent["children"] = [{"parent": parent, "number": number} for number in range(5)]
    return [once, twice, parent]


@pytest.mark.parametrize("value", looped(), ids=["once", "twice", "tree with parents"])
def test_a_cycle_ends_in_a_marker(value):
    text = json.dumps(encode(value))
    assert "$repr" in text
    assert len(text) < 500_000


def test_what_stands_at_two_places_is_written_twice():
    shared = [1]
    assert through_json([shared, shared]) == [[1], [1]]


@pytest.mark.parametrize(
    "data",
    [
        {"$unheard": 1},
        {"$bytes": 5},
        {"$uuid": "x"},
        {"$datetime": "x"},
        {"$int": "x"},
        {"$dict": [1]},
        {"$dict": [[[1], 2]]},
        {"$repr": {"no": 1}},
        {"$error": 5},
        {"$error": {"exceptions": 5}},
        {"$set": [[1]]},
        [{"deep": {"$float": "x"}}],
    ],
)
def test_bad_tags_are_validation_errors(data):
    with pytest.raises(ValidationError):
        decode(data)


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.uuids(),
    st.dates(),
    st.times().map(lambda t: t.replace(fold=0)),  # ISO text has no fold, nor does == see it
    st.datetimes(timezones=st.sampled_from([None, UTC])).map(lambda t: t.replace(fold=0)),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.complex_numbers(allow_nan=False),
)
keys = st.one_of(
    st.text(), st.integers(), st.sampled_from(["$bytes", "$dict", "$", "$$"]), st.none()
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.frozensets(leaves, max_size=4),
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(values)
def test_any_value_comes_back(value):
    assert alike(through_json(value), value)


@settings(max_examples=100, deadline=None)
@given(values)
def test_untagged_means_that_decode_has_nothing_to_do(value):
    encoder = Encoder()
    encoded = encoder.encode(value)
    if not encoder.tagged:
        assert alike(encoded, value)


# --- exceptions


def back(error: BaseException) -> BaseException:
    return error_from_dict(json.loads(json.dumps(error_to_dict(error))))


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("gone", details={"id": UUID(int=1), "raw": b"x", "$odd": 1}),
        LionTimeoutError("slow", retryable=False),
        QueueFullError("full"),
        Skip("sent"),
    ],
)
def test_our_errors_come_back_as_themselves(error):
    again = back(error)
    assert type(again) is type(error)
    assert (again.message, again.details, again.retryable) == (  # type: ignore[attr-defined]
        error.message,  # type: ignore[attr-defined]
        error.details,  # type: ignore[attr-defined]
        error.retryable,  # type: ignore[attr-defined]
    )


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        KeyError("k"),
        OSError(2, "no"),
        FileNotFoundError(2, "no", "file"),
        TimeoutError(),
        RuntimeError("x"),
        AttributeError("x", name="y"),
        ZeroDivisionError("division by zero"),
    ],
)
def test_built_in_errors_come_back_as_themselves_and_as_an_execution_error(error):
    again = back(error)
    assert isinstance(again, ExecutionError)
    assert isinstance(again, type(error))
    assert type(again).__name__ == type(error).__name__ == again.details["error"]
    assert str(again) == (str(error) or "execution failed")
    assert error_to_dict(again) == error_to_dict(error)
    copied = pickle.loads(pickle.dumps(again))
    assert type(copied) is type(again)
    assert error_to_dict(copied) == error_to_dict(error)


class Remote(Exception):
    """An error that a reader need not know."""


@pytest.mark.parametrize(
    "error",
    [
        Remote("gone"),
        KeyboardInterrupt("x"),
        SystemExit(3),
        GeneratorExit("x"),
        StopIteration("x"),
        StopAsyncIteration("x"),
        asyncio.CancelledError("x"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
    ],
)
def test_other_errors_come_back_as_an_execution_error_with_their_name(error):
    again = back(error)
    assert type(again) is ExecutionError
    assert again.details["error"] == type(error).__name__
    assert again.message == str(error)
    assert str(again) == f"{type(error).__name__}: {error}"
    assert error_to_dict(again) == error_to_dict(error)
    assert str(pickle.loads(pickle.dumps(again))) == str(again)


def test_groups_come_back_as_groups():
    group = ExceptionGroup("two", [ValueError("a"), ExceptionGroup("in", [NotFoundError("b")])])
    again = back(group)
    assert isinstance(again, ExceptionGroup)
    assert again.message == "two"
    assert str(again.exceptions[0]) == "a"
    assert isinstance(again.exceptions[1].exceptions[0], NotFoundError)


def test_a_group_of_base_exceptions():
    again = back(BaseExceptionGroup("two", [KeyboardInterrupt(), ValueError("a")]))
    assert isinstance(again, BaseExceptionGroup)
    assert len(again.exceptions) == 2


def test_a_deep_group_ends():
    error: Exception = ValueError("a")
    for _ in range(3 * MAX_DEPTH):
        error = ExceptionGroup("g", [error])
    assert "nested deeper" in json.dumps(error_to_dict(error))
    assert isinstance(back(error), ExceptionGroup)


def test_an_error_whose_text_raises():
    class Bad(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert error_to_dict(Bad()) == {"error": "Bad", "message": "<str raised RuntimeError>"}


def test_an_error_is_a_value_too():
    again = through_json({"error": NotFoundError("gone"), "others": [ValueError("x")]})
    assert isinstance(again["error"], NotFoundError)
    assert isinstance(again["others"][0], ExecutionError)


def test_data_never_makes_an_error_of_a_users_class():
    class Mine(NotFoundError):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise AssertionError("made by data")

    assert type(error_from_dict({"error": "Mine", "message": "x"})) is ExecutionError
    assert type(error_from_dict({"error": "SystemExit", "message": "x"})) is ExecutionError


def test_an_empty_record():
    assert type(error_from_dict({})) is ExecutionError


@pytest.mark.parametrize(
    "value", [10**6000, -(10**6000), 2**63, -(2**63) - 1], ids=["long", "minus long", "64", "-64"]
)
def test_an_integer_of_any_length_comes_back(value):
    assert decode(json.loads(json.dumps(encode([value])))) == [value]


class Count(int):
    """Told apart from int, which ``in range(...)`` would do by counting."""


@pytest.mark.parametrize("number", [5, -(2**63), 2**63 - 1])
def test_a_number_of_a_subclass_is_a_number_at_once(number):
    assert type(encode(Count(number))) is int
    assert encode(Count(number)) == number


def test_a_huge_number_of_a_subclass_is_tagged():
    assert decode(encode(Count(2**63))) == 2**63
