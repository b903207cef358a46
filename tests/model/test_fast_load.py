"""The quick way to make an event of what was kept of it gives what the long way gives."""

import gc
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID
from weakref import ref

import pytest
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    computed_field,
    field_validator,
    model_validator,
)

from lionpride.core import Event
from lionpride.model import registry
from lionpride.model.event_data import EventData
from lionpride.model.serialization.fast_load import fast_load_of
from lionpride.model.serialization.payload import event_from_payload, type_and_payload

ID = UUID(int=7)
CREATED = 1.5


class Bare(Event):
    pass


class Fetch(Event):
    url: str
    depth: Annotated[int, Field(ge=0)] = 0
    ratio: float | None = None


class Secretive(Event):
    word: str = Field(repr=False)


class Hurried(Event):
    timeout: float | None = Field(2.0, gt=0)


class Listed(Event):
    tags: list[str] = Field(default_factory=list)
    more: dict[str, Any] = {}  # noqa: RUF012  (pydantic copies it)


class Colour(Enum):
    RED = "red"


class Painted(Event):
    model_config = ConfigDict(use_enum_values=True)

    colour: Colour = Colour.RED
    shade: Literal["dark", "light"] = "dark"


seen: list[int] = []


def see(value: int) -> int:
    seen.append(value)
    return value


class Watched(Event):
    number: Annotated[int, AfterValidator(see)]


class Trimmed(Event):
    name: str

    @field_validator("name")
    @classmethod
    def _trim(cls, value: str) -> str:
        return value.strip()


SIMPLE = [
    Bare(),
    Fetch(url="u"),
    Fetch(url="ü\ud800", depth=3, ratio=0.5),
    Fetch(url="u", timeout=5.0, streaming=True),
    Secretive(word="w"),
    Hurried(),
    Listed(),
    Listed(tags=["a"], more={"b": [1, None]}),
    Painted(),
    Watched(number=1),
    Trimmed(name=" a "),
]


class Meddling(Event):
    number: int = 0

    def __init__(self, **data: Any) -> None:
        super().__init__(**{"number": 5, **data})


class Whole(Event):
    number: int = 0

    @model_validator(mode="after")
    def _double(self) -> "Whole":
        return self


class Hidden(Event):
    _secret: int = PrivateAttr(1)


class Computed(Event):
    number: int = 1

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * self.number


class Renamed(Event):
    model_config = ConfigDict(serialize_by_alias=True)

    number: int = Field(1, validation_alias="count", serialization_alias="count")


class Prepared(Event):
    number: int = 1

    def model_post_init(self, _: Any) -> None:
        self.metadata["prepared"] = True


class Read(Event):
    number: int = 1

    @classmethod
    def _from_data(cls, data: dict[str, Any], kwargs: dict[str, Any]) -> Any:
        return super()._from_data({"number": 1} | data, kwargs)


OTHERS = [Meddling(), Whole(), Hidden(), Computed(), Renamed(), Prepared(), Read()]
TAGGED = [Bare(metadata={"a": 1}), Listed(more={"a": (1, 2)})]


def long_way(event: EventData) -> EventData:
    kind, text = type_and_payload(event)
    return event_from_payload(text, kind=kind, id=ID, created=CREATED, entries={})


def quick_way(event: EventData) -> EventData | None:
    kind, text = type_and_payload(event)
    revival = fast_load_of(kind)
    return None if revival is None else revival(text, ID.bytes, CREATED)


@pytest.mark.parametrize("event", SIMPLE, ids=[f"{n}" for n in range(len(SIMPLE))])
@pytest.mark.parametrize("times", [1, 3])
def test_the_quick_way_gives_the_same_event(event: EventData, times: int) -> None:
    for _ in range(times):  # a text that comes again is not read again
        expected = long_way(event)
        made = quick_way(event)
        assert made is not None
        assert type(made) is type(expected)
        assert made.id == ID
        assert made.model_fields_set == expected.model_fields_set
        assert made.__dict__ == expected.__dict__
        assert made.to_dict("json") == expected.to_dict("json")
        assert repr(made) == repr(expected)


@pytest.mark.parametrize("event", [*OTHERS, *TAGGED], ids=lambda each: type(each).__name__)
def test_whatever_has_code_or_tags_of_its_own_takes_the_long_way(event: EventData) -> None:
    assert quick_way(event) is None


def test_two_of_the_same_text_share_nothing_that_can_be_changed() -> None:
    one, other = quick_way(Fetch(url="u")), quick_way(Fetch(url="u"))
    assert isinstance(one, Fetch)
    assert isinstance(other, Fetch)
    one.url = "v"
    one.metadata["a"] = 1
    assert (other.url, other.metadata) == ("u", {})
    first, second = quick_way(Listed(tags=["a"])), quick_way(Listed(tags=["a"]))
    assert first is not None
    assert second is not None
    assert first.tags is not second.tags  # type: ignore[attr-defined]


def test_a_validator_is_asked_each_time() -> None:
    kind, text = type_and_payload(Watched(number=3))
    revival = fast_load_of(kind)
    assert revival is not None
    seen.clear()
    for _ in range(3):
        assert revival(text, ID.bytes, CREATED) is not None
    assert seen == [3] * 3


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{} ", '{"depth":-1,"ratio":null,"url":"u"}', '{"url":"u","a":1}', '{"a":1}'],
)
def test_what_does_not_fit_takes_the_long_way_which_says_so(text: str) -> None:
    revival = fast_load_of(registry.key_of(Fetch))
    assert revival is not None
    assert revival(text, ID.bytes, CREATED) is None


def test_a_kind_that_is_not_here_takes_the_long_way() -> None:
    assert fast_load_of("nowhere:Nothing") is None
    assert fast_load_of("lionpride.core.Element") is None


def test_a_class_of_the_same_name_takes_the_place_of_the_one_before() -> None:
    def make(default: int) -> type[Event]:
        class Made(Event):
            number: int = default

        return Made

    first = make(1)
    assert type(quick_way(first())) is first
    gone = ref(first)
    second = make(2)
    assert type(quick_way(second())) is second
    del first
    gc.collect()
    assert gone() is None
