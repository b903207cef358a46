"""What a durable store accepts can be claimed with the same values; anything else is refused.

`tests/stores/test_contract_readable.py` draws classes and values; here are those that are easily
got wrong.
"""

from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo

import pydantic
import pytest
from grammar import seen
from pydantic import (
    AfterValidator,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    PrivateAttr,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)

from lionpride.core import Event, Executor, Processor
from lionpride.errors import ValidationError

BERLIN = ZoneInfo("Europe/Berlin")
BY_NAME = tuple(map(int, pydantic.VERSION.split(".")[:2])) >= (2, 11)
"""Whether pydantic can read a field by its name although the model says otherwise."""


class Doer(Processor):
    event_type: ClassVar[type[Event]] = Event


class Doing(Executor):
    processor_type: ClassVar[type[Processor]] = Doer


class Renamed(BaseModel):
    model_config = ConfigDict(populate_by_name=False)
    size: int = Field(1, alias="theSize")


class Sized(Event):
    inner: list[Renamed] = Field(default=[])


class Deep(Event):
    value: int = Field(default=1, validation_alias=AliasPath("a", "b"))

    model_config = ConfigDict(populate_by_name=False)


class Text(Event):
    numbers: Json[list[int]] = Field(default="[1]", validate_default=True)
    whole: Json = Field(default="0", validate_default=True)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def count(self) -> int:
        return len(self.numbers)


class Texts(BaseModel):
    each: list[Json[Decimal]]


class Nesting(Event):
    texts: Texts
    at: datetime


class Moments(Event):
    at: datetime
    daily: time = time(1)
    anything: Any = None
    both: tuple[Path, datetime, set[bytes]] | None = None
    addresses: dict[IPv4Address, datetime] = Field(default={})


AMBIGUOUS = datetime(2025, 10, 26, 2, 30, tzinfo=BERLIN, fold=1)

SUPPORTED: dict[str, Event] = {
    "a nested alias": Sized(inner=[Renamed(theSize=4)]),
    "an alias path": Deep.model_validate({"a": {"b": 2}}),
    "JSON text": Text(numbers="[2, 3]", whole='"[1]"'),  # type: ignore[arg-type]
    "nested JSON text": Nesting(
        texts=Texts(each=['"1.50"']),  # type: ignore[list-item]
        at=AMBIGUOUS,
    ),
    "a named zone": Moments(at=datetime(2025, 1, 1, tzinfo=BERLIN), daily=time(3, tzinfo=BERLIN)),
    "the second of two equal hours": Moments(at=AMBIGUOUS, anything=[AMBIGUOUS]),
    "fold without a zone": Moments(at=AMBIGUOUS.replace(tzinfo=None)),
    "a path beside what needs a tag": Moments(
        at=AMBIGUOUS,
        both=(Path("/a"), AMBIGUOUS, {b"\xff"}),
    ),
    "keys that JSON does not know": Moments(
        at=AMBIGUOUS, addresses={IPv4Address("127.0.0.1"): AMBIGUOUS}
    ),
}


async def elsewhere(event: Event, path: Path) -> Event:
    """An event as another process claims it."""
    url = f"sqlite:///{path}/run.db?synchronous=NORMAL"
    producer = Doing(store=url)
    await producer.append(event)
    await producer.store.close()
    worker = Doing(store=url)
    ((back, _),), _ = await worker.store.claim("worker", 1, start=True)
    await worker.store.close()
    assert isinstance(back, Event)
    return back


@pytest.mark.parametrize("name", SUPPORTED)
async def test_these_are_claimed_with_the_same_values(name: str, tmp_path: Path) -> None:
    if name in ("a nested alias", "an alias path") and not BY_NAME:
        pytest.skip("needs pydantic 2.11")
    event = SUPPORTED[name]
    back = await elsewhere(event, tmp_path)
    assert back is not event
    assert seen(back) == seen(event)
    assert seen(Event.from_json(event.to_json())) == seen(event)


def test_json_text_leaves_computed_fields_in_a_dump() -> None:
    data = Text(numbers="[2, 3]").to_dict("json")  # type: ignore[arg-type]
    assert (data["numbers"], data["count"]) == ("[2,3]", 2)


# --- what is refused


class Excluding(Event):
    token: str = Field(default="", exclude=True)
    made: object = Field(default_factory=object, exclude=True)
    secret: str = Field(default="", exclude=True, repr=False)


class OnlyToken(Event):
    token: str = Field(default="", exclude=True)


class OnlySecret(Event):
    secret: str = Field(default="", exclude=True, repr=False)


