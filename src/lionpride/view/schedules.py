"""What is shown of schedules, on the page and by the command line."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final, NamedTuple

from ..model.recurrence import Every
from ..model.schedule import Schedule
from ..stores.contract import Store
from ..stores.schedule_record import ScheduleRecord

__all__ = ["STATES", "ShownSchedule", "next_instants", "options_text", "rule_text", "schedules_of"]

STATES: Final = ("active", "paused", "over", "undeclared", "unreadable")
"""The states of schedules."""


class ShownSchedule(NamedTuple):
    """A schedule of a queue.

    Attributes:
        queue: The name of the queue.
        record: The schedule.
        is_declared: For a schedule that a class declares: True if a live worker declares it. None
            for a schedule that ``executor.schedule`` has made.
    """

    queue: str
    record: ScheduleRecord
    is_declared: bool | None

    @property
    def state(self) -> str:
        """The state, one of ``STATES``."""
        if self.record.unreadable is not None:
            return "unreadable"
        if self.record.is_paused:
            return "paused"
        if self.record.next is None:
            return "over"
        return "undeclared" if self.is_declared is False else "active"

    def to_dict(self) -> dict[str, Any]:
        """Return the schedule as plain data."""
        known = {"queue": self.queue, "state": self.state, "is_declared": self.is_declared}
        if self.record.unreadable is not None:
            return {"name": self.record.name, "unreadable": self.record.unreadable} | known
        return self.record.to_dict() | known


async def schedules_of(store: Store) -> list[ShownSchedule]:
    """Return the schedules of a queue, by name."""
    records = await store.schedules()
    declared: set[str] = set()
    if any(each.declared is not None for each in records):
        for worker in await store.workers():
            if worker.alive and worker.about is not None:
                declared.update(worker.about.schedules)
    return [
        ShownSchedule(store.queue, each, None if each.declared is None else each.name in declared)
        for each in records
    ]


def next_instants(record: ScheduleRecord, count: int) -> list[float]:
    """Return the next instants of a schedule, as Unix timestamps; none while it is paused."""
    found, instant = list[float](), record.next
    while instant is not None and len(found) < count:
        found.append(instant)
        instant = record.schedule.rule.next_after(instant)
    return found


def rule_text(record: ScheduleRecord) -> str:
    """Return the rule of a schedule in a few words; nothing if it cannot be read."""
    if record.unreadable is not None:
        return ""
    rule = record.schedule.rule
    if isinstance(rule, Every):
        return f"every {_period(rule.seconds)}"
    return rule.expression if rule.tz == "UTC" else f"{rule.expression} {rule.tz}"


def _period(seconds: float) -> str:
    """Write a period exactly: 5 min, 1 h 30 min, 7 days."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "day" if days == 1 else "days"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{round(value, 6):.8g} {unit}" for value, unit in parts if round(value, 6))


def options_text(schedule: Schedule) -> str:
    """Return the options that do not have their default, as ``name=value``."""
    options = (
        f"{each.name}={getattr(schedule, each.name)}"
        for each in fields(schedule)
        if each.name not in ("rule", "revision") and getattr(schedule, each.name) != each.default
    )
    return ", ".join(options)
