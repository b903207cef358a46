"""What is asked of the file without changing it, over a connection of its own."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw

from ...model.execution import EventStatus
from ...model.live import Progress
from ...model.packing import unpack_result
from ..record import Record
from ..roster import Held, WorkerRecord
from ..sql.forms import Found
from ..sql.host import is_dead
from ..sql.records import record_of
from ..upkeep import Finding
from .examining import examine
from .look import Look

__all__ = ("Reader",)


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

    def workers(self, now: float, lease: float) -> list[WorkerRecord]:
        """Who works on the queue, by the time that leases count by."""
        with self._db:  # one view of both tables
            roster, leases = self._look.roster(), self._look.held()
        held: dict[str, list[Held]] = {}
        for worker, number, uid, kind, attempt, until in leases:
            one = Held(number, UUID(bytes=uid), kind, attempt, until)
            held.setdefault(worker, []).append(one)
        return [
            WorkerRecord(
                name=name,
                queue=self._queue,
                host=node,
                pid=process[1],
                since=since,
                seen=seen,
                silent=max(0.0, now - seen),
                alive=seen >= now - lease and not is_dead(*process),
                held=tuple(held.get(name, ())),
            )
            for name, node, process, since, seen in roster
        ]

    def findings(self, path: Path, now: float, lease: float) -> list[Finding]:
        """What is wrong or slow with the file."""
        return examine(path, self._db, now, lease)

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
