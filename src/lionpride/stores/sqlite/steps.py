"""Steps of a transaction: each is done as a whole or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..contract import Settled
from ..sql.appending import Appended, AppendRequest, append
from ..sql.backend import run
from ..sql.claiming import ClaimRequest, ClaimResult
from ..sql.limits import claim_within_limits
from ..sql.local_events import ClaimedEvents
from ..sql.operations import settle
from ..sql.rows import SettlementRow
from .rows import Rows
from .transaction import Clocks, SqliteTransaction, expire_late

__all__ = ("AppendStep", "LimitedClaimStep", "SettleStep", "Step")

Step: TypeAlias = Callable[[Rows], Any]
"""What is called inside a transaction; what it raises undoes what it did."""


@dataclass(frozen=True, slots=True)
class AppendStep:
    """Append events; see ``sql.appending.append``.

    Attributes:
        request: The events.
        clocks: The clocks of the store.
    """

    request: AppendRequest
    clocks: Clocks

    def __call__(self, rows: Rows) -> Appended:
        return run(append(SqliteTransaction(rows, self.clocks), self.request))

    async def in_pieces(
        self, rows: Rows, piece: int, pause: Callable[[], Awaitable[None]]
    ) -> Appended:
        """Do the same in pieces of so many events, with a pause between them."""
        tx = SqliteTransaction(rows, self.clocks)
        return await append(tx, self.request, piece=piece, pause=pause)


@dataclass(slots=True)
class SettleStep:
    """Record outcomes of claims; see ``sql.operations.settle``.

    Attributes:
        settlings: The outcomes.
        clocks: The clocks of the store.
    """

    settlings: Sequence[SettlementRow]
    clocks: Clocks

    def __call__(self, rows: Rows) -> list[Settled]:
        return run(settle(SqliteTransaction(rows, self.clocks), self.settlings))


@dataclass(slots=True)
class LimitedClaimStep:
    """A claim under limits.

    Attributes:
        request: The request.
        clocks: The clocks of the store.
        has: Returns True if the caller has the event of a number.
        taken: Notes from when the leases count.
    """

    request: ClaimRequest
    clocks: Clocks
    has: Callable[[int], bool]
    taken: ClaimedEvents

    def __call__(self, rows: Rows) -> ClaimResult:
        expired = expire_late(rows, self.clocks, self.clocks.due())
        tx = SqliteTransaction(rows, self.clocks)
        done = run(claim_within_limits(tx, self.request))
        self.taken.until = done.asked + self.request.seconds
        found: list[Any] = [(one.number, one.due, one.priority, *one.state) for one in done.rows]
        kept = {one.number: rows.kept(one.number) for one in done.rows if not self.has(one.number)}
        return ClaimResult(
            found,
            kept,
            done.wait,
            expired,
            reservations=done.reservations,
            unknown=done.unknown,
            may_resolve=done.queue.may_resolve,
        )