class Odd(Event):
    day: date

    @field_serializer("day")
    def write(self, day: date) -> str:
        return f"the {day.day}th"


class Priced(Event):
    price: Annotated[float, AfterValidator(lambda price: price * 2)] = 1.0


class Marked(Event):
    name: str = "n"

    @field_validator("name", mode="before")
    @classmethod
    def _mark(cls, name: str) -> str:
        return f"<{name}>"


class Adding(Event):
    steps: list[str] = Field(default=[])

    @model_validator(mode="after")
    def _add(self) -> "Adding":
        self.steps.append("more")
        return self


class Counting(Event):
    calls: int = 0

    def __init__(self, **data: Any) -> None:
        super().__init__(**data | {"calls": data.get("calls", 0) + 1})


class NoneByDefault(Event):
    name: str = Field(default=None, alias="theName")  # type: ignore[assignment]


class TooShort(Event):
    names: list[str] = Field(default_factory=list, min_length=1)


class Names(Event):
    names: list[str] = Field(default=[])


class Colour(Enum):
    RED = "red"


class Open(Event):
    model_config = ConfigDict(extra="allow")

    anything: Any = None


class InContext(Event):
    name: str

    @field_validator("name")
    @classmethod
    def _look_up(cls, name: str, info: pydantic.ValidationInfo) -> str:
        return str(info.context[name]) if name.islower() else name


def with_a_wrong_item() -> Names:
    event = Names(names=["a"])
    event.names.append(5)  # type: ignore[arg-type]
    return event


def with_a_changed_class() -> Event:
    return InContext.model_validate({"name": "a"}, context={"a": "b"})


REFUSED: list[tuple[Event, str]] = [
    (
        OnlyToken(token="t"),
        r"OnlyToken\.token is 't' and would be read back as ''.*exclude.*Private",
    ),
    (Excluding(), r"Excluding\.made is <object.*exclude"),
    (OnlySecret(secret="hush"), r"OnlySecret\.secret, a str, would be read back as another str"),
    (Odd(day=date(2025, 1, 5)), r"Odd cannot be stored.*day"),
    (
        Priced(price=2.0),
        r"Priced\.price is 4\.0 and would be read back as 8\.0.*validators are called",
    ),
    (Marked(name="a"), r"Marked\.name is '<a>' and would be read back as '<<a>>'.*validators"),
    (Adding(), r"Adding\.steps is \['more'\].*validators"),
    (Counting(), r"Counting\.calls is 1 and would be read back as 2"),
    (NoneByDefault(), r"NoneByDefault cannot be stored.*theName.*default"),
    (TooShort(), r"TooShort cannot be stored.*names.*default"),
    (with_a_wrong_item(), r"Names cannot be stored.*names"),
    (Open(anything=Colour.RED), r"Open\.anything is <Colour\.RED: 'red'>.*read back as 'red'"),
    (Open(anything=object), r"Open\.anything is <class 'object'>.*Unserializable"),
    (Open(more=[object]), r"Open\.more\[0\] is <class 'object'>"),  # type: ignore[call-arg]
    (Names(metadata={"a": object}), r"Names\.metadata\['a'\] is <class 'object'>"),
    (with_a_changed_class(), r"InContext cannot be stored.*name"),
]


@pytest.mark.parametrize(
    ("event", "reason"),
    REFUSED,
    ids=[f"{n}-{type(e).__name__}" for n, (e, _) in enumerate(REFUSED)],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
async def test_what_no_worker_could_read_is_refused_at_append(
    event: Event, reason: str, tmp_path: Path
) -> None:
    executor = Doing(store=f"sqlite:///{tmp_path}/run.db?synchronous=NORMAL")
    with pytest.raises(ValidationError, match=f"(?s){reason}") as refused:
        await executor.append(event)
    assert "hush" not in str(refused.value)
    assert await executor.store.get([event.id]) == [None]
    assert executor.pending_events == []
    await executor.store.close()
    kept = Doing()
    await kept.append(event)  # in memory it is the object itself that a worker gets
    assert kept.pending_events == [event]


class Local(Event):
    label: str = ""
    _client: Any = PrivateAttr(default=None)


async def test_the_remedies_work(tmp_path: Path) -> None:
    local = Local(label="a")
    local._client = object()
    back = await elsewhere(local, tmp_path)
    assert isinstance(back, Local)
    assert (back.label, back._client) == ("a", None)


async def test_an_excluded_field_that_holds_its_default_is_accepted(tmp_path: Path) -> None:
    assert seen(await elsewhere(OnlyToken(), tmp_path))[2]["token"] == (str, "''")
