"""An event type as HTTP shows it: models of its fields and of its state, as plain JSON."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from pydantic import ValidationError as PydanticError

from ...core import Event, EventStatus, Executor, JobEvent
from ...errors import ConfigurationError, LionprideError
from ...model import registry
from ...model.serialization.codec import encode
from ...stores.record import Record
from ...view.plain_json import plain_json
from ...view.redact import redacted

__all__ = [
    "EventError",
    "EventProgress",
    "EventType",
    "Problem",
    "event_types_of",
    "problems_of",
    "public_json",
]

STATUSES: Final = tuple(status.value for status in EventStatus)

_STREAMS: Final = (AsyncIterator, Iterator)


class EventProgress(BaseModel):
    """The last progress report of an event."""

    fraction: float | None = Field(description="The finished share of the work, from 0 to 1.")
    note: str


class EventError(BaseModel):
    """The error of an event that has not completed."""

    type: str = Field(description="The name of the class of the error.")
    message: str


class Problem(BaseModel):
    """The reason for a refused request."""

    detail: str


class EventType:
    """An event type that clients may submit and read.

    Args:
        kind: The class.

    Raises:
        ConfigurationError: if a field has no form in JSON.

    Attributes:
        kind: The class.
        name: Its name in paths.
        fields: A model of its own fields. The settings that every event has are no part of it.
        state: A model of what clients read of its events.
    """

    def __init__(self, kind: type[Event]) -> None:
        self.kind = kind
        self.name = kind.__name__
        own = {
            name: (field.annotation, field)
            for name, field in kind.model_fields.items()
            if name not in Event.model_fields
        }
        config = ConfigDict(extra="forbid", populate_by_name=True, arbitrary_types_allowed=True)
        make: Any = create_model
        self.fields: type[BaseModel] = make(
            f"{self.name}Fields",
            __config__=config,
            __doc__=inspect.getdoc(kind),
            __module__=kind.__module__,
            **own,
        )
        try:
            self.fields.model_json_schema()
        except Exception as error:  # pydantic has several
            raise ConfigurationError(
                f"{self.name}: a field cannot be written as JSON: {error}", cause=error
            ) from error
        self.state: type[BaseModel] = make(
            f"{self.name}State",
            __doc__=f"The state of an event {self.name}.",
            __module__=kind.__module__,
            id=(UUID, ...),
            status=(Literal[STATUSES], ...),
            progress=(EventProgress | None, None),
            result=(_response_of(kind) | None, Field(None, description="Once it is completed.")),
            error=(EventError | None, None),
        )

    @property
    def needs_fields(self) -> bool:
        """True if the class has a field without a default."""
        return any(field.is_required() for field in self.fields.model_fields.values())

    def event(self, fields: BaseModel) -> Event:
        """Return a new event.

        Raises:
            pydantic.ValidationError: if the class refuses the fields.
        """
        return self.kind(**{name: getattr(fields, name) for name in fields.model_fields_set})

    def parse(self, body: bytes) -> Event:
        """Return a new event from a request.

        Raises:
            pydantic.ValidationError: if the body does not fit.
        """
        return self.event(self.fields.model_validate_json(body or b"{}"))

    def is_same(self, one: object, other: Event) -> bool:
        """Return True if two events have the same fields."""
        return type(one) is type(other) and all(
            getattr(one, name) == getattr(other, name) for name in self.fields.model_fields
        )

    def has(self, record: Record) -> bool:
        """Return True if a record is of this class, also under a former name."""
        try:
            return registry.find(record.kind) is self.kind
        except LionprideError:
            return False

    def state_of(self, uid: UUID, record: Record, *, result: bool = True) -> dict[str, Any]:
        """Return the state of an event as plain JSON, without secrets.

        Args:
            uid: The id of the event.
            record: Its record, or that of the last event that continues it.
            result: False to leave out the result, for a client that has its chunks.
        """
        execution: Mapping[str, Any] = record.payload.get("execution") or {}
        state: dict[str, Any] = {
            "id": str(uid),
            "status": record.status.value,
            "progress": None if record.progress is None else record.progress._asdict(),
            "result": None,
            "error": None,
        }
        if record.status is EventStatus.COMPLETED:
            state["result"] = _plain(execution.get("response"))
        elif record.status in _ENDED_BADLY and isinstance(error := execution.get("error"), dict):
            message = str(error.get("message") or "")
            state["error"] = {"type": str(error.get("error")), "message": message}
        if not result:
            del state["result"]
        return state


_ENDED_BADLY: Final = (
    EventStatus.FAILED,
    EventStatus.CANCELLED,
    EventStatus.ABORTED,
    EventStatus.SKIPPED,
)


def event_types_of(executor: Executor, kinds: Iterable[Any]) -> dict[str, EventType]:
    """Return the named event types of an executor, by their names in paths.

    Raises:
        ConfigurationError: if there are none, if the executor does not accept one, if two have the
            same name, or if a name cannot be part of a path.
    """
    found = dict[str, EventType]()
    for kind in dict.fromkeys(kinds):
        if not (isinstance(kind, type) and issubclass(kind, Event)):
            raise ConfigurationError(
                f"{kind!r} is no event type: name subclasses of Event, or functions under @job"
            )
        known = executor.event_types
        if not (kind in known if executor.strict_event_type else issubclass(kind, known)):
            names = ", ".join(each.__name__ for each in known)
            raise ConfigurationError(
                f"{kind.__name__} is no event type of the executor, which has {names}: add it to "
                "Executor.of(...)"
            )
        name = kind.__name__
        if name in found:
            raise ConfigurationError(f"two event types are named {name}: use a router for each")
        if re.fullmatch(r"\w+", name) is None:
            raise ConfigurationError(f"{name!r} cannot be part of a path: rename the class")
        found[name] = EventType(kind)
    if not found:
        raise ConfigurationError("name the event types that clients may submit and read")
    return found


def public_json(value: Any) -> Any:
    """Return a value of Python as plain JSON, without secrets."""
    return _plain(encode(value))


def problems_of(error: PydanticError) -> list[dict[str, Any]]:
    """Return what is wrong with a body, in the form of FastAPI's answers."""
    return [
        {"type": each["type"], "loc": ["body", *each["loc"]], "msg": each["msg"]}
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _plain(encoded: Any) -> Any:
    return plain_json(redacted(encoded))


def _response_of(kind: type[Event]) -> Any:
    """Return the type of the response, from the annotation of the code; Any if it has none."""
    code: Any
    if issubclass(kind, JobEvent):
        code = getattr(kind, "function", None)
    else:
        code = kind._stream if kind.model_fields["streaming"].default else kind._invoke
    try:
        found = get_type_hints(inspect.unwrap(code))["return"]
        if get_origin(found) in _STREAMS or _is_generator(found):
            found = list[get_args(found)[0]]  # type: ignore[misc]
        TypeAdapter(found).json_schema(mode="serialization")
    except Exception:  # an annotation for type checkers alone, or a class without a schema
        return Any
    return found


def _is_generator(found: Any) -> bool:
    origin = get_origin(found)
    return isinstance(origin, type) and issubclass(origin, _STREAMS)
