"""Steps of a transaction: each is done as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..contract import Settled
from ..sql.backend import run
from ..sql.limits import LimitedClaim, claim_within_limits
from ..sql.local_events import ClaimedEvents
from ..sql.operations import settle
from ..sql.rows import SettlementRow
from .hot_path import Claimed
from .rows import Rows
from .transaction import Clocks, Expire, SqliteTransaction

__all__ = ("LimitedStep", "Settle", "Step")

Step: TypeAlias = Callable[[Rows], Any]
"""What is called inside a transaction; what it raises undoes what it did."""


@dataclass(slots=True)
class Settle:
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
class LimitedStep:
    """A claim under limits.

    Attributes:
        request: The request.
        clocks: The clocks of the store.
        has: Returns True if the caller has the event of a number.
        missing: Event types that this process does not run; those that are found are added.
        expire: Ends what was not started in time.
        taken: Notes from when the leases count.
    """

    request: LimitedClaim
    clocks: Clocks
    has: Callable[[int], bool]
    missing: set[str]
    expire: Expire
    taken: ClaimedEvents

    def __call__(self, rows: Rows) -> Claimed:
        expired = self.expire.by(rows, self.clocks.due())
        tx = SqliteTransaction(rows, self.clocks)
        done = run(claim_within_limits(tx, self.request))
        self.missing |= done.unknown
        self.taken.until = done.asked + self.request.seconds
        found: list[Any] = [(one.number, one.due, one.priority, *one.state) for one in done.rows]
        kept = {one.number: rows.kept(one.number) for one in done.rows if not self.has(one.number)}
        return Claimed(found, kept, done.wait, expired, rationed=done.reservations)
