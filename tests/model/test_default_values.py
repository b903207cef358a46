"""Fields that a stored payload leaves out: those that hold a default which cannot change."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from math import copysign, isnan
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from lionpride.core import Event
from lionpride.model.serialization.payload import (
    complete_payload,
    event_from_payload,
    type_and_payload,
)

ID = UUID(int=7)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def stored(event: Event) -> dict[str, Any]:
    """What a durable store keeps of its fields."""
    fields: dict[str, Any] = json.loads(type_and_payload(event)[1])
    return {k: v for k, v in fields.items() if k not in ("metadata", "timeout", "streaming")}


def read(event: Event) -> Any:
    kind, text = type_and_payload(event)
    return event_from_payload(text, kind=kind, id=ID, created=1.5, entries={})


def event_class(default: Any, annotation: Any = Any) -> type[Event]:
    """A class with one field, `value`, of this default."""
    space = {"__annotations__": {"value": annotation}, "value": default, "__module__": __name__}
    return type(Event)("One", (Event,), space)


IMMUTABLE = [
    None,
    True,
    1,
    -(2**80),
    0.5,
    -0.0,
    float("inf"),
    float("nan"),
    "text",
    b"bytes",
    Colour.RED,
    Decimal("1.50"),
    date(2025, 1, 2),
    datetime(2025, 1, 2, tzinfo=UTC),
    datetime(2025, 1, 2, 3, fold=1),
    datetime(2025, 1, 2, tzinfo=ZoneInfo("Europe/Paris")),
    time(3, 4),
    timedelta(seconds=5),
    UUID(int=1),
    (),
    (1, "a", (None, Colour.BLUE)),
    frozenset((1, 2)),
]


@pytest.mark.parametrize("default", IMMUTABLE, ids=repr)
def test_an_immutable_default_is_left_out_and_read_back_the_same(default: Any) -> None:
    kind = event_class(default)
    for event in (kind(), kind(value=default)):
        assert stored(event) == {}
        back = read(event)
        assert type(back.value) is type(default)
        assert repr(back.value) == repr(default)
        assert back.model_fields_set == {"value", "timeout", "streaming"}
        assert complete_payload(*_parsed(event)) == _without_columns(event.to_dict("json"))
        assert "value" in event.to_dict()
        assert "value" in event.to_dict("json")


def _parsed(event: Event) -> tuple[str, dict[str, Any]]:
    kind, text = type_and_payload(event)
    return kind, json.loads(text)


def _without_columns(data: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in data.items() if k not in ("id", "created_at", "execution")}


ALMOST = [
    (True, 1),
    (1, True),
    (0, False),
    (1, 1.0),
    (0.0, -0.0),
    (-0.0, 0.0),
    (1.0, 1),
    (Colour.RED, "red"),
    (b"a", "a"),
    (Decimal("1.0"), Decimal("1.00")),
    (Decimal(1), 1),
    (date(2025, 1, 2), datetime(2025, 1, 2)),
    (
        datetime(2025, 1, 2, tzinfo=UTC),
        datetime(2025, 1, 2, 1, tzinfo=timezone(timedelta(hours=1))),
    ),
    ((1,), (True,)),
    ((0.0,), (-0.0,)),
    ((1, 2), [1, 2]),
    (frozenset((1,)), frozenset((True,))),
    (frozenset((1,)), {1}),
    (None, 0),
    (None, float("nan")),
]


@pytest.mark.parametrize(("default", "value"), ALMOST, ids=repr)
def test_a_value_that_only_equals_the_default_is_written(default: Any, value: Any) -> None:
    kind = event_class(default)
    event = kind(value=value)
    assert "value" in stored(event)
    back = read(event).value
    assert (type(back), repr(back)) == (type(value), repr(value))


MUTABLE: list[Any] = [[], {}, [1], set(), bytearray(), (1, []), ({},), SecretStr("s")]


@pytest.mark.parametrize("default", MUTABLE, ids=repr)
def test_a_mutable_default_is_written(default: Any) -> None:
    assert "value" in stored(event_class(default)())


def test_what_a_default_factory_gave_is_written() -> None:
    class Made(Event):
        number: int = Field(default_factory=lambda: 1)

    assert stored(Made()) == {"number": 1}
    assert stored(Made(number=1)) == {"number": 1}


def test_a_default_of_a_subclass_counts_and_not_that_of_its_base() -> None:
    class Base(Event):
        number: int = 1

    class Sub(Base):
        number: int = 2

    assert stored(Sub(number=1)) == {"number": 1}
    assert stored(Sub(number=2)) == {}
    assert (read(Sub(number=1)).number, read(Sub()).number) == (1, 2)


@pytest.mark.parametrize("timeout", [None, 2.0, 5.0])
def test_a_timeout_that_a_class_has_set_comes_back(timeout: float | None) -> None:
    class Hurried(Event):
        timeout: float | None = 2.0
        note: str = ""

    assert read(Hurried(timeout=timeout)).timeout == timeout
    assert read(Hurried()).timeout == 2.0
    assert read(Hurried(metadata={"a": 1})).timeout == 2.0


def test_a_default_that_pydantic_would_refuse_comes_back_as_it_is() -> None:
    class Sloppy(Event):
        number: int = None  # type: ignore[assignment]

    assert read(Sloppy()).number is None


def test_a_validated_default_is_written() -> None:
    class Each(Event):
        number: int = Field(1, validate_default=True)

    class All(Event):
        model_config = ConfigDict(validate_default=True)
        number: int = 1

    assert stored(Each()) == stored(All()) == {"number": 1}


def test_a_validator_may_depend_on_a_field_that_is_left_out() -> None:
    class Sum(Event):
        first: int = 2
        total: int = 0

        @field_validator("total")
        @classmethod
        def _add(cls, value: int, info: ValidationInfo) -> int:
            return value if value > 100 else value + 100 + int(info.data["first"])

    event = Sum(total=5)
    assert stored(event) == {"total": 107}
    assert (read(event).first, read(event).total) == (2, 107)
    assert read(Sum()).total == 0, "the default is not validated"


def test_an_explicit_default_that_a_validator_changes_is_written() -> None:
    class Counted(Event):
        number: int = 1

        @field_validator("number")
        @classmethod
        def _more(cls, value: int) -> int:
            return max(value, 2)

    assert stored(Counted(number=1)) == {"number": 2}
    changed = Counted(number=10)
    changed.__dict__["number"] = 1
    assert read(changed).number == 1


def _before(cls: Any, data: Any) -> Any:
    return {"number": 5, **data}


def _hooked() -> dict[str, type[Event]]:
    class Before(Event):
        number: int = 0
        check = model_validator(mode="before")(classmethod(_before))

    class After(Event):
        number: int = 0

        @model_validator(mode="after")
        def _fill(self) -> Any:
            if "number" not in self.model_fields_set:
                self.__dict__["number"] = 5
            return self

    class Init(Event):
        number: int = 0

        def __init__(self, **data: Any) -> None:
            super().__init__(**{"number": 5, **data})

    class PostInit(Event):
        number: int = 0

        def model_post_init(self, _: Any) -> None:
            if "number" not in self.model_fields_set:
                self.__dict__["number"] = 5

    class Private(Event):
        number: int = 0
        _own: int = PrivateAttr(1)

    return {kind.__name__: kind for kind in (Before, After, Init, PostInit, Private)}


@pytest.mark.parametrize("kind", _hooked().values(), ids=_hooked())
def test_a_class_whose_code_may_see_what_is_absent_is_written_in_full(kind: type[Event]) -> None:
    event = kind(number=0)
    assert stored(event) == {"number": 0}
    assert read(event).number == 0  # type: ignore[attr-defined]


def test_a_class_that_says_how_it_is_written_is_written_so() -> None:
    class Dumped(Event):
        number: int = 0

        def to_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            return {**super().to_dict(*args, **kwargs), "number": 0}

    class Serialized(Event):
        number: int = 0

        @model_serializer(mode="wrap")
        def _dump(self, handler: Any, info: Any) -> dict[str, Any]:
            return {**super()._dump(handler, info), "number": 0}  # type: ignore[misc, operator]

    for kind in (Dumped, Serialized):
        assert stored(kind()) == {"number": 0}


def test_a_field_with_a_serializer_is_completed_as_it_is_written() -> None:
    class Texted(Event):
        number: int = 1

        @field_serializer("number")
        def _write(self, number: int) -> str:
            return str(number)

    assert complete_payload(*_parsed(Texted())) == _without_columns(Texted().to_dict("json"))
    assert read(Texted()).number == 1


def test_a_computed_field_is_written_and_passed_over() -> None:
    class Doubled(Event):
        number: int = 1

        @computed_field  # type: ignore[prop-decorator]
        @property
        def double(self) -> int:
            return 2 * self.number

    assert stored(Doubled()) == {"double": 2}
    assert read(Doubled()).double == 2


@pytest.mark.parametrize(
    "field",
    [
        lambda: Field(1, alias="count"),
        lambda: Field(1, validation_alias="count"),
        lambda: Field(1, serialization_alias="count"),
    ],
)
def test_a_field_with_an_alias_is_written(field: Callable[[], Any]) -> None:
    class Renamed(Event):
        number: int = field()

    assert stored(Renamed()) == {"number": 1}
    assert read(Renamed()).number == 1


def test_a_mark_beside_the_type_does_not_matter() -> None:
    class Marked(Event):
        number: Annotated[int, Field(ge=0)] = 3
        hidden: str = Field("h", repr=False)

    assert stored(Marked()) == {}
    assert (read(Marked()).number, read(Marked()).hidden) == (3, "h")


def test_zero_and_nan_come_back_exactly() -> None:
    zero, nan = event_class(0.0), event_class(float("nan"))
    assert copysign(1, read(zero(value=-0.0)).value) == -1
    assert copysign(1, read(zero()).value) == 1
    assert isnan(read(nan()).value)
    assert read(nan(value=1.0)).value == 1.0


def test_one_after_another_with_and_without_the_default() -> None:
    class Step(Event):
        number: int = 1
        name: str = "n"

    values = [(1, "n"), (1, "n"), (True, "n"), (2, "n"), (2, "n"), (1, "m"), (1, "n")]
    for number, name in values:
        event = Step(name=name)
        event.__dict__["number"] = number
        back = read(event)
        assert (back.number, back.name) == (number, name)


def test_what_an_older_release_has_written_gets_the_default_of_now() -> None:
    class Grown(Event):
        number: int
        note: str = "new"

    kind, _ = type_and_payload(Grown(number=1))
    back: Any = event_from_payload('{"number":1}', kind=kind, id=ID, created=1.5, entries={})
    assert (back.number, back.note) == (1, "new")
