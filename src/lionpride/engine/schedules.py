"""Schedules: events that recur by a rule, as users list and change them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from ..errors import ExistsError, NotFoundError, OperationError, ValidationError
from ..model import registry
from ..model.recurrence import Rule
from ..model.schedule import Schedule
from ..model.serialization.codec import safe_repr
from ..rules.limits.costs import bill_on_record
from ..rules.schedules import LastEventState, event_id
from ..rules.storable_text import check_text
from ..stores.contract import Store
from ..stores.record import Record
from ..stores.schedule_record import LastEvent, ScheduleRecord
from .schedule_firing import event_of, last_event_state, renewed

if TYPE_CHECKING:
    from .event import Event

__all__ = ("MAX_BACKFILL", "Schedules", "changed", "new_record")

MAX_BACKFILL: Final = 10_000
"""Maximum number of events of one ``backfill``."""

_NAMES: Final = frozenset(each.name for each in fields(Schedule)) - {"rule", "revision"}
"""The options of a schedule."""

_FIRST: Final = datetime(2, 1, 1, tzinfo=UTC).timestamp()
_LAST: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""The times that are valid dates in every time zone."""


class Schedules:
    """The schedules of one queue.

    A schedule appends an event at each instant of its rule. Any worker of the queue does it, in one
    step with the next instant, so no instant is used twice. The id of an event derives from the id
    of its schedule and the instant.

    Args:
        store: The store of the queue.
        room: Returns the maximum number of pending events; None for no maximum.
        check: Checks an event of a new schedule.
    """

    def __init__(
        self,
        store: Store,
        room: Callable[[], int | None] = lambda: None,
        check: Callable[[Event], object] = lambda _: None,
    ) -> None:
        self._store = store
        self._room = room
        self._check = check

    # -- queries -----------------------------------------------------------------------------

    async def list(self) -> list[ScheduleRecord]:
        """Return the schedules of the queue, by name."""
        return await self._store.schedules()

    async def get(self, name: str) -> ScheduleRecord:
        """Return a schedule.

        Raises:
            NotFoundError: if the queue has no schedule of this name.
        """
        found = await self.list()
        record = _find(found, name)
        if record is not None:
            return record
        known = f"its schedules are {', '.join(each.name for each in found)}"
        raise NotFoundError(
            f"queue {self._store.queue!r} has no schedule {safe_repr(name)}: "
            + (known if found else "it has none; executor.schedule(name, event, rule) makes one")
        )

    # -- changes -----------------------------------------------------------------------------

    async def set(self, name: str, event: Event, schedule: Schedule) -> ScheduleRecord:
        """Make a schedule, or change the one of this name; see ``Executor.schedule``."""
        _check_name(name)
        self._check(event)
        while True:
            old = _find(await self.list(), name)
            if old is None:
                record = new_record(name, event, schedule, self._store.time())
            elif old.declared is not None:
                raise OperationError(
                    f"schedule {name!r} is declared by {old.kind}: change it with "
                    "executor.schedules.change(), or use another name"
                )
            else:
                record = changed(_readable(old), schedule, self._store.time(), **event_parts(event))
                if record == old:
                    return old
            if await self._store.change_schedule(old, record):
                return record

    async def change(
        self, name: str, rule: Rule | None = None, *, event: Event | None = None, **options: Any
    ) -> ScheduleRecord:
        """Change a schedule.

        A new rule counts from now. Other changes keep the next instant.

        Args:
            name: Its name.
            rule: The new rule; None to keep it.
            event: Its new event; None to keep it.
            **options: New values of options: see ``Schedule``.

        Returns:
            The changed schedule.

        Raises:
            NotFoundError: if there is no schedule of this name.
            OperationError: if a class declares the schedule, and ``event`` is given.
            TypeError: for an unknown option.
            ValidationError: for an invalid value.
        """
        if unknown := options.keys() - _NAMES:
            raise TypeError(
                f"a schedule has no option {min(unknown)!r}: the options are "
                f"{', '.join(sorted(_NAMES))}"
            )
        parts: dict[str, Any] = {}
        if event is not None:
            self._check(event)
            parts = event_parts(event)

        def edit(old: ScheduleRecord) -> ScheduleRecord:
            if event is not None and old.declared is not None:
                raise OperationError(
                    f"schedule {name!r} is declared by {old.kind}, so its event has the defaults "
                    "of that class: change the class, and raise `revision`"
                )
            given = options if rule is None else {"rule": rule, **options}
            return changed(old, replace(old.schedule, **given), self._store.time(), **parts)

        return await self._edit(name, edit)

    async def pause(self, name: str) -> ScheduleRecord:
        """Pause a schedule: its instants pass without an event until ``resume``.

        Raises:
            NotFoundError: if there is no schedule of this name.
        """

        def edit(old: ScheduleRecord) -> ScheduleRecord:
            return renewed(replace(old, is_paused=True, next=None))

        return await self._edit(name, edit)

    async def resume(self, name: str) -> ScheduleRecord:
        """Resume a paused schedule at its next instant after now.

        Raises:
            NotFoundError: if there is no schedule of this name.
        """

        def edit(old: ScheduleRecord) -> ScheduleRecord:
            if not old.is_paused:
                return old
            following = old.schedule.rule.next_after(self._store.time())
            return renewed(replace(old, is_paused=False, next=following))

        return await self._edit(name, edit)

    async def remove(self, name: str) -> None:
        """Remove a schedule. Its events stay. A schedule of the same name has a new id later.

        A worker that declares the schedule makes it again at its next start.

        Raises:
            NotFoundError: if there is no schedule of this name.
        """
        while not await self._store.change_schedule(await self.get(name), None):
            pass

    async def load(self, record: ScheduleRecord) -> None:
        """Add an exported schedule with its id and its next instant.

        Raises:
            ExistsError: if the queue has a schedule of this name.
            ValidationError: if its rule cannot be evaluated.
        """
        _readable(record).schedule.rule.next_after(self._store.time())
        if not await self._store.change_schedule(None, record):
            raise ExistsError(
                f"queue {self._store.queue!r} has a schedule {record.name!r} already: remove it, "
                "or leave this one out"
            )

    async def run(self, name: str) -> UUID:
        """Append an event of a schedule now, also while it is paused, and whatever its overlap.

        If the last event of the schedule is unfinished, the overlap of later instants looks at that
        one, and not at the event of this call.

        It may start at once, without jitter, and its ttl counts from now.

        Returns:
            The id of the event. Its instant is the present time.

        Raises:
            NotFoundError: if there is no schedule of this name.
            QueueFullError: if there is no space for the event.
        """
        while True:
            old, now = _readable(await self.get(name)), round(self._store.time(), 6)
            event = event_of(old, now, now, self._store.queue, is_by_hand=True)
            state = await last_event_state(self._store, old)
            has_ended = state is LastEventState.NONE_OR_FINISHED
            new = replace(old, last=LastEvent(now, event.id)) if has_ended else old
            if await self._append(old, new, [event]):
                return event.id

    async def backfill(
        self, name: str, start: datetime | float, end: datetime | float
    ) -> tuple[UUID, ...]:
        """Append the events of past instants, whatever the overlap; known events are left out.

        They may start at once, and their ttl counts from now.

        Args:
            name: The name of the schedule.
            start: The first instant: a datetime with a time zone, or a Unix timestamp in seconds.
            end: The last instant, not in the future.

        Returns:
            The ids of the appended events, by instant.

        Raises:
            NotFoundError: if there is no schedule of this name.
            QueueFullError: if there is no space for the events; none was appended.
            ValidationError: if an instant is invalid, or there are more than ``MAX_BACKFILL``.
        """
        first, last, now = _moment("start", start), _moment("end", end), self._store.time()
        if last > now or first > last:
            raise ValidationError(
                f"start and end must be past times in this order, not {start!r} and {end!r}: "
                "later events are appended when they are due"
            )
        while True:
            old = _readable(await self.get(name))
            instants = old.schedule.rule.newest(first, last, MAX_BACKFILL + 1)
            if len(instants) > MAX_BACKFILL:
                raise ValidationError(
                    f"schedule {name!r} has more than {MAX_BACKFILL:,} instants from {start!r} to "
                    f"{end!r}: backfill shorter ranges"
                )
            ids = [event_id(old.id, instant) for instant in instants]
            known = await self._store.get(ids)
            events = [
                event_of(old, instant, now, self._store.queue, is_by_hand=True)
                for instant, record in zip(instants, known, strict=True)
                if record is None
            ]
            if not events or await self._append(old, old, events):
                return tuple(event.id for event in events)

    async def _append(
        self, old: ScheduleRecord, new: ScheduleRecord, events: Sequence[Record]
    ) -> bool:
        """Append events; return False if another process has changed the schedule meanwhile."""
        return await self._store.change_schedule(
            old, renewed(new), events=events, room=self._room()
        )

    async def _edit(
        self, name: str, edit: Callable[[ScheduleRecord], ScheduleRecord]
    ) -> ScheduleRecord:
        """Change a schedule, again if another process has changed it meanwhile."""
        while True:
            old = _readable(await self.get(name))
            new = edit(old)
            if new == old or await self._store.change_schedule(old, new):
                return new


