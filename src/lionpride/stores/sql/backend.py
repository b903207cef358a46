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

1. limit accounts (``lock_accounts``), by name;
2. the row of the queue;
3. rows of ``event``, by number (``lock_events``): it orders all operations on the same events;
4. rows of ``ready``, then ``lease``, then ``finished``, each by number;
5. limit usage, by account and time;
6. counters of the queue, once, before the commit.

The hot statements claim and complete skip locked rows or lock leases in order of number. If two
transactions wait for each other nevertheless, PostgreSQL ends one of them, and it is repeated.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from .rows import STATE, SettlementRow, StateColumns

__all__ = (
    "Candidate",
    "FinishedRow",
    "Location",
    "QueueState",
    "ReadyRow",
    "Reserved",
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


class Candidate(NamedTuple):
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
    """StateColumns of a queue, as far as claims need it.

    Attributes:
        now: The time.
        paused_until: Nothing is claimed before this time.
        due: The earliest time for which a ready event is scheduled; None if there is none.
        expires: The earliest time at which a ready event expires; None if there is none.
    """

    now: float
    paused_until: float
    due: float | None
    expires: float | None

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
    - ``{for_update}``, ``{skip_locked}``: row locks, where there are any;
    - ``{greatest}``: the function that returns the larger argument;
    - ``{now}``: the time. Such a statement has ``time`` as its first argument.

    Attributes:
        queue: The number of the queue.
        earlier: The results of earlier tries whose commit got no answer; usually empty.
    """

    @property
    def queue(self) -> int: ...
    @property
    def earlier(self) -> Sequence[Any]: ...
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

    def count(self, status: str, by: int) -> None:
        """Change the number of events in a status; it is written before the commit."""

    async def counts(self) -> dict[str, int]:
        """Return the number of events in each status."""

    async def locate(self, numbers: Sequence[int]) -> dict[int, Location]:
        """Return the location of events of this queue, all at one instant."""

    async def delete_ready(self, numbers: Sequence[int]) -> list[ReadyRow]:
        """Delete ready events and return them, by number."""

    async def insert_ready(self, rows: Sequence[ReadyRow]) -> None:
        """Insert ready events."""

    async def insert_finished(self, rows: Sequence[FinishedRow]) -> None:
        """Insert finished events, in this order."""

    async def lock_accounts(self, accounts: Sequence[str]) -> None:
        """Wait until no other transaction claims under these limits, and exclude others."""

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
    raise RuntimeError("an operation on SQLite must not suspend; one of its primitives has awaited")


MOST: Final = 9
"""The highest number of a parameter that may be a list."""


def common_words(in_list: str) -> dict[str, str]:
    """Return the words ``{in_1}``, ``{in_2}``, … of shared statements.

    Args:
        in_list: The condition on a column, with ``{}`` for the parameter.
    """
    return {f"in_{n}": in_list.format(f"${n}") for n in range(1, MOST + 1)}
