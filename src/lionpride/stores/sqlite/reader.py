"""What is asked of the file without changing it, over a connection of its own."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import apsw

from ...model.attempts import attempts_of
from ...model.execution import EventStatus
from ...model.live import Progress
from ...model.packing import unpack_result
from ..record import Record
from .host import is_dead
from .look import Found, Look

__all__ = ("Reader", "record_of")


class Reader:
    """Reads the events of one queue.

    Args:
        connection: One that nobody writes by.
        queue: The queue's name.
    """

    def __init__(self, connection: apsw.Connection, queue: str) -> None:
        self._db = connection
        self._queue = queue
        self._look = Look(connection, queue)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def counts(self) -> dict[EventStatus, int]:
        """How many events are in each status."""
        return {EventStatus(status): n for status, n in self._look.counts().items()}

    def last(self) -> int:
        """The highest number given so far."""
        return self._look.last()

    def queues(self) -> list[str]:
        """The names of all queues in the file, in order of their making."""
        return self._look.queues()

    def is_attended(self, since: float, but: Container[str] = ()) -> bool:
        """Whether a worker gave a sign of life since then, and is not known to be dead.

        Args:
            since: When.
            but: Not one of these.
        """
        return any(
            seen >= since and name not in but and not is_dead(*process)
            for name, (process, seen) in self._look.signs().items()
        )

    def waiting_kinds(self) -> set[str]:
        """The kinds of what waits."""
        return self._look.waiting_kinds()

    def unwanted(self) -> list[int]:
        """The numbers of what is claimed and is to be cancelled."""
        return self._look.unwanted()

    def chunks(self, number: int, attempt: int, first: int) -> tuple[int, list[Any]] | None:
        """See ``Published.chunks``; the chunks as they were yielded."""
        found = self._look.published.chunks(number, attempt, first)
        if found is None:
            return None
        pieces = (unpack_result(text)["_response"] for text in found[1])
        return found[0], [chunk for piece in pieces for chunk in piece]

    def page(self, status: EventStatus | None, after: int, limit: int) -> list[Record]:
        """The next records of a status, by number."""
        wanted = None if status is None else status.value
        with self._db:  # one view of all the tables
            found = [self._look.find(number) for number in self._look.page(wanted, after, limit)]
        return [self.record(one) for one in found if one is not None]

    def record(self, found: Found) -> Record:
        """A record, with what is published of an attempt that runs."""
        record = record_of(found)
        if record.status is not EventStatus.PROCESSING:
            return record
        seen = self._look.published.of(record.number, record.attempt)
        if seen is None:
            return record
        fraction, note, count = seen
        progress = None if note is None else Progress(fraction, note)
        return replace(record, progress=progress, chunks=count)

    def next_expiry(self) -> float | None:
        """When the first of what waits and has to start by some time expires."""
        return self._look.next_expiry()

    def find(self, ids: Iterable[UUID]) -> list[Found | None]:
        """What is known of the events of these ids; None for one that is not in the queue."""
        wanted = [uid.bytes for uid in ids]
        with self._db:
            numbers = self._look.known(wanted)
            known = {uid: self._look.find(number) for uid, number in numbers.items()}
        here = {uid: one for uid, one in known.items() if one and one.queue == self._queue}
        return [here.get(uid) for uid in wanted]

    def of(self, numbers: Iterable[int]) -> list[Found | None]:
        """What is known of the events of these numbers."""
        found: list[Found | None] = []
        with self._db:
            found += map(self._look.find, numbers)
        return found


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
    created = datetime.fromtimestamp(found.created, UTC).isoformat()
    head = {"id": str(uid), "created_at": created, "execution": execution}
    fields: dict[str, Any] = json.loads(found.payload)
    if result is not None and '{"$' in result:  # a quote within a text would be escaped
        fields["metadata"]["lion_tags"] = True
    return head | fields
