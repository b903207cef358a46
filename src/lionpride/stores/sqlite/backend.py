"""SQLite as the backend of a store: the file, its group commit, and its reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from time import time
from typing import Any, Final, TypeVar

from ...errors import StoreError
from ...model.event_data import EventData
from ..append_checks import refuse_connection
from ..clock import LoopClock, boot_time, steady
from ..maintenance import Finding, SchemaVersion
from ..sql.appending import AppendRequest
from ..sql.backend import ALL, BoundOperation, Then, run
from ..sql.claiming import ClaimRequest
from ..sql.codec import attempts_json
from ..sql.heartbeat import Heartbeat
from ..sql.inspector import SqlInspector
from ..sql.leases import Reap, reap
from ..sql.limits import UsageChange, change_usage
from ..sql.local_events import ClaimedEvents
from ..sql.local_state import LocalState
from ..sql.queries import Snapshot
from ..sql.requests import CHUNK, ignore_error
from ..sql.rows import NewEventRow, SettlementRow, StoredEvent
from ..sql.seen_heartbeats import SeenHeartbeats
from . import hot_claim, steps
from .doctor import examine, find_damage
from .file import make_file, translated_errors
from .inspector import SqliteInspectorReads
from .migrations import schema_of, upgrade
from .opened import OpenFile
from .snapshot import read_snapshot
from .transaction import Clocks, OperationStep
from .watch import Watch

__all__ = ("SqliteBackend",)

T = TypeVar("T")


class SqliteBackend:
    """See ``sql.backend.Backend``. The file is opened by the first request.

    Args:
        path: The file.
        queue: The name of the queue.
        synchronous, lease, patience, mode, clock: See ``SqliteStore``.
    """

    counts_commits: Final = True

    def __init__(
        self,
        path: Path,
        queue: str,
        *,
        synchronous: str,
        lease: float,
        patience: float,
        mode: int,
        clock: Callable[[], float] | None,
    ) -> None:
        self.place = path
        self.clock: Final = clock or LoopClock()
        self._queue = queue
        self._mode = mode
        self._synchronous = synchronous
        self._patience = patience
        self.lease: Final = lease
        self.lease_time: Final = clock or time
        # If a clock is given, it alone decides which leases have lapsed.
        self._seen = None if clock else SeenHeartbeats(lease)
        self._file: OpenFile | None = None
        self._inspector: SqlInspector | None = None
        self._last_finish = 0.0
        self._watch = Watch(self._is_watching, self._look)

    def attach(self, local: LocalState) -> None:
        """See ``Backend``."""
        self._local = local
        self._listeners = local.listeners
        self._runs = local.runnable.runs

    # -- the file ----------------------------------------------------------------------------

    @property
    def file(self) -> OpenFile:
        """The file, opened at the first use.

        Raises:
            StoreError: if it cannot be opened.
            OperationError: in a child process after ``fork``.
        """
        if self._file is None:
            make_file(self.place, self._mode)
            self._file = OpenFile(
                self.place,
                self._queue,
                synchronous=self._synchronous,
                patience=self._patience,
                lease=self.lease,
                clock=self.lease_time,
                local_events=self._local.events,
                committed=self._committed,
            )
            self._watch.look()  # a listener may wait since before the file was opened
        return self._file

    @property
    def session(self) -> object | None:
        """See ``Backend``."""
        return self._file

    @property
    def is_open(self) -> bool:
        """See ``Backend``."""
        return self._file is not None and self._file.commits.is_ours

    @property
    def largest(self) -> int:
        """See ``Backend``."""
        return self.file.largest

    @property
    def claims_last(self) -> bool:
        """See ``Backend``."""
        return True

    @property
    def heartbeat(self) -> Heartbeat:
        """See ``Backend``."""
        return self.file.heartbeat

    @property
    def inspector(self) -> SqlInspector:
        """See ``Backend``."""
        if self._inspector is None:
            self.file.commits.check_process()
            check = self.file.guard.check
            reads = SqliteInspectorReads(self.place, self._queue, self._clocks(), check)
            self._inspector = SqlInspector(reads)
        return self._inspector

    def check(self) -> None:
        """Check that the file was not removed, replaced or truncated.

        Raises:
            StoreError: if it was; it names the file.
        """
        self.file.guard.check()

    async def schema(self) -> SchemaVersion:
        """See ``Backend``."""
        return schema_of(self.place)

    async def upgrade(self) -> SchemaVersion:
        """See ``Backend``."""
        make_file(self.place, self._mode)
        return upgrade(self.place, synchronous=self._synchronous, patience=self._patience)

    async def examine(self) -> list[Finding]:
        """See ``Backend``."""
        now = self.lease_time()
        if damage := await asyncio.to_thread(find_damage, self.place):
            return [damage]  # it makes other answers worthless
        with translated_errors(self.place):
            return examine(self.place, self.file.reader.connection, now, self.lease)

    async def close(self) -> None:
        """See ``Backend``."""
        self._watch.stop()
        inspector, self._inspector = self._inspector, None
        if inspector is not None:
            await inspector.close()
        file, self._file = self._file, None
        if file is not None:
            await file.close()

    async def read(
        self, query: Callable[[Snapshot], Coroutine[Any, Any, T]], *, is_snapshot: bool = False
    ) -> T:
        """See ``Backend``; all reads see the same state.

        Raises:
            StoreError: if the file cannot be read.
        """
        with translated_errors(self.place):
            return read_snapshot(self.file.reader, self._clocks(), query)

    def time(self) -> float:
        """See ``Backend``."""
        return self.clock()

    def finish_time(self) -> float:
        """See ``Backend``; each time is later than the one before."""
        self._last_finish = max(self.lease_time(), self._last_finish + 1e-6)
        return self._last_finish

    def _clocks(self) -> Clocks:
        """Return the clocks for a request, which may be handled in another thread."""
        return Clocks(steady(self.clock), self.lease_time, self.finish_time)

    # -- requests ----------------------------------------------------------------------------

    def _ask(self, step: Any, then: Then | None = None) -> asyncio.Future[Any]:
        """Run a step in the next transaction; ``then`` is run to its end after the commit."""
        noted = None if then is None else lambda answer: run(then(answer))
        return self.file.commits.ask(step, noted)

    def run(
        self, work: BoundOperation, then: Then | None = None, *, is_prune: bool = False
    ) -> asyncio.Future[Any]:
        """See ``Backend``."""
        return self._ask(OperationStep(work, self._clocks(), is_prune=is_prune), then)

    def append(self, request: AppendRequest, then: Then) -> Awaitable[Any]:
        """See ``Backend``."""
        step = steps.AppendStep(request, self._clocks())
        if len(request.rows) > CHUNK:  # it has a transaction of its own
            return self.file.commits.append_large(step, lambda answer: run(then(answer)))
        self._listeners.notify_ready()
        return self._ask(step, then)

    def append_soon(
        self, event: EventData, row: NewEventRow, room: int | None
    ) -> asyncio.Future[None]:
        """See ``Backend``."""
        self._listeners.notify_ready()  # now, so that a claim comes in time for the same commit
        file = self.file if self._file is None else self._file
        return file.commits.append_new(event, row, room)

    async def append_within(self, connection: Any, request: AppendRequest) -> None:
        """Refuse the connection: only PostgreSQL has transactional append.

        Raises:
            OperationError: in any case.
        """
        refuse_connection(connection)

    async def before_claim(self, size: int) -> bool:
        """Return True: a claim shares the transaction of the requests that precede it."""
        return True

    def claim(self, request: ClaimRequest, taken: ClaimedEvents, then: Then) -> Awaitable[Any]:
        """See ``Backend``."""
        has, clocks = self._local.events.cache.has, self._clocks()
        if request.limits is not None:
            return self._ask(steps.LimitedClaimStep(request, clocks, has, taken), then)

        def end_of_lease() -> float:
            taken.until = boot_time() + request.seconds
            return self.lease_time() + request.seconds

        step = hot_claim.ClaimStep(request, has, clocks, end_of_lease)
        return self._ask(step, then)

    def complete(
        self, event: EventData, attempt: int, response: Any, duration: float, result: str | None
    ) -> None:
        """See ``Backend``."""
        own = event.__dict__
        finished = self.lease_time()
        if finished <= self._last_finish:
            finished = self._last_finish + 1e-6
        self._last_finish = finished
        failures, interruptions = own.get("_tries", 0), own.get("_interruptions", 0)
        attempts = attempts_json(own) if "_attempts" in own else None
        number = own["_arrival"]
        row = number, attempt, finished, duration, result, failures, interruptions, attempts
        file = self.file if self._file is None else self._file
        file.commits.complete((event, response, row))

    async def flush(self) -> None:
        """See ``Backend``."""
        await self.file.commits.quiet()

    def settle(self, rows: Sequence[SettlementRow], then: Then) -> asyncio.Future[Any]:
        """See ``Backend``."""
        return self._ask(steps.SettleStep(rows, self._clocks()), then)

    def change_usage(self, change: UsageChange) -> asyncio.Future[Any]:
        """See ``Backend``."""

        def work(tx: Any) -> Any:
            return change_usage(tx, change)

        return self._ask(OperationStep(work, self._clocks(), is_usage=True))

    def reap(self, limit: int, may_reap: Callable[[], bool], then: Then) -> asyncio.Future[Any]:
        """See ``Backend``."""
        workers = frozenset(self._local.workers.names)
        request = Reap(workers, self.lease, may_reap, workers, seen=self._seen, limit=limit)
        return self.run(partial(reap, request=request), then)

    def before_next_claim(self, request: asyncio.Future[Any]) -> None:
        """Ignore the error of a request: the next claim shares its transaction or comes later."""
        request.add_done_callback(ignore_error)

    # -- events that are read ahead ----------------------------------------------------------

    def look_up(self, numbers: Sequence[int]) -> list[StoredEvent | None]:
        """See ``Backend``."""
        with translated_errors(self.place):
            reader, found = self.file.reader, list[StoredEvent | None]()
            with reader.connection:  # one snapshot
                found += map(reader.find, numbers)
        return found

    async def prefetch(self, numbers: Sequence[int], *, whole: bool = False) -> None:
        """Do nothing: ``look_up`` reads the file."""

    def invalidate(self, numbers: Iterable[int]) -> None:
        """Do nothing: nothing is read ahead."""

    # -- other processes ---------------------------------------------------------------------

    def notify(self, changes: str) -> None:
        """Do nothing: other processes see the commit in the file, and it counts what is left."""

    def notify_queues(self, names: Sequence[str]) -> None:
        """Do nothing: other processes see the commit."""

    def _committed(self, is_idle: bool, may_resolve: bool) -> None:
        self._local.blocked.note_commit()
        if may_resolve:
            self._local.resolve_soon()
        if self._listeners.idle and (
            is_idle or (self._local.runnable and not self._local.events.claims)
        ):
            self._listeners.notify_idle()

    def watch(self) -> None:
        """See ``Backend``."""
        self._watch.look()

    def _is_watching(self) -> bool:
        is_wanted = self._listeners.any_hint() or bool(self._local.workers)
        return self._file is not None and is_wanted

    def _look(self) -> None:
        """Show what other processes have written."""
        try:
            self._look_at_file()
        except StoreError as error:  # callers that wait read the file, and get the error
            if not error.retryable:
                self._listeners.notify_failed(error)
            self._listeners.notify_finished(tuple(self._listeners.finished))
            self._listeners.notify_ready()
            self._listeners.notify_idle()
            self._listeners.notify_capacity()

    def _look_at_file(self) -> None:
        self.file.heartbeat.watch()
        if self.file.has_changed():
            self._local.others.are_known = True
            run(self._local.others.look(ALL))
            self._listeners.notify_ready()
            self._listeners.notify_idle()