def new_record(name: str, event: Event, schedule: Schedule, now: float) -> ScheduleRecord:
    """Return the record of a new schedule, whose rule counts from now."""
    return ScheduleRecord(
        name=name,
        id=uuid4(),
        schedule=schedule,
        next=schedule.rule.next_after(now),
        **event_parts(event),
    )


def changed(old: ScheduleRecord, schedule: Schedule, now: float, **parts: Any) -> ScheduleRecord:
    """Return a record with another definition; a changed rule counts from now."""
    following = old.next
    if schedule.rule != old.schedule.rule and not old.is_paused:
        following = schedule.rule.next_after(now)
    return renewed(replace(old, schedule=schedule, next=following, **parts))


def event_parts(event: Event) -> dict[str, Any]:
    """Return the fields of a record that describe its event."""
    payload = event.to_dict("json")
    for name in ("id", "created_at", "execution"):
        payload.pop(name, None)
    key, costs = bill_on_record(event)
    kind = registry.key_of(type(event))
    return {"kind": kind, "payload": payload, "key": key, "costs": costs}


def _find(records: Sequence[ScheduleRecord], name: str) -> ScheduleRecord | None:
    return next((each for each in records if each.name == name), None)


def _readable(record: ScheduleRecord) -> ScheduleRecord:
    if record.unreadable is not None:
        raise ValidationError(f"{record.unreadable}; or remove the schedule, and make it again")
    return record


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise ValidationError(
            f'the name of a schedule must be a text that is not empty, not {name!r}: as "nightly"'
        )
    check_text("the name of a schedule", name)


def _moment(name: str, value: object) -> float:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.timestamp()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and isfinite(value)):  # type: ignore[arg-type]
        raise ValidationError(
            f"{name} must be a datetime with a time zone, or a Unix timestamp in seconds, "
            f"not {safe_repr(value)}"
        )
    if not _FIRST <= value <= _LAST:  # type: ignore[operator]
        raise ValidationError(f"{name} must be a time of the years 2 to 9998, not {value!r}")
    return float(value)  # type: ignore[arg-type]
