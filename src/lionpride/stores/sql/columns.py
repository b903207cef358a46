"""Between an event and the columns that hold it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Final
from uuid import UUID

from ...model import registry
from ...model.attempts import attempts_of
from ...model.execution import EventStatus, Execution
from ...model.ids import bytes_of
from ...model.packing import kind_and_packed, packed, packed_result, unpack, unpack_result
from ...model.policy import Retry
from ...model.unset import Unset
from ...model.work import Work
from ...rules.bills import has_own_bill, own_bill
from ...rules.lifecycle import (
    Completion,
    Ending,
    Outcome,
    after_cancel,
    after_expiry,
    after_interruption,
    apply,
)
from ...rules.texts import check_text
from ..record import Record
from ..terms import Terms
from .forms import NEW, Found, Fresh, Kept, Place, Settling, State

__all__ = (
    "after",
    "agrees",
    "bill_of",
    "cancelled",
    "entries_of",
    "event_of",
    "event_of_found",
    "fresh_of",
    "is_plain",
    "is_untried",
    "kept_of",
    "packed_attempts",
    "packed_cancel",
    "packed_ending",
    "packed_expiry",
    "packed_response",
    "place_of",
    "place_of_any",
    "place_of_record",
    "state_of",
)

logger = logging.getLogger("lionpride")

_COUNTERS: Final = ("_attempt", "_tries", "_denials", "_interruptions")


def place_of(event: Work, priority: float, ended: float = 0.0, terms: Terms | None = None) -> Place:
    """Where an event goes that is taken in."""
    own = event.__dict__
    if terms is not None:  # what they write is on the event once that is safe
        state = Execution.over(Execution.over(own).entries())
        terms.write(state)
        own = {"_created": own["_created"], **state.own}
    status = own.get("_status", "pending")
    return Place(
        event.id.bytes,
        registry.key_of(type(event)),
        own["_created"],
        priority,
        *bill_of(event),
        _retry_of(own),
        own.get("_unique", _NONE)[0],
        own.get("_unique", _NONE)[1],
        packed(event),
        status,
        own.get("_due") or 0.0,
        ended,
        NEW if "_status" not in own else state_of(own),
    )


_NONE: Final = (None, None)


def bill_of(event: Work) -> tuple[str | None, str | None]:
    """The key of an event, and its costs as JSON; None where it says nothing of its own.

    Raises:
        ValidationError: names what makes no sense.
        Exception: whatever its own code raises.
    """
    key, costs = own_bill(event)
    return key, None if costs is None else _bill_text(tuple(costs.items()))


@lru_cache(maxsize=1024)
def _bill_text(costs: tuple[tuple[str, float], ...]) -> str:
    """Costs as JSON; many events cost the same."""
    return json.dumps(dict(costs), separators=(",", ":"))


def is_plain(event: Work) -> bool:
    """Whether an event has neither costs nor a key of its own."""
    return _is_plain(type(event)) and "_told" not in event.__dict__


@lru_cache(maxsize=4096)
def _is_plain(kind: type[Work]) -> bool:
    """Whether the events of a class have neither costs nor a key of their own."""
    return not has_own_bill(kind)


def fresh_of(event: Work, priority: float) -> Fresh:
    """The columns of an event with nothing on record."""
    own = event.__dict__
    created = own["_created"]
    uid = bytes_of(own, created)
    kind, payload = kind_and_packed(event)
    if "_told" not in own and _is_plain(type(event)):  # `is_plain`, inline
        return uid, kind, payload, created, priority
    return uid, kind, payload, created, priority, *bill_of(event)


def state_of(own: dict[str, Any]) -> State:
    """The state columns of the entries in an event's ``__dict__``."""
    duration, retryable = own.get("_duration", Unset), own.get("_retryable", Unset)
    return (
        own.get("_attempt", 0),
        own.get("_tries", 0),
        own.get("_denials", 0),
        own.get("_interruptions", 0),
        None if duration is Unset else duration,
        None if retryable is Unset else int(retryable),
        packed_result(Execution.over(own)),
        packed_attempts(own),
        own.get("_expires"),
    )


def packed_attempts(own: dict[str, Any]) -> str | None:
    """What is kept of attempts that failed, as JSON; None if there is nothing."""
    attempts = own.get("_attempts")
    return json.dumps(attempts, separators=(",", ":")) if attempts else None


def _retry_of(own: dict[str, Any]) -> str | None:
    """A retry policy of an event's own, as JSON; None if it has none."""
    policy = own.get("_retry")
    return None if policy is None else json.dumps(policy.to_dict(), separators=(",", ":"))


def entries_of(status: str, state: State) -> dict[str, Any]:
    """The entries in an event's ``__dict__`` that state columns stand for."""
    *counters, duration, retryable, result, attempts, expires = state
    own: dict[str, Any] = {"_status": status}
    own |= {key: n for key, n in zip(_COUNTERS, counters, strict=True) if n}
    if duration is not None:
        own["_duration"] = duration
    if retryable is not None:
        own["_retryable"] = bool(retryable)
    if result is not None:
        own |= unpack_result(result)
    if attempts is not None:
        own["_attempts"] = attempts_of(json.loads(attempts))
    if expires is not None:
        own["_expires"] = expires
    return own


def packed_response(event: Work, response: Any) -> str | None:
    """Return a response as JSON, and log a warning if a part of it cannot be written."""
    return packed_result(Execution.over({"_response": response}), partial(_warn_of_loss, event))


