"""Work: what an event is as data. Its fields, its names, its status, its copies."""

import copy
import json
import pickle
from datetime import UTC, datetime
from typing import Any, ClassVar

import pydantic
import pytest
from pydantic import BaseModel, Field

from lionpride.core import Element, Event, EventStatus, Execution, Retry, Skip, Unset
from lionpride.errors import (
    ConfigurationError,
    LionprideError,
    OperationError,
    ValidationError,
)


class Fetch(Event):
    url: str
    tags: list[str] = Field(default_factory=list)
    depth: int = Field(default=1, ge=0)


class Slow(Event):
    """Other defaults than the library's, as users set them."""

    timeout: float | None = 5.0
    streaming: bool = True


RESERVED = [
    "max_chunks",
    "id",
    "created_at",
    "metadata",
    "execution",
    "status",
    "response",
    "request",
    "invoke",
    "stream",
    "retry",
    "costs",
    "key",
    "spend",
    "progress",
    "as_fresh_event",
]


def define(name: str, annotation: Any, **members: Any) -> type[Event]:
    body = {"__annotations__": {name: annotation}, "__module__": __name__, **members}
    return type("Defined", (Event,), body)


# --- fields


def test_an_event_is_declared_as_any_pydantic_model() -> None:
    event = Fetch(url="x", depth=2)
    assert (event.url, event.tags, event.depth) == ("x", [], 2)
    assert event.timeout is None
    assert event.streaming is False
    with pytest.raises(pydantic.ValidationError, match="url"):
        Fetch()
    with pytest.raises(pydantic.ValidationError, match="depth"):
        Fetch(url="x", depth=-1)
    with pytest.raises(pydantic.ValidationError, match="unknown"):
        Fetch(url="x", unknown=1)


def test_fields_are_checked_when_they_are_set() -> None:
    event = Fetch(url="x")
    event.depth = 3
    assert event.depth == 3
    with pytest.raises(pydantic.ValidationError):
        event.depth = -1
    with pytest.raises(pydantic.ValidationError):
        event.timeout = 0
    assert event.timeout is None


def test_defaults_are_each_events_own() -> None:
    one, two = Fetch(url="x"), Fetch(url="x")
    one.tags.append("a")
    assert two.tags == []
    assert one.execution is not two.execution
    assert one.metadata is not two.metadata


@pytest.mark.parametrize("timeout", [0, -1, -0.5, float("nan"), float("inf"), "soon", [1]])
def test_a_timeout_is_a_positive_finite_number(timeout: Any) -> None:
    with pytest.raises(pydantic.ValidationError, match="timeout"):
        Fetch(url="x", timeout=timeout)
    with pytest.raises(ValueError, match="timeout"):
        Slow(timeout=timeout)


@pytest.mark.parametrize("timeout", [None, 1, 0.001, 1e9])
def test_a_timeout_is_kept(timeout: Any) -> None:
    assert Fetch(url="x", timeout=timeout).timeout == timeout


def test_a_class_may_have_other_defaults() -> None:
    event = Slow()
    assert (event.timeout, event.streaming) == (5.0, True)
    assert Slow(timeout=None, streaming=False).timeout is None


# --- reserved names


