"""Base of the PostgreSQL store: the connections, opened when used, and the local events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

from ...model.execution import EventStatus
from ...rules.lifecycle import Ending
from ..event_cache import CACHE_SIZE
from ..sql.codec import state_after, state_entries
from ..sql.local import Local, until_done
from ..sql.operations import settle
from ..sql.options import check_options
from ..sql.rows import QueuedAppend, QueuedCompletion, ReadyRow, SettlementRow, StoredEvent
from ..url import redact, standard_url
from . import queries
from .clock import ServerClock
from .heartbeat import make_heartbeat
from .inspector import PostgresInspector
from .link import Db
from .news import Ear, Herald
from .opened import Batches, Opened
from .options import check_names, check_ways
from .pipelines import Request
from .pool import Door
from .sights import Sights
from .tables import TableNames
from .transaction import PostgresTransaction

__all__ = ("Base",)

T = TypeVar("T")

LEASE: Final = 10.0
"""Seconds that a claim holds without a sign of life from its process."""

PATIENCE: Final = 30.0
"""Seconds for which a step is tried again while the server cannot be had."""

CONNECTIONS: Final = 4
"""Connections of a process at most, beside one that listens and one for signs of life."""

LARGEST: Final = 2**30 - 2**20
"""Bytes of texts in one row at most: a value of PostgreSQL has less than a gibibyte."""

POLL: Final = 0.25
"""Seconds between two looks at the tables, about, where nothing is heard of other processes."""


class Base(Local):
    """The part of ``PostgresStore`` that the others stand on; its arguments are those."""

    def __init__(
        self,
        url: str,
        queue: str = "default",
        *,
        name: str | None = None,
        schema: str = "lionpride",
        prefix: str = "",
        lease: float = LEASE,
        patience: float = PATIENCE,
        connections: int = CONNECTIONS,
        listen: bool = True,
        poll: float = POLL,
        pgbouncer: bool = False,
        shown: int = CACHE_SIZE,
        retain: int | timedelta | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        check_names(schema, prefix)
        check_options(lease=lease, patience=patience, shown=shown, retain=retain)
        check_ways(connections=connections, listen=listen, poll=poll, pgbouncer=pgbouncer)
        url = standard_url(url)
        self.place = redact(url)
        self._given, self._lease = clock, lease
        self._server_clock = ServerClock()
        self._sights = Sights(self._stands, self._find)
        super().__init__(self.place, queue, name, shown, clock or self._server_clock, self._sights)
        self.names = TableNames(schema, prefix)
        self._door = Door(url, self.names, pgbouncer=pgbouncer, patience=patience)
        self._patience = patience
        self._connections = connections
        self._listen, self._poll = listen and not pgbouncer, poll
        self._retain = retain
        self._names: set[str] = set()  # under which is claimed here
        self._unsettled: dict[int, int] = {}  # attempts that are being given back or failed
        self._opened: Opened | None = None
        self.heartbeat = make_heartbeat(self._door, self.names, lease, clock, self.place)
        self._ear = Ear(self._door, self.names.channel, self._hear)
        self._herald = Herald(self._read, self.names.channel, self._told)

    # -- the connections ---------------------------------------------------------------------

    @property
    def _open(self) -> Opened:
        """What is open, opened at the first use in this event loop.

        Raises:
            OperationError: in a child process after ``fork``.
        """
        opened = self._opened
        if opened is None or opened.loop is not asyncio.get_running_loop():
            opened = self._opened = Opened(
                self._door,
                self.names,
                self.queue,
                Batches(enter=self._enter_all, settle=self._settle_all, claim=self._claim_one),
                connections=self._connections,
                where=self.place,
                patience=self._patience,
                clock=self._given,
                on_reopen=self._ear.reopen,
            )
            opened.loop.call_soon(self._has_opened)
        opened.check_process()
        return opened

    def _has_opened(self) -> None:
        """The connections may be used from now on."""

    def _ask(self, step: Any, then: Callable[[Any], Any] | None = None) -> asyncio.Future[Any]:
        """Have a step taken; ``then`` notes it here even if nobody waits for it any more."""
        opened = self._open
        return opened.ask(opened.rest, step, then)

    @property
    def _largest(self) -> int:
        return LARGEST

    def _is_open(self) -> bool:
        return self._opened is not None

    async def _read(self, step: Callable[[Db], Awaitable[T]]) -> T:
        return await self._open.read(step)

    @property
    def inspector(self) -> PostgresInspector:
        """Answers for those who look at the queue from outside: see ``Seen``."""
        return PostgresInspector(self._read, self._clock)

    async def _stands(self, numbers: Sequence[int]) -> dict[int, StoredEvent]:
        return await self._read(lambda db: queries.current(db, numbers))

    async def _find(self, numbers: Sequence[int]) -> dict[int, StoredEvent]:
        return await self._read(lambda db: queries.find(db, numbers))

    def _hear(self, said: str) -> None:
        """Another process has something to say."""
        raise NotImplementedError

    def _told(self) -> None:
        """Others were told of endings."""
        raise NotImplementedError

    async def close(self) -> None:
        """Finish what is under way, and close the connections; a later call opens them again."""
        opened = self._opened
        if opened is None or not opened.is_ours:
            self._opened = None
            return
        self.heartbeat.stop()
        await self._ear.stop()
        try:
            if opened.loop is asyncio.get_running_loop():
                await opened.quiet()
                await self._herald.leave()
        finally:
            self._opened = None
            self._unsettled.clear()  # what fails now is not tried again
            await self._herald.stop()
            await opened.close()

    # -- the batches of the hot pipelines ----------------------------------------------------

    async def _enter_all(self, entries: Sequence[QueuedAppend]) -> bool:
        """Append new events, and answer their callers; return True to go on."""
        raise NotImplementedError

    async def _settle_all(self, items: Sequence[QueuedCompletion | Request]) -> bool:
        """Settle attempts; return False to wait before the next batch."""
        raise NotImplementedError

    async def _claim_one(self, some: Sequence[Request]) -> bool:
        """Claim, or run a step that precedes the next claim; return True to go on."""
        raise NotImplementedError

    # -- noting ------------------------------------------------------------------------------

    async def _refresh(self, numbers: Iterable[int]) -> None:
        """Show what has become of events on the server; nobody here has them any more."""
        if numbers := list(numbers):
            await self._sights.see(numbers)
            self._local_events.refresh(numbers)
            self._sights.moved(numbers)

    def _fail(self, one: ReadyRow, error: Exception) -> None:
        ending = Ending(EventStatus.FAILED, error=error, retryable=False, tries=1)
        attempt = one[3] + 1
        state = state_after(ending, state_entries("pending", (attempt, *one[4:])))
        failed = [(one[0], attempt, "failed", 0.0, 0.0, one[2], state)]
        opened, step = self._open, lambda db: settle(PostgresTransaction(db), failed)
        self._unsettled[one[0]] = attempt
        then = partial(self._settled_unrunnable, failed)
        until_done(lambda: self._ask(step, then) if self._opened is opened else None)

    def _settled_unrunnable(self, rows: Sequence[SettlementRow], _: object) -> None:
        """Forget claims that were given back or failed."""
        for number, attempt, *_ in rows:
            if self._unsettled.get(number) == attempt:
                del self._unsettled[number]
