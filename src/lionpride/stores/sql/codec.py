"""Conversion between events, records and the columns of their rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache, partial
from itertools import accumulate
from math import inf
from typing import Any, Final, TypeVar
from uuid import UUID

from ...errors import ValidationError
from ...model import registry
from ...model.attempts import attempts_of
from ...model.element import utc_time
from ...model.event_data import EventData
from ...model.execution import EventStatus, Execution
from ...model.ids import bytes_of
from ...model.retry_policy import Retry
from ...model.serialization.fast_load import FastLoad, fast_load_of
from ...model.serialization.payload import (
    complete_payload,
    event_from_payload,
    payload_of,
    read_result,
    result_text,
    type_and_payload,
)
from ...model.unset import Unset
from ...rules.action import Action, PauseRecord
from ...rules.limits.costs import has_own_bill, own_bill
from ...rules.queue_position import About, Blockers, First, QueueWorker, Room, Standing
from ...rules.state_machine import (
    Completion,
    Ending,
    Outcome,
    after_cancel,
    after_expiry,
    after_interruption,
    apply,
)
from ...rules.storable_text import check_text
from ..record import Record
from ..terms import Terms
from .rows import (
    NEW_STATE,
    PENDING,
    AppendRow,
    EventRow,
    FirstClaimRow,
    FixedColumns,
    NewEventRow,
    ReadyColumns,
    SettlementRow,
    StateColumns,
    StoredEvent,
)

__all__ = (
    "MARGIN",
    "PLAIN_COLUMNS",
    "UNCHECKED_LENGTH",
    "EventReader",
    "about_of",
    "attempts_json",
    "build_event",
    "build_stored_event",
    "cancelled_row",
    "check_event_size",
    "check_new_event_size",
    "check_outcome_size",
    "check_response_size",
    "description_json",
    "event_row",
    "exceeds_statement",
    "fixed_columns",
    "full_row",
    "is_plain",
    "is_untried",
    "key_and_costs",
    "loaded_event_row",
    "matches_state",
    "new_event_row",
    "read_started",
    "record_event_row",
    "record_of",
    "response_json",
    "size_of",
    "split_rows",
    "standing_of",
    "state_after",
    "state_after_cancel",
    "state_after_ending",
    "state_after_expiry",
    "state_columns",
    "state_entries",
)


logger = logging.getLogger("lionpride")

_COUNTERS: Final = ("_attempt", "_tries", "_denials", "_interruptions")


def event_row(
    event: EventData, priority: float, finished_at: float = 0.0, terms: Terms | None = None
) -> EventRow:
    """Return the columns of an event to append."""
    own = event.__dict__
    if terms is not None:  # they are written on the event itself after the commit
        state = Execution.over(Execution.over(own).entries())
        terms.write(state)
        own = {"_created": own["_created"], **state.own}
    status = own.get("_status", "pending")
    return EventRow(
        event.id.bytes,
        registry.key_of(type(event)),
        own["_created"],
        priority,
        *key_and_costs(event),
        _retry_of(own),
        own.get("_unique", _NONE)[0],
        own.get("_unique", _NONE)[1],
        payload_of(event),
        status,
        own.get("_due") or 0.0,
        finished_at,
        NEW_STATE if "_status" not in own else state_columns(own),
    )


_NONE: Final = (None, None)


def key_and_costs(event: EventData) -> tuple[str | None, str | None]:
    """Return the key of an event, and its costs as JSON; None if the event defines none.

    Raises:
        ValidationError: if the key or the costs are invalid.
        Exception: any error of the event's own code.
    """
    key, costs = own_bill(event)
    return key, None if costs is None else _bill_text(tuple(costs.items()))


@lru_cache(maxsize=1024)
def _bill_text(costs: tuple[tuple[str, float], ...]) -> str:
    """Return costs as JSON; cached, as many events have equal costs."""
    return json.dumps(dict(costs), separators=(",", ":"))


def is_plain(event: EventData) -> bool:
    """Return True if an event defines neither costs nor a key."""
    return _is_plain(type(event)) and "_told" not in event.__dict__


@lru_cache(maxsize=4096)
def _is_plain(kind: type[EventData]) -> bool:
    """Return True if a class defines neither costs nor a key."""
    return not has_own_bill(kind)


def full_row(row: AppendRow) -> EventRow:
    """Return all columns of an event to append."""
    if isinstance(row, EventRow):
        return row
    uid, event_type, payload, created, priority, *bill = row
    key, costs = bill or (None, None)
    rest = None, None, None, payload, PENDING, 0.0, 0.0, NEW_STATE
    return EventRow(uid, event_type, created, priority, key, costs, *rest)


def new_event_row(event: EventData, priority: float) -> NewEventRow:
    """Return the columns of an event that has no state yet."""
    own = event.__dict__
    created = own["_created"]
    uid = bytes_of(own, created)
    kind, payload = type_and_payload(event)
    if "_told" not in own and _is_plain(type(event)):  # `is_plain`, inline
        return uid, kind, payload, created, priority
    return uid, kind, payload, created, priority, *key_and_costs(event)


def state_columns(own: dict[str, Any]) -> StateColumns:
    """Return the state columns for the entries of an event's ``__dict__``."""
    duration, retryable = own.get("_duration", Unset), own.get("_retryable", Unset)
    return (
        own.get("_attempt", 0),
        own.get("_tries", 0),
        own.get("_denials", 0),
        own.get("_interruptions", 0),
        None if duration is Unset else duration,
        None if retryable is Unset else int(retryable),
        result_text(Execution.over(own)),
        attempts_json(own),
        own.get("_expires"),
    )


