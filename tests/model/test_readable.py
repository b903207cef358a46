"""What a durable store accepts can be claimed with the same values; anything else is refused."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    create_model,
    field_serializer,
)

from lionpride.core import Event, Executor, Processor
from lionpride.errors import ValidationError
from lionpride.model.packing import kind_and_packed, unpack

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = 2


class Box(BaseModel, Generic[T]):
    item: T


class Size(BaseModel):
    width: int = 1


class BySize(Size):
    height: int = 2


class Renamed(BaseModel):
    model_config = ConfigDict(populate_by_name=False)
    size: int = Field(1, alias="theSize")


class Either(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    size: int = Field(1, alias="theSize")


class Inner(Event):
    number: int = 0
    path: Path = Path()


def stored(event: Event) -> Any:
    kind, text = kind_and_packed(event)
    return unpack(text, kind=kind, id=event.id, created=event.created_timestamp, entries={})


EASTERN = timezone(timedelta(hours=5, minutes=30))


def unfolded(at: datetime) -> datetime:
    """Without `fold`, which has no meaning in a fixed offset, and is not written."""
    return at.replace(fold=0)


LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers()),
    (float, st.floats(allow_nan=False)),
    (str, st.text()),
    (bytes, st.binary()),
    (bool, st.booleans()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (datetime, st.datetimes().map(unfolded) | st.datetimes(timezones=st.just(UTC)).map(unfolded)),
    (datetime, st.datetimes(timezones=st.just(EASTERN)).map(unfolded)),
    (date, st.dates()),
    (timedelta, st.timedeltas(timedelta(-(10**6)), timedelta(10**6))),
    (UUID, st.uuids()),
    (Path, st.sampled_from([Path("/a/b"), Path("c"), Path()])),
    (Colour, st.sampled_from(Colour)),
    (Literal["a", 1], st.sampled_from(["a", 1])),
    (Size, st.sampled_from([Size(width=3), BySize(width=4)])),
    (Size | BySize, st.sampled_from([Size(width=3), BySize(width=4), BySize()])),
    (Box[int], st.builds(Box[int], item=st.integers())),
    (Box[Size], st.sampled_from([Box[Size](item=Size()), Box[Size](item=BySize())])),
    (Renamed, st.just(Renamed(theSize=4))),
    (Either, st.just(Either(theSize=4))),
    (Inner, st.builds(Inner, number=st.integers(), path=st.just(Path("/p")))),
    (Event, st.builds(Inner, number=st.integers())),
    (Json[list[int]], st.just("[1, 2]")),
    (Json, st.just('{"a": 1}')),
    (Any, st.integers() | st.text() | st.binary()),
]


def types(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Containers of a type, each with its values."""
    return inner.flatmap(
        lambda pair: st.sampled_from(
            [
                (list[pair[0]], st.lists(pair[1], max_size=3)),
                (dict[str, pair[0]], st.dictionaries(st.text(), pair[1], max_size=3)),
                (dict[int, pair[0]], st.dictionaries(st.integers(), pair[1], max_size=3)),
                (tuple[pair[0], int], st.tuples(pair[1], st.integers())),
                (pair[0] | None, st.none() | pair[1]),
            ]
        )
    )


fields = st.recursive(st.sampled_from(LEAVES), types, max_leaves=3)
aliases = st.sampled_from([{}, {}, {"alias": "renamed"}, {"validation_alias": AliasPath("x", "y")}])
configs = st.sampled_from([{}, {}, {"populate_by_name": False}, {"strict": True}])


@settings(max_examples=100, deadline=None)
@given(fields, aliases, configs, st.data())
def test_what_is_accepted_is_read_back_with_the_same_values(
    field: Any, alias: dict[str, Any], config: Any, data: st.DataObject
) -> None:
    annotation, values = field

    class Configured(Event):
        model_config = config

    kind: Any = create_model("Drawn", __base__=Configured, value=(annotation, Field(**alias)))
    value = data.draw(values)
    given_ = {"x": {"y": value}} if "validation_alias" in alias else {"renamed": value}
    event = kind.model_validate(given_ if alias else {"value": value})
    back = event
    with suppress(ValidationError):  # refused
        back = stored(event)
    if back is not event:
        assert (back.value, type(back.value)) == (event.value, type(event.value))
        assert repr(back.value) == repr(event.value)


class Sized(Event):
    inner: Renamed = Field(default=Renamed())


class Text(Event):
    numbers: Json[list[int]] = Field(default="[1]", validate_default=True)


class Deep(Event):
    value: int = Field(default=1, validation_alias=AliasPath("a", "b"))

    model_config = ConfigDict(populate_by_name=False)


class Odd(Event):
    day: date

    @field_serializer("day")
    def write(self, day: date) -> str:
        return f"the {day.day}th"


class Doer(Processor):
    event_type: ClassVar[type[Event]] = Event


class Doing(Executor):
    processor_type: ClassVar[type[Processor]] = Doer


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (Sized(inner=Renamed(theSize=4)), r"Sized\.inner would be read back with other values"),
        (Text(numbers="[2]"), "Text cannot be stored.*numbers"),  # type: ignore[arg-type]
        (Deep.model_validate({"a": {"b": 2}}), "Deep cannot be stored"),
        (Odd(day=date(2025, 1, 5)), "Odd cannot be stored.*day"),
    ],
    ids=["alias", "json", "alias path", "serializer"],
)
async def test_what_no_worker_could_read_is_refused_at_append(
    event: Event, reason: str, tmp_path: Path
) -> None:
    executor = Doing(store=f"sqlite:///{tmp_path}/run.db")
    with pytest.raises(ValidationError, match=f"(?s){reason}"):
        await executor.append(event)
    assert await executor.store.get([event.id]) == [None]
    await executor.store.close()