def _warn_of_loss(event: Work, reason: str) -> None:
    logger.warning(
        "the response of event %s (%s) cannot be stored as it is, since it %s: the event "
        "completes, and readers get `Unserializable` with the repr of that part; return plain "
        "data, such as numbers, texts, lists and dicts",
        *(event.id, registry.key_of(type(event)), reason),
    )


def after(outcome: Outcome, own: dict[str, Any], event: Work | None = None) -> State:
    """The state columns that an outcome makes of an event's entries, which stay as they are.

    Args:
        outcome: The outcome.
        own: The entries.
        event: The event, if its response may not have been packed before.

    Raises:
        OperationError: if there is no such arrow.
    """
    if isinstance(outcome, Completion) and own.get("_status") == "processing":
        response = outcome.response
        result = (
            packed_result(Execution.over({"_response": response}))
            if event is None
            else packed_response(event, response)
        )
        counters = [own.get(key, 0) for key in _COUNTERS]
        return (*counters, outcome.duration, None, result, packed_attempts(own), None)
    execution = Execution.over(Execution.over(own).entries())
    apply(execution, outcome)
    return state_of(execution.own)


def is_untried(own: dict[str, Any]) -> bool:
    """Whether nobody here knows of an attempt at an event, nor of a time to start it by."""
    return not (
        "_attempt" in own
        or "_tries" in own
        or "_denials" in own
        or "_interruptions" in own
        or "_expires" in own
    )


def agrees(own: dict[str, Any], state: Sequence[Any]) -> bool:
    """Whether an event says what its row does, of what others may have changed while it waits."""
    get = own.get
    counters = get("_attempt", 0), get("_tries", 0), get("_denials", 0), get("_interruptions", 0)
    return counters == tuple(state[:4]) and Execution.over(own).expires == state[-1]


def event_of(number: int, kept: Kept, priority: float, due: float, entries: dict[str, Any]) -> Work:
    """The event, in its class.

    Raises:
        NotFoundError: if this process has not defined the class.
        ValidationError: (pydantic's) if it no longer fits the class.
    """
    uid, kind, created, payload, retry, single, since = kept
    entries |= {"_arrival": number, "_priority": priority}
    if due:
        entries["_due"] = due
    if retry is not None:
        entries["_retry"] = Retry.from_dict(json.loads(retry))
    if single is not None:
        entries["_unique"] = single, since
    return unpack(payload, kind=kind, id=UUID(bytes=uid), created=created, entries=entries)


def kept_of(found: Found) -> Kept:
    """What never changes, of all that is known of an event."""
    fixed = found.retry, found.single, found.since
    return found.id, found.kind, found.created, found.payload, *fixed


def event_of_found(found: Found) -> Work:
    """The event of all that is known of it."""
    kept = kept_of(found)
    entries = entries_of(found.status, found.state)
    return event_of(found.number, kept, found.priority, found.due, entries)


def place_of_any(event: Work, ended: float = 0.0) -> Place:
    """Where an event goes that is in whatever status; one that ran was interrupted.

    The event itself is written when that is safe.
    """
    state = event.execution
    priority = event.created_timestamp if state.priority is None else state.priority
    place = place_of(event, priority, ended)
    if state.status is EventStatus.PROCESSING:
        ending = after_interruption(state.interruptions)
        place = place._replace(status=ending.status.value, state=after(ending, event.__dict__))
    return place


def place_of_record(record: Record, now: float) -> Place:
    """Where an event goes that is taken in from its record; one that ran was interrupted.

    Args:
        record: Its record.
        now: When it ended, if it has and the record does not say.

    Raises:
        ValidationError: if a text of it is none that a database can keep.
    """
    payload = dict(record.payload)
    payload.pop("id", None)
    created = datetime.fromisoformat(payload.pop("created_at")).timestamp()
    execution = Execution.from_dict(payload.pop("execution", {}), encoded=True)
    unique, since = execution.unique or _NONE
    for what, text in (("kind", record.kind), ("key", record.key), ("unique", unique)):
        check_text(f"{what} of the record of {record.id}", text or "")
    execution.become(record.status)
    if record.status is EventStatus.PROCESSING:
        apply(execution, after_interruption(execution.interruptions))
    return Place(
        record.id.bytes,
        record.kind,
        created,
        record.priority,
        record.key,
        json.dumps(record.costs) if record.costs else None,
        _retry_of(execution.own),
        unique,
        since,
        json.dumps(payload, separators=(",", ":")),
        execution.status.value,
        record.due or 0.0,
        now if record.ended is None else record.ended,
        state_of(execution.own),
    )


def packed_expiry(state: State) -> tuple[str, State]:
    """The status and the state of an event that waited, and was not started in time."""
    own = entries_of("pending", state)
    ending = after_expiry(Execution.over(own))
    return ending.status.value, after(ending, own)


def cancelled(one: Settling) -> Settling:
    """What is recorded of a settlement to PENDING whose claim was cancelled."""
    number, attempt, _, _, ended, priority, state = one
    assert state is not None, "only the holder of a claim settles it"
    status, state = packed_cancel(state)
    return number, attempt, status, 0.0, ended, priority, state


def packed_cancel(state: State) -> tuple[str, State]:
    """The status and the state of an event that would wait in this state, but for a cancel."""
    own = entries_of("pending", state)
    ending = after_cancel(own.get("_error"), own.get("_duration", Unset))
    return ending.status.value, after(ending, own)


def packed_ending(ending: Ending, state: State) -> State:
    """The state after an ending that no live event had to go through."""
    status = "pending" if ending.interruptions == 0 else "processing"
    own = entries_of(status, state)
    if ending.interruptions:
        own.pop("_denials", None)  # nobody knows whether it had started, which ends their row
    return after(ending, own)
