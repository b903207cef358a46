"""A grammar of event classes, with values: what users declare, and what they make of it.

``events`` draws an event of a new class. ``seen`` says all about a value that code can see.
"""

import itertools
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    Json,
    PlainSerializer,
    SecretStr,
    ValidationError,
    WrapValidator,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from lionpride.core import Event

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = 2


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad"


class Box(BaseModel, Generic[T]):
    item: T


class Size(BaseModel):
    width: int = 1


class BySize(Size):
    height: int = 2


class Renamed(BaseModel):
    model_config = ConfigDict(populate_by_name=False)
    size: int = Field(1, alias="theSize")


class Swapped(BaseModel):
    """Each field has the name of the other as its alias."""

    a: int = Field(1, alias="b")
    b: int = Field(2, alias="a")


class Hiding(BaseModel):
    shown: int = 1
    hidden: int = Field(2, exclude=True)


class Parsed(BaseModel):
    numbers: Json[list[int]] = Field("[1]", validate_default=True)


class Times(BaseModel):
    at: datetime
    path: Path = Path("/x")


@dataclass
class Point:
    x: int = 0
    colour: Colour = Colour.RED


class Pair(NamedTuple):
    left: int
    right: int


class Inner(Event):
    number: int = 0
    path: Path = Path()
    at: datetime | None = None


ZONES = st.sampled_from(
    [
        UTC,
        timezone(timedelta(hours=5, minutes=30)),
        ZoneInfo("Europe/Berlin"),
        ZoneInfo("America/New_York"),
        ZoneInfo("UTC"),
    ]
)
FOLDED = [  # each of the two instants of one reading of the clock, and one that no clock showed
    datetime(2025, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold) for fold in (0, 1)
] + [datetime(2025, 3, 30, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))]
MOMENTS = st.datetimes(
    datetime(1, 1, 3), datetime(9999, 12, 29), timezones=st.none() | ZONES
) | st.sampled_from(FOLDED)


def doubled(value: int) -> int:
    return value * 2