def attempts_json(own: dict[str, Any]) -> str | None:
    """Return the records of failed attempts as JSON; None if there are none."""
    attempts = own.get("_attempts")
    return json.dumps(attempts, separators=(",", ":")) if attempts else None


def _retry_of(own: dict[str, Any]) -> str | None:
    """Return the event's own retry policy as JSON; None if it has none."""
    policy = own.get("_retry")
    return None if policy is None else json.dumps(policy.to_dict(), separators=(",", ":"))


def state_entries(status: str, state: StateColumns) -> dict[str, Any]:
    """Return the entries of an event's ``__dict__`` for state columns."""
    attempt, failures, denials, interruptions, duration, retryable, result, attempts, expires = (
        state
    )
    own: dict[str, Any] = {"_status": status}
    if attempt:
        own["_attempt"] = attempt
    if failures:
        own["_tries"] = failures
    if denials:
        own["_denials"] = denials
    if interruptions:
        own["_interruptions"] = interruptions
    if duration is not None:
        own["_duration"] = duration
    if retryable is not None:
        own["_retryable"] = bool(retryable)
    if result is not None:
        own |= read_result(result)
    if attempts is not None:
        own["_attempts"] = attempts_of(json.loads(attempts))
    if expires is not None:
        own["_expires"] = expires
    return own


def response_json(event: EventData, response: Any) -> str | None:
    """Return a response as JSON, and log a warning if a part of it cannot be written."""
    return result_text(Execution.over({"_response": response}), partial(_warn_of_loss, event))


def _warn_of_loss(event: EventData, reason: str) -> None:
    logger.warning(
        "the response of event %s (%s) cannot be stored as it is, since it %s: the event "
        "completes, and readers get `Unserializable` with the repr of that part; return plain "
        "data, such as numbers, texts, lists and dicts",
        *(event.id, registry.key_of(type(event)), reason),
    )


def state_after(
    outcome: Outcome, own: dict[str, Any], event: EventData | None = None
) -> StateColumns:
    """Return the state columns after an outcome.

    Args:
        outcome: The outcome.
        own: The entries of the event's ``__dict__``; they are not changed.
        event: The event, if its response may not have been serialized before.

    Raises:
        OperationError: if the state machine has no such transition.
    """
    if isinstance(outcome, Completion) and own.get("_status") == "processing":
        response = outcome.response
        result = (
            result_text(Execution.over({"_response": response}))
            if event is None
            else response_json(event, response)
        )
        counters = [own.get(key, 0) for key in _COUNTERS]
        return (*counters, outcome.duration, None, result, attempts_json(own), None)
    execution = Execution.over(Execution.over(own).entries())
    apply(execution, outcome)
    return state_columns(execution.own)


def is_untried(own: dict[str, Any]) -> bool:
    """Return True if this process knows of no attempt, no denial and no expiry of an event."""
    return not (
        "_attempt" in own
        or "_tries" in own
        or "_denials" in own
        or "_interruptions" in own
        or "_expires" in own
    )


def matches_state(own: dict[str, Any], state: Sequence[Any]) -> bool:
    """Return True if an event's counters and expiry are those of its row."""
    get = own.get
    return (
        get("_attempt", 0) == state[0]
        and get("_tries", 0) == state[1]
        and get("_denials", 0) == state[2]
        and get("_interruptions", 0) == state[3]
        and bool(Execution.over(own).expires == state[-1])
    )


