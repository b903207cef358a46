"""What is done and asked by hand, and what is heard from other processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

from ...errors import NotFoundError
from ...model import registry
from ...model.execution import TERMINAL, EventStatus
from ...model.work import Work
from ...rules.metering import Limits
from ...rules.standing import About, Room, Standing
from ..alarm import Alarm
from ..contract import Cancelled, Named
from ..record import Record
from ..roster import WorkerRecord
from ..sql.columns import packed_ending, packed_expiry
from ..sql.records import said
from ..sql.telling import Telling
from ..upkeep import Finding, Schema
from . import steps
from .base import CHUNK, Base, heard
from .expiring import MOST, Expire, Expired
from .published import Publish
from .retaining import Prune
from .upgrading import schema_of, upgrade
from .watch import Watch

__all__ = ("Manage",)

logger = logging.getLogger("lionpride")

_EVERYTHING: Final = 2**62


class Manage(Base):
    """The part of ``SqliteStore`` that needs no claim."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch = Watch(self._is_watching, self._look)
        self._alarm = Alarm(self._clock, self._expire)
        self._hearers: list[Callable[[Work], object]] = []
        self._telling = Telling(
            self._holding.claims, lambda news, over: self._ask(Publish(news, over))
        )
        self._about: dict[str, Callable[[], str | None]] = {}
        self._warned: set[str] = set()
        self._is_shared = False  # another process has written since the file was opened
        self._doubtful: set[int] = set()  # waited for, and shown as it was before that, perhaps

    async def close(self) -> None:
        self._watch.stop()
        self._alarm.off()
        if self._file is not None:
            await self._telling.stop()
        await super().close()

    # -- what is not started in time ---------------------------------------------------------

    async def expire(self) -> int:
        count, some = 0, MOST
        while some == MOST:
            some = await self._ask(self._expiring(), self._expired)
            count += some
        return count

    def on_expired(self, hear: Callable[[Work], object]) -> None:
        self._hearers.append(hear)

    def _expiring(self) -> Expire:
        return Expire(self._clock(), self._ending, packed_expiry)

    def _expire(self) -> None:
        if self._file is not None:
            self._ask(self._expiring(), self._expired).add_done_callback(heard)

    def _expired(self, expired: Expired) -> int:
        """Show what was ended, and look again when more may have to be."""
        if expired.numbers:
            held = {n: self._holding.shown.find(n) for n in expired.numbers}
            mine = {number: event for number, event in held.items() if event is not None}
            self._holding.refresh(mine)
            self._bells.ring_ended(expired.numbers)
            for event in mine.values():
                for hear in self._hearers:
                    hear(event)
        self._alarm.set(expired.next)
        return len(expired.numbers)

    # -- by hand -----------------------------------------------------------------------------

    async def cancel(self, events: Sequence[Named]) -> list[Cancelled]:
        numbers = self._numbers(events)
        step = steps.Cancel(numbers, self._ending, packed_ending)
        answers: list[Cancelled] = await self._ask(
            step, lambda answers: self._cancelled(numbers, answers)
        )
        return answers

    def _cancelled(self, numbers: Sequence[int], answers: list[Cancelled]) -> list[Cancelled]:
        done = [n for n, it in zip(numbers, answers, strict=True) if it is Cancelled.DONE]
        self._holding.refresh(done)
        self._ask_holders([n for n in numbers if n in self._holding.claims])
        return answers

    def _ask_holders(self, numbers: Iterable[int]) -> None:
        """Ask the workers here to cancel the attempts of events."""
        for number in numbers:
            event = self._holding.shown.find(number)
            if event is not None:
                for cancel in tuple(self._workers.values()):
                    cancel(event)

    async def requeue(self, events: Sequence[Named]) -> None:
        numbers = list(dict.fromkeys(self._numbers(events)))
        await self._ask(steps.Requeue(numbers), lambda _: self._requeued(numbers))

    def _requeued(self, numbers: Sequence[int]) -> None:
        self._holding.refresh(numbers)
        self._bells.ring_ready()

    async def prune(
        self, statuses: Collection[EventStatus], *, limit: int | None = None
    ) -> list[Work]:
        wanted = [each.value for each in EventStatus if each in TERMINAL and each in statuses]
        gone: list[Work] = []
        left = _EVERYTHING if limit is None else limit
        while left > 0:
            step = Prune(wanted, min(left, CHUNK))
            numbers = await self._ask(step, lambda numbers: self._pruned(numbers, gone))
            left -= len(numbers)
            if len(numbers) < CHUNK:
                break
        return gone

    def _pruned(self, numbers: list[int], gone: list[Work]) -> list[int]:
        gone += self._holding.drop(numbers)
        return numbers

    async def remove(self, events: Sequence[Named]) -> None:
        numbers = self._numbers(events)
        await self._ask(steps.Remove(numbers), lambda _: self._holding.drop(numbers))

    def _numbers(self, events: Sequence[Named]) -> list[int]:
        """The numbers of events that this process has, or that are given by id.

        Raises:
            NotFoundError: if one is not here.
        """
        ids = [event for event in events if isinstance(event, UUID)]
        found = dict(zip(ids, self._open.reader.find(ids), strict=True)) if ids else {}
        numbers = []
        for event in events:
            one = found[event] if isinstance(event, UUID) else None
            number = self._number(event) if isinstance(event, Work) else one and one.number
            if not number:
                raise NotFoundError(f"{event!r} is not in queue {self.queue!r}: append it first")
            numbers.append(number)
        return numbers

    def _number(self, event: Work) -> int:
        """The number of an event that this store has; 0 for any other."""
        number = event.execution.arrival or 0
        return number if self._holding.shown.find(number) is event else 0

    # -- asking ------------------------------------------------------------------------------

    def time(self) -> float:
        return self._clock()

    async def counts(self) -> dict[EventStatus, int]:
        counts = self._open.reader.counts()
        if not counts[EventStatus.PENDING] and not counts[EventStatus.PROCESSING]:
            self._show_endings()
        return counts

    def _show_endings(self) -> None:
        """Show what has become of events that others have ended: nothing is left to be done."""
        lanes = (self.states.lane(EventStatus.PENDING), self.states.lane(EventStatus.PROCESSING))
        claims = self._holding.claims
        if ended := [number for lane in lanes for number in lane if number not in claims]:
            self._holding.refresh(ended)

    async def events(
        self, status: EventStatus | None = None, *, after: int | None = None, limit: int = 100
    ) -> list[Record]:
        found: list[Record] = []
        last = after or 0
        while len(found) < limit:
            size = min(CHUNK, limit - len(found))
            page = self._open.reader.page(status, last, size)
            found += map(self._as_known, page)
            if len(page) < size:
                break
            last = page[-1].number
            await asyncio.sleep(0)  # a large page is no reason to hold up the loop
        return found

    async def get(self, ids: Iterable[UUID]) -> list[Record | None]:
        reader = self._open.reader
        return [one and self._as_known(reader.record(one)) for one in reader.find(ids)]

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
        (found,) = self._open.reader.find([uid])
        if found is not None:
            return self._holding.find(found.number)
        gone = self.states.find(uid)  # another process has removed it
        if gone is not None and gone.execution.arrival is not None:
            self._holding.refresh([gone.execution.arrival])
        return None

    async def queues(self) -> list[str]:
        """The names of all queues in the file."""
        return self._open.reader.queues()

    async def last_arrival(self) -> int:
        return self._open.reader.last()

    # -- workers -----------------------------------------------------------------------------

    def enlist(
        self,
        worker: str,
        cancel: Callable[[Work], object],
        about: Callable[[], About] | None = None,
    ) -> None:
        self._workers[worker] = cancel
        self._about[worker] = partial(said, about)
        step = steps.Enlist(worker, self._wall(), said(about))
        self._ask(step).add_done_callback(heard)
        self._keep_alive()

    def discharge(self, worker: str) -> None:
        self._about.pop(worker, None)
        if self._workers.pop(worker, None) is not None:
            self._leaving.add(worker)
            asked = self._ask(steps.Discharge(worker), lambda _: self._leaving.discard(worker))
            asked.add_done_callback(heard)
            self._keep_alive()

    def _keep_alive(self) -> None:
        self._open.pulse.beat_for(dict(self._about))
        self._watch.look()

    async def attended(self) -> bool:
        alive = self._wall() - self._lease
        return bool(self._workers) or self._open.reader.is_attended(alive, but=self._leaving)

    async def workers(self) -> list[WorkerRecord]:
        """See ``Roster``."""
        return self._open.reader.workers(self._wall(), self._lease)

    async def standing(self, uid: UUID, limits: Limits | None = None) -> Standing | None:
        alive = self._wall() - self._lease
        return self._open.reader.standing(uid, limits, self._clock(), alive, but=self._leaving)

    async def usage(self, limits: Limits | None = None) -> list[Room]:
        alive = self._wall() - self._lease
        return self._open.reader.usage(limits, self._clock(), alive, but=self._leaving)

    # -- upkeep ------------------------------------------------------------------------------

    async def schema(self) -> Schema:
        """See ``Upkeep``."""
        return schema_of(self.path)

    async def upgrade(self) -> Schema:
        """See ``Upkeep``."""
        return upgrade(self.path, synchronous=self._synchronous, patience=self._patience)

    async def examine(self) -> list[Finding]:
        """See ``Upkeep``."""
        return self._open.reader.findings(self.path, self._wall(), self._lease)

    # -- classes that are not here -----------------------------------------------------------

    def _still_missing(self) -> set[str]:
        """The kinds that this process has no class for; a class may be defined meanwhile."""
        for kind in tuple(self.missing):
            if registry.is_defined(kind):
                self.missing.discard(kind)
                self._warned.discard(kind)
        return self.missing

    def _warn_of_missing(self) -> None:
        for kind in sorted(self.missing - self._warned):
            self._warned.add(kind)
            logger.warning(
                "%s: class %r is not defined in this process, and its events stay pending: "
                "import the module that defines it",
                self.path,
                kind,
            )

    async def stuck(self) -> list[str]:
        """See ``Foreign``."""
        missing = self._still_missing()
        alive = self._wall() - self._lease
        if not missing or self._open.reader.is_attended(
            alive, but=self._workers.keys() | self._leaving
        ):
            return []
        kinds = self._open.reader.waiting_kinds()
        return sorted(kinds) if kinds <= missing else []

    # -- what runs ---------------------------------------------------------------------------

    def publish(self, event: Work, attempt: int) -> None:
        """See ``Shared``."""
        number = self._number(event)
        if number and self._holding.has(number, event, attempt):
            self._telling.tell(number, event, attempt)

    async def published(
        self, event: Work, attempt: int, first: int
    ) -> tuple[int, list[Any]] | None:
        """See ``Shared``."""
        number = self._number(event)
        if not number or number in self._holding.claims:
            return None  # it runs here, if at all
        return self._open.reader.chunks(number, attempt, first)

    # -- bells -------------------------------------------------------------------------------

    def on_ready(self, bell: Callable[[], None]) -> None:
        self._bells.ready.append(bell)
        self._watch.look()

    def on_idle(self, bell: Callable[[], None]) -> None:
        self._bells.idle.append(bell)
        self._watch.look()

    def on_room(self, bell: Callable[[], None]) -> None:
        self._bells.room.append(bell)
        self._watch.look()

    def on_ended(self, event: Work, bell: Callable[[], None]) -> None:
        (number,) = self._numbers((event,))
        self._bells.on_ended(number, bell)
        if (self._is_shared or not self._workers) and number not in self._holding.claims:
            if not self._doubtful:
                asyncio.get_running_loop().call_soon(self._check)
            self._doubtful.add(number)
        self._watch.look()

    def ring_idle(self) -> None:
        self._bells.ring_idle()

    def off(self, bell: Callable[[], None]) -> None:
        self._bells.off(bell)

    # -- other processes ---------------------------------------------------------------------

    def _is_watching(self) -> bool:
        """Whether anybody here wants to know what others do with the file."""
        return self._file is not None and (self._bells.any() or bool(self._workers))

    def _look(self) -> None:
        """See whether others have written, and pass on what that means."""
        if not self._open.has_changed():
            return
        self._is_shared = True
        self._alarm.set(self._open.reader.next_expiry())
        if self._see(self._bells.ended):
            self._bells.ring_ended(self._open.reader.publishing() & self._bells.ended.keys())
        self._ask_holders([n for n in self._open.reader.unwanted() if n in self._holding.claims])
        self._bells.ring_ready()
        self._bells.ring_idle()
        self._bells.ring_room()

    def _check(self) -> None:
        """See whether what is waited for has ended before anybody waited for it."""
        doubtful, self._doubtful = self._doubtful, set()
        if self._file is not None:
            self._see(doubtful & self._bells.ended.keys())

    def _see(self, numbers: Iterable[int]) -> bool:
        """Show what has become of events, which may be thousands; whether others may have any."""
        awaited = [number for number in numbers if number not in self._holding.claims]
        if awaited:
            stands = self._open.reader.standings(awaited)
            self._holding.refresh(self._holding.other_than(stands, awaited))
        return bool(awaited)
