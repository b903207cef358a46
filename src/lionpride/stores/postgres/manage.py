"""What is done and asked by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from ...model.element import as_id
from ...model.execution import EventStatus
from ...model.work import Work
from ...rules.lifecycle import FOR_EVER
from ...rules.metering import Limits
from ...rules.standing import Room, Standing, Worker
from ..contract import Cancelled, Named
from ..inspector import WorkerRecord
from ..maintenance import Finding, SchemaVersion
from ..record import Record
from ..sql import operations
from ..sql.heartbeat import Heartbeat
from ..sql.leases import register_worker, unregister_worker
from ..sql.local import heard
from ..sql.operations import Expired, cancel_results, expire
from . import queries
from .base import Base
from .doctor import examine
from .inspector import workers
from .link import Db
from .migrations import over_own_connection, schema_of, upgrade_schema
from .news import CANCEL, ENDED, EXPIRES, READY
from .queries import explain, limit_usage, live_workers
from .transaction import Operation

__all__ = ("Manage",)


class Manage(Base):
    """The part of ``PostgresStore`` that needs no claim."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._enlisted: set[str] = set()  # workers that are in the table, as far as is known
        self._claiming = 0  # claims under way
        self._deeds: set[asyncio.Future[Any]] = set()  # under way, and before the next claim
        self._rings_late = False  # when they are answered, who waits for idleness is to look

    async def close(self) -> None:
        self._alarm.off()
        await super().close()

    # -- what is not started in time ---------------------------------------------------------

    def _expiring(self) -> Operation[Expired]:
        return Operation(expire)

    async def _expired(self, expired: Expired) -> int:
        """Show what was ended, and look again when more may have to be."""
        if expired.numbers:
            mine = self._held(expired.numbers)
            await self._refresh(mine)
            self._tell_expired(expired.numbers, mine)
            self._ring_if_idle()
            self._herald.tell(ENDED)
        self._alarm.set(expired.next)
        return len(expired.numbers)

    def _ring_if_idle(self) -> None:
        """Have those look who wait for idleness, if nothing is claimed here.

        While a claim is under way they wait for its answer: it knows better, and a look costs as
        much as a few events.
        """
        self._rings_late = self._claiming > 0
        if self._listeners.idle and not self._local_events.claims and not self._claiming:
            self._listeners.notify_idle()

    # -- by hand -----------------------------------------------------------------------------

    async def cancel(self, events: Sequence[Named]) -> list[Cancelled]:
        numbers = await self._numbers(events)
        step = Operation(partial(operations.cancel, numbers=numbers))
        answers: list[Cancelled] = await self._ask(
            step, lambda results: self._cancelled(numbers, cancel_results(numbers, results))
        )
        return answers

    async def _cancelled(self, numbers: Sequence[int], answers: list[Cancelled]) -> list[Cancelled]:
        await self._refresh(
            n for n, it in zip(numbers, answers, strict=True) if it is Cancelled.DONE
        )
        self._ask_holders([n for n in numbers if n in self._local_events.claims])
        self._ring_if_idle()
        self._herald.tell(CANCEL + ENDED)
        return answers

    async def retry(self, events: Sequence[Named]) -> None:
        numbers = list(dict.fromkeys(await self._numbers(events)))
        step = Operation(partial(operations.retry, numbers=numbers))
        await self._ask(step, lambda _: self._retried(numbers))

    async def _retried(self, numbers: Sequence[int]) -> None:
        await self._refresh(numbers)
        self._listeners.notify_ready()
        self._herald.tell(READY + EXPIRES)

    async def pause(self, until: float = FOR_EVER) -> None:
        """As the method of ``Store``."""
        step = Operation(partial(operations.pause, until=until))
        await self._ask(step, lambda _: self._halted())

    async def _halted(self) -> None:
        self._listeners.notify_ready()
        self._herald.tell(READY)

    async def paused_until(self) -> float:
        """As the method of ``Store``."""
        return await self._read(queries.paused)

    def _pruning(self, statuses: list[str], limit: int) -> Operation[list[int]]:
        return Operation(partial(operations.prune, statuses=statuses, limit=limit))

    def _drop(self, numbers: Sequence[int]) -> list[Work]:
        self._sights.moved(numbers)
        return self._local_events.drop(numbers)

    async def remove(self, events: Sequence[Named]) -> None:
        numbers = await self._numbers(events)
        step = Operation(partial(operations.remove, numbers=numbers))
        await self._ask(step, lambda _: self._removed(numbers))

    def _removed(self, numbers: Sequence[int]) -> None:
        self._drop(numbers)
        self._ring_if_idle()
        self._herald.tell(ENDED)

    async def _numbers(self, events: Sequence[Named]) -> list[int]:
        """The numbers of events that this process has, or that are given by id.

        Raises:
            NotFoundError: if one is not here.
        """
        events = [each if isinstance(each, Work) else as_id(each) for each in events]
        ids = [event for event in events if isinstance(event, UUID)]
        found = await self._read(lambda db: queries.numbers_of(db, ids)) if ids else {}
        numbers = []
        for event in events:
            number = self._number(event) if isinstance(event, Work) else found.get(as_id(event), 0)
            if not number:
                raise self._not_here(event)
            numbers.append(number)
        return numbers

    # -- asking ------------------------------------------------------------------------------

    async def counts(self) -> dict[EventStatus, int]:
        counts = await self._read(queries.counts)
        if not counts[EventStatus.PENDING] and not counts[EventStatus.PROCESSING]:
            await self._show_endings()
        return counts

    async def _show_endings(self) -> None:
        """Show what has become of events that others have ended: nothing is left to be done."""
        await self._refresh(self._left_to_others())

    async def _page(self, status: EventStatus | None, after: int, limit: int) -> list[Record]:
        async def page(db: Db) -> list[Record]:
            return await queries.records(db, await queries.page(db, status, after, limit))

        return await self._read(page)

    async def get(self, ids: Iterable[UUID | str]) -> list[Record | None]:
        wanted = [as_id(each) for each in ids]
        if not wanted:
            return []
        found = await self._read(lambda db: self._records(db, wanted))
        known = {each.id: self._as_known(each) for each in found}
        return [known.get(uid) for uid in wanted]

    async def _records(self, db: Db, ids: Sequence[UUID]) -> list[Record]:
        numbers = (await queries.numbers_of(db, ids)).values()
        return await queries.records(db, list((await queries.find(db, list(numbers))).values()))

    async def find(self, uid: UUID | str) -> Work | None:
        uid = as_id(uid)
        found = await self._read(lambda db: queries.numbers_of(db, [uid]))
        if number := found.get(UUID(bytes=uid.bytes)):
            if self._local_events.cache.find(number) is None:
                await self._sights.see([number], whole=True)
            return self._local_events.find(number)
        gone = self.states.find(uid)  # another process has removed it
        if gone is not None and gone.execution.arrival is not None:
            await self._refresh([gone.execution.arrival])
        return None

    async def queues(self) -> list[str]:
        """The names of all queues in the schema."""
        return await self._read(queries.queues)

    async def last_arrival(self) -> int:
        return await self._read(queries.last)

    # -- workers -----------------------------------------------------------------------------

    def _enlist(self, worker: str) -> None:
        about = self._description_sources()[worker]()
        work = partial(register_worker, worker=worker, seconds=self._lease, description=about)
        step = Operation(work)
        # What it claims would lapse, if code blocked the loop before it is on the list.
        self._before_claims(self._ask(step, lambda _: self._enlisted.add(worker)))

    def _before_claims(self, asked: asyncio.Future[Any]) -> None:
        """Have the next claim wait for something that nobody else waits for."""
        self._deeds.add(asked)
        asked.add_done_callback(self._deeds.discard)
        asked.add_done_callback(heard)

    def _discharging(self, worker: str) -> Operation[None]:
        self._enlisted.discard(worker)
        self._names.discard(worker)
        return Operation(partial(unregister_worker, worker=worker))

    def _heartbeat(self) -> Heartbeat:
        return self.heartbeat

    def _keep_alive(self) -> None:
        self.heartbeat.renew_for(self._description_sources())

    async def explain(self, uid: UUID, limits: Limits | None = None) -> Standing | None:
        with_own = partial(self._with_own, frozenset(self._leaving))
        return await self._read(lambda db: explain(db, uid, limits, with_own))

    async def limit_usage(self, limits: Limits | None = None) -> list[Room]:
        with_own = partial(self._with_own, frozenset(self._leaving))
        return await self._read(lambda db: limit_usage(db, limits, with_own))

    # -- upkeep ------------------------------------------------------------------------------

    async def workers(self) -> list[WorkerRecord]:
        """See ``Store.workers``."""
        leaving = frozenset(self._leaving)
        return self._records_with_own(leaving, await self._read(workers))

    async def schema(self) -> SchemaVersion:
        """See ``Maintenance``."""
        return await over_own_connection(self._door, self.names, self.place, schema_of)

    async def upgrade(self) -> SchemaVersion:
        """See ``Maintenance``."""
        return await over_own_connection(self._door, self.names, self.place, upgrade_schema)

    async def examine(self) -> list[Finding]:
        """See ``Maintenance``."""
        return await self._read(examine)

    # -- classes that are not here -----------------------------------------------------------

    async def _waiting_kinds(
        self, kinds: Collection[str], numbers: Collection[int]
    ) -> dict[str, int] | None:
        named = list(kinds), list(numbers)
        return await self._read(lambda db: queries.waiting_kinds(db, *named))

    async def _other_workers(self) -> list[Worker]:
        mine = self._workers.keys() | self._leaving
        return [one for one in await self._read(live_workers) if one.name not in mine]
