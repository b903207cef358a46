"""The halves of an event that a durable store keeps as text."""

import json
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AliasChoices, AliasPath, ConfigDict, Field, SecretStr, field_serializer
from pydantic.alias_generators import to_camel

from lionpride.core import Element, Event, Execution, Retry, Skip, Unset
from lionpride.errors import ExecutionError, NotFoundError, ValidationError
from lionpride.model.after import After
from lionpride.model.attempts import Attempt
from lionpride.model.execution import KEYS, EventStatus
from lionpride.model.serialization.codec import error_to_dict
from lionpride.model.serialization.payload import (
    complete_payload,
    event_from_payload,
    payload_of,
    read_result,
    result_text,
    type_and_payload,
)

ID = UUID(int=7)

NAMES_CAN_BE_CHOSEN = tuple(map(int, pydantic.VERSION.split(".")[:2])) >= (2, 11)


class Colour(Enum):
    RED = "red"


class Fetch(Event):
    url: str = "u"
    depth: int = 0
    tags: list[str] = Field(default_factory=list)


class Holder(Event):
    content: Any = None


class Strange(Event):
    at: datetime = datetime(2025, 1, 1, tzinfo=UTC)
    raw: bytes = b"\x00"
    token: SecretStr = SecretStr("s")
    colour: Colour = Colour.RED
    pair: tuple[int, ...] = (1, 2)


class Open(Event):
    model_config = ConfigDict(extra="allow")


class Serialized(Event):
    n: int = 1

    @field_serializer("n")
    def write(self, n: int) -> str:
        return str(n)


class OwnToDict(Event):
    n: int = 1

    def to_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return super().to_dict(*args, **kwargs) | {"n": f"{self.n}.0"}


def again(event: Event, **entries: Any) -> Event:
    back = unpacked(event, id=event.id, created=event.created_timestamp, entries=entries)
    assert isinstance(back, Event)
    return back


def unpacked(event: Event, **how: Any) -> Any:
    kind, text = type_and_payload(event)
    return event_from_payload(text, kind=kind, **how)


EVENTS = [
    Event(),
    Fetch(),
    Fetch(url="é\0\u2028", depth=3, tags=["a"], timeout=2, streaming=True),
    Fetch(url="\ud800"),
    Fetch(url="¿-Ò\x16d"),  # which pydantic_core 2.18 reads wrong
    Fetch(metadata={"k": [1, {"n": None}]}),
    Fetch(metadata={"k": b"b", 1: 2}),
    Fetch(metadata={"$int": "5"}),
    Holder(content=2**70),
    Holder(content={"$bytes": "no tag"}),
    Holder(content=(1, float("inf"), {2, 3})),
    Strange(),
    Open(a=1, b=b"2"),
    Serialized(n=4),
]


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_what_is_packed_is_to_dict_without_the_columns_of_the_store(event):
    expected = event.to_dict("json")
    for name in ("id", "created_at", "execution"):
        del expected[name]
    kind, text = type_and_payload(event)
    assert complete_payload(kind, json.loads(text)) == expected
    written = json.loads(text)
    assert text == json.dumps(written, separators=(",", ":"), ensure_ascii=text.isascii())
    text.encode()  # as a database will


def test_what_most_events_say_is_left_out():
    assert payload_of(Event()) == "{}"
    assert payload_of(Fetch(url="x", depth=2)) == '{"url":"x","depth":2,"tags":[]}'
    assert '"timeout":2' in payload_of(Fetch(timeout=2))
    assert '"streaming":true' in payload_of(Fetch(streaming=True))
    assert '"k":1' in payload_of(Fetch(metadata={"k": 1}))


def test_what_was_written_in_full_is_read_as_ever():
    event = Fetch(url="x", depth=2)
    kind, text = type_and_payload(event)
    full = json.dumps(complete_payload(kind, json.loads(text)))
    back = event_from_payload(full, kind=kind, id=ID, created=1.5, entries={})
    assert (back.url, back.depth, back.timeout, back.metadata) == ("x", 2, None, {})  # type: ignore[attr-defined]


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_an_event_comes_back_in_its_class_as_from_dict_reads_it(event):
    back = again(event)
    expected = Event.from_dict(event.to_dict("json"))
    assert type(back) is type(expected) is type(event)
    assert back.to_dict("json") == expected.to_dict("json") == event.to_dict("json")
    assert back.metadata == event.metadata
    assert back.model_fields_set == expected.model_fields_set
    assert (back.id, back.created_at) == (event.id, event.created_at)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("$int"), inner),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(json_values, st.dictionaries(st.text(), json_values, max_size=2), json_values)
