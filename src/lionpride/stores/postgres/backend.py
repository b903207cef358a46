"""PostgreSQL as the backend of a store: connections, pipelines, reads, and other processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import nullcontext
from copy import copy
from functools import partial
from typing import Any, Final, TypeVar

from ...errors import OperationError, StoreError
from ...model.event_data import EventData
from ..contract import Entry
from ..maintenance import Finding, SchemaVersion
from ..sql import operations
from ..sql.appending import Appended, AppendRequest, NotHeld, append
from ..sql.backend import ENDED, EXPIRES, READY, BoundOperation, Then, run
from ..sql.claiming import ClaimRequest
from ..sql.codec import PLAIN_COLUMNS, exceeds_statement
from ..sql.heartbeat import Heartbeat
from ..sql.inspector import SqlInspector
from ..sql.leases import Reap, Reaped
from ..sql.limits import UsageChange, change_usage
from ..sql.local_events import ClaimedEvents
from ..sql.local_state import LocalState
from ..sql.queries import Snapshot
from ..sql.requests import ignore_error
from ..sql.rows import (
    PENDING,
    NewEventRow,
    QueuedAppend,
    QueuedCompletion,
    ReadyColumns,
    SettlementRow,
    StoredEvent,
)
from ..thread_connection import ThreadConnection
from ..url import redact
from . import queries
from .callers_connection import asynchronous, synchronous
from .clock import ServerClock
from .connection_pool import Connector
from .connections import Batches, Connections
from .doctor import examine
from .heartbeat import make_heartbeat
from .hot_append import append_new
from .hot_claim import Claim, Leased
from .hot_complete import complete
from .inspector import PostgresInspectorReads
from .migrations import over_own_connection, schema_of, upgrade_schema
from .pipelines import Request, fail_requests, run_request
from .session import TableConnection
from .snapshot import PostgresSnapshot
from .stale_read_guard import StaleReadGuard
from .tables import TableNames
from .transaction import LimitedClaim, Operation, PostgresTransaction, ReapStep
from .transactional import insert_within
from .vacuum import VacuumSchedule
from .watching import ChangeWatch

__all__ = ("PostgresBackend",)

T = TypeVar("T")

logger = logging.getLogger("lionpride")

LARGEST: Final = 2**30 - 2**20
"""The maximum size of the texts of a row: a value of PostgreSQL has less than a gibibyte."""

AGAIN: Final = 1.0
"""Seconds until completions that could not be written are repeated."""

AHEAD: Final = 4
"""Completions that may be unrecorded while more is claimed, as a multiple of what runs at once.

If the process is killed, these events run again, beside those that were running.
"""

HINTS: Final = (0.02, 0.2, 1.0)
"""Seconds after an append in a caller's transaction at which workers are told to look."""


