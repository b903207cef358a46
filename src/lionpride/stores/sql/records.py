"""Records, from what the tables say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from ...model.attempts import attempts_of
from ...model.execution import EventStatus
from ...model.given import utc_time
from ...model.packing import complete
from ...rules.standing import About, First, Room, Standing, Worker
from ..record import Record
from .forms import Found

__all__ = ("about_of", "record_of", "said", "standing_of")


def record_of(found: Found) -> Record:
    """A record from what the tables say."""
    attempt, tries, denials, interruptions, *_ = found.state
    uid = UUID(bytes=found.id)
    return Record(
        number=found.number,
        id=uid,
        queue=found.queue,
        kind=found.kind,
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
        ended=found.ended or None,
    )


def standing_of(
    found: Found,
    now: float,
    *,
    ahead: int,
    paused: float,
    rooms: Iterable[Room],
    workers: Iterable[Worker],
    holder: str | None,
    first: tuple[Found, Iterable[Room]] | None,
) -> Standing:
    """Where an event stands, from what the tables say; see ``Standing``.

    ``first`` is the first of those before it, with what it needs of limits.
    """
    attempt, tries, denials, interruptions, *_, expires = found.state
    waits = found.status == EventStatus.PENDING.value
    return Standing(
        UUID(bytes=found.id),
        found.queue,
        found.kind,
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
        rooms=tuple(rooms),
        workers=tuple(workers),
        holder=holder,
        first=first and First(UUID(bytes=first[0].id), first[0].kind, tuple(first[1])),
    )


def about_of(text: str | None) -> About | None:
    """What a worker has said of itself, read back."""
    return None if text is None else About.of(json.loads(text))


def said(about: Callable[[], About] | None) -> str | None:
    """What a worker says of itself, as JSON."""
    return None if about is None else json.dumps(about()._asdict())


def _payload(found: Found, uid: UUID) -> dict[str, Any]:
    """What ``to_dict("json")`` of the event gives."""
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
    if found.due:
        execution["due"] = found.due
    if expires is not None:
        execution["expires"] = expires
    if attempts is not None:
        execution["attempts"] = [each._asdict() for each in attempts_of(json.loads(attempts))]
    if found.retry is not None:
        execution["retry"] = json.loads(found.retry)
    if found.single is not None:
        execution["unique"] = [found.single, found.since]
    created = utc_time(found.created).isoformat()
    head = {"id": str(uid), "created_at": created, "execution": execution}
    fields = complete(found.kind, json.loads(found.payload))
    if result is not None and '{"$' in result:  # a quote within a text would be escaped
        fields["metadata"]["lion_tags"] = True
    return head | fields
