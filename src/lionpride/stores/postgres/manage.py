"""What is done and asked by hand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

from ...errors import NotFoundError
from ...model.execution import TERMINAL, EventStatus
from ...model.work import Work
from ...rules.metering import Limits
from ...rules.standing import About, Room, Standing
from ..alarm import Alarm
from ..bells import Ringing
from ..contract import Cancelled, Named
from ..record import Record
from ..roster import WorkerRecord
from ..sql.records import said
from ..upkeep import Finding, Schema
from . import by_hand, reading
from .base import CHUNK, Base, heard
from .claiming import is_known
from .examining import examine
from .expiring import MOST, Expire, Expired
from .leasing import Discharge, Enlist, attended
from .link import Db
from .news import CANCEL, ENDED, READY
from .roster import workers
from .turn import standing, usage
from .upkeep import bring_up_to_date, outside, schema_of

__all__ = ("Manage",)

logger = logging.getLogger("lionpride")

_EVERYTHING: Final = 2**62


class Manage(Base, Ringing):
    """The part of ``PostgresStore`` that needs no claim."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._alarm = Alarm(self._clock, self._expire)
        self._hearers: list[Callable[[Work], object]] = []
        self._about: dict[str, Callable[[], str | None]] = {}
        self._enlisted: set[str] = set()  # workers that are in the table, as far as is known
        self._warned: set[str] = set()

    async def close(self) -> None:
        self._alarm.off()
        await super().close()

    # -- what is not started in time ---------------------------------------------------------

    async def expire(self) -> int:
        count, some = 0, MOST
        while some == MOST:
            some = await self._ask(Expire(), self._expired)
            count += some
        return count

    def on_expired(self, hear: Callable[[Work], object]) -> None:
        self._hearers.append(hear)

    def _expire(self) -> None:
        if self._opened is not None:
            self._ask(Expire(), self._expired).add_done_callback(heard)

    async def _expired(self, expired: Expired) -> int:
        """Show what was ended, and look again when more may have to be."""
        if expired.numbers:
            held = {n: self._holding.shown.find(n) for n in expired.numbers}
            mine = {number: event for number, event in held.items() if event is not None}
            await self._refresh(mine)
            self._bells.ring_ended(expired.numbers)
            for event in mine.values():
                for hear in self._hearers:
                    hear(event)
            self._ring_if_idle()
            self._herald.tell(ENDED)
        self._alarm.set(expired.next)
        return len(expired.numbers)

    def _ring_if_idle(self) -> None:
        """Have those look who wait for idleness, if nothing is claimed here."""
        if self._bells.idle and not self._holding.claims:
            self._bells.ring_idle()

    # -- by hand -----------------------------------------------------------------------------

    async def cancel(self, events: Sequence[Named]) -> list[Cancelled]:
        numbers = await self._numbers(events)
        answers: list[Cancelled] = await self._ask(
            by_hand.Cancel(numbers), lambda answers: self._cancelled(numbers, answers)
        )
        return answers

    async def _cancelled(self, numbers: Sequence[int], answers: list[Cancelled]) -> list[Cancelled]:
        await self._refresh(
            n for n, it in zip(numbers, answers, strict=True) if it is Cancelled.DONE
        )
        self._ask_holders([n for n in numbers if n in self._holding.claims])
        self._ring_if_idle()
        self._herald.tell(CANCEL + ENDED)
        return answers

    def _ask_holders(self, numbers: Iterable[int]) -> None:
        """Ask the workers here to cancel the attempts of events."""
        for number in numbers:
            event = self._holding.shown.find(number)
            if event is not None:
                for cancel in tuple(self._workers.values()):
                    cancel(event)

    async def requeue(self, events: Sequence[Named]) -> None:
        numbers = list(dict.fromkeys(await self._numbers(events)))
        await self._ask(by_hand.Requeue(numbers), lambda _: self._requeued(numbers))

    async def _requeued(self, numbers: Sequence[int]) -> None:
        await self._refresh(numbers)
        self._bells.ring_ready()
        self._herald.tell(READY)

    async def prune(
        self, statuses: Collection[EventStatus], *, limit: int | None = None
    ) -> list[Work]:
        wanted = [each.value for each in EventStatus if each in TERMINAL and each in statuses]
        gone: list[Work] = []
        left = _EVERYTHING if limit is None else limit
        while left > 0:
            step = by_hand.Prune(wanted, min(left, CHUNK))
            numbers = await self._ask(step, lambda numbers: self._pruned(numbers, gone))
            left -= len(numbers)
            if len(numbers) < CHUNK:
                break
        return gone

    def _pruned(self, numbers: list[int], gone: list[Work]) -> list[int]:
        gone += self._drop(numbers)
        return numbers

    def _drop(self, numbers: Sequence[int]) -> list[Work]:
        self._sights.moved(numbers)
        return self._holding.drop(numbers)

    async def remove(self, events: Sequence[Named]) -> None:
        numbers = await self._numbers(events)
        await self._ask(by_hand.Remove(numbers), lambda _: self._removed(numbers))

    def _removed(self, numbers: Sequence[int]) -> None:
        self._drop(numbers)
        self._ring_if_idle()
        self._herald.tell(ENDED)

    async def _numbers(self, events: Sequence[Named]) -> list[int]:
        """The numbers of events that this process has, or that are given by id.

        Raises:
            NotFoundError: if one is not here.
        """
        ids = [event for event in events if isinstance(event, UUID)]
        found = await self._read(lambda db: reading.numbers_of(db, ids)) if ids else {}
        numbers = []
        for event in events:
            number = self._number(event) if isinstance(event, Work) else found.get(event, 0)
            if not number:
                raise self._not_here(event)
            numbers.append(number)
        return numbers

    def _not_here(self, event: Named) -> NotFoundError:
        return NotFoundError(f"{event!r} is not in queue {self.queue!r}: append it first")

    def _number(self, event: Work) -> int:
        """The number of an event that this store has; 0 for any other."""
        number = event.execution.arrival or 0
        return number if self._holding.shown.find(number) is event else 0

    # -- asking ------------------------------------------------------------------------------

    def time(self) -> float:
        return self._clock()

    async def counts(self) -> dict[EventStatus, int]:
        counts = await self._read(reading.counts)
        if not counts[EventStatus.PENDING] and not counts[EventStatus.PROCESSING]:
            await self._show_endings()
        return counts

    async def _show_endings(self) -> None:
        """Show what has become of events that others have ended: nothing is left to be done."""
        lanes = (self.states.lane(EventStatus.PENDING), self.states.lane(EventStatus.PROCESSING))
        claims = self._holding.claims
        await self._refresh(number for lane in lanes for number in lane if number not in claims)

    async def events(
        self, status: EventStatus | None = None, *, after: int | None = None, limit: int = 100
    ) -> list[Record]:
        found: list[Record] = []
        last = after or 0
        while len(found) < limit:
            size = min(CHUNK, limit - len(found))
            page = await self._read(partial(self._page, status, last, size))
            found += map(self._as_known, page)
            if len(page) < size:
                break
            last = page[-1].number
        return found

    async def _page(
        self, status: EventStatus | None, after: int, limit: int, db: Db
    ) -> list[Record]:
        return await reading.records(db, await reading.page(db, status, after, limit))

    async def get(self, ids: Iterable[UUID]) -> list[Record | None]:
        wanted = list(ids)
        if not wanted:
            return []
        found = await self._read(lambda db: self._records(db, wanted))
        known = {each.id: self._as_known(each) for each in found}
        return [known.get(uid) for uid in wanted]

    async def _records(self, db: Db, ids: Sequence[UUID]) -> list[Record]:
        numbers = (await reading.numbers_of(db, ids)).values()
        return await reading.records(db, list((await reading.find(db, list(numbers))).values()))

    def _as_known(self, record: Record) -> Record:
        """A record, with what only this process knows: whether what it claimed has started."""
        holding = self._holding
        is_mine = (
            record.status is EventStatus.PROCESSING
            and holding.claims.get(record.number) == record.attempt
        )
        event = holding.shown.find(record.number) if is_mine else None
        return record if event is None else Record.of(event, self.queue, record.status)

    async def find(self, uid: UUID) -> Work | None:
        found = await self._read(lambda db: reading.numbers_of(db, [uid]))
        if number := found.get(UUID(bytes=uid.bytes)):
            if self._holding.shown.find(number) is None:
                await self._sights.see([number], whole=True)
            return self._holding.find(number)
        gone = self.states.find(uid)  # another process has removed it
        if gone is not None and gone.execution.arrival is not None:
            await self._refresh([gone.execution.arrival])
        return None

    async def queues(self) -> list[str]:
        """The names of all queues in the schema."""
        return await self._read(reading.queues)

    async def last_arrival(self) -> int:
        return await self._read(reading.last)

    # -- workers -----------------------------------------------------------------------------

    def enlist(
        self,
        worker: str,
        cancel: Callable[[Work], object],
        about: Callable[[], About] | None = None,
    ) -> None:
        self._workers[worker] = cancel
        self._about[worker] = partial(said, about)
        self._enlist(worker)
        self._keep_alive()

    def _enlist(self, worker: str) -> None:
        step = Enlist(worker, self._lease, self._about[worker]())
        self._ask(step, lambda _: self._enlisted.add(worker)).add_done_callback(heard)

    def discharge(self, worker: str) -> None:
        self._about.pop(worker, None)
        if self._workers.pop(worker, None) is not None:
            self._leaving.add(worker)
            self._enlisted.discard(worker)
            self._names.discard(worker)
            asked = self._ask(Discharge(worker), lambda _: self._leaving.discard(worker))
            asked.add_done_callback(heard)
            self._keep_alive()

    def _keep_alive(self) -> None:
        self._pulse.beat_for(dict(self._about))

    async def attended(self) -> bool:
        leaving = frozenset(self._leaving)
        return bool(self._workers) or await self._read(lambda db: attended(db, leaving))

    async def standing(self, uid: UUID, limits: Limits | None = None) -> Standing | None:
        leaving = frozenset(self._leaving)
        return await self._read(lambda db: standing(db, uid, limits, leaving))

    async def usage(self, limits: Limits | None = None) -> list[Room]:
        leaving = frozenset(self._leaving)
        return await self._read(lambda db: usage(db, limits, leaving))

    # -- upkeep ------------------------------------------------------------------------------

    async def workers(self) -> list[WorkerRecord]:
        """See ``Roster``."""
        return await self._read(workers)

    async def schema(self) -> Schema:
        """See ``Upkeep``."""
        return await outside(self._door, self.names, self.place, schema_of)

    async def upgrade(self) -> Schema:
        """See ``Upkeep``."""
        return await outside(self._door, self.names, self.place, bring_up_to_date)

    async def examine(self) -> list[Finding]:
        """See ``Upkeep``."""
        return await self._read(examine)

    # -- classes that are not here -----------------------------------------------------------

    def _still_missing(self) -> set[str]:
        """The kinds that this process has no class for; a class may be defined meanwhile."""
        for kind in tuple(self.missing):
            if is_known(kind):
                self.missing.discard(kind)
                self._warned.discard(kind)
        return self.missing

    def _warn_of_missing(self) -> None:
        for kind in sorted(self.missing - self._warned):
            self._warned.add(kind)
            logger.warning(
                "%s: class %r is not defined in this process, and its events stay pending: "
                "import the module that defines it",
                self.place,
                kind,
            )

    async def stuck(self) -> list[str]:
        """See ``Foreign``."""
        missing = frozenset(self._still_missing())
        but = self._workers.keys() | self._leaving
        if not missing or await self._read(lambda db: attended(db, but)):
            return []
        kinds = await self._read(reading.waiting_kinds)
        return sorted(kinds) if kinds <= missing else []

    # -- bells -------------------------------------------------------------------------------

    def on_ended(self, event: Work, bell: Callable[[], None]) -> None:
        number = self._number(event)
        if not number:
            raise self._not_here(event)
        self._bells.on_ended(number, bell)