class PostgresBackend:
    """See ``sql.backend.Backend``. The connections are opened by the first request in a loop.

    Args:
        url: Server and database.
        queue: The name of the queue.
        names: The names of the tables.
        lease, patience, connections, listen, poll, pgbouncer, clock: See ``PostgresStore``.
    """

    counts_commits: Final = False

    def __init__(
        self,
        url: str,
        queue: str,
        names: TableNames,
        *,
        lease: float,
        patience: float,
        connections: int,
        listen: bool,
        poll: float,
        pgbouncer: bool,
        clock: Callable[[], float] | None,
    ) -> None:
        self.place: Final = redact(url)
        server_clock = ServerClock()
        self.clock: Final = clock or server_clock
        self.names = names
        self._queue = queue
        self._given_clock = clock
        self._lease = lease
        self._patience = patience
        self._connections = connections
        self._connector = Connector(url, names, pgbouncer=pgbouncer, patience=patience)
        self._opened: Connections | None = None
        self._heartbeat = make_heartbeat(self._connector, names, queue, lease, clock, self.place)
        self._stale_reads = StaleReadGuard(self._read_current, self._read_whole)
        self._vacuum = VacuumSchedule()
        self._preceding: set[asyncio.Future[Any]] = set()  # requests before the next claim
        self._claims = 0  # claims that run now
        self._is_hint_late = False  # listeners for IDLE are to be notified after the claims
        self._large_ids: frozenset[bytes] = frozenset()  # ids of the large append that runs
        self._are_from_others = True  # most claimed events were appended by other processes
        self._trouble: Exception | None = None  # of the last completions
        self._watch = ChangeWatch(
            self._connector,
            names.channel,
            self._read,
            heartbeat=self._heartbeat,
            clock=None if clock else server_clock,
            listen=listen and not pgbouncer,
            poll=poll,
            is_open=lambda: self._opened is not None,
            is_claiming=lambda: self._claims > 0,
            hint_idle=self._hint_idle,
        )
        self._notifier = self._watch.notifier

    def attach(self, local: LocalState) -> None:
        """See ``Backend``."""
        self._local = local
        self._events = local.events
        self._watch.attach(local)

    # -- the connections ---------------------------------------------------------------------

    @property
    def opened(self) -> Connections:
        """The connections, opened at the first use in this event loop.

        Raises:
            OperationError: in a child process after ``fork``.
        """
        opened = self._opened
        if opened is None or opened.loop is not asyncio.get_running_loop():
            opened = self._opened = Connections(
                self._connector,
                self.names,
                self._queue,
                Batches(
                    append=self._append_all,
                    settle=self._settle_all,
                    claim=self._claim_one,
                    fail_settlements=self._fail_settlements,
                ),
                connections=self._connections,
                where=self.place,
                patience=self._patience,
                clock=self._given_clock,
                on_reopen=self._watch.listener.reopen,
                resolve_soon=self._local.resolve_soon,
            )
            opened.loop.call_soon(self._watch.has_opened)
        opened.check_process()
        return opened

    @property
    def session(self) -> object | None:
        """See ``Backend``."""
        return self._opened

    @property
    def is_open(self) -> bool:
        """See ``Backend``."""
        return self._opened is not None and self._opened.is_ours

    @property
    def largest(self) -> int:
        """See ``Backend``."""
        return LARGEST

    @property
    def claims_last(self) -> bool:
        """See ``Backend``."""
        return False

    @property
    def heartbeat(self) -> Heartbeat:
        """See ``Backend``."""
        return self._heartbeat

    @property
    def inspector(self) -> SqlInspector:
        """See ``Backend``."""
        return SqlInspector(PostgresInspectorReads(self._read))

    def check(self) -> None:
        """Do nothing: a server is asked by requests only."""

    async def schema(self) -> SchemaVersion:
        """See ``Backend``."""
        return await over_own_connection(self._connector, self.names, self.place, schema_of)

    async def upgrade(self) -> SchemaVersion:
        """See ``Backend``."""
        return await over_own_connection(self._connector, self.names, self.place, upgrade_schema)

    async def examine(self) -> list[Finding]:
        """See ``Backend``."""
        return await self._read(examine)

    async def close(self) -> None:
        """See ``Backend``."""
        await self._watch.stop()
        try:
            await self._close()
        finally:
            self._watch.has_closed()

    async def _close(self) -> None:
        opened = self._opened
        if opened is None or not opened.is_ours:
            self._opened = None
            return
        self._heartbeat.stop()
        await self._watch.listener.stop()
        try:
            if opened.loop is asyncio.get_running_loop():
                await opened.quiet()
                await self._notifier.leave()
        finally:
            self._opened = None
            await self._notifier.stop()
            await opened.close()

    async def read(
        self, query: Callable[[Snapshot], Coroutine[Any, Any, T]], *, is_snapshot: bool = False
    ) -> T:
        """See ``Backend``."""

        async def step(db: TableConnection) -> T:
            async with db.snapshot() if is_snapshot else nullcontext():
                return await query(PostgresSnapshot(db, await db.known_queue()))

        return await self._read(step)

    async def _read(self, step: Callable[[TableConnection], Awaitable[T]]) -> T:
        """Run a step that only reads."""
        return await self.opened.read(step)

    def time(self) -> float:
        """See ``Backend``."""
        self._watch.keep_time()
        return self.clock()

    def lease_time(self) -> float:
        """See ``Backend``."""
        return self.clock()

    def finish_time(self) -> float:
        """Return 0.0: the server sets it."""
        return 0.0

    # -- requests ----------------------------------------------------------------------------

    def run(
        self, work: BoundOperation, then: Then | None = None, *, is_prune: bool = False
    ) -> asyncio.Future[Any]:
        """See ``Backend``."""
        opened = self.opened
        return opened.ask(opened.others, Operation(work), then)

    def change_usage(self, change: UsageChange) -> asyncio.Future[Any]:
        """See ``Backend``."""
        opened = self.opened
        note = self._local.blocked.note_change
        return opened.ask(opened.settlements, change, lambda _: note())

    def before_next_claim(self, request: asyncio.Future[Any]) -> None:
        """See ``Backend``."""
        self._preceding.add(request)
        request.add_done_callback(self._preceding.discard)
        request.add_done_callback(ignore_error)

    def reap(self, limit: int, may_reap: Callable[[], bool], then: Then) -> asyncio.Future[Any]:
        """See ``Backend``. It precedes the next claim, which may take what it returns."""
        own, opened = self._local.workers, self.opened
        names, claimants = frozenset(own.names), frozenset(own.claiming)
        attempts = self._local.attempts
        request = Reap(names, self._lease, may_reap, claimants, attempts, limit=limit)

        async def reaped(result: Reaped) -> Any:
            self._vacuum.workers = result.live_workers
            if result.live_workers > len(result.registered):
                self._local.others.are_known = True
            return await then(result)

        return opened.ask(opened.claims, ReapStep(request), reaped)

    # -- append ------------------------------------------------------------------------------

    async def append(self, request: AppendRequest, then: Then) -> Any:
        """See ``Backend``."""

        async def appended(result: Appended) -> Any:
            known = await self._read_known(list(result.known))
            try:
                return await then(result)
            finally:
                del known  # the process keeps these events until then

        try:
            return await self._append(request, appended)
        except NotHeld as error:
            await self._read_known(error.numbers)
            raise

    def _append(self, request: AppendRequest, then: Then) -> asyncio.Future[Any]:
        opened, operation = self.opened, Operation(partial(append, request=request))

        async def step(db: TableConnection) -> Appended:
            self._large_ids = frozenset(request.ids)
            return await operation(db)

        return opened.ask(opened.large_appends, step, then)

    async def _read_known(self, numbers: Sequence[int]) -> list[EventData]:
        """Read the known events of an append for ``look_up``; return those of this process.

        An append of this process that was cancelled while it ran is noted first.
        """
        cache = self._events.cache
        if not all(map(cache.has, numbers)):
            await self.opened.appends.passed()
        found = [event for event in map(cache.find, numbers) if event is not None]
        if unknown := [number for number in numbers if not cache.has(number)]:
            await self._stale_reads.prefetch(unknown, whole=True)
        return found

    def append_soon(
        self, event: EventData, row: NewEventRow, room: int | None
    ) -> asyncio.Future[None]:
        """See ``Backend``."""
        opened = self.opened
        if len(row) == PLAIN_COLUMNS:
            future: asyncio.Future[None] = opened.loop.create_future()
            opened.appends.put((event, row, future, room))
            return future

        async def appended(result: Appended) -> None:
            self._events.appended_all_new([(event, row[4])], result.numbers)
            self._notifier.notify(READY)

        # Key and costs are columns that the hot statement does not write.
        return self._append(AppendRequest([row], room=room), appended)

    async def _append_all(self, entries: Sequence[QueuedAppend]) -> bool:
        """Append the events of a batch, and answer their callers."""
        entries = [one for one in entries if not one[2].cancelled()]  # never once it has begun
        if entries:
            await self._append_some(entries)
        return True

    async def _append_some(self, entries: Sequence[QueuedAppend], again: bool = False) -> None:
        opened = self.opened
        if len(entries) > 1 and exceeds_statement(one[1][2] for one in entries):
            for one in entries:
                await self._append_some([one], again)
            return
        rows, limits = [one[1] for one in entries], [one[3] for one in entries]
        numbers: Sequence[int | Exception]
        try:
            numbers = await opened.append_session.run(
                lambda db: append_new(db, rows, limits), again=again
            )
        except Exception as error:
            if len(entries) > 1 and not _is_unreachable(error):
                for half in _halves(entries, error):
                    await self._append_some(half, again)
                return
            numbers = [error, *(_copy(error) for _ in entries[1:])]
        accepted, own = list[Entry](), list[int]()
        for (event, row, future, _), number in zip(entries, numbers, strict=True):
            if isinstance(number, int):
                accepted.append((event, row[4]))
                own.append(number)
                if not future.done():
                    future.set_result(None)
            elif not future.done():
                future.set_exception(number)
        if accepted:
            self._events.appended_all_new(accepted, own)
            self._notifier.notify(READY)

    async def append_within(self, connection: Any, request: AppendRequest) -> None:
        """See ``Backend``."""
        if request.unique_key is not None:
            raise OperationError(
                "unique= cannot be decided in another's transaction: leave connection= out"
            )
        queue = await self._read(lambda db: db.make_queue())
        if isinstance(connection, ThreadConnection):
            own = connection.connection
            await connection.run(
                lambda: run(insert_within(synchronous(own), self.names, queue, request))
            )
        else:
            await insert_within(await asynchronous(connection), self.names, queue, request)
        for seconds in HINTS:  # the commit is not known
            self.opened.loop.call_later(seconds, self._hint_ready)

    def _hint_ready(self) -> None:
        if self._opened is not None:
            self._local.listeners.notify_ready()
            self._notifier.notify(READY + EXPIRES)

    # -- claim -------------------------------------------------------------------------------

    async def before_claim(self, size: int) -> bool:
        """See ``Backend``."""
        if self._preceding:
            await asyncio.wait(self._preceding)
        settle = self.opened.settlements
        if not settle.behind:
            return True
        most = AHEAD * max(1, size + len(self._events.claims) - settle.behind)
        while settle.behind >= most and not settle.stalled:
            await asyncio.sleep(0)
            await settle.passed()
        return settle.behind < most

    async def claim(self, request: ClaimRequest, taken: ClaimedEvents, then: Then) -> Any:
        """See ``Backend``."""
        opened, expire = self.opened, Operation(operations.expire)
        step: Any = Claim(request, self._are_from_others, expire)
        if request.limits is not None:
            step = LimitedClaim(request, expire)

        async def claimed(leased: Leased) -> Any:
            taken.until = leased.asked + request.seconds
            leased, known = await self._read_claimed(leased, request, taken)
            try:
                return await then(leased.result)
            finally:
                del known  # the process keeps these events until then

        self._claims += 1
        try:
            return await opened.ask(opened.claims, step, claimed)
        finally:
            self._claims -= 1
            if self._is_hint_late:
                self._hint_idle()

    async def _claim_one(self, some: Sequence[Request]) -> bool:
        """Run the requests of the pipeline of claims."""
        for one in some:
            if not one.future.cancelled():
                await run_request(
                    self.opened.claim_session, one, partial(self._take, step=one.step)
                )
        return True

    async def _take(self, db: TableConnection, step: Any) -> Any:
        """Run a step; if it fails, let a reap precede the next claim."""
        try:
            return await step(db)
        except Exception:
            # A claim may have leased events before it failed, or be committed without an answer.
            self._local.reap_soon()
            raise

    async def _read_claimed(
        self, leased: Leased, request: ClaimRequest, taken: ClaimedEvents
    ) -> tuple[Leased, Sequence[EventData]]:
        """Read what claimed events are built of; return the known ones as well."""
        numbers = leased.numbers
        self._notifier.expect(more=bool(numbers))
        known: Sequence[EventData] = ()
        if numbers:
            leased, known = await self._with_columns(leased, numbers)
        self._stale_reads.invalidate(numbers)
        if leased.untried:
            rest = leased.untried
            if request.start:
                rest = self._events.start_untried(leased.untried, taken)
            leased = leased.moved(rest, ()) if rest else leased
        if self._vacuum.is_due(len(numbers)):
            opened = self.opened
            opened.ask(opened.vacuums, self._vacuum).add_done_callback(ignore_error)
        return leased, known

    async def _with_columns(
        self, leased: Leased, numbers: Sequence[int]
    ) -> tuple[Leased, list[EventData]]:
        """Read the columns that new events are built of; return them, and the known events.

        Steps that have changed these events, and whose answers are on their way, are noted first:
        an append, or a settlement that returned an event to the queue.
        """
        found, known = await self._find_all(numbers)
        new = numbers
        if known:
            new = [number for number, event in zip(numbers, found, strict=True) if event is None]
        self._are_from_others = 2 * len(new) > len(found)
        return (await self._with_new(leased, new) if new else leased), known

    async def _find_all(
        self, numbers: Sequence[int]
    ) -> tuple[list[EventData | None], list[EventData]]:
        """Return the event of each number, and those of them that this process has."""
        opened, find_all = self.opened, self._events.cache.find_all

        def look() -> tuple[list[EventData | None], list[EventData]]:
            found = find_all(numbers)
            return found, [event for event in found if event is not None]

        found, known = look()
        if len(known) < len(found) and await opened.appends.passed():
            found, known = look()
        if any(event.__dict__["_status"] != PENDING for event in known):
            await opened.settlements.passed()
            await opened.others.passed()
            found, known = look()
        return found, known

    async def _with_new(self, leased: Leased, new: Sequence[int]) -> Leased:
        """Read the columns of new events; refuse those of types that are not run here."""
        if not leased.whole:
            unknown = set(new).difference(leased.kept)
            read = await self._read(lambda db: queries.fixed_columns(db, list(unknown)))
            untried = [one for one in leased.untried if one[0] not in unknown]
            others = [one for one in leased.untried if one[0] in unknown]
            leased = leased.moved(others, untried)
            leased = leased._replace(kept={**leased.kept, **read})
        kept, columns = leased.kept, leased.untried if leased.whole else ()
        if self._large_ids:
            ids = [one[2] for one in columns] + [one[0] for one in kept.values()]
            if not self._large_ids.isdisjoint(ids):
                await self.opened.large_appends.passed()
        types = {one[3] for one in columns}
        types.update(kept[number][1] for number in new if number in kept)
        missing = {each for each in types if not self._local.runnable.runs(each)}
        return self._without(leased, missing) if missing else leased

    def _without(self, leased: Leased, missing: set[str]) -> Leased:
        """Return the claim without events of these types, which are refused."""
        runnable = self._local.runnable
        runnable.missing.update(missing)
        leased = leased.moved(leased.untried, ())
        rows: list[ReadyColumns] = []
        for one in leased.rows:
            if one[0] in leased.kept and leased.kept[one[0]][1] in missing:
                runnable.refuse_missing(one)
            else:
                rows.append(one)
        return leased._replace(rows=rows, wait=0.0)

    # -- settle ------------------------------------------------------------------------------

    def complete(
        self, event: EventData, attempt: int, response: Any, duration: float, result: str | None
    ) -> None:
        """See ``Backend``."""
        row = event.__dict__["_arrival"], attempt, 0.0, duration, result, 0, 0, None
        self.opened.settlements.put((event, response, row))

    async def flush(self) -> None:
        """See ``Backend``."""
        settle = self.opened.settlements
        while not settle.idle and not settle.stalled:
            await settle.quiet()
        if settle.stalled and self._trouble is not None:
            raise self._trouble

    def settle(self, rows: Sequence[SettlementRow], then: Then) -> asyncio.Future[Any]:
        """See ``Backend``."""
        opened = self.opened
        return opened.ask(opened.settlements, rows, then)

    async def _settle_all(self, items: Sequence[QueuedCompletion | Request]) -> bool:
        """Settle the attempts of a batch; return False to wait before the next batch."""
        asked = []
        for one in items:  # what an attempt uses, it uses before it ends
            if isinstance(one, Request) and isinstance(one.step, UsageChange):
                step = Operation(partial(change_usage, change=one.step))
                await run_request(self.opened.settle_session, one, step)
            elif isinstance(one, Request):
                asked.append(one)
        completions = [one for one in items if not isinstance(one, Request)]
        is_done = not completions or await self._complete_all(completions)
        if completions and is_done:
            self._trouble = None
        await self._settle_each(asked)
        return is_done

    def _fail_settlements(
        self, items: Sequence[QueuedCompletion | Request], error: Exception
    ) -> None:
        """Raise an error in the caller of each settlement; repeat completions, which have none."""
        fail_requests([one for one in items if isinstance(one, Request)], error)
        if completions := [one for one in items if not isinstance(one, Request)]:
            self._repeat_later(completions, error)

    async def _complete_all(self, completions: Sequence[QueuedCompletion]) -> bool:
        """Record completions; return False if they have to be repeated."""
        if len(completions) > 1 and exceeds_statement(one[2][4] for one in completions):
            return all([await self._complete_all([one]) for one in completions])
        rows, again = [one[2] for one in completions], self._trouble is not None
        try:
            applied = await self.opened.settle_session.run(
                lambda db: complete(db, rows), again=again
            )
        except Exception as error:
            if len(completions) > 1 and not _is_unreachable(error):
                halves = _halves(completions, error)
                return all([await self._complete_all(half) for half in halves])
            self._repeat_later(completions, error)
            return False
        return await self._completed(completions, applied)

    def _repeat_later(self, completions: Sequence[QueuedCompletion], error: Exception) -> None:
        opened, self._trouble = self.opened, error
        opened.settlements.put_back(completions)

        def go() -> None:
            if self._opened is opened:
                opened.settlements.go()

        opened.loop.call_later(AGAIN, go)

    async def _completed(
        self, completions: Sequence[QueuedCompletion], applied: Sequence[bool]
    ) -> bool:
        """Show completions; return False if some have to be repeated."""
        claims, is_done = self._events.claims, True
        lost = [
            one
            for one, is_applied in zip(completions, applied, strict=True)
            if not is_applied and claims.get(one[2][0]) == one[2][1]
        ]
        try:
            if lost:
                await self._stale_reads.prefetch([one[2][0] for one in lost])
        except Exception as error:
            self._repeat_later(lost, error)
            pairs = zip(completions, applied, strict=True)
            completions = [one for one, is_applied in pairs if is_applied]
            applied, is_done = [True] * len(completions), False
        self._stale_reads.invalidate(one[2][0] for one in completions)
        self._events.completed(completions, applied)
        self._notifier.notify(ENDED)
        self._hint_idle()
        self._local.blocked.note_change()
        return is_done

    async def _settle_each(self, asked: Sequence[Request]) -> None:
        """Record outcomes, all in one statement, and answer each caller."""
        if not asked:
            return
        rows = [row for one in asked for row in one.step]
        if len(asked) > 1 and exceeds_statement(row[6] and row[6][6] for row in rows):
            for one in asked:
                await self._settle_each([one])
            return
        try:
            answers = await self.opened.settle_session.run(
                lambda db: operations.settle(PostgresTransaction(db), rows)
            )
        except Exception as error:
            if len(asked) > 1 and not _is_unreachable(error):
                for half in _halves(asked, error):
                    await self._settle_each(half)
                return
            for one in asked:
                one.fail(error)
            return
        for one in asked:
            own, answers = answers[: len(one.step)], answers[len(one.step) :]
            await one.answer(own)

    # -- events that are read ahead ----------------------------------------------------------

    async def _read_current(self, numbers: Sequence[int]) -> dict[int, StoredEvent]:
        return await self._read(lambda db: queries.current(db, numbers))

    async def _read_whole(self, numbers: Sequence[int]) -> dict[int, StoredEvent]:
        return await self._read(lambda db: queries.find(db, numbers))

    def look_up(self, numbers: Sequence[int]) -> list[StoredEvent | None]:
        """See ``Backend``."""
        return self._stale_reads.prefetched(numbers)

    async def prefetch(self, numbers: Sequence[int], *, whole: bool = False) -> None:
        """See ``Backend``."""
        await self._stale_reads.prefetch(numbers, whole=whole)

    def invalidate(self, numbers: Iterable[int]) -> None:
        """See ``Backend``."""
        self._stale_reads.invalidate(numbers)

    # -- other processes ---------------------------------------------------------------------

    def notify(self, changes: str) -> None:
        """See ``Backend``."""
        self._notifier.notify(changes)
        self._hint_idle()

    def notify_queues(self, names: Sequence[str]) -> None:
        """See ``Backend``."""
        for name in names:
            self._notifier.notify_queue(name)

    def _hint_idle(self) -> None:
        """Notify the listeners for IDLE if the queue may be idle."""
        # While a claim runs, the listeners wait for its answer: it knows better, and a look costs
        # as much as a few events.
        self._is_hint_late = self._claims > 0
        listeners = self._local.listeners
        if listeners.idle and not self._events.claims and not self._claims:
            listeners.notify_idle()

    def watch(self) -> None:
        """See ``Backend``."""
        self._watch.watch()


def _is_unreachable(error: Exception) -> bool:
    """Return True if no request of a batch is at fault: the server cannot be reached."""
    return isinstance(error, StoreError) and error.retryable


def _copy(error: Exception) -> Exception:
    """Return an error of its own for another caller: each raises it with its own traceback."""
    another = copy(error)
    another.__cause__ = error.__cause__
    return another


def _halves(requests: Sequence[T], error: Exception) -> tuple[Sequence[T], Sequence[T]]:
    """Return both halves of a batch that failed: so the request at fault gets its own error."""
    logger.debug("a batch of %d requests is repeated in halves: %r", len(requests), error)
    middle = len(requests) // 2
    return requests[:middle], requests[middle:]
