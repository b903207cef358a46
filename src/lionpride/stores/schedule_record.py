"""ScheduleRecord: a schedule in the form in which its store has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from ..errors import ValidationError
from ..model.recurrence import Every
from ..model.schedule import Schedule
from ..model.serialization.codec import safe_repr

__all__ = ("LastEvent", "ScheduleRecord", "SkippedInstant")

_NO_ID: Final = UUID(int=0)
_LONGEST: Final = 86_400.0


class LastEvent(NamedTuple):
    """The last event of a schedule.

    Attributes:
        at: Its nominal instant, a Unix timestamp in seconds.
        id: Its id.
    """

    at: float
    id: UUID


class SkippedInstant(NamedTuple):
    """The last instant of a schedule for which no event was appended.

    Attributes:
        at: The instant, a Unix timestamp in seconds.
        reason: The reason.
    """

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule in the form in which its store has it, readable without the class of its event.

    Attributes:
        name: Its name, unique in the queue.
        id: Its id, from which the ids of its events derive. Changes, exports and imports keep it.
        kind: The registry key of the class of its events.
        payload: ``event.to_dict("json")`` of its events, without ``id``, ``created_at`` and
            ``execution``.
        schedule: The rule and its options.
        next: The next instant, a Unix timestamp in seconds. None if there is none, or while it is
            paused.
        is_paused: True while it is paused.
        declared: The schedule as a class declares it; None if no class has declared it. The
            fields in which ``schedule`` differs were changed by an operator.
        key: The key of its events, for limits.
        costs: Their costs, for limits.
        last: Its last event; None before the first.
        skipped: The last instant without an event; None if there was none.
        version: Changes with each change of the record.
        unreadable: Why this process cannot read what is stored; the other fields but ``name`` and
            ``version`` mean nothing then. None for a record that was read.
    """

    name: str
    id: UUID
    kind: str
    payload: Mapping[str, Any] = field(repr=False)
    schedule: Schedule
    next: float | None
    is_paused: bool = False
    declared: Schedule | None = None
    key: str | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    last: LastEvent | None = None
    skipped: SkippedInstant | None = None
    version: str = field(default_factory=lambda: uuid4().hex, compare=False)
    unreadable: str | None = None

    @classmethod
    def without_content(cls, name: str, version: str, reason: str) -> ScheduleRecord:
        """Return the record of a schedule that cannot be read."""
        nothing = Schedule(Every(_LONGEST))
        return cls(name, _NO_ID, "", {}, nothing, None, version=version, unreadable=reason)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data, without its version."""
        data: dict[str, Any] = {
            "name": self.name,
            "id": str(self.id),
            "kind": self.kind,
            "payload": dict(self.payload),
            "schedule": self.schedule.to_dict(),
            "next": self.next,
        }
        if self.is_paused:
            data["is_paused"] = True
        if self.declared is not None:
            data["declared"] = self.declared.to_dict()
        if self.key is not None:
            data["key"] = self.key
        if self.costs:
            data["costs"] = dict(self.costs)
        if self.last is not None:
            data["last"] = [self.last.at, str(self.last.id)]
        if self.skipped is not None:
            data["skipped"] = list(self.skipped)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScheduleRecord:
        """Return the record from the result of ``to_dict``, with a new version.

        Raises:
            ValidationError: if it cannot be read.
        """
        try:
            declared, last, skipped = (data.get(key) for key in ("declared", "last", "skipped"))
            return cls(
                name=str(data["name"]),
                id=UUID(str(data["id"])),
                kind=str(data["kind"]),
                payload=dict(data["payload"]),
                schedule=Schedule.from_dict(data["schedule"]),
                next=None if data["next"] is None else float(data["next"]),
                is_paused=bool(data.get("is_paused", False)),
                declared=None if declared is None else Schedule.from_dict(declared),
                key=data.get("key"),
                costs=dict(data.get("costs", {})),
                last=None if last is None else LastEvent(float(last[0]), UUID(str(last[1]))),
                skipped=None
                if skipped is None
                else SkippedInstant(float(skipped[0]), str(skipped[1])),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValidationError(  # without its payload, which may contain secrets
                f"the record of schedule {safe_repr(data.get('name'))} cannot be read "
                f"({type(error).__name__}: {error}): it must be the result of "
                "ScheduleRecord.to_dict() of this release or an earlier one",
                cause=error,
            ) from error