def build_event(
    number: int, kept: FixedColumns, priority: float, due: float, entries: dict[str, Any]
) -> EventData:
    """Build an event of its class.

    Raises:
        NotFoundError: if this process has not defined the class.
        ValidationError: (pydantic's) if the payload does not fit the class.
    """
    uid, kind, created, payload, retry, single, since = kept
    entries |= {"_arrival": number, "_priority": priority}
    if due:
        entries["_due"] = due
    if retry is not None:
        entries["_retry"] = Retry.from_dict(json.loads(retry))
    if single is not None:
        entries["_unique"] = single, since
    shortcut = fast_load_of(kind)
    event = None if shortcut is None else shortcut(payload, uid, created)
    if event is not None:
        event.__dict__.update(entries)
        return event
    return event_from_payload(
        payload, kind=kind, id=UUID(bytes=uid), created=created, entries=entries
    )


def fixed_columns(found: StoredEvent) -> FixedColumns:
    """Return the columns of an event that never change."""
    fixed = found.retry, found.unique_key, found.unique_at
    return found.id, found.event_type, found.created_at, found.payload, *fixed


def build_stored_event(found: StoredEvent) -> EventData:
    """Build an event of all its columns."""
    kept = fixed_columns(found)
    entries = state_entries(found.status, found.state)
    return build_event(found.number, kept, found.priority, found.due, entries)


def loaded_event_row(event: EventData, finished_at: float = 0.0) -> EventRow:
    """Return the columns of an event to load, in any status; a running one was interrupted.

    The event object is not changed.
    """
    state = event.execution
    priority = event.created_timestamp if state.priority is None else state.priority
    row = event_row(event, priority, finished_at)
    if state.status is EventStatus.PROCESSING:
        ending = after_interruption(state.interruptions)
        return row._replace(status=ending.status.value, state=state_after(ending, event.__dict__))
    return row


def record_event_row(record: Record, now: float) -> EventRow:
    """Return the columns of an event to import; a running one was interrupted.

    Args:
        record: The record of the event.
        now: The time at which it finished, if the record does not contain it.

    Raises:
        ValidationError: if a database cannot store a text of the record.
    """
    payload = dict(record.payload)
    payload.pop("id", None)
    created = datetime.fromisoformat(payload.pop("created_at")).timestamp()
    execution = Execution.from_dict(payload.pop("execution", {}), encoded=True)
    unique, unique_at = execution.unique or _NONE
    for what, text in (("kind", record.kind), ("key", record.key), ("unique", unique)):
        check_text(f"{what} of the record of {record.id}", text or "")
    execution.become(record.status)
    if record.status is EventStatus.PROCESSING:
        apply(execution, after_interruption(execution.interruptions))
    return EventRow(
        record.id.bytes,
        record.kind,
        created,
        record.priority,
        record.key,
        json.dumps(record.costs) if record.costs else None,
        _retry_of(execution.own),
        unique,
        unique_at,
        json.dumps(payload, separators=(",", ":")),
        execution.status.value,
        record.due or 0.0,
        now if record.ended is None else record.ended,
        state_columns(execution.own),
    )


def state_after_expiry(state: StateColumns) -> tuple[str, StateColumns]:
    """Return the status and the state of a pending event after its expiry."""
    own = state_entries("pending", state)
    ending = after_expiry(Execution.over(own))
    return ending.status.value, state_after(ending, own)


def cancelled_row(one: SettlementRow) -> SettlementRow:
    """Return the row of a settlement to PENDING if a cancel of the event was requested."""
    number, attempt, _, _, ended, priority, state = one
    assert state is not None, "only the holder of a claim settles it"
    status, state = state_after_cancel(state)
    return number, attempt, status, 0.0, ended, priority, state


def state_after_cancel(state: StateColumns) -> tuple[str, StateColumns]:
    """Return the status and the state of an event that was to be pending and is cancelled."""
    own = state_entries("pending", state)
    ending = after_cancel(own.get("_error"), own.get("_duration", Unset))
    return ending.status.value, state_after(ending, own)


def state_after_ending(ending: Ending, state: StateColumns) -> StateColumns:
    """Return the state after an ending that this process applies to rows only."""
    status = "pending" if ending.interruptions == 0 else "processing"
    own = state_entries(status, state)
    if ending.interruptions:
        own.pop("_denials", None)  # it may have started, which resets the denials
    return state_after(ending, own)


