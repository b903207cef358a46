"""Interface between the operations of the SQL stores and a database.

An operation is an ``async def operation(tx, …)`` over the primitives of a ``Transaction``. It is
written once. PostgreSQL awaits it. On SQLite no primitive suspends, so ``run`` drives the same
coroutine to its end inside the transaction that many callers share.

Rules for operations:

- A primitive that changes state is one conditional statement and returns the rows that it changed.
  The operation decides from these rows. If a row has moved since, it looks again.
- The input is immutable and the result is a value. An operation uses no event loop, no cache and no
  listener; effects in the process follow the commit.
- A transaction may be repeated. If a commit got no answer, ``Transaction.earlier`` has the results
  of the earlier tries, each of which may have been committed. The docstring of each operation
  describes the result of a repeat.
- Operations that a person asks for wait for locked rows; they never skip them.

Lock order, the same in every operation:

1. names (``lock``): of a claim its limit accounts, sorted; of an append its unique key, then its
   queue limit; of ``resolve`` the dependencies of its queue;
2. the row of the queue;
3. rows of ``event``, by number: it orders all operations on the same events. ``resolve`` locks
   parents;
4. rows of ``ready``, then ``lease``, then ``finished``, each by number. ``resolve`` locks parents
   first, and children after their rows in ``dependency`` and ``child``;
5. rows of ``dependency``, ``child`` and ``parent_change``;
6. limit usage, by account and time;
7. counters of the queue, once, before the commit.

The hot statements claim and complete skip locked rows or lock leases in order of number. If two
transactions wait for each other nevertheless, PostgreSQL ends one of them, and it is repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

from .rows import (
    STATE,
    AppendRow,
    KnownEvent,
    NewEventRow,
    SettlementRow,
    StateColumns,
    StoredEvent,
)

if TYPE_CHECKING:
    import asyncio

    from ...model.event_data import EventData
    from ..inspector import Inspector
    from ..maintenance import Finding, SchemaVersion
    from .appending import AppendRequest
    from .claiming import ClaimRequest
    from .heartbeat import Heartbeat
    from .limits import UsageChange
    from .local_events import ClaimedEvents
    from .local_state import LocalState
    from .queries import Snapshot

__all__ = (
    "ALL",
    "CANCEL",
    "ENDED",
    "EXPIRES",
    "PUBLISHED",
    "READY",
    "SCHEDULES",
    "Backend",
    "BoundOperation",
    "FinishedRow",
    "Location",
    "QueueState",
    "ReadyCandidate",
    "ReadyRow",
    "Reserved",
    "Then",
    "Transaction",
    "common_words",
    "run",
)

T = TypeVar("T")

STATES: Final = tuple(each.strip() for each in STATE.split(","))
"""The state columns of ``ready`` and ``lease``, in the order of ``StateColumns``."""


class ReadyRow(NamedTuple):
    """An event in ``ready``.

    Attributes:
        number: Arrival number.
        due: Unix timestamp of its earliest start; 0.0 for at once.
        priority: Its priority; lower runs first.
        state: Its state columns.
    """

    number: int
    due: float
    priority: float
    state: StateColumns


class ReadyCandidate(NamedTuple):
    """An event in ``ready`` that a claim considers.

    Attributes:
        ready: Its row.
        event_type: The registry key of its class.
        key, costs: Its key and its costs as JSON; None if it has none of its own.
    """

    ready: ReadyRow
    event_type: str
    key: str | None
    costs: str | None


class FinishedRow(NamedTuple):
    """An event that finishes: number, status, state columns, and time; 0.0 for now."""

    number: int
    status: str
    state: StateColumns
    finished_at: float = 0.0


class Location(NamedTuple):
    """Status and attempt number of an event: PROCESSING while it has a lease."""

    status: str
    attempt: int


class QueueState(NamedTuple):
    """State of a queue that a claim reads.

    Attributes:
        now: The time.
        paused_until: Nothing is claimed before this time.
        due: The earliest time for which a ready event is scheduled; None if there is none.
        expires: The earliest time at which a ready event expires; None if there is none.
        may_resolve: True if parents have changed, and children are to be resolved first.
    """

    now: float
    paused_until: float
    due: float | None
    expires: float | None
    may_resolve: bool

    @property
    def is_paused(self) -> bool:
        """True if nothing is claimed now."""
        return self.paused_until > self.now


class Reserved(NamedTuple):
    """An amount of a limit that a lease reserves.

    Attributes:
        amount: How much.
        per: None: until the lease ends. Otherwise until the start of the event; the start
            counts for a window of so many seconds.
    """

    amount: float
    per: float | None


class Transaction(Protocol):
    """Primitives on the tables of one queue, inside one transaction.

    ``rows`` and ``many`` run statements that both databases understand. Their parameters are
    ``$1``, ``$2``, …. Words in braces differ between the databases:

    - ``{event}``: the name of a table;
    - ``{in_2}``: a test for membership in parameter 2, a list;
    - ``{pairs_2}``: the same for a pair of numbers; the parameter is a JSON text of pairs;
    - ``{json_rows}``: the rows ``e.value`` of parameter 1, a JSON text of lists;
    - ``{for_update}``, ``{skip_locked}``: row locks, where there are any;
    - ``{greatest}``: the function that returns the larger argument;
    - ``{now}``: the time. Such a statement has ``time`` as its first argument.

    Attributes:
        queue: The number of the queue.
        earlier: The results of earlier tries whose commit got no answer; usually empty.
        is_first_try: False if an earlier try of the operation has failed.
        container: What contains all queues, in messages: "file" or "schema".
    """

    @property
    def queue(self) -> int: ...
    @property
    def earlier(self) -> Sequence[Any]: ...
    @property
    def is_first_try(self) -> bool: ...
    @property
    def container(self) -> str: ...
    @property
    def time(self) -> float | None:
        """The first argument of statements with ``{now}``; None for the server's own clock."""

    @property
    def lease_time(self) -> float | None:
        """The first argument of statements with ``{now}`` about leases and finished events."""

    async def rows(self, statement: str, *arguments: Any) -> list[Any]:
        """Run a statement and return its rows."""

    async def many(self, statement: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement once for each tuple of arguments."""

    @property
    def is_repeat(self) -> bool:
        """True if an earlier try may have been committed."""

    async def settle(self, settlings: Sequence[SettlementRow]) -> list[tuple[int, int]]:
        """End leases and record the outcomes; return the number and attempt of each that was ended.

        A lease is ended if it has this attempt number, but not to be PENDING after a cancel was
        requested. Each is recorded whole or not at all, with the counters, so this needs no
        transaction around it.
        """

    def resolve_later(self) -> None:
        """Note that children are to be resolved after the commit; see ``sql.resolving``."""

    def count(self, status: str, by: int) -> None:
        """Change the number of events in a status; it is written before the commit."""

    async def counts(self) -> dict[str, int]:
        """Return the number of events in each status."""

    async def locate(self, numbers: Sequence[int]) -> dict[int, Location]:
        """Return the location of events of this queue, all at one instant."""

    async def lock_unfinished(self, numbers: Sequence[int]) -> tuple[list[int], list[int]]:
        """Lock the events that are ready or leased, in any queue, until the transaction ends.

        Returns:
            The numbers of the ready ones, and of the leased ones.
        """

    async def delete_ready(self, numbers: Sequence[int]) -> list[ReadyRow]:
        """Delete ready events and return them, by number."""

    async def insert_ready(self, rows: Sequence[ReadyRow]) -> None:
        """Insert ready events."""

    async def insert_finished(self, rows: Sequence[FinishedRow]) -> None:
        """Insert finished events, in this order."""

    async def lock(self, *names: str) -> None:
        """Exclude other transactions that lock one of these names, in this order, until the end."""

    async def known(self, ids: Sequence[bytes]) -> dict[bytes, KnownEvent]:
        """Return the known ids, in any queue, and their events."""

    async def insert_events(self, rows: Sequence[AppendRow]) -> Sequence[int]:
        """Insert events with their state, all in one shape; return their numbers.

        Events that have no record yet are inserted by the statement of the hot path.

        Raises:
            KnownIdError: if an id is known, or occurs twice. Nothing else can be done in the
                transaction.
            ExistsError: the same, where no other transaction can have appended the id meanwhile.
        """

    async def claim(
        self,
        chosen: Sequence[ReadyRow],
        worker: str,
        seconds: float,
        *,
        start: bool,
        reserved: Mapping[int, str],
    ) -> list[ReadyRow]:
        """Lease ready events to a worker and return those that could be claimed.

        Args:
            chosen: The events.
            worker: Name of the worker.
            seconds: Length of the leases.
            start: True if they start at once, which ends a series of denials.
            reserved: Amounts of limits that some leases reserve, as JSON, by number.
        """


def run(operation: Coroutine[Any, Any, T]) -> T:
    """Run an operation whose primitives never suspend.

    Raises:
        RuntimeError: if it suspends, which is a bug in a primitive.
    """
    try:
        operation.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    operation.close()
    raise RuntimeError("an operation here must not suspend; one of its primitives has awaited")


MOST: Final = 9
"""The highest number of a parameter that may be a list."""


def common_words(in_list: str, in_pairs: str) -> dict[str, str]:
    """Return the words ``{in_1}``, ``{pairs_1}``, … of shared statements.

    Args:
        in_list: The condition on a column, with ``{}`` for the parameter.
        in_pairs: The same for a pair of columns.
    """
    words = {f"in_{n}": in_list.format(f"${n}") for n in range(1, MOST + 1)}
    return words | {f"pairs_{n}": in_pairs.format(f"${n}") for n in range(1, MOST + 1)}


# -- what a database offers ---------------------------------------------------------------------

READY, ENDED, CANCEL, PUBLISHED, EXPIRES, SCHEDULES = "recpxs"
"""Kinds of changes: an event may be ready, has finished, is to be cancelled, has new progress, or
is pending and has a latest start; or a schedule has changed."""
ALL: Final = READY + ENDED + CANCEL + PUBLISHED + EXPIRES + SCHEDULES
"""All kinds of changes."""

Then: TypeAlias = Callable[[Any], Coroutine[Any, Any, Any]]
"""Called with the result of a committed request, also if its caller was cancelled; returns the
result for the caller. On SQLite it never suspends."""

BoundOperation: TypeAlias = Callable[[Transaction], Coroutine[Any, Any, Any]]
"""An operation with all its arguments but the transaction."""


class Backend(Protocol):
    """What a database offers to ``SqlStore``.

    A request is a future. Its ``then`` is called after the commit, even if the caller was
    cancelled. Requests on SQLite share transactions; on PostgreSQL each kind has a pipeline.

    Attributes:
        place: The database, as messages name it.
        clock: Returns the time for scheduled and expiring events.
        counts_commits: See ``BlockedClaims``.
    """

    @property
    def place(self) -> object: ...
    @property
    def clock(self) -> Callable[[], float]: ...
    @property
    def counts_commits(self) -> bool: ...

    def attach(self, local: LocalState) -> None:
        """Set the state of the store in this process; called once, before everything else."""

    # -- the database ------------------------------------------------------------------------

    @property
    def session(self) -> object | None:
        """The open database; None if it is not open. After a close it is another object."""

    @property
    def is_open(self) -> bool:
        """True if this process has opened the database, and not a parent process."""

    @property
    def largest(self) -> int:
        """The maximum size of the texts of a row in bytes."""

    @property
    def claims_last(self) -> bool:
        """True if a claim finds what operations change that were requested before it."""

    @property
    def heartbeat(self) -> Heartbeat:
        """The heartbeat that renews the leases of this process."""

    @property
    def inspector(self) -> Inspector:
        """Queries for monitoring."""

    def check(self) -> None:
        """Check that the database is still there, if that needs no round trip."""

    async def schema(self) -> SchemaVersion:
        """See ``Maintenance.schema``."""

    async def upgrade(self) -> SchemaVersion:
        """See ``Maintenance.upgrade``."""

    async def examine(self) -> list[Finding]:
        """See ``Maintenance.examine``."""

    async def close(self) -> None:
        """Finish running requests, and close everything; a later request opens it again."""

    # -- time --------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the time of the store."""

    def lease_time(self) -> float:
        """Return the time for leases."""

    def finish_time(self) -> float:
        """Return a time for an event that finishes; 0.0 if the server sets it."""

    # -- requests ----------------------------------------------------------------------------

    async def read(
        self, query: Callable[[Snapshot], Coroutine[Any, Any, T]], *, is_snapshot: bool = False
    ) -> T:
        """Run a query; see ``sql.queries``. On SQLite this does not suspend.

        Args:
            query: The query.
            is_snapshot: True if all its reads have to see the same state of the tables.
        """

    def run(
        self, work: BoundOperation, then: Then | None = None, *, is_prune: bool = False
    ) -> asyncio.Future[Any]:
        """Run an operation in a transaction.

        Args:
            work: The operation.
            then: See ``Then``.
            is_prune: True if it reads finished events in the order of their ends.
        """

    def append(self, request: AppendRequest, then: Then) -> Awaitable[Any]:
        """Append events, all or none; ``then`` gets an ``Appended``.

        Raises:
            NotHeld: if a known event is not in this process; ``look_up`` has it until the next
                ``await``. Nothing was appended.
        """

    def append_soon(
        self, event: EventData, row: NewEventRow, room: int | None
    ) -> asyncio.Future[None]:
        """Append an event that has no record yet; hot path."""

    async def append_within(self, connection: Any, request: AppendRequest) -> None:
        """Append events in the transaction of a connection of the caller.

        Raises:
            OperationError: if that is not supported, or the terms cannot be decided there.
        """

    async def before_claim(self, size: int) -> bool:
        """Wait for what has to precede a claim; return False if nothing can be claimed now.

        Args:
            size: The maximum number of events of the claim.
        """

    def claim(self, request: ClaimRequest, taken: ClaimedEvents, then: Then) -> Awaitable[Any]:
        """Claim events; ``then`` gets a ``ClaimResult``.

        Args:
            request: The request.
            taken: Gets the end of the leases.
            then: See ``Then``.
        """

    def complete(
        self, event: EventData, attempt: int, response: Any, duration: float, result: str | None
    ) -> None:
        """Record that an attempt has completed; hot path. It is repeated until it succeeds."""

    async def flush(self) -> None:
        """Wait until all completions are recorded; see ``BufferedPath.settled``."""

    def settle(self, rows: Sequence[SettlementRow], then: Then) -> asyncio.Future[Any]:
        """Record outcomes."""

    def change_usage(self, change: UsageChange) -> asyncio.Future[Any]:
        """Apply what a running attempt changes of its limits, before it is settled."""

    def reap(self, limit: int, may_reap: Callable[[], bool], then: Then) -> asyncio.Future[Any]:
        """Return the events of lapsed leases; ``then`` gets a ``Reaped``.

        Args:
            limit: Maximum number of events.
            may_reap: See ``Reap``.
            then: See ``Then``.
        """

    def before_next_claim(self, request: asyncio.Future[Any]) -> None:
        """Let the next claim wait for a request without a caller; its error is ignored."""

    # -- events that are read ahead ----------------------------------------------------------

    def look_up(self, numbers: Sequence[int]) -> list[StoredEvent | None]:
        """Return the columns of events; on PostgreSQL those that ``prefetch`` has read."""

    async def prefetch(self, numbers: Sequence[int], *, whole: bool = False) -> None:
        """Read events for ``look_up``, with all columns if ``whole``; no effect on SQLite."""

    def invalidate(self, numbers: Iterable[int]) -> None:
        """Note that these events have changed in this process; earlier reads are out of date."""

    # -- other processes ---------------------------------------------------------------------

    def notify_queues(self, names: Sequence[str]) -> None:
        """Notify other processes that events of other queues may be ready; no effect on SQLite."""

    def notify(self, changes: str) -> None:
        """Notify other processes of changes, and listeners for IDLE if the queue may be idle.

        It has no effect on SQLite, where both see the commit.
        """

    def watch(self) -> None:
        """Look for changes by other processes from now on, while a listener wants it."""
