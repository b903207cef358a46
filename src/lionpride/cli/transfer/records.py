"""Records of events and schedules as JSON objects, as `export` writes and `import` reads them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from ...core import EventStatus, Execution
from ...drawing.text import one_line, shorten
from ...errors import ValidationError
from ...model.execution import TERMINAL
from ...rules.action import KEPT, Action
from ...stores.record import Record
from ...stores.schedule_record import ScheduleRecord
from ...view.plain_json import plain_json
from ...view.records import created_of
from ...view.redact import first_hidden

__all__ = [
    "QueueSchedule",
    "exported",
    "exported_schedule",
    "is_schedule",
    "listed",
    "read_record",
    "read_schedule",
]

COUNTERS: Final = ("attempt_number", "failure_count", "denials", "interruptions")
_OPTIONAL: Final[Mapping[str, Any]] = {"ended": None, "actions": ()}
"""The values of fields that a file may leave out."""
_FORMER: Final = {"attempt": "attempt_number", "tries": "failure_count"}
"""Present names of counters by those that earlier versions wrote, which a Record has."""


def exported(record: Record) -> dict[str, Any]:
    """Return a record as an object, without the arrival number, which each store assigns."""
    return {
        "id": str(record.id),
        "queue": record.queue,
        "kind": record.kind,
        "status": record.status.value,
        "priority": record.priority,
        "due": None if record.is_blocked else record.due,  # JSON has no infinity
        "ended": record.ended,
        **{name: getattr(record, name) for name in COUNTERS},
        "key": record.key,
        "costs": record.costs,
        "actions": [action._asdict() for action in record.actions],
        "payload": record.payload,
    }


def listed(record: Record) -> dict[str, Any]:
    """A record as an object for programs: plain JSON, with its arrival number."""
    data = {"number": record.number, **exported(record), "payload": plain_json(record.payload)}
    return {**data, "blocked": record.is_blocked}


def read_record(data: Mapping[str, Any], queue: str | None = None) -> Record:
    """The record of what ``exported`` gave.

    Args:
        data: The object.
        queue: Takes the place of the record's own.

    Raises:
        ValidationError: names the field that is missing, wrong, or not as the payload says.
    """
    if "number" in data:
        raise ValidationError(
            "number: `ls` and `show` write a record that cannot be read back: import what "
            "`lionpride export` writes"
        )
    for name in data:
        if name not in _READERS and name not in _FORMER:
            raise ValidationError(f"{name}: is no field of a record; remove it")
    data = _with_present_names(data)
    values = {name: _read(name, data) for name in _READERS}
    values |= {former: values.pop(name) for former, name in _FORMER.items()}
    if queue is not None:
        values["queue"] = queue
    if values["due"] is None and _is_blocked(values["payload"]):
        values["due"] = math.inf
    record = Record(number=0, **values)
    _check_payload(record)
    return record


class QueueSchedule(NamedTuple):
    """A schedule, and the name of its queue."""

    queue: str
    record: ScheduleRecord


def exported_schedule(queue: str, record: ScheduleRecord) -> dict[str, Any]:
    """Return a schedule as an object."""
    return {"queue": queue, **record.to_dict()}


def is_schedule(data: Mapping[str, Any]) -> bool:
    """Return True if an object is that of a schedule, and not that of an event."""
    return "schedule" in data and "status" not in data


def read_schedule(data: Mapping[str, Any], queue: str | None = None) -> QueueSchedule:
    """Return the schedule from the result of ``exported_schedule``.

    Args:
        data: The object.
        queue: Takes the place of the schedule's own.

    Raises:
        ConfigurationError: if its rule needs a package that is not installed.
        ValidationError: if it cannot be read, or its rule cannot be evaluated.
    """
    own = _read("queue", data) if queue is None else queue
    record = ScheduleRecord.from_dict({name: data[name] for name in data.keys() - {"queue"}})
    if hidden := first_hidden(record.payload, "payload"):
        raise ValidationError(f"{hidden}: is hidden: export the schedule again with --reveal")
    record.schedule.rule.next_after(0.0)
    return QueueSchedule(own, record)


def _with_present_names(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record under their present names.

    Raises:
        ValidationError: if a counter is given under both of its names.
    """
    for former, name in _FORMER.items():
        if former in data and name in data:
            raise ValidationError(f"{former}: is the former name of {name}: remove {former}")
    return {_FORMER.get(name, name): value for name, value in data.items()}


def _read(name: str, data: Mapping[str, Any]) -> Any:
    if name not in data:
        if name in _OPTIONAL:
            return _OPTIONAL[name]
        raise ValidationError(f"{name}: is required and not there")
    try:
        return _READERS[name](data[name])
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        given = shorten(one_line(repr(data[name])), 60)
        raise ValidationError(f"{name}: must be {_KINDS[name]}, not {given}") from error


def _is_blocked(payload: Mapping[str, Any]) -> bool:
    """Return True if a payload says that its event waits for its parents."""
    state = payload.get("execution")
    after = state.get("after") if isinstance(state, Mapping) else None
    return isinstance(after, Mapping) and bool(after.get("blocked"))


def _check_payload(record: Record) -> None:
    """Refuse a payload that contradicts the other fields of its record.

    Raises:
        ValidationError: names the field.
    """
    if record.ended is not None and record.status not in TERMINAL:
        raise ValidationError(f"ended: must be null for what is {record.status}")
    payload = record.payload
    if hidden := first_hidden(payload, "payload"):
        raise ValidationError(f"{hidden}: is hidden: export the event again with --reveal")
    if payload.get("id") != str(record.id):
        raise ValidationError(f"payload.id: must be {record.id} as beside it")
    created_of(payload)
    state = payload.get("execution")
    if not isinstance(state, Mapping):
        raise ValidationError("payload.execution: is required and not there")
    execution = Execution.from_dict(state, encoded=True)
    for name in ("status", "priority", "due", *COUNTERS):
        here, there = getattr(record, name), getattr(execution, name)
        if here != there:
            said = there.value if isinstance(there, EventStatus) else there
            raise ValidationError(f"{name}: payload.execution says {said!r}: make both the same")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _number(value: Any) -> float:
    number = float(value)
    if isinstance(value, (bool, str)) or not math.isfinite(number):
        raise ValueError
    return number


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError
    return value


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _costs(value: Any) -> dict[str, float]:
    for cost in value.values():
        _number(cost)
    return {_text(name): cost for name, cost in value.items()}  # 1 stays 1, and 1.0 stays 1.0


def _actions(value: Any) -> tuple[Action, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(map(Action.from_dict, value))[-KEPT:]


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "id": UUID,
    "queue": _text,
    "kind": _text,
    "status": EventStatus,
    "priority": _number,
    "due": _or_none(_number),
    "ended": _or_none(_number),
    **dict.fromkeys(COUNTERS, _count),
    "key": _or_none(_text),
    "costs": _costs,
    "actions": _actions,
    "payload": _mapping,
}

_KINDS: Final[Mapping[str, str]] = {
    "id": "the text of a UUID",
    "queue": "a name",
    "kind": "the registry key of a class",
    "status": f"one of {', '.join(EventStatus)}",
    "priority": "a finite number",
    "due": "a Unix timestamp in seconds, or null",
    "ended": "a Unix timestamp in seconds, or null",
    **dict.fromkeys(COUNTERS, "a whole number of at least 0"),
    "key": "a text, or null",
    "costs": "an object of finite numbers",
    "actions": "a list of actions",
    "payload": "an object",
}
