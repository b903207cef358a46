"""Schedules: events that recur by a rule. One object changes them, and appends what is due."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID, uuid4

from ..errors import (
    ConfigurationError,
    ExistsError,
    NotFoundError,
    OperationError,
    QueueFullError,
    ValidationError,
)
from ..model import registry
from ..model.after import After
from ..model.element import utc_time
from ..model.execution import EventStatus
from ..model.recurrence import Rule
from ..model.schedule import Schedule
from ..model.serialization.codec import safe_repr
from ..rules.limits.costs import bill_on_record
from ..rules.schedules import (
    Latest,
    Overlap,
    decide_overlap,
    due,
    due_time,
    id_of,
    is_too_far,
)
from ..rules.storable_text import check_text
from ..stores.continuations import cancel_continuation
from ..stores.contract import Cancelled, Store
from ..stores.record import Record
from ..stores.schedule_record import LastEvent, ScheduleRecord, SkippedInstant

if TYPE_CHECKING:
    from .event import Event

__all__ = ("MOST", "Schedules")

MOST: Final = 10_000
"""Maximum number of events of one ``backfill``."""

_NAMES: Final = frozenset(each.name for each in fields(Schedule)) - {"rule", "revision"}
"""The options of a schedule."""

_FIRST: Final = datetime(1, 1, 2, tzinfo=UTC).timestamp()
_LAST: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""The times that are valid dates in every time zone."""

logger = logging.getLogger("lionpride")