def test_any_content_comes_back(content, metadata, response):
    for word in ("lion_class", "lion_tags"):
        metadata.pop(word, None)
    event = Holder(content=content, metadata=metadata)
    event.execution.response = response
    back = again(event, **read_result(result_text(event.execution)))
    assert repr(back.content) == repr(content)  # type: ignore[attr-defined]
    assert back.metadata == metadata
    assert repr(back.response) == repr(response)


def test_the_identity_is_what_was_given():
    back = unpacked(Fetch(url="x"), id=ID, created=1.5, entries={})
    assert back.id is ID
    assert back.created_timestamp == 1.5
    assert back.created_at == datetime.fromtimestamp(1.5, UTC)
    assert back.metadata == {}
    assert back.execution == Execution()


def test_the_identity_is_what_was_given_though_it_was_asked_for_too_early():
    class Curious(Event):
        def model_post_init(self, context: Any) -> None:
            self.id, self.created_at, self.metadata  # noqa: B018

    back = unpacked(Curious(metadata={"k": 1}), id=ID, created=1.5, entries={})
    assert back.id is ID
    assert (back.created_timestamp, back.created_at.timestamp()) == (1.5, 1.5)
    assert back.metadata == {"k": 1}


def test_the_entries_are_its_state():
    entries = {
        "_status": "processing",
        "_arrival": 4,
        "_priority": 2.5,
        "_attempt": 3,
        "_tries": 2,
        "_denials": 1,
        "_interruptions": 1,
        "_due": 9.0,
        "_expires": 19.0,
        "_attempts": (Attempt(1, 2.0, 0.5, "ValueError: no"),),
        "_retry": Retry(attempts=2),
        "_unique": ("report", 8.0),
        "@after": After((UUID(int=7),)),
        "_response": 5,
        "_error": None,
        "_duration": 0.5,
        "_retryable": False,
    }
    assert entries.keys() == KEYS
    state = again(Fetch(), **entries).execution
    assert state.own.items() >= entries.items()
    assert (state.status, state.arrival, state.attempt) == (EventStatus.PROCESSING, 4, 3)
    assert entries["_status"] == "processing"  # copied, not kept


def test_an_event_that_comes_back_is_like_any_other():
    back = again(Fetch(url="x"))
    other = again(Fetch(url="y"))
    back.depth = 3
    with pytest.raises(pydantic.ValidationError):
        back.depth = "no"
    assert (other.depth, other.url) == (0, "y")  # type: ignore[attr-defined]
    assert Fetch().depth == 0
    assert back.as_fresh_event().url == "x"  # type: ignore[attr-defined]


def test_what_has_run_is_packed_as_if_it_had_not():
    event = Fetch(url="x")
    before = payload_of(event)
    event.execution.response = b"bytes"
    event.execution.status = EventStatus.COMPLETED
    assert payload_of(event) == before


def test_an_override_of_to_dict_is_asked():
    assert json.loads(payload_of(OwnToDict(n=2)))["n"] == "2.0"
    assert again(OwnToDict(n=2)).n == 2  # type: ignore[attr-defined]


def test_the_identity_is_not_made_for_packing():
    event = Fetch()
    payload_of(event)
    assert "id" not in vars(event)


class Aliased(Event):
    n: int = Field(default=0, alias="m")
    m: int = Field(default=0, alias="n")


class ReadByAlias(Event):
    n: int = Field(default=0, validation_alias="m")


class ReadByChoice(Event):
    n: int = Field(default=0, validation_alias=AliasChoices(AliasPath("x", 0), "m"))


class WrittenByAlias(Event):
    model_config = ConfigDict(serialize_by_alias=True)
    n: int = Field(default=0, validation_alias="m", serialization_alias="k")
    o: int = Field(default=0, serialization_alias="p")


class ByEitherName(Event):
    model_config = ConfigDict(populate_by_name=True)
    n: int = Field(default=0, alias="m")


class ByNameAlone(Event):
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=False)
    n: int = Field(default=0, alias="m")


class Generated(Event):
    model_config = ConfigDict(alias_generator=to_camel)
    first_part: int = 0


@pytest.mark.parametrize(
    "event",
    [
        Aliased(m=5, n=6),
        ReadByAlias(m=5),
        ReadByChoice(m=5),
        ByEitherName(n=5),
        *([WrittenByAlias(m=5, o=6), ByNameAlone(n=5)] if NAMES_CAN_BE_CHOSEN else []),
        Generated(firstPart=5),
    ],
    ids=lambda event: event.class_name(),
)
def test_fields_with_aliases_come_back(event):
    back = again(event)
    assert {name: getattr(back, name) for name in type(back).model_fields} == {
        name: getattr(event, name) for name in type(event).model_fields
    }


# --- what cannot be read


