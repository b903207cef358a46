"""Texts and values that are displayed for a record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from ..core import EventStatus
from ..drawing.text import shorten
from ..errors import ValidationError
from ..model.finite import is_finite
from ..rules.state_machine import is_by_hand
from ..stores.contract import Relative
from ..stores.record import Record

__all__ = [
    "FAILURE_STATUSES",
    "ScheduleMark",
    "cancelled_by",
    "condition_of",
    "created_of",
    "due_of",
    "error_of",
    "has_failed",
    "priority_of",
    "schedule_of",
    "seconds_of",
    "status_of",
]

FAILURE_STATUSES: Final = (EventStatus.FAILED, EventStatus.ABORTED, EventStatus.CANCELLED)
"""Final statuses of failures. CANCELLED is one unless the event was cancelled by hand."""


def created_of(payload: Mapping[str, Any]) -> datetime:
    """Return the time of creation of a payload's event.

    Raises:
        ValidationError: if the payload has none.
    """
    value = payload.get("created_at")
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        made = datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError, OSError) as error:
        problem = "is required and not there" if value is None else f"must be a time, got {value!r}"
        raise ValidationError(f"payload.created_at: {problem}") from error
    return made.replace(tzinfo=UTC) if made.tzinfo is None else made.astimezone(UTC)


_REQUIRED: Final = {
    "completed": "must complete",
    "failed": "must fail",
    "finished": "must finish",
}


def status_of(record: Record) -> str:
    """Return the status of an event as text; "blocked" if it waits for its parents."""
    return "blocked" if record.is_blocked else record.status.value


def cancelled_by(record: Record) -> str | None:
    """Return who has cancelled an event by hand; None if it was not so, or is not on record."""
    error = record.payload["execution"].get("error") or {}
    if not (record.actions and is_by_hand(record.status, error.get("error"), error.get("message"))):
        return None
    last = record.actions[-1]
    return last.by if last.what == "cancel" else None


def due_of(record: Record) -> float | None:
    """Return the earliest start of an event; of a blocked one, once its parents have finished."""
    if not record.is_blocked:
        return record.due
    due = (record.payload["execution"].get("after") or {}).get("due")
    return due if isinstance(due, (int, float)) else None


def condition_of(one: Relative) -> str:
    """Return the condition between a parent and a child, and whether it is met, as text."""
    if one.is_met is None:
        return _REQUIRED[one.when]
    return f"{one.when}: {'met' if one.is_met else 'not met'}"


def priority_of(record: Record) -> str:
    """Return a priority as text; the default, which is the time of creation, in words."""
    value = record.priority
    if abs(value - created_of(record.payload).timestamp()) < 1e-3:
        return "default (the time of creation)"
    return f"{value:.15g}"


class ScheduleMark(NamedTuple):
    """The schedule that has appended an event.

    Attributes:
        name: The name of the schedule.
        at: The nominal instant of the event, a Unix timestamp in seconds.
    """

    name: str
    at: float


def schedule_of(record: Record) -> ScheduleMark | None:
    """Return the schedule that has appended an event; None if none has."""
    metadata = record.payload.get("metadata")
    mark = metadata.get("lion_schedule") if isinstance(metadata, Mapping) else None
    at: Any = mark.get("at") if isinstance(mark, Mapping) else None
    if not isinstance(mark, Mapping) or not is_finite(at):
        return None
    try:
        datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):  # metadata of a caller, and no time
        return None
    return ScheduleMark(str(mark.get("name", "")), float(at))


def has_failed(record: Record) -> bool:
    """Return True if an event finished other than completed, skipped or cancelled by hand."""
    if record.status not in FAILURE_STATUSES:
        return False
    error = record.payload["execution"].get("error")
    entries = error if isinstance(error, dict) else {}
    return not is_by_hand(record.status, entries.get("error"), entries.get("message"))


def seconds_of(record: Record) -> float | None:
    """Return how long its last attempt ran; None if there was none."""
    duration = record.payload["execution"].get("duration")
    return duration if isinstance(duration, (int, float)) else None


def error_of(record: Record, width: int = 1000) -> str:
    """Return a short text of the event's error; also for an event that waits for a retry."""
    error = record.payload["execution"].get("error")
    if not isinstance(error, dict):
        return ""
    return shorten(f"{error.get('error')}: {error.get('message') or ''}".removesuffix(": "), width)
