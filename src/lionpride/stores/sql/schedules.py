"""Schedules in a SQL database: one row for each, which is changed if nobody else has changed it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from ...model.after import After
from ..schedule_record import ScheduleRecord
from .appending import AppendRequest, append
from .rows import EventRow

if TYPE_CHECKING:
    from .backend import Transaction
    from .queries import Snapshot

__all__ = ("ScheduleChange", "ScheduleChanged", "change_schedule", "schedules")

_LIST: Final = "SELECT name, version, body FROM {schedule} WHERE queue = $1 ORDER BY name"
_VERSION: Final = "SELECT version FROM {schedule} WHERE queue = $1 AND name = $2"
_INSERT: Final = """
INSERT INTO {schedule} (queue, name, version, body) VALUES ($1, $2, $3, $4)
ON CONFLICT (queue, name) DO NOTHING RETURNING name
"""
_UPDATE: Final = """
UPDATE {schedule} SET version = $4, body = $5 WHERE queue = $1 AND name = $2 AND version = $3
RETURNING name
"""
_DELETE: Final = """
DELETE FROM {schedule} WHERE queue = $1 AND name = $2 AND version = $3 RETURNING name
"""


class ScheduleChange(NamedTuple):
    """A change of one schedule; see ``Store.change_schedule``.

    Attributes:
        name: The name of the schedule.
        old: The version that is replaced; None for a new schedule.
        new: The new version; None to remove the schedule.
        body: The new record, as JSON.
        rows: Events to append with the change. Those whose id is known are left out.
        after: The parents of some of the events.
        room: The queue limit.
    """

    name: str
    old: str | None
    new: str | None
    body: str
    rows: Sequence[EventRow] = ()
    after: Mapping[bytes, After] = {}
    room: int | None = None

    @classmethod
    def of(
        cls,
        old: ScheduleRecord | None,
        new: ScheduleRecord | None,
        rows: Sequence[EventRow],
        after: Mapping[bytes, After],
        room: int | None,
    ) -> ScheduleChange:
        """Return the change from one record to another."""
        record = new or old
        assert record is not None, "a change has a record before it or after it"
        body = "" if new is None else json.dumps(new.to_dict(), separators=(",", ":"))
        before = None if old is None else old.version
        version = None if new is None else new.version
        return cls(record.name, before, version, body, rows, after, room)


class ScheduleChanged(NamedTuple):
    """Result of a change.

    Attributes:
        is_made: False if another process has changed the schedule before.
        numbers, known: See ``Appended``.
    """

    is_made: bool
    numbers: Sequence[int] = ()
    known: Sequence[int] = ()


async def change_schedule(tx: Transaction, change: ScheduleChange) -> ScheduleChanged:
    """Change a schedule and append events, if the schedule still has the version to replace.

    A repeat answers that the change is made if the schedule has the new version; for a removal, if
    the schedule is gone.

    Locks: the row of the schedule, then those of the append.

    Round trips on PostgreSQL: 1, and those of an append of known events.
    """
    name, old, new = change.name, change.old, change.new
    if tx.earlier or tx.is_repeat:
        found = [version for (version,) in await tx.rows(_VERSION, tx.queue, name)]
        if found == ([] if new is None else [new]):
            return ScheduleChanged(True)
    if old is None:
        rows = await tx.rows(_INSERT, tx.queue, name, new, change.body)
    elif new is None:
        rows = await tx.rows(_DELETE, tx.queue, name, old)
    else:
        rows = await tx.rows(_UPDATE, tx.queue, name, old, new, change.body)
    if not rows:
        return ScheduleChanged(False)
    if not change.rows:
        return ScheduleChanged(True)
    request = AppendRequest(change.rows, room=change.room, exist_ok=True, after=change.after)
    appended = await append(tx, request)
    return ScheduleChanged(True, appended.numbers, tuple(appended.known))


async def schedules(db: Snapshot) -> list[ScheduleRecord]:
    """Return the schedules of the queue, by name; one that cannot be read says so."""
    return [_record(*row) for row in await db.rows(_LIST, db.queue)]


def _record(name: str, version: str, body: str) -> ScheduleRecord:
    try:
        return replace(ScheduleRecord.from_dict(json.loads(body)), version=version)
    except ValueError as error:  # no JSON, or of a later release
        return ScheduleRecord.without_content(name, version, str(error))
