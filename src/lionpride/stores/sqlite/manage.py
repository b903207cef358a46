"""What is done and asked by hand, and what is heard from other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from ...errors import StoreError
from ...model.element import as_id
from ...model.execution import EventStatus
from ...model.work import Work
from ...rules.lifecycle import FOR_EVER
from ...rules.metering import Limits
from ...rules.standing import Room, Standing, Worker
from ..contract import Cancelled, Named
from ..inspector import WorkerRecord
from ..listeners import Listener, Signal, Unsubscribe
from ..maintenance import Finding, SchemaVersion
from ..record import Record
from ..sql import operations
from ..sql.heartbeat import Heartbeat
from ..sql.leases import register_worker, unregister_worker
from ..sql.local import heard
from ..sql.operations import Expired, cancel_results
from ..sql.rows import ProgressRow
from .base import Base
from .doctor import find_damage
from .file import make_file
from .migrations import schema_of, upgrade
from .progress import WriteProgress
from .queries import Queries
from .transaction import Expire, Operation
from .watch import Watch

__all__ = ("Manage",)


class Manage(Base):
    """The part of ``SqliteStore`` that needs no claim."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch = Watch(self._is_watching, self._look)
        self._is_shared = False  # another process has written since the file was opened
        self._doubtful: set[int] = set()  # waited for, and shown as it was before that, perhaps

    async def close(self) -> None:
        self._watch.stop()
        self._alarm.off()
        if self._file is not None:
            await self._progress.stop()
        await super().close()

    # -- what is not started in time ---------------------------------------------------------

    def _expiring(self) -> Expire:
        return Expire(self._clocks())

    def _expired(self, expired: Expired) -> int:
        """Show what was ended, and look again when more may have to be."""
        if expired.numbers:
            mine = self._held(expired.numbers)
            self._local_events.refresh(mine)
            self._tell_expired(expired.numbers, mine)
        self._alarm.set(expired.next)
        return len(expired.numbers)

    # -- by hand -----------------------------------------------------------------------------

    async def cancel(self, events: Sequence[Named]) -> list[Cancelled]:
        numbers = self._numbers(events)
        step = self._operation(partial(operations.cancel, numbers=numbers))
        answers: list[Cancelled] = await self._ask(
            step, lambda results: self._cancelled(numbers, cancel_results(numbers, results))
        )
        return answers

    def _cancelled(self, numbers: Sequence[int], answers: list[Cancelled]) -> list[Cancelled]:
        done = [n for n, it in zip(numbers, answers, strict=True) if it is Cancelled.DONE]
        self._local_events.refresh(done)
        self._ask_holders([n for n in numbers if n in self._local_events.claims])
        return answers

    async def retry(self, events: Sequence[Named]) -> None:
        numbers = list(dict.fromkeys(self._numbers(events)))
        step = self._operation(partial(operations.retry, numbers=numbers))
        await self._ask(step, lambda _: self._retried(numbers))

    def _retried(self, numbers: Sequence[int]) -> None:
        self._local_events.refresh(numbers)
        self._listeners.notify_ready()

    def _pruning(self, statuses: list[str], limit: int) -> Operation:
        work = partial(operations.prune, statuses=statuses, limit=limit)
        return self._operation(work, is_prune=True)

    async def remove(self, events: Sequence[Named]) -> None:
        numbers = self._numbers(events)
        step = self._operation(partial(operations.remove, numbers=numbers))
        await self._ask(step, lambda _: self._drop(numbers))

    def _numbers(self, events: Sequence[Named]) -> list[int]:
        """The numbers of events that this process has, or that are given by id.

        Raises:
            NotFoundError: if one is not here.
        """
        events = [each if isinstance(each, Work) else as_id(each) for each in events]
        ids = [event for event in events if isinstance(event, UUID)]
        found = (
            dict(zip(ids, self._read(lambda reader: reader.find(ids)), strict=True)) if ids else {}
        )
        numbers = []
        for event in events:
            one = found[event] if isinstance(event, UUID) else None
            number = self._number(event) if isinstance(event, Work) else one and one.number
            if not number:
                raise self._not_here(event)
            numbers.append(number)
        return numbers

    async def pause(self, until: float = FOR_EVER) -> None:
        """As the method of ``Store``."""
        step = self._operation(partial(operations.pause, until=until))
        await self._ask(step, lambda _: self._listeners.notify_ready())

    async def paused_until(self) -> float:
        """As the method of ``Store``."""
        return self._read(lambda reader: reader.paused())

    # -- asking ------------------------------------------------------------------------------

    async def counts(self) -> dict[EventStatus, int]:
        counts = self._read(lambda reader: reader.counts())
        if not counts[EventStatus.PENDING] and not counts[EventStatus.PROCESSING]:
            self._show_endings()
        return counts

    def _show_endings(self) -> None:
        """Show what has become of events that others have ended: nothing is left to be done."""
        if ended := self._left_to_others():
            self._local_events.refresh(ended)

    async def _page(self, status: EventStatus | None, after: int, limit: int) -> list[Record]:
        return self._read(lambda reader: reader.page(status, after, limit))

    async def get(self, ids: Iterable[UUID | str]) -> list[Record | None]:
        wanted = [as_id(each) for each in ids]

        def ask(reader: Queries) -> list[Record | None]:
            return [one and self._as_known(reader.record(one)) for one in reader.find(wanted)]

        return self._read(ask)

    async def find(self, uid: UUID | str) -> Work | None:
        uid = as_id(uid)
        (found,) = self._read(lambda reader: reader.find([uid]))
        if found is not None:
            return self._local_events.find(found.number)
        gone = self.states.find(uid)  # another process has removed it
        if gone is not None and gone.execution.arrival is not None:
            self._local_events.refresh([gone.execution.arrival])
        return None

    async def queues(self) -> list[str]:
        """The names of all queues in the file."""
        return self._read(lambda reader: reader.queues())

    async def last_arrival(self) -> int:
        return self._read(lambda reader: reader.last())

    # -- workers -----------------------------------------------------------------------------

    def _enlist(self, worker: str) -> None:
        about = self._description_sources()[worker]()
        work = partial(register_worker, worker=worker, seconds=self._lease, description=about)
        self._ask(self._operation(work)).add_done_callback(heard)

    def _discharging(self, worker: str) -> Operation:
        return self._operation(partial(unregister_worker, worker=worker))

    def _heartbeat(self) -> Heartbeat:
        return self._open.heartbeat

    def _keep_alive(self) -> None:
        self._open.heartbeat.renew_for(self._description_sources())
        self._watch.look()

    async def workers(self) -> list[WorkerRecord]:
        """See ``Store.workers``."""
        found = self._read(lambda reader: reader.workers(self._wall(), self._lease))
        return self._records_with_own(self._leaving, found)

    async def explain(self, uid: UUID, limits: Limits | None = None) -> Standing | None:
        alive = self._wall() - self._lease
        with_own = partial(self._with_own, self._leaving)
        return self._read(
            lambda reader: reader.standing(uid, limits, self._clock(), alive, with_own)
        )

    async def limit_usage(self, limits: Limits | None = None) -> list[Room]:
        alive = self._wall() - self._lease
        with_own = partial(self._with_own, self._leaving)
        return self._read(lambda reader: reader.usage(limits, self._clock(), alive, with_own))

    # -- upkeep ------------------------------------------------------------------------------

    async def schema(self) -> SchemaVersion:
        """See ``Maintenance``."""
        return schema_of(self.path)

    async def upgrade(self) -> SchemaVersion:
        """See ``Maintenance``."""
        make_file(self.path, self._mode)
        return upgrade(self.path, synchronous=self._synchronous, patience=self._patience)

    async def examine(self) -> list[Finding]:
        """See ``Maintenance``."""
        now = self._wall()
        if damage := await asyncio.to_thread(find_damage, self.path):
            return [damage]  # it makes other answers worthless
        return self._read(lambda reader: reader.findings(self.path, now, self._lease))

    # -- classes that are not here -----------------------------------------------------------

    async def _waiting_kinds(
        self, kinds: Collection[str], numbers: Collection[int]
    ) -> dict[str, int] | None:
        return self._read(lambda reader: reader.waiting_kinds(kinds, numbers))

    async def _other_workers(self) -> list[Worker]:
        alive, mine = self._wall() - self._lease, self._workers.keys() | self._leaving
        crew = self._read(lambda reader: list(reader.crew(alive)))
        return [one for one in crew if one.is_live and one.name not in mine]

    # -- what runs ---------------------------------------------------------------------------

    def _publish(
        self, news: Sequence[ProgressRow], over: Sequence[tuple[int, int]]
    ) -> asyncio.Future[Any]:
        return self._ask(WriteProgress(news, over))

    async def _chunks(self, number: int, attempt: int, first: int) -> tuple[int, list[Any]] | None:
        return self._read(lambda reader: reader.chunks(number, attempt, first))

    # -- listeners ---------------------------------------------------------------------------

    def subscribe(
        self,
        signal: Signal,
        listener: Listener,
        *,
        event: Work | None = None,
        once: bool = False,
    ) -> Unsubscribe:
        number = None
        if event is not None:
            (number,) = self._numbers((event,))
            self._open.guard.check()
        unsubscribe = self._listeners.subscribe(signal, listener, number=number, once=once)
        if number is not None:
            self._doubt(number)
        if signal not in (Signal.EXPIRED, Signal.FAILED):
            self._watch.look()
        return unsubscribe

    def _doubt(self, number: int) -> None:
        """Check soon whether an event has finished before a listener waited for it."""
        if (self._is_shared or not self._workers) and number not in self._local_events.claims:
            if not self._doubtful:
                asyncio.get_running_loop().call_soon(self._check)
            self._doubtful.add(number)

    # -- other processes ---------------------------------------------------------------------

    def _is_watching(self) -> bool:
        """Whether anybody here wants to know what others do with the file."""
        return self._file is not None and (self._listeners.any_hint() or bool(self._workers))

    def _look(self) -> None:
        """See whether others have written, and pass on what that means."""
        try:
            self._look_at_file()
        except StoreError as error:  # all that wait ask the file themselves, and are told
            if not error.retryable:
                self._listeners.notify_failed(error)
            self._listeners.notify_finished(tuple(self._listeners.finished))
            self._listeners.notify_ready()
            self._listeners.notify_idle()
            self._listeners.notify_capacity()

    def _look_at_file(self) -> None:
        self._open.heartbeat.watch()
        if not self._open.has_changed():
            return
        self._is_shared = True
        self._alarm.set(self._read(lambda reader: reader.next_expiry()))
        if self._see(self._listeners.finished):
            publishing = self._read(lambda reader: reader.publishing())
            self._listeners.notify_finished(publishing & self._listeners.finished.keys())
        unwanted = self._read(lambda reader: reader.unwanted())
        self._ask_holders([n for n in unwanted if n in self._local_events.claims])
        self._listeners.notify_ready()
        self._listeners.notify_idle()
        self._listeners.notify_capacity()

    def _check(self) -> None:
        """See whether what is waited for has ended before anybody waited for it."""
        doubtful, self._doubtful = self._doubtful, set()
        if self._file is not None:
            with suppress(StoreError):  # the next look tells those that wait
                self._see(doubtful & self._listeners.finished.keys())

    def _see(self, numbers: Iterable[int]) -> bool:
        """Show what has become of events, which may be thousands; whether others may have any."""
        awaited = [number for number in numbers if number not in self._local_events.claims]
        if awaited:
            stands = self._read(lambda reader: reader.standings(awaited))
            self._local_events.refresh(self._local_events.other_than(stands, awaited))
        return bool(awaited)
