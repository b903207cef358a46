"""Appends the events of schedules that are due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from ..errors import (
    ConfigurationError,
    ExistsError,
    NotFoundError,
    QueueFullError,
    ValidationError,
)
from ..model.after import After
from ..model.element import utc_time
from ..model.execution import EventStatus
from ..rules.schedules import (
    LastEventState,
    OverlapDecision,
    decide_instants,
    decide_overlap,
    event_id,
    is_too_far,
    start_time,
)
from ..stores.continuations import cancel_continuation
from ..stores.contract import Cancelled, Store
from ..stores.record import Record
from ..stores.schedule_record import LastEvent, ScheduleRecord, SkippedInstant

__all__ = ("ScheduleFiring", "event_of", "last_event_state", "renewed")

logger = logging.getLogger("lionpride")


class _Plan(NamedTuple):
    """What a schedule does at one moment: the new record, and the events to append with it.

    Attributes:
        record: The new record.
        events: The events, by their instants.
        after: The event that the first of them waits for; None for none.
        replaced: An unfinished event to cancel afterwards; None for none.
    """

    record: ScheduleRecord
    events: Sequence[Record] = ()
    after: UUID | None = None
    replaced: UUID | None = None


class ScheduleFiring:
    """Appends the events of the schedules of a queue at their instants.

    Several workers may do so: the store lets one of them replace the record of a schedule, together
    with the events.

    Args:
        store: The store of the queue.
        room: Returns the maximum number of pending events; None for no maximum.
    """

    def __init__(self, store: Store, room: Callable[[], int | None] = lambda: None) -> None:
        self._store = store
        self._room = room
        self._unusable: dict[str, str] = {}  # versions that this process cannot evaluate, by name

    async def fire(self) -> float | None:
        """Append the events that are due.

        A schedule whose rule this process cannot evaluate is left to others, with a warning.

        Returns:
            The next instant of all schedules; None if there is none.
        """
        while True:
            now, records = self._store.time(), await self._store.schedules()
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
            return _Plan(renewed(replace(old, next=following)))
        if old.next > now:
            return None
        first = _first_unused(old, now)
        if first is None or first > now:
            return _Plan(renewed(replace(old, next=first)))
        passed = decide_instants(schedule, first, now)
        new = replace(old, next=passed.next)
        if passed.missed is not None:
            first, last = passed.missed
            reason = "missed" if first == last else f"missed, like all since {_text(first)}"
            new = replace(new, skipped=SkippedInstant(last, reason))
        return await self._overlap(new, passed.instants, now)

    async def _overlap(
        self, record: ScheduleRecord, instants: Sequence[float], now: float
    ) -> _Plan:
        """Return a plan that appends events as the overlap allows."""
        latest = await last_event_state(self._store, record)
        events, after, replaced = list[Record](), None, None
        for instant in instants:
            decision = decide_overlap(record.schedule.overlap, latest)
            if decision is OverlapDecision.SKIP:
                reason = "the event before has not finished"
                record = replace(record, skipped=SkippedInstant(instant, reason))
                continue
            if decision is OverlapDecision.REPLACE:
                if not events:
                    replaced = None if record.last is None else record.last.id
                events.clear()
            if decision is OverlapDecision.APPEND_AFTER and record.last is not None:
                after = record.last.id
            event = event_of(record, instant, now, self._store.queue)
            events.append(event)
            record = replace(record, last=LastEvent(instant, event.id))
            latest = LastEventState.WAITING
        return _Plan(renewed(record), events, after, replaced)

    async def _carry_out(self, old: ScheduleRecord, plan: _Plan) -> None:
        """Carry out a plan. If its events cannot be appended, record the instants as skipped."""
        try:
            if await self._append(old, plan) and plan.replaced is not None:
                await self._cancel(plan.replaced)
        except NotFoundError as error:
            if plan.after is None or await self._store.get([plan.after]) != [None]:
                await self._skip(old, plan, str(error))
            # else the last event was removed meanwhile: the next look makes another plan
        except QueueFullError:
            await self._skip(old, plan, "the queue was full")
        except (ExistsError, ValidationError, ValueError) as error:
            await self._skip(old, plan, str(error))

    async def _append(self, old: ScheduleRecord, plan: _Plan) -> bool:
        """Write a plan; return False if another process has changed the schedule meanwhile."""
        after: dict[UUID, After] = {}
        if plan.after is not None:
            (event,) = plan.events
            after[event.id] = After((plan.after,), "finished")
        return await self._store.change_schedule(
            old, plan.record, events=plan.events, after=after, room=self._room()
        )

    async def _cancel(self, uid: UUID) -> None:
        """Cancel an event, or what continues it."""
        with suppress(NotFoundError):  # it was removed meanwhile
            (answer,) = await self._store.cancel([uid])
            if answer is Cancelled.SETTLED:
                await cancel_continuation(self._store, uid)

    async def _skip(self, old: ScheduleRecord, plan: _Plan, reason: str) -> None:
        """Record that the instants of a plan have passed without events."""
        last = old.next or 0.0
        if plan.record.last is not None and plan.record.last != old.last:
            last = plan.record.last.at
        skipped = SkippedInstant(last, reason)
        logger.warning("schedule %r: no event for %s: %s", old.name, _text(last), reason)
        new = replace(old, next=plan.record.next, skipped=skipped)
        await self._store.change_schedule(old, renewed(new))


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


async def last_event_state(store: Store, record: ScheduleRecord) -> LastEventState:
    """Return how far the last event of a schedule is; its continuations count as part of it."""
    uid = None if record.last is None else record.last.id
    is_continued = False
    while uid is not None:
        (found,) = await store.get([uid])
        if found is None:
            break
        if found.status is EventStatus.PENDING:
            has_started = found.attempt or is_continued
            return LastEventState.STARTED if has_started else LastEventState.WAITING
        if found.status is EventStatus.PROCESSING:
            return LastEventState.STARTED
        uid, is_continued = found.continued_by, True
    return LastEventState.NONE_OR_FINISHED


def event_of(
    record: ScheduleRecord, instant: float, now: float, queue: str, *, is_by_hand: bool = False
) -> Record:
    """Return the event of an instant.

    Args:
        record: The schedule.
        instant: The instant, a Unix timestamp in seconds.
        now: The present time.
        queue: The name of the queue.
        is_by_hand: True to start it at once, without jitter.
    """
    schedule, uid = record.schedule, event_id(record.id, instant)
    start = now if is_by_hand else start_time(uid, instant, schedule.jitter)
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
        queue=queue,
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


def renewed(record: ScheduleRecord) -> ScheduleRecord:
    """Return a record under a new version."""
    return replace(record, version=uuid4().hex)


def _text(instant: float | None) -> str:
    return "none" if instant is None else utc_time(instant).isoformat()