class _Plan(NamedTuple):
    """What a schedule does at one moment: the new record, and the events to append with it.

    Attributes:
        record: The new record.
        events: The events, by their instants.
        after: The event that the first of them waits for; None for none.
        replaced: An unfinished event to cancel before; None for none.
    """

    record: ScheduleRecord
    events: Mapping[float, Record]
    after: UUID | None = None
    replaced: UUID | None = None


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
        self._unusable: dict[str, str] = {}  # versions that this process cannot evaluate, by name

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
        for record in found:
            if record.name == name:
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
        new = self._new_record(name, event, schedule)
        while True:
            old = next((each for each in await self.list() if each.name == name), None)
            if old is None:
                record = new
            elif old.declared is not None:
                raise OperationError(
                    f"schedule {name!r} is declared by {old.kind}: change it with "
                    "executor.schedules.change(), or use another name"
                )
            else:
                event_of = {"kind": new.kind, "payload": new.payload}
                bill = {"key": new.key, "costs": new.costs}
                record = self._changed(old, schedule, **event_of, **bill)
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
            parts = _event_parts(event)

        async def edit(old: ScheduleRecord) -> ScheduleRecord:
            if event is not None and old.declared is not None:
                raise OperationError(
                    f"schedule {name!r} is declared by {old.kind}, so its event has the defaults "
                    "of that class: change the class, and raise `revision`"
                )
            given = options if rule is None else {"rule": rule, **options}
            return self._changed(old, replace(old.schedule, **given), **parts)

        return await self._edit(name, edit)

    async def pause(self, name: str) -> ScheduleRecord:
        """Pause a schedule: its instants pass without an event until ``resume``.

        Raises:
            NotFoundError: if there is no schedule of this name.
        """

        async def edit(old: ScheduleRecord) -> ScheduleRecord:
            return replace(old, is_paused=True, next=None)

        return await self._edit(name, edit)

    async def resume(self, name: str) -> ScheduleRecord:
        """Resume a paused schedule at its next instant after now.

        Raises:
            NotFoundError: if there is no schedule of this name.
        """

        async def edit(old: ScheduleRecord) -> ScheduleRecord:
            if not old.is_paused:
                return old
            following = old.schedule.rule.next_after(self._store.time())
            return replace(old, is_paused=False, next=following)

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
        record.schedule.rule.next_after(self._store.time())
        if not await self._store.change_schedule(None, record):
            raise ExistsError(
                f"queue {self._store.queue!r} has a schedule {record.name!r} already: remove it, "
                "or leave this one out"
            )

    async def run(self, name: str) -> UUID:
        """Append an event of a schedule now, also while it is paused, and whatever its overlap.

        It may start at once, without jitter, and its ttl counts from now.

        Returns:
            The id of the event. Its instant is the present time.

        Raises:
            NotFoundError: if there is no schedule of this name.
            QueueFullError: if there is no space for the event.
        """
        while True:
            old, now = await self.get(name), round(self._store.time(), 6)
            event = self._event(old, now, now, is_by_hand=True)
            has_ended = await self._latest(old) is Latest.NONE_OR_FINISHED
            new = replace(old, last=LastEvent(now, event.id)) if has_ended else old
            if await self._apply(old, _Plan(_renewed(new), {now: event})):
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
            ValidationError: if an instant is invalid, or there are more than ``MOST`` of them.
        """
        first, last, now = _moment("start", start), _moment("end", end), self._store.time()
        if last > now or first > last:
            raise ValidationError(
                f"start and end must be past times in this order, not {start!r} and {end!r}: "
                "later events are appended when they are due"
            )
        while True:
            old = await self.get(name)
            instants = old.schedule.rule.newest(first, last, MOST + 1)
            if len(instants) > MOST:
                raise ValidationError(
                    f"schedule {name!r} has more than {MOST:,} instants from {start!r} to "
                    f"{end!r}: backfill shorter ranges"
                )
            ids = [id_of(old.id, instant) for instant in instants]
            known = await self._store.get(ids)
            events = {
                instant: self._event(old, instant, now, is_by_hand=True)
                for instant, record in zip(instants, known, strict=True)
                if record is None
            }
            if not events or await self._apply(old, _Plan(_renewed(old), events)):
                return tuple(event.id for event in events.values())

    async def _edit(
        self, name: str, edit: Callable[[ScheduleRecord], Awaitable[ScheduleRecord]]
    ) -> ScheduleRecord:
        """Change a schedule, again if another process has changed it meanwhile."""
        while True:
            old = await self.get(name)
            new = await edit(old)
            if new == old:
                return old
            new = _renewed(new)
            if await self._store.change_schedule(old, new):
                return new

    def _new_record(self, name: str, event: Event, schedule: Schedule) -> ScheduleRecord:
        following = schedule.rule.next_after(self._store.time())
        return ScheduleRecord(
            name=name, id=uuid4(), schedule=schedule, next=following, **_event_parts(event)
        )

    def _changed(self, old: ScheduleRecord, schedule: Schedule, **parts: Any) -> ScheduleRecord:
        """Return a record with another definition; a changed rule counts from now."""
        following = old.next
        if schedule.rule != old.schedule.rule and not old.is_paused:
            following = schedule.rule.next_after(self._store.time())
        return _renewed(replace(old, schedule=schedule, next=following, **parts))

    # -- declarations ------------------------------------------------------------------------

    async def declare(self, declared: Mapping[str, tuple[type[Event], Schedule]]) -> None:
        """Make the schedules that classes declare.

        A schedule that is stored already changes only if the declaration has a higher ``revision``.
        Options that an operator has changed, and a pause, stay.

        Args:
            declared: The class and the schedule, by name.
        """
        stored = {each.name: each for each in await self.list()} if declared else {}
        for name, (kind, schedule) in declared.items():
            old = stored.get(name)
            while True:
                new = self._declared(old, name, kind, schedule)
                if new is None or await self._store.change_schedule(old, new):
                    break
                old = next((each for each in await self.list() if each.name == name), None)

    def _declared(
        self, old: ScheduleRecord | None, name: str, kind: type[Event], schedule: Schedule
    ) -> ScheduleRecord | None:
        """Return the record after a declaration; None if it stays as it is."""
        new = replace(self._new_record(name, kind(), schedule), declared=schedule)
        if old is None:
            return new
        if old.declared is None:
            logger.warning(
                "schedule %r of %s is not used: queue %r has a schedule of this name that was made "
                "with executor.schedule(); remove that one, or rename one of them",
                *(name, new.kind, self._store.queue),
            )
            return None
        is_same_event = (old.kind, old.payload) == (new.kind, new.payload)
        if old.declared == schedule and is_same_event:
            return None
        if schedule.revision <= old.declared.revision:
            if schedule.revision == old.declared.revision:
                logger.warning(
                    "schedule %r of %s differs from the stored one, which stays: give it "
                    "revision=%d if it is the later one",
                    *(name, new.kind, schedule.revision + 1),
                )
            return None
        kept = {
            each.name: getattr(old.schedule, each.name)
            for each in fields(Schedule)
            if each.name != "revision"
            and getattr(old.schedule, each.name) != getattr(old.declared, each.name)
        }
        parts = {each: getattr(new, each) for each in ("kind", "payload", "key", "costs")}
        return self._changed(old, replace(schedule, **kept), declared=schedule, **parts)

    # -- what is due -------------------------------------------------------------------------

    async def fire(self) -> float | None:
        """Append the events that are due.

        A schedule whose rule this process cannot evaluate is left to others, with a warning.

        Returns:
            The next instant of all schedules; None if there is none.
        """
        while True:
            now, records = self._store.time(), await self.list()
            waiting = [
                each
                for each in records
                if each.next is not None and self._unusable.get(each.name) != each.version
            ]
            is_done = True
            for record in waiting:
                try:
                    plan = await self._plan(record, now)
                except (ConfigurationError, ValidationError) as error:
                    logger.warning("schedule %r cannot be used here: %s", record.name, error)
                    self._unusable[record.name] = record.version
                    is_done, plan = False, None
                if plan is not None:
                    is_done = False
                    await self._carry_out(record, plan)
            if is_done:
                return min((each.next for each in waiting if each.next is not None), default=None)

    async def _plan(self, old: ScheduleRecord, now: float) -> _Plan | None:
        """Return what a schedule has to do now; None for nothing."""
        assert old.next is not None, "only waiting schedules are asked"
        schedule = old.schedule
        if is_too_far(schedule.rule, old.next, now):
            following = schedule.rule.next_after(now)
            logger.warning(
                "schedule %r: the clock was set back, so its next instant is %s and not %s",
                *(old.name, _text(following), _text(old.next)),
            )
            return _Plan(_renewed(replace(old, next=following)), {})
        if old.next > now:
            return None
        first = _first_unused(old, now)
        if first is None or first > now:
            return _Plan(_renewed(replace(old, next=first)), {})
        passed = due(schedule, first, now)
        new = replace(old, next=passed.next)
        if passed.missed is not None:
            first, last = passed.missed
            reason = "missed" if first == last else f"missed, as all since {_text(first)}"
            new = replace(new, skipped=SkippedInstant(last, reason))
        return await self._overlap(new, passed.instants, now)

    async def _overlap(
        self, record: ScheduleRecord, instants: Sequence[float], now: float
    ) -> _Plan:
        """Return a plan that appends events as the overlap allows."""
        latest = await self._latest(record)
        events, after, replaced = dict[float, Record](), None, None
        for instant in instants:
            decision = decide_overlap(record.schedule.overlap, latest)
            if decision is Overlap.SKIP:
                reason = "the event before has not finished"
                record = replace(record, skipped=SkippedInstant(instant, reason))
                continue
            if decision is Overlap.REPLACE:
                if not events:
                    replaced = None if record.last is None else record.last.id
                events.clear()
            if decision is Overlap.APPEND_AFTER and record.last is not None:
                after = record.last.id
            event = events[instant] = self._event(record, instant, now)
            record = replace(record, last=LastEvent(instant, event.id))
            latest = Latest.WAITING
        return _Plan(_renewed(record), events, after, replaced)

    async def _latest(self, record: ScheduleRecord) -> Latest:
        """Return how far the last event of a schedule is; its continuations count as part of it."""
        uid = None if record.last is None else record.last.id
        is_continued = False
        while uid is not None:
            (found,) = await self._store.get([uid])
            if found is None:
                break
            if found.status is EventStatus.PENDING:
                return Latest.STARTED if found.attempt or is_continued else Latest.WAITING
            if found.status is EventStatus.PROCESSING:
                return Latest.STARTED
            uid, is_continued = found.continued_by, True
        return Latest.NONE_OR_FINISHED

    async def _carry_out(self, old: ScheduleRecord, plan: _Plan) -> None:
        """Carry out a plan, unless another worker has; a plan that cannot be is recorded so."""
        try:
            if plan.replaced is not None:
                (answer,) = await self._store.cancel([plan.replaced])
                if answer is Cancelled.SETTLED:
                    await cancel_continuation(self._store, plan.replaced)
            await self._apply(old, plan)
        except NotFoundError as error:
            before = plan.after or plan.replaced
            if before is None or await self._store.get([before]) != [None]:
                await self._skip(old, plan, str(error))
            # else the last event was removed meanwhile: the next look makes another plan
        except QueueFullError:
            await self._skip(old, plan, "the queue was full")
        except (ExistsError, ValidationError, ValueError) as error:
            await self._skip(old, plan, str(error))

    async def _skip(self, old: ScheduleRecord, plan: _Plan, reason: str) -> None:
        """Record that the instants of a plan have passed without events."""
        last = max(plan.events, default=old.next or 0.0)
        skipped = SkippedInstant(last, reason)
        logger.warning("schedule %r: no event for %s: %s", old.name, _text(last), reason)
        new = replace(old, next=plan.record.next, skipped=skipped)
        await self._store.change_schedule(old, _renewed(new))

    async def _apply(self, old: ScheduleRecord, plan: _Plan) -> bool:
        """Write a plan; return False if another process has changed the schedule meanwhile."""
        after: dict[UUID, After] = {}
        if plan.after is not None:
            (event,) = plan.events.values()
            after[event.id] = After((plan.after,), "finished")
        return await self._store.change_schedule(
            old, plan.record, events=tuple(plan.events.values()), after=after, room=self._room()
        )

    def _event(
        self, record: ScheduleRecord, instant: float, now: float, *, is_by_hand: bool = False
    ) -> Record:
        """Return the event of an instant; one that is appended by hand may start at once."""
        schedule, uid = record.schedule, id_of(record.id, instant)
        start = now if is_by_hand else due_time(uid, instant, schedule.jitter)
        priority = now if schedule.priority is None else schedule.priority
        execution: dict[str, Any] = {"status": "pending", "priority": priority}
        if start > now:
            execution["due"] = start
        if schedule.ttl is not None:
            execution["expires"] = start + schedule.ttl
        metadata = {**record.payload.get("metadata", {}), "lion_class": record.kind}
        metadata["lion_schedule"] = {"name": record.name, "at": instant}
        head = {"id": str(uid), "created_at": utc_time(now).isoformat(), "execution": execution}
        return Record(
            number=0,
            id=uid,
            queue=self._store.queue,
            kind=record.kind,
            status=EventStatus.PENDING,
            priority=priority,
            due=execution.get("due"),
            attempt=0,
            tries=0,
            denials=0,
            interruptions=0,
            payload={**record.payload, **head, "metadata": metadata},
            key=record.key,
            costs=dict(record.costs),
        )


def _event_parts(event: Event) -> dict[str, Any]:
    """Return the fields of a record that describe its event."""
    payload = event.to_dict("json")
    for name in ("id", "created_at", "execution"):
        payload.pop(name, None)
    key, costs = bill_on_record(event)
    kind = registry.key_of(type(event))
    return {"kind": kind, "payload": payload, "key": key, "costs": costs}


def _renewed(record: ScheduleRecord) -> ScheduleRecord:
    """Return a record under a new version."""
    return replace(record, version=uuid4().hex)


def _first_unused(record: ScheduleRecord, now: float) -> float | None:
    """Return the next instant of a schedule that is due, or a later one after the last event.

    The instant of the last event is later if the clock was set back, and forward again: all until
    then have been used. An event that was appended by hand is not at an instant of the rule.
    """
    assert record.next is not None, "it is due"
    rule, last = record.schedule.rule, record.last
    if last is None or not record.next <= last.at <= now:
        return record.next
    return rule.next_after(last.at) if rule.newest(last.at, last.at, 1) else record.next


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
        raise ValidationError(f"{name} must be a time of the years 1 to 9999, not {value!r}")
    return float(value)  # type: ignore[arg-type]


def _text(instant: float | None) -> str:
    return "none" if instant is None else utc_time(instant).isoformat()