def record_of(found: StoredEvent) -> Record:
    """Return the record of an event."""
    attempt, tries, denials, interruptions, *_ = found.state
    uid = UUID(bytes=found.id)
    return Record(
        number=found.number,
        id=uid,
        queue=found.queue,
        kind=found.event_type,
        status=EventStatus(found.status),
        priority=found.priority,
        due=found.due or None,
        attempt=attempt,
        tries=tries,
        denials=denials,
        interruptions=interruptions,
        key=found.key,
        costs=json.loads(found.costs) if found.costs else {},
        payload=_payload(found, uid),
        ended=found.finished_at or None,
    )


def standing_of(
    found: StoredEvent,
    now: float,
    *,
    ahead: int,
    paused: float,
    pause: PauseRecord | None,
    actions: tuple[Action, ...],
    rooms: Iterable[Room],
    workers: Iterable[QueueWorker],
    holder: str | None,
    first: tuple[StoredEvent, Iterable[Room]] | None,
    blockers: Blockers | None = None,
) -> Standing:
    """Return the ``Standing`` of an event.

    ``first`` is the first event before it in the queue, and what that event needs of limits.
    """
    attempt, tries, denials, interruptions, *_, expires = found.state
    waits = found.status == EventStatus.PENDING.value
    return Standing(
        UUID(bytes=found.id),
        found.queue,
        found.event_type,
        EventStatus(found.status),
        attempt,
        denials,
        tries,
        interruptions,
        now,
        due=(found.due or None) if waits else None,
        expires=expires,
        ahead=ahead,
        paused=paused or None,
        pause=pause,
        actions=actions,
        rooms=tuple(rooms),
        workers=tuple(workers),
        holder=holder,
        first=first and First(UUID(bytes=first[0].id), first[0].event_type, tuple(first[1])),
        blockers=blockers,
    )


def about_of(text: str | None) -> About | None:
    """Parse the description of a worker."""
    return None if text is None else About.of(json.loads(text))


def description_json(about: Callable[[], About] | None) -> str | None:
    """Return the description of a worker as JSON."""
    return None if about is None else json.dumps(about()._asdict())


def _payload(found: StoredEvent, uid: UUID) -> dict[str, Any]:
    """Return the same as ``to_dict("json")`` of the event."""
    _, _, _, _, duration, retryable, result, attempts, expires = found.state
    execution: dict[str, Any] = {"status": found.status}
    if duration is not None:
        execution["duration"] = duration
    if result is not None:
        execution |= json.loads(result)
    if found.status == EventStatus.COMPLETED.value:
        execution |= {"error": None, "retryable": False}
    elif retryable is not None:
        execution["retryable"] = bool(retryable)
    names = ("attempt", "tries", "denials", "interruptions")
    execution |= {name: n for name, n in zip(names, found.state, strict=False) if n}
    execution["priority"] = found.priority
    if found.due and found.due != inf:  # JSON has no infinity
        execution["due"] = found.due
    if expires is not None:
        execution["expires"] = expires
    if attempts is not None:
        execution["attempts"] = [each._asdict() for each in attempts_of(json.loads(attempts))]
    if found.retry is not None:
        execution["retry"] = json.loads(found.retry)
    if found.unique_key is not None:
        execution["unique"] = [found.unique_key, found.unique_at]
    created = utc_time(found.created_at).isoformat()
    head = {"id": str(uid), "created_at": created, "execution": execution}
    fields = complete_payload(found.event_type, json.loads(found.payload))
    if result is not None and '{"$' in result:  # within a text, the quote would be escaped
        fields["metadata"]["lion_tags"] = True
    return head | fields