def give(text: str) -> Any:
    kind, _ = type_and_payload(Fetch())
    return event_from_payload(text, kind=kind, id=uuid4(), created=0.0, entries={})


def test_a_class_that_is_not_defined_is_named():
    with pytest.raises(NotFoundError, match=r"gone\.Gone"):
        give('{"metadata":{"lion_class":"gone.Gone"}}')


def test_a_field_that_no_longer_fits_is_named():
    text = payload_of(Fetch(depth=1))
    with pytest.raises(pydantic.ValidationError, match="depth"):
        give(text.replace('"depth":1', '"depth":"deep"'))
    with pytest.raises(pydantic.ValidationError, match="removed"):
        give(text.replace('"depth"', '"removed"'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"metadata":{"lion_class":"lionpride.core.Element"}}', "not a class of events"),
        ('{"metadata":{"lion_class":5}}', "must be a string"),
        ('{"metadata":{}}', "must be a string"),
        ('{"metadata":null}', "metadata"),
        ("[1]", "JSON object"),
    ],
)
def test_what_packed_did_not_write_is_refused(text, message):
    with pytest.raises(ValidationError, match=message):
        give(text)


def test_what_is_no_json_is_refused():
    with pytest.raises(json.JSONDecodeError):
        give("{")
    with pytest.raises(json.JSONDecodeError):
        read_result("")


def test_an_element_that_is_no_event_is_refused():
    text = json.dumps(Element().to_dict("json"))
    with pytest.raises(ValidationError, match="not a class of events"):
        give(text)


# --- results


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {1: value}  # the codec writes three levels for each
    return value


RESPONSES = [
    None,
    True,
    False,
    0,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    1.5,
    -0.0,
    float("inf"),
    "",
    'a"b\\c\n\0é\u2028',
    "\ud800",
    "x" * 5000,
    b"\xff",
    Colour.RED,
    [1, "a", None],
    {"a": {"b": 2**80}},
    {"$int": "5"},
    {1: (2, {3})},
    datetime(2025, 1, 1, tzinfo=UTC),
    deep(90),
    object(),
    Unset,
]


@pytest.mark.parametrize("response", RESPONSES, ids=lambda r: repr(r)[:20])
def test_a_response_comes_back_as_the_execution_reads_it(response):
    state = Execution(EventStatus.COMPLETED, response=response, error=None)
    text = result_text(state)
    expected = Execution.from_dict(state.to_dict(), encoded=True)
    entries = read_result(text)
    assert repr(entries.get("_response", Unset)) == repr(expected.response)
    assert entries["_error"] is None
    text.encode()


class Mine(ValueError):
    """An error of a user's own."""


ERRORS = [
    ValueError("no"),
    Mine("mine \ud800"),
    Skip("nothing to do"),
    ExecutionError("x", details={"at": b"1"}, retryable=True),
    ExceptionGroup("two", [ValueError("a"), Skip("b")]),
    BaseExceptionGroup("out", [KeyboardInterrupt(), ValueError("c")]),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("response", [Unset, None, [b"chunk"]], ids=repr)
def test_an_error_comes_back_as_the_execution_reads_it(error, response):
    state = Execution(EventStatus.FAILED, response=response, error=error)
    entries = read_result(result_text(state))
    expected = Execution.from_dict(state.to_dict(), encoded=True)
    back = Execution.over({"_status": "failed", **entries})
    assert error_to_dict(back.error) == error_to_dict(expected.error)
    assert type(back.error) is type(expected.error)
    assert str(back.error) == str(expected.error)
    assert back.response == response
    twice = read_result(result_text(back))
    assert error_to_dict(twice["_error"]) == error_to_dict(back.error)


def test_no_result_is_no_text():
    assert result_text(Execution()) is None
    assert result_text(Execution(EventStatus.COMPLETED)) is None
    assert result_text(Fetch().execution) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (5, "5"),
        (1.0, "1.0"),
        ("é", '"\\u00e9"'),
        ([1, {"a": "é"}], '[1,{"a":"é"}]'),
        (b"", '{"$bytes":""}'),
    ],
)
def test_a_result_is_compact(value, text):
    assert result_text(Execution(response=value)) == f'{{"response":{text}}}'


def test_an_error_whose_record_is_no_json_is_kept_all_the_same():
    class Odd(ExecutionError):
        def to_dict(self) -> dict[str, Any]:
            return {"error": "Odd", "message": "m", "thing": Odd}

    entries = read_result(result_text(Execution(error=Odd())))
    assert str(entries["_error"]) == "Odd: m"


def test_an_error_that_cannot_be_read_is_refused():
    with pytest.raises(ValidationError, match="error"):
        read_result('{"error":"text"}')
    with pytest.raises(ValidationError, match="unknown kind"):
        read_result('{"response":{"$later":1}}')