def strip(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def reversing(value: Any, handler: Any) -> str:
    return str(handler(value))[::-1]


NUMBERS = st.integers(-(10**30), 10**30)

LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, NUMBERS),
    (float, st.floats()),
    (str, st.text()),
    (bytes, st.binary()),
    (bytearray, st.binary().map(bytearray)),
    (bool, st.booleans()),
    (Decimal, st.decimals(allow_nan=False)),
    (Decimal, st.sampled_from([Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")])),
    (datetime, MOMENTS),
    (time, st.times() | st.times(timezones=ZONES)),
    (date, st.dates()),
    (timedelta, st.timedeltas()),
    (UUID, st.uuids()),
    (Path, st.sampled_from([Path("/a/b"), Path("c"), Path(), Path("x\udc80")])),
    (IPv4Address, st.just(IPv4Address("127.0.0.1"))),
    (HttpUrl, st.just(HttpUrl("http://a.example/b"))),
    (SecretStr, st.just(SecretStr("hush"))),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (Size, st.sampled_from([Size(width=3), BySize(width=4)])),
    (Size | BySize, st.sampled_from([Size(width=3), BySize(width=4), BySize()])),
    (Box[int], st.builds(Box[int], item=st.integers())),
    (Box[Size], st.sampled_from([Box[Size](item=Size()), Box[Size](item=BySize())])),
    (Box[datetime], MOMENTS.map(lambda at: Box[datetime](item=at))),
    (Box[set[bytes]], st.sets(st.binary(max_size=2)).map(lambda b: Box[set[bytes]](item=b))),
    (Times, MOMENTS.map(lambda at: Times(at=at))),
    (Renamed, st.just(Renamed(theSize=4))),
    (Swapped, st.just(Swapped(a=4, b=5))),
    (Hiding, st.sampled_from([Hiding(), Hiding(hidden=3)])),
    (Parsed, st.just(Parsed(numbers="[1, 2]"))),  # type: ignore[arg-type]
    (Point, st.sampled_from([Point(), Point(3, Colour.BLUE)])),
    (Pair, st.just(Pair(1, 2))),
    (Inner, st.builds(Inner, number=NUMBERS, path=st.just(Path("/p")), at=st.none() | MOMENTS)),
    (Event, st.builds(Inner, number=st.integers())),
    (Json[list[int]], st.just("[1, 2]")),
    (Json[Decimal], st.just('"1.50"')),
    (Json, st.sampled_from(['{"a": 1}', '"[1]"'])),
    (str | Path, st.sampled_from(["a", Path("a")])),
    (int | str | float, st.integers() | st.text() | st.floats()),
    (datetime | date | str, MOMENTS | st.dates() | st.text()),
    (Colour | str, st.sampled_from([Colour.RED, "red", "other"])),
    (
        Any,
        NUMBERS
        | st.text()
        | st.binary()
        | MOMENTS
        | st.sampled_from(
            [Path("/a"), Colour.RED, Mood.GOOD, Size(), Pair(1, 2), object, {1: {2}}]
        ),
    ),
    (Annotated[int, AfterValidator(abs)], NUMBERS),
    (Annotated[int, AfterValidator(doubled)], st.integers(0, 2)),
    (Annotated[str, BeforeValidator(strip)], st.text()),
    (Annotated[str, WrapValidator(reversing)], st.text(max_size=3)),
    (Annotated[int, PlainSerializer(lambda n: f"#{n}")], st.integers()),
    (Annotated[int, Field(ge=0)], st.integers(0, 9)),
]


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Containers of a type, each with its values."""
    return inner.flatmap(
        lambda pair: st.sampled_from(
            [
                (list[pair[0]], st.lists(pair[1], max_size=3)),
                (dict[str, pair[0]], st.dictionaries(st.text(), pair[1], max_size=3)),
                (dict[int, pair[0]], st.dictionaries(st.integers(), pair[1], max_size=3)),
                (tuple[pair[0], int], st.tuples(pair[1], st.integers())),
                (tuple[pair[0], ...], st.lists(pair[1], max_size=3).map(tuple)),
                (pair[0] | None, st.none() | pair[1]),
            ]
        )
    )


HASHABLE: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, NUMBERS),
    (str, st.text()),
    (bytes, st.binary()),
    (Decimal, st.decimals(allow_nan=False)),
    (datetime, MOMENTS),
    (UUID, st.uuids()),
    (Path, st.sampled_from([Path("/a/b"), Path("c")])),
]
SETS = st.sampled_from(HASHABLE).flatmap(
    lambda pair: st.sampled_from(
        [
            (set[pair[0]], st.sets(pair[1], max_size=3)),
            (frozenset[pair[0]], st.frozensets(pair[1], max_size=3)),
        ]
    )
)
FIELDS = st.recursive(st.sampled_from(LEAVES) | SETS, containers, max_leaves=3)

ALIASES: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"alias": "renamed"},
    {"serialization_alias": "written"},
    {"validation_alias": AliasChoices("renamed", AliasPath("x", 0))},
    {"validation_alias": AliasPath("x", "y")},
    {"exclude": True},
    {"repr": False},
]

CONFIGS: list[dict[str, Any]] = [
    {},
    {},
    {"populate_by_name": False},
    {"strict": True},
    {"extra": "allow"},
    {"use_enum_values": False},
    {"str_strip_whitespace": True},
    {"revalidate_instances": "always"},
]


class Plain(Event):
    """Has no validators of its own."""


class Keeping(Event):
    """Its validators return what they are given."""

    @model_validator(mode="before")
    @classmethod
    def _look_at(cls, data: Any) -> Any:
        return dict(data)

    @model_validator(mode="wrap")
    @classmethod
    def _around(cls, data: Any, handler: Any) -> Any:
        return handler(data)

    @model_validator(mode="after")
    def _whole(self) -> "Keeping":
        return self

    @field_validator("*", mode="before")
    @classmethod
    def _each(cls, value: Any) -> Any:
        return value


class Growing(Event):
    """A validator that changes what it has returned before."""

    count: int = 0

    @field_validator("count")
    @classmethod
    def _more(cls, value: int) -> int:
        return value + 1


class Counting(Event):
    """A validator of the whole model that does so."""

    total: list[int] = Field(default=[])

    @model_validator(mode="after")
    def _add(self) -> "Counting":
        self.total.append(1)
        return self


BASES = [Plain, Plain, Plain, Keeping, Growing, Counting]


_NUMBERS = itertools.count()


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event of a class of its own, with one field ``value`` or with two."""
    base = draw(st.sampled_from(BASES))
    config = {**base.model_config, **draw(st.sampled_from(CONFIGS))}
    configured = type("Configured", (base,), {"model_config": config, "__module__": __name__})
    fields: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for name in draw(st.sampled_from([("value",), ("value", "other")])):
        annotation, values = draw(FIELDS)
        how = dict(draw(st.sampled_from(ALIASES))) if name == "value" else {}
        value = draw(values)
        kind = draw(st.sampled_from(["required", "default", "factory"]))
        if kind == "default":
            how["default"] = value
        elif kind == "factory":
            how["default_factory"] = lambda value=value: value
        fields[name] = (annotation, Field(**how))
        if kind == "required" or draw(st.booleans()):
            wanted = how.get("validation_alias")
            if wanted is None:
                given[how.get("alias", name)] = value
            elif isinstance(wanted, AliasPath):
                given["x"] = {"y": value}
            else:
                given["renamed"] = value
    name = f"Drawn{next(_NUMBERS)}"  # of its own, since classes are found by name
    made: Any = create_model(name, __base__=configured, __module__=__name__, **fields)
    try:
        event: Event = made.model_validate(given)
    except ValidationError:  # a strict class, or a default that may not be given
        event = Plain()
    return event


def seen(value: Any) -> Any:
    """All that code can see of a value: types, contents, the zone of a time."""
    kind = type(value)
    if isinstance(value, BaseModel):
        names = kind.model_fields
        inside = {name: seen(getattr(value, name)) for name in names}
        extra = {name: seen(one) for name, one in (value.__pydantic_extra__ or {}).items()}
        return kind, getattr(value, "id", None), inside, extra
    if isinstance(value, Enum):
        return seen(value.value)  # of a default; one that is given is its value (use_enum_values)
    if isinstance(value, Point):
        return kind, value.x, value.colour
    if isinstance(value, Mapping):
        return kind, [(seen(key), seen(one)) for key, one in value.items()]
    if isinstance(value, list | tuple):
        return kind, [seen(one) for one in value]
    if isinstance(value, set | frozenset):
        return kind, sorted(repr(seen(one)) for one in value)
    if isinstance(value, datetime | time) and not isinstance(value.tzinfo, ZoneInfo):
        return kind, value.isoformat(), value.fold
    return kind, repr(value)