@pytest.mark.parametrize("name", RESERVED)
def test_a_field_that_shadows_a_name_of_ours_is_refused_as_its_class_is_defined(name: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        define(name, int)
    assert f"Defined.{name}" in str(raised.value)
    assert f"{name}_" in str(raised.value), "and what it may be called instead"


@pytest.mark.parametrize("name", RESERVED)
def test_a_default_does_not_make_it_better(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        define(name, "int | None", **{name: None})


@pytest.mark.parametrize("name", sorted(Event.kept_entries))
@pytest.mark.parametrize(
    "member", [None, Fetch.as_fresh_event, property(str)], ids=["attribute", "method", "property"]
)
def test_nothing_of_a_class_has_the_name_of_a_kept_entry(name: str, member: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"Defined.{name}: .*{name}_"):
        type("Defined", (Event,), {"__module__": __name__, name: member})
    with pytest.raises(ConfigurationError, match=f"Defined.{name}: .*{name}_"):
        define(name, Any)


@pytest.mark.parametrize("name", sorted(Event.kept_entries))
def test_a_kept_entry_is_not_set_by_hand(name: str) -> None:
    event = Fetch(url="u")
    before = dict(vars(event))
    with pytest.raises(OperationError, match=f"Fetch.{name} cannot be set.*{name}_"):
        setattr(event, name, 1)
    assert vars(event) == before


def test_other_private_names_are_the_users() -> None:
    class Own(Event):
        _reply: Any = None

        def _try(self) -> int:
            return 1

    event = Own()
    event._reply = 5
    assert (event._reply, event._try(), event.status) == (5, 1, "pending")


def test_the_reserved_names_are_those() -> None:
    assert set(Event.reserved()) == set(RESERVED)
    assert set(Element.reserved()) == {"id", "created_at", "metadata"}
    assert all(Event.reserved().values()), "each says what it is"


def test_reserved_names_may_be_class_variables_methods_and_properties() -> None:
    class Free(Event):
        retry: ClassVar[Retry | None] = Retry(attempts=2)
        costs: ClassVar[dict[str, float]] = {"tokens": 1.0}

        @property
        def request(self) -> dict[str, Any]:
            return {"a": 1}

        async def stream(self) -> Any:
            yield 1

    assert Free.retry == Retry(attempts=2)
    assert Free().request == {"a": 1}


def test_names_that_are_not_reserved_are_the_users() -> None:
    class Own(Event):
        name: str = "n"
        priority: int = 1
        result: int = 2
        error: str = ""
        queue: str = "q"
        attempt: int = 0

    assert Own(priority=5).priority == 5


# --- the state


def test_a_new_event_is_pending_and_nobodys() -> None:
    event = Fetch(url="x")
    assert event.status is EventStatus.PENDING
    assert event.response is Unset
    assert event.execution == Execution()
    assert event.execution.arrival is None


@pytest.mark.parametrize("status", EventStatus)
def test_the_status_of_a_free_event_may_be_set(status: EventStatus) -> None:
    for value in (status, status.value):
        event = Fetch(url="x")
        event.status = value
        assert event.status is status
        assert event.execution.status is status


@pytest.mark.parametrize("value", ["done", "PENDING", None, 1, True])
def test_what_is_no_status_is_refused(value: Any) -> None:
    event = Fetch(url="x")
    with pytest.raises(ValidationError, match="status") as raised:
        event.status = value
    assert isinstance(raised.value, ValueError)
    assert "completed" in str(raised.value), "it says what may be set"
    assert event.status is EventStatus.PENDING


def test_the_status_of_a_held_event_is_not_set_by_hand() -> None:
    event = Fetch(url="x")
    event.execution.arrival = 1
    with pytest.raises(OperationError, match=r"executor\.cancel\(event\)"):
        event.status = "failed"
    assert event.status is EventStatus.PENDING
    with pytest.raises(ValidationError):
        event.status = "done"


def test_nor_is_it_set_on_its_execution() -> None:
    event = Fetch(url="u")
    event.execution.status = EventStatus.FAILED
    assert event.status is EventStatus.FAILED, "a free event's is"
    event.execution.arrival = 1
    with pytest.raises(OperationError, match=r"executor\.cancel.*executor\.retry"):
        event.execution.status = EventStatus.COMPLETED
    assert event.status is EventStatus.FAILED


def test_the_response_is_read_only() -> None:
    event = Fetch(url="x")
    with pytest.raises(AttributeError):
        event.response = 1
    with pytest.raises(AttributeError):
        event.request = {}


@pytest.mark.parametrize(
    "state",
    [
        {"status": "completed", "response": [1], "duration": 0.5, "error": None},
        Execution(EventStatus.COMPLETED, 0.5, [1], None),
    ],
    ids=["data", "object"],
)
def test_an_event_may_be_made_in_any_state(state: Any) -> None:
    event = Fetch(url="x", execution=state)
    assert event.status is EventStatus.COMPLETED
    assert event.response == [1]
    assert event.execution is not state, "it has an execution of its own"


@pytest.mark.parametrize("state", ["completed", 5, [1], {"status": "done"}, {"stat": 1}])
def test_a_state_that_is_none_is_refused(state: Any) -> None:
    with pytest.raises(ValueError, match="execution"):
        Fetch(url="x", execution=state)


# --- the same work again


def test_as_fresh_event_keeps_the_work_and_nothing_of_its_state() -> None:
    event = Fetch(url="x", tags=["a"], depth=2, timeout=3.0, streaming=True, metadata={"k": 1})
    event.status = "failed"
    event.execution.add_error(ValueError("no"))
    event.execution.priority = 5.0
    fresh = event.as_fresh_event()
    assert type(fresh) is Fetch
    assert (fresh.url, fresh.tags, fresh.depth) == ("x", ["a"], 2)
    assert (fresh.timeout, fresh.streaming) == (3.0, True)
    assert fresh.id != event.id
    assert fresh.created_at >= event.created_at
    assert fresh.execution == Execution()
    assert event.status is EventStatus.FAILED, "the old one is left as it was"
    assert fresh.metadata == {
        "original": {"id": str(event.id), "created_at": event.created_at},
    }


def test_as_fresh_event_may_take_the_metadata_along() -> None:
    event = Fetch(url="x", metadata={"k": [1]})
    fresh = event.as_fresh_event(copy_meta=True)
    assert fresh.metadata["k"] == [1]
    assert fresh.metadata["original"]["id"] == str(event.id)
    assert event.metadata == {"k": [1]}
    again = fresh.as_fresh_event(copy_meta=True)
    assert again.metadata["original"]["id"] == str(fresh.id)


def test_a_fresh_event_of_a_held_one_is_free() -> None:
    event = Fetch(url="x")
    event.execution.arrival = 7
    fresh = event.as_fresh_event()
    fresh.status = "completed"
    assert event.status is EventStatus.PENDING


# --- copies


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda event: pickle.loads(pickle.dumps(event)),
    "model_copy": lambda event: event.model_copy(),
    "deep model_copy": lambda event: event.model_copy(deep=True),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("touched", [False, True], ids=["new", "held"])
def test_a_copy_is_the_same_and_nobodys(how: str, touched: bool) -> None:
    event = Fetch(url="x", tags=["a"], timeout=2.0, metadata={"k": 1})
    if touched:
        event.execution.arrival = 3
        event.execution.priority = 1.5
        event.execution.attempt = 2
    twin = COPIES[how](event)
    assert type(twin) is Fetch
    assert twin == event
    assert twin.id == event.id
    assert twin.created_at == event.created_at
    assert (twin.url, twin.tags, twin.timeout, twin.metadata) == ("x", ["a"], 2.0, {"k": 1})
    assert twin.execution == event.execution
    assert twin.execution is not event.execution
    assert twin.execution.arrival is None
    twin.status = "completed"
    assert event.status is EventStatus.PENDING
    assert event.execution.arrival == (3 if touched else None), "the original is held still"


# --- as data


@pytest.mark.parametrize("status", EventStatus)
def test_every_state_comes_back(status: EventStatus) -> None:
    event = Fetch(url="x", timeout=2.5, streaming=True, metadata={"k": 1})
    event.status = status
    state = event.execution
    state.priority, state.attempt, state.tries, state.denials = 3.0, 4, 2, 1
    state.interruptions, state.due = 5, 4e9
    if status not in ("pending", "processing"):
        state.duration, state.response = 1.5, [b"bytes", 2**80, {1: "a"}]
        state.error, state.retryable = (
            (None, False)
            if status == "completed"
            else (
                ConfigurationError("no"),
                False,
            )
        )
    text = json.dumps(event.to_dict("json"), allow_nan=False)
    for again in (Event.from_dict(json.loads(text)), Fetch.from_dict(event.to_dict())):
        assert type(again) is Fetch
        assert again == event
        assert again.execution.error.__class__ is state.error.__class__
        again.execution.error = state.error
        assert again.execution == state
        assert (again.timeout, again.streaming, again.url) == (2.5, True, "x")


class Own(LionprideError):
    """An error of a user's that stands under the library's base."""


class Mute(LionprideError):
    """Does not call its base, and says nothing that could be written."""

    def __init__(self) -> None:
        pass

    def to_dict(self) -> dict[str, Any]:
        return {"error": "Mute", "at": object(), 5: b"x", "exceptions": 3, "details": 4}


class Broken(Mute):
    def to_dict(self) -> dict[str, Any]:
        raise ValueError("no")


@pytest.mark.parametrize("response", ["x", b"makes tags necessary"])
@pytest.mark.parametrize(
    "error",
    [
        OperationError("x", details={"k": {"$bytes": "!!"}, "b": b"1"}),
        Own("x", details={"k": b"1", "n": {"$x": 1}}, retryable=True),
        Skip(b"bytes"),  # type: ignore[arg-type]
        Skip("x", retryable="perhaps"),  # type: ignore[arg-type]
        ExceptionGroup("g", [Own("x", details={"k": b"1"}), ValueError("v")]),
        Mute(),
        Broken(),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, BaseException) else "",
)
def test_the_record_of_an_error_survives_any_number_of_restores(
    error: BaseException, response: Any
) -> None:
    event = Fetch(url="u")
    event.status = "failed"
    event.execution.error, event.execution.response = error, response
    first = event.to_json()
    again = Fetch.from_json(first)
    assert json.loads(again.to_json()) == json.loads(first)
    assert again.response == response
    known = again.execution.error
    assert isinstance(known, LionprideError | ExceptionGroup)
    if type(known) is OperationError:
        assert known.details == {"k": {"$bytes": "!!"}, "b": b"1"}


def test_fields_that_need_more_than_json_come_back() -> None:
    class Rich(Event):
        blob: bytes
        when: datetime
        number: int
        many: dict[int, set[str]]

    event = Rich(blob=b"\xff", when=datetime(2024, 1, 2, tzinfo=UTC), number=2**90, many={1: {"a"}})
    again = Event.from_dict(json.loads(json.dumps(event.to_dict("json"))))
    assert type(again) is Rich
    assert again.model_dump(exclude={"created_at"}) == event.model_dump(exclude={"created_at"})


def test_a_class_of_a_function_comes_back() -> None:
    class Local(Event):
        number: int = 0

    assert type(Event.from_dict(Local(number=3).to_dict("json"))) is Local


def test_pydantics_own_dump_has_the_state_too() -> None:
    event = Fetch(url="x")
    dumped = event.model_dump()
    assert dumped["url"] == "x"
    assert dumped["execution"]["status"] == "pending"
    assert isinstance(event, BaseModel)
    assert Fetch.model_validate(dumped) == event


@pytest.mark.parametrize(
    ("error", "record"),
    [
        (ValueError("no"), {"error": "ValueError", "message": "no"}),
        (
            ExceptionGroup("two", [OSError("a"), Skip("b")]),
            {
                "error": "ExceptionGroup",
                "message": "two",
                "exceptions": [
                    {"error": "OSError", "message": "a"},
                    {"error": "Skip", "message": "b", "retryable": False},
                ],
            },
        ),
    ],
)
def test_every_dump_has_the_error_as_a_record(error: Any, record: Any) -> None:
    event = Fetch(url="x")
    event.execution.status = EventStatus.FAILED
    event.execution.error = error
    dumps = event.to_dict(), event.to_dict("json"), event.to_dict("db"), event.model_dump()
    for data in dumps:
        assert data["execution"]["error"] == record
        back = Fetch.from_dict(data)
        assert back.to_dict()["execution"]["error"] == record
    assert event.execution.error is error, "the event keeps the exception"
    assert event.execution.to_dict("python")["error"] is error
    json.dumps(event.to_dict()["execution"])
