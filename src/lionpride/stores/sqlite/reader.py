"""What is asked of the file without changing it, over a connection of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import apsw

from ...model.costs import REQUEST
from ...model.execution import EventStatus
from ...model.live import Progress
from ...model.packing import unpack_result
from ...rules.limits import Limit
from ...rules.metering import Limits
from ...rules.standing import Room, Standing, Worker, limits_at_work, room_of
from ..record import Record
from ..roster import Held, WorkerRecord
from ..sql.codec import about_of, record_of, standing_of
from ..sql.limits import account_name
from ..sql.process import is_dead
from ..sql.rows import StoredEvent
from ..upkeep import Finding
from .examining import examine
from .look import Look

__all__ = ("Reader",)

WithOwn: TypeAlias = Callable[[Iterable[Worker]], list[Worker]]


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
                about=about_of(about),
            )
            for name, node, process, since, seen, about in roster
        ]

    def findings(self, path: Path, now: float, lease: float) -> list[Finding]:
        """What is wrong or slow with the file."""
        return examine(path, self._db, now, lease)

    def crew(self, since: float) -> Iterator[Worker]:
        """The workers of the queue; live are those that ``is_attended`` counts."""
        for name, process, seen, about, claimed in self._look.crew():
            is_live = seen >= since and not is_dead(*process)
            yield Worker(name, is_live, claimed, about_of(about))

    def standing(
        self, uid: UUID, limits: Limits | None, now: float, since: float, with_own: WithOwn
    ) -> Standing | None:
        """Where an event stands; see ``Store.standing``.

        Args:
            uid, limits: As there.
            now: The time.
            since: A worker is live if its last heartbeat is not older and it is not known to be
                dead.
            with_own: Replaces the stored state of this process's own workers by the current one.
        """
        standing = None
        with self._db:  # one view of all the tables
            number = self._look.known([uid.bytes]).get(uid.bytes)
            found = None if number is None else self._look.find(number)
            if found is not None and found.queue == self._queue:
                standing = self._standing(found, limits, now, with_own(self.crew(since)))
        return standing

    def paused(self) -> float:
        """The time before which nothing of the queue is claimed."""
        return self._look.paused_until()

    def _standing(
        self, found: StoredEvent, limits: Limits | None, now: float, workers: list[Worker]
    ) -> Standing:
        limits = limits_at_work(workers) if limits is None else limits
        waits, rooms, ahead = found.status == EventStatus.PENDING.value, list[Room](), 0
        first = None
        if waits and limits is not None:
            rooms = self._rooms(found, limits, now)
        if waits and found.due <= now:
            ahead = self._look.ahead(found.priority, found.number, now)
            first = self._first(limits, now) if ahead else None
        return standing_of(
            found,
            now,
            ahead=ahead,
            paused=self._look.paused_until(),
            rooms=rooms,
            workers=workers,
            holder=self._look.holder(found.number),
            first=first,
        )

    def _first(self, limits: Limits | None, now: float) -> tuple[StoredEvent, list[Room]] | None:
        """The first of all that are due, and what it needs of limits."""
        number = self._look.first(now)
        first = None if number is None else self._look.find(number)
        if first is None:
            return None
        return first, [] if limits is None else self._rooms(first, limits, now)

    def _rooms(self, found: StoredEvent, limits: Limits, now: float) -> list[Room]:
        """What an event needs of limits, and what there is."""
        costs, held = REQUEST, self._look.reserved()
        if found.costs is not None:
            costs = json.loads(found.costs)
        amounts = limits.amounts(costs, found.key)
        return [self._room(limit, found.key, cost, now, held) for limit, cost in amounts]

    def _room(
        self, limit: Limit, key: str | None, cost: float, now: float, held: Counter[str]
    ) -> Room:
        account = account_name(limit, key)
        paused, taken = self._look.account_paused_until(account), self._look.usage(account)
        return room_of(limit, key, cost, now, held=held[account], paused=paused, taken=taken)

    def usage(
        self, limits: Limits | None, now: float, since: float, with_own: WithOwn
    ) -> list[Room]:
        """What is taken of limits; the arguments are those of ``standing``."""
        rooms: list[Room] = []
        with self._db:  # one view of all the tables
            under = limits_at_work(with_own(self.crew(since))) if limits is None else limits
            held = self._look.reserved()
            shared = [each for each in (under or {}).values() if not each.per_key]
            rooms += [self._room(limit, None, 0.0, now, held) for limit in shared]
        return rooms

    def waiting_kinds(
        self, kinds: Collection[str], numbers: Collection[int]
    ) -> dict[str, int] | None:
        """How many events wait, by class; None if any waits beside these classes and numbers."""
        return self._look.waiting_kinds(kinds, numbers)

    def unwanted(self) -> list[int]:
        """The numbers of what is claimed and is to be cancelled."""
        return self._look.unwanted()

    def standings(self, numbers: Sequence[int]) -> dict[int, tuple[str, int]]:
        """Status and attempt of many events; those that are not here are left out."""
        return self._look.standings(numbers)

    def publishing(self) -> set[int]:
        """The numbers of what runs and has shown something of itself."""
        return self._look.progress.numbers()

    def chunks(self, number: int, attempt: int, first: int) -> tuple[int, list[Any]] | None:
        """See ``Published.chunks``; the chunks as they were yielded."""
        found = self._look.progress.chunks(number, attempt, first)
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

    def record(self, found: StoredEvent) -> Record:
        """A record, with what is published of an attempt that runs."""
        record = record_of(found)
        if record.status is not EventStatus.PROCESSING:
            return record
        seen = self._look.progress.of(record.number, record.attempt)
        if seen is None:
            return record
        fraction, note, count = seen
        progress = None if note is None else Progress(fraction, note)
        return replace(record, progress=progress, chunks=count)

    def next_expiry(self) -> float | None:
        """When the first of what waits and has to start by some time expires."""
        return self._look.next_expiry()

    def find(self, ids: Iterable[UUID]) -> list[StoredEvent | None]:
        """What is known of the events of these ids; None for one that is not in the queue."""
        wanted = [uid.bytes for uid in ids]
        with self._db:
            numbers = self._look.known(wanted)
            known = {uid: self._look.find(number) for uid, number in numbers.items()}
        here = {uid: one for uid, one in known.items() if one and one.queue == self._queue}
        return [here.get(uid) for uid in wanted]

    def of(self, numbers: Iterable[int]) -> list[StoredEvent | None]:
        """What is known of the events of these numbers."""
        found: list[StoredEvent | None] = []
        with self._db:
            found += map(self._look.find, numbers)
        return found
