"""Monitor of all queues of an executor, of a store, or of the URL of a store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

from ..core import EventStatus, Executor
from ..engine.schedules import Schedules
from ..errors import ConfigurationError, NotFoundError, StoreError
from ..rules.action import PauseRecord
from ..rules.explain import Why, explain
from ..rules.state_machine import FOR_EVER
from ..stores.contract import Store, is_paused
from ..stores.inspector import (
    EventFilter,
    FinishedEvent,
    Inspector,
    LimitUsage,
    RunningEvent,
    WorkerRecord,
)
from ..stores.open import open_store
from ..stores.record import Record
from .limits import gauges_of, limits_of
from .records import FAILURE_STATUSES, has_failed
from .schedules import ShownSchedule, schedules_of

__all__ = ["Counts", "Monitor"]

T = TypeVar("T")

Counts = Mapping[EventStatus, int]

QUEUES_MAX_AGE = 5.0
"""Seconds after which the list of queues is read again."""

FAILURES_SCANNED = 500
"""Number of events of a status after which the search for failed ones ends."""


class Monitor:
    """Queries over all queues.

    Args:
        source: An executor; a store; several stores of different queues; or the URL of a store
            with several queues. Executors and stores of the caller stay open at ``close``.

    Raises:
        ConfigurationError: if it is none of these, or a URL that cannot be opened.
    """

    def __init__(self, source: Executor | Store | Sequence[Store] | str) -> None:
        self.executor = source if isinstance(source, Executor) else None
        self.name = ""
        self._url: str | None = None
        self._stores: dict[str, Store] = {}
        self._queues_read_at = -QUEUES_MAX_AGE
        if isinstance(source, str):
            self._url, self.name = _url_of(source)
            return
        if isinstance(source, (list, tuple)):
            self._stores = {store.queue: store for store in source}
            self.name = ", ".join(self._stores)
            return
        store: Any = source.store if isinstance(source, Executor) else source
        if not hasattr(store, "queue") or not hasattr(store, "states"):
            raise ConfigurationError(
                f"give an Executor, a Store, or the URL of one, not {source!r}"
            )
        self._stores[store.queue] = store
        self.name = store.queue

    async def close(self) -> None:
        """Close the stores that were opened here."""
        if self._url is not None:
            for store in self._stores.values():
                await store.close()
            self._stores.clear()

    # -- the queues --------------------------------------------------------------------------

    async def queues(self) -> list[str]:
        """Return the names of the queues; new ones are noticed after a few seconds.

        Raises:
            StoreError: if the store cannot be opened, or does not exist yet.
        """
        now = asyncio.get_running_loop().time()
        if self._url is not None and now - self._queues_read_at >= QUEUES_MAX_AGE:
            any_store: Any = next(iter(self._stores.values()), None)
            first = any_store is None
            if first:
                any_store = open_store(self._url, queue="", name="")
            try:
                if first:
                    await _check_exists(any_store, self.name)
                names = await any_store.queues()
            finally:
                if first:
                    await any_store.close()
            for name in names:
                if name not in self._stores:
                    self._stores[name] = open_store(self._url, queue=name, name=name)
            self._queues_read_at = now
        return list(self._stores)

    def store(self, queue: str) -> Store:
        """Return the store of a queue."""
        return self._stores[queue]

    def inspector(self, queue: str) -> Inspector:
        """Return the object that answers queries about a queue."""
        return self._stores[queue].inspector

    async def _each(
        self, ask: Callable[[Inspector], Awaitable[T]], queue: str | None = None
    ) -> list[T]:
        known = await self.queues()
        wanted = known if queue is None else [each for each in known if each == queue]
        return [await ask(self.inspector(each)) for each in wanted]

    # -- pausing -----------------------------------------------------------------------------

    async def can_pause(self) -> bool:
        """Return True if a pause reaches the workers."""
        return self.executor is not None or bool(await self.queues())

    async def paused(self) -> bool:
        """Return True if the executor is paused, or any queue by hand."""
        if self.executor is not None and self.executor.paused:
            return True
        return any([await is_paused(each) for each in await self._all_stores()])

    async def pause(self, by: str) -> None:
        """Pause the executor; without one, pause the workers of all queues.

        Args:
            by: Who asks for it: recorded with the queues.
        """
        if self.executor is not None:
            await self.executor.pause()
            return
        await self._pause_later_queues(FOR_EVER, by)
        for each in await self._all_stores():
            await each.pause(by=by)

    async def pause_record(self) -> PauseRecord | None:
        """Return the last pause of a queue by hand; None if no queue is paused."""
        records = [await each.pause_record() for each in await self._all_stores()]
        return max((each for each in records if each is not None), key=_at, default=None)

    async def resume(self, by: str | None = None) -> None:
        """End the pause of the executor, and of every queue.

        Args:
            by: Who asks for it: recorded with the queues.
        """
        if self.executor is not None:
            await self.executor.resume()
        await self._pause_later_queues(0.0, by)
        for each in await self._all_stores():
            if await is_paused(each):
                await each.pause(0.0, by=by)

    async def _pause_later_queues(self, until: float, by: str | None = None) -> None:
        """Pause the queues that are made from now on, too.

        A new queue copies the pause of the queue with the empty name, which contains no events.
        """
        if self._url is None or not await self.queues():
            return
        store = open_store(self._url, queue="", name="")
        try:
            if until or await is_paused(store):
                await store.pause(until, by=by)
        finally:
            await store.close()
        self._queues_read_at = -QUEUES_MAX_AGE  # queues that were made before that are listed now

    async def _all_stores(self) -> list[Store]:
        return [self._stores[queue] for queue in await self.queues()]

    # -- queries ------------------------------------------------------------------------------

    async def version(self) -> str:
        """Return a text that differs after a change."""
        return str([await self._each(lambda inspector: inspector.version()), await self.queues()])

    async def counts(self) -> dict[str, Counts]:
        """Return the number of events in each status, by queue."""
        return {queue: await self._stores[queue].counts() for queue in await self.queues()}

    async def list_events(
        self,
        queue: str | None,
        what: EventFilter,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> list[Record]:
        """Return the newest matching events of a queue or of all; see ``Inspector.list_events``."""
        pages = await self._each(
            lambda inspector: inspector.list_events(what, before=before, after=after, limit=limit),
            queue,
        )
        found = sorted(chain.from_iterable(pages), key=lambda one: -one.number)
        backwards = after is not None and before is None
        return found[-limit:] if backwards else found[:limit]

    async def count_events(self, queue: str | None, what: EventFilter) -> int:
        """Return the exact number of matching events."""
        return sum(await self._each(lambda inspector: inspector.count_events(what), queue))

    async def get(self, uid: UUID) -> Record | None:
        """Return the record of an event."""
        for queue in await self.queues():
            (record,) = await self._stores[queue].get([uid])
            if record is not None:
                return record
        return None

    async def finished(self, since: float, limit: int = 2000) -> list[FinishedEvent]:
        """Return the events that have finished since a time, the latest last."""
        pages = await self._each(lambda inspector: inspector.finished(since, limit))
        return sorted(chain.from_iterable(pages), key=lambda event: event.ended)[-limit:]

    async def finished_counts(
        self, since: float, width: float
    ) -> dict[tuple[int, EventStatus], int]:
        """Return the number of events per span of time and final status, over all queues."""
        sums: dict[tuple[int, EventStatus], int] = {}
        for each in await self._each(lambda inspector: inspector.finished_counts(since, width)):
            for key, number in each.items():
                sums[key] = sums.get(key, 0) + number
        return sums

    async def running(self, limit: int = 200) -> list[RunningEvent]:
        """Return the running events, the one that has run longest first."""
        pages = await self._each(lambda inspector: inspector.running(limit))
        return sorted(chain.from_iterable(pages), key=lambda one: one.since or 0.0)[:limit]

    async def failures(self, limit: int) -> list[Record]:
        """Return the latest failed events of all queues, without those cancelled by hand."""
        found: list[Record] = []
        for status in FAILURE_STATUSES:
            found += await self._failed(status, limit)
        found.sort(key=lambda one: (one.ended or 0.0, one.number), reverse=True)
        return found[:limit]

    async def _failed(self, status: EventStatus, limit: int) -> list[Record]:
        """Return the latest failed events of a status; many others may be cancelled by hand."""
        found: list[Record] = []
        before, scanned = None, 0
        while len(found) < limit and scanned < FAILURES_SCANNED:
            page = await self.list_events(None, EventFilter(status), before=before, limit=limit)
            found += filter(has_failed, page)
            if len(page) < limit:
                break
            before, scanned = page[-1].number, scanned + len(page)
        return found[:limit]

    async def workers(self) -> list[WorkerRecord]:
        """Return the workers of all queues."""
        found: list[WorkerRecord] = []
        for queue in await self.queues():
            found += await self._stores[queue].workers()
        return found

    async def schedules(self) -> list[ShownSchedule]:
        """Return the schedules of all queues, by queue and name."""
        return [each for store in await self._all_stores() for each in await schedules_of(store)]

    def schedules_in(self, queue: str) -> Schedules:
        """Return the object that changes the schedules of a queue."""
        if self.executor is not None:
            return self.executor.schedules
        return Schedules(self._stores[queue])

    async def why(self, record: Record) -> Why | None:
        """Return the explanation why an event waits; None if it no longer exists."""
        if self.executor is not None:
            try:
                return await self.executor.why(record.id)
            except NotFoundError:
                return None
        position = await self._stores[record.queue].explain(record.id)
        return None if position is None else explain(position)

    async def limit_usage(self) -> Sequence[LimitUsage]:
        """Return the usage of limits, as far as the workers report them."""
        known: dict[tuple[str, str | None], LimitUsage] = {}
        for some in await self._each(lambda inspector: inspector.limit_usage()):
            known |= {(one.pool, one.key): one for one in some}
        limits = limits_of(await self.workers(), self.executor)
        return gauges_of(limits, known.values())


def _at(pause: PauseRecord) -> float:
    return pause.at


async def _check_exists(store: Any, name: str) -> None:
    """Refuse the URL of a store that does not exist, so that a page does not create one.

    Raises:
        StoreError: if the store does not exist.
    """
    if (await store.schema()).found:
        return
    path = getattr(store, "path", None)
    if path is None:
        what = "no tables for events in this database; check its name and the schema"
    elif path.exists() and path.stat().st_size:
        what = "no tables for events in this file; check the path"
    elif path.exists():
        what = "an empty file; no event was appended to it yet"
    else:
        what = "no such file; check the path"
    raise StoreError(f"{name}: {what}. An executor creates the store with the first event")


def _url_of(source: str) -> tuple[str, str]:
    """Return the URL of a store from a URL or a path, and its display name.

    Raises:
        ConfigurationError: for a store in memory, which other processes cannot read.
    """
    if source.startswith("memory:"):
        raise ConfigurationError(
            "a store in memory cannot be opened by its URL: give the executor itself"
        )
    if "://" in source:
        return source, source.partition("?")[0].rpartition("@")[2].rpartition("/")[2]
    return f"sqlite:///{quote(source)}", source.rpartition("/")[2]