class EventReader:
    """Builds claimed events that were never tried and that another process has appended.

    It is faster than ``build_event``, which builds all other events.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, FastLoad | None] = {}

    def __call__(self, one: ReadyColumns, kept: FixedColumns | None) -> EventData | None:
        """Return the event as pending; None if ``build_event`` has to build it."""
        if kept is None or one[3:] != NEW_STATE or one[1] or kept[4:] != _USUALLY:
            return None
        kind = kept[1]
        if kind in self._known:
            revival = self._known[kind]
        else:
            revival = self._known[kind] = fast_load_of(kind)
        event = None if revival is None else revival(kept[3], kept[0], kept[2])
        if event is not None:
            own = event.__dict__
            own["_status"] = "pending"
            own["_arrival"] = one[0]
            own["_priority"] = one[2]
        return event


_USUALLY: Final = (None, None, None)
"""No retry policy of its own and no unique key."""


def read_started(
    rows: Sequence[FirstClaimRow], known: Sequence[EventData | None]
) -> tuple[dict[int, EventData], list[FirstClaimRow]]:
    """Build the events of rows, as running their first attempt.

    Args:
        rows: The rows.
        known: For each row the event, if this process has it.

    Returns:
        The built events by number; and the other rows: those of known events, and those that
        ``build_event`` has to build.
    """
    made: dict[int, EventData] = {}
    rest: list[FirstClaimRow] = []
    ways: dict[str, FastLoad | None] = {}
    for one, there in zip(rows, known, strict=True):
        number, priority, uid, kind, created, payload, _, _ = one
        if kind in ways:
            way = ways[kind]
        else:
            way = ways[kind] = fast_load_of(kind)
        event = None if way is None or there is not None else way(payload, uid, created)
        if event is None:
            rest.append(one)
            continue
        own = event.__dict__
        own["_status"] = "processing"
        own["_arrival"] = number
        own["_priority"] = priority
        own["_attempt"] = 1
        made[number] = event
    return made, rest


R = TypeVar("R")

MARGIN: Final = 10_000
"""Bytes reserved in a row for columns whose size is not checked: names, ids and numbers."""

PLAIN_COLUMNS: Final = 5
"""The number of columns of a new event without a key and without costs."""

_STATEMENT: Final = 2**28
"""Maximum number of characters in one statement; PostgreSQL accepts less than a gibibyte."""

UNCHECKED_LENGTH: Final = 1_000
"""Length of a text up to which its size is not checked, which saves time."""


def size_of(texts: Iterable[str | None]) -> int:
    """Return the total size of texts in bytes of UTF-8."""
    return sum(
        len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        for text in texts
        if text
    )


def exceeds_statement(texts: Iterable[str | None]) -> bool:
    """Return True if texts are together too long for one statement."""
    return sum(len(text) for text in texts if text) > _STATEMENT


def split_rows(rows: Sequence[R], payload: Callable[[R], str], most: int) -> Iterator[Sequence[R]]:
    """Split rows into pieces that fit into one statement each.

    Args:
        rows: The rows, in order.
        payload: Returns the long text of a row.
        most: The maximum number of rows of a piece.
    """
    for first in range(0, len(rows), most):
        piece = rows[first : first + most]
        while len(piece) > 1 and exceeds_statement(map(payload, piece)):
            lengths = accumulate(len(payload(row)) for row in piece)
            fitting = sum(length <= _STATEMENT for length in lengths) or 1
            yield piece[:fitting]
            piece = piece[fitting:]
        yield piece


def check_new_event_size(row: NewEventRow, largest: int) -> None:
    """Raise an error if a new event is too large to be stored.

    Args:
        row: Its columns.
        largest: The maximum size of a row in bytes.

    Raises:
        ValidationError: names the event.
    """
    _check_event(row[0], (row[2], *row[5:]), largest)


def check_event_size(row: EventRow, largest: int) -> None:
    """Raise an error if an event, possibly with a state, is too large to be stored."""
    texts = row.payload, row.key, row.costs, row.retry, row.unique_key
    _check_event(row.id, texts, largest)
    _check_event(row.id, row.state[6:8], largest)


def _check_event(uid: bytes, texts: Iterable[str | None], largest: int) -> None:
    size = size_of(texts)
    if size > largest:
        raise ValidationError(
            f"event {UUID(bytes=uid)} is too large to be stored: its content takes {size:,} bytes, "
            f"and the database keeps at most {largest:,} in one row; store the content elsewhere, "
            "as in a file, and append a reference to it"
        )


def check_outcome_size(uid: UUID, one: SettlementRow, largest: int) -> None:
    """Raise an error if an outcome is too large to be stored.

    Args:
        uid: The id of the event.
        one: The row of the settlement.
        largest: The maximum size of a row in bytes.

    Raises:
        ValidationError: names the event.
    """
    if one[6] is not None:
        what = "response" if one[2] == "completed" else "error"
        _check_outcome(uid, what, size_of(one[6][6:8]), largest)


def check_response_size(uid: UUID, result: str | None, largest: int) -> None:
    """Raise an error if a response is too large to be stored."""
    _check_outcome(uid, "response", size_of([result]), largest)


def _check_outcome(uid: UUID, what: str, size: int, largest: int) -> None:
    if size > largest:
        raise ValidationError(
            f"the {what} of event {uid} is too large to be stored: it takes {size:,} bytes, and "
            f"the database keeps at most {largest:,} in one row; store the data elsewhere, as in a "
            "file, and return a reference to it"
        )
