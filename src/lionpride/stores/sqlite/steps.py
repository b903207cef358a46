"""Steps of a transaction: each is done as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..contract import Settled
from ..sql.backend import run
from ..sql.leases import lapse_worker, return_leases
from ..sql.limits import (
    LimitedClaim,
    claim_within_limits,
    forget_accounts,
)
from ..sql.local_events import ClaimedEvents
from ..sql.operations import settle
from ..sql.process import is_dead, process_namespace
from ..sql.rows import SettlementRow
from .hot_path import Claimed
from .rows import Rows
from .signs import Signs
from .transaction import Clocks, Expire, SqliteTransaction

__all__ = (
    "LimitedStep",
    "Settle",
    "Step",
    "Sweep",
)

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


@dataclass(slots=True)
class Sweep:
    """Give back what is held under a lapsed lease, or by a process that is dead.

    A lapsed lease of an attempt that this process runs is renewed: the process was stopped, or its
    heartbeat was late, and no other process has claimed the event since.

    It returns their numbers, the numbers of those that are ended, and whether workers other than
    ``mine`` still hold leases.

    Attributes:
        mine: The workers of this process.
        running: The attempt of each event that this process runs, by number.
        lease: Seconds for which these are renewed.
        now: The time.
        clocks: The clocks of the store.
        limit: How many at most.
        signs: What this process has seen of living workers; None: the time alone decides.
    """

    mine: Collection[str]
    running: Mapping[int, int]
    lease: float
    now: float
    clocks: Clocks
    limit: int = 1000
    signs: Signs | None = None

    def __call__(self, rows: Rows) -> tuple[list[int], list[int], bool]:
        tx = SqliteTransaction(rows, self.clocks)
        holders = set(rows.holders()) - set(self.mine)
        alive: dict[str, float] = {}
        for worker, (process, sign) in rows.signs().items():
            if worker not in self.mine and is_dead(*process):
                run(lapse_worker(tx, worker))
                holders.discard(worker)
            elif process[0] == process_namespace():
                alive[worker] = sign
        for number, attempt in rows.lapsed_of(self.mine, self.now):
            if self.running.get(number) == attempt:
                rows.renew_lease(number, attempt, self.now + self.lease)
        lapsed = rows.lapsed(self.now, self.limit, self._keep(rows, alive))
        ended = run(return_leases(tx, lapsed)) if lapsed else []
        run(forget_accounts(tx))
        return [one.number for one in lapsed], ended, bool(holders)

    def _keep(self, rows: Rows, alive: Mapping[str, float]) -> list[str]:
        """Return the living workers whose leases seem to have lapsed because a clock was set."""
        if self.signs is None:
            return []
        self.signs.note(alive)
        return [
            worker
            for worker, until in rows.first_lapsed(self.now).items()
            if self.signs.is_recent(worker, until)
        ]
