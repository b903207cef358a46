"""What is asked of the rows: each a step that is done wholly or not at all.

Steps of a kind that stand together in a batch are done in one go where nothing is in the way,
and one after another where something is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from ...model.execution import EventStatus
from ..contract import Extended, Settled
from ..sql.backend import run
from ..sql.leases import lapse_worker, return_leases
from ..sql.limits import (
    LimitedClaim,
    Reservations,
    claim_within_limits,
    forget_accounts,
)
from ..sql.local_events import ClaimedEvents
from ..sql.operations import Expired, settle
from ..sql.process import is_dead, process_namespace
from ..sql.rows import FixedColumns, ReadyRow, SettlementRow
from .bulk import Bulk
from .rows import Rows
from .signs import Signs
from .transaction import Clocks, Expire, SqliteTransaction

__all__ = (
    "Claim",
    "Claimed",
    "Extend",
    "LimitedStep",
    "Settle",
    "Step",
    "Sweep",
)

T = TypeVar("T")

_PENDING: Final = EventStatus.PENDING.value

Step: TypeAlias = Callable[[Bulk], Any]
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

    @staticmethod
    def together(rows: Rows, steps: Sequence[Settle]) -> list[list[Settled]]:
        """Return the answers of several steps, which are taken in one go."""
        if not steps:
            return []
        settlings = [one for step in steps for one in step.settlings]
        answers = iter(Settle(settlings, steps[0].clocks)(rows))
        return [[next(answers) for _ in step.settlings] for step in steps]

    def __call__(self, rows: Rows) -> list[Settled]:
        return run(settle(SqliteTransaction(rows, self.clocks), self.settlings))


class Claimed(NamedTuple):
    """What a claim took.

    Attributes:
        rows: Of each event the row of ``waiting`` as it was; its attempt is one more now.
        kept: What is needed to build those that this process does not have, by number.
        wait: Seconds until another claim may find something; None: nobody knows.
        expired: What was ended first, since it was not started in time.
        new: Priority and number of those that were taken in and started in this transaction;
            they are not in ``rows``, and this is their first attempt.
        rationed: What they took of the limits, if there are any.
    """

    rows: list[ReadyRow]
    kept: dict[int, FixedColumns]
    wait: float | None
    expired: Expired
    new: Sequence[tuple[float, int]] = ()
    rationed: Reservations | None = None


@dataclass(slots=True)
class Claim:
    """Lease what is to be run next.

    Attributes:
        bound, skip, denied: Which events; see ``Store.claim``.
        start: Whether they start at once, which ends a row of denials.
        has: Whether the caller has the event of a number.
        missing: The kinds of events that this process does not run; found ones are added.
        runs: Returns True if this process runs a kind; called in the thread of the transaction.
        avoided: More kinds that are not wanted.
        expire: Ends what was not started in time.
        clock: Returns the time, for what becomes due and what expires. It is called within the
            transaction, perhaps in another thread: a claim may have waited for the file.
        lapse: Says when the leases lapse; asked once the transaction has begun.
        now: The time that the clock returned.
    """

    worker: str
    n: int
    bound: int | None
    skip: Collection[int]
    denied: bool
    start: bool
    has: Callable[[int], bool]
    missing: set[str]
    runs: Callable[[str], bool]
    avoided: frozenset[str]
    expire: Expire
    clock: Callable[[], float]
    lapse: Callable[[], float]
    now: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether it takes just the first that wait."""
        return self.bound is None and not self.skip and not self.denied and not self._but

    @property
    def _but(self) -> set[str] | frozenset[str]:
        """The kinds of events that are not to be claimed."""
        return self.missing | self.avoided if self.avoided else self.missing

    def __call__(self, rows: Rows) -> Claimed:
        self.now = self.clock()
        expired = self.expire.by(rows, self.now)
        rows.mature(self.now)
        if (halt := self.halt(rows, expired)) is not None:
            return halt
        if self.is_plain and not expired.leaves(self.now):
            found = rows.next(self.n + 1)
            kept = self.kept(rows, found[: self.n])
            if not self.missing:
                taken = found[: self.n]
                if taken:
                    rows.lease_first(taken, self.worker, self.lapse(), self.start)
                more = len(found) > self.n
                return Claimed(taken, kept, 0.0 if more else self.wait(rows), expired)
        return self._of_some(rows, expired)

    def halt(self, rows: Rows, expired: Expired) -> Claimed | None:
        """What a claim comes to while the queue is paused; None if it is not."""
        paused = rows.paused_until() - self.now
        return Claimed([], {}, max(1e-9, paused), expired) if paused > 0.0 else None

    def _is_known(self, kind: str) -> bool:
        """Return True if this process runs a class; else note the class as missing."""
        if self.runs(kind):
            return True
        self.missing.add(kind)
        return False

    def _of_some(self, rows: Rows, expired: Expired) -> Claimed:
        """Claim where not just the first will do; again, if a class turns out to be missing."""
        late = self.now if expired.leaves(self.now) else None
        while True:
            known = len(self.missing)
            more = rows.next_of(self.n + 1, self.bound, self.skip, self.denied, self._but, late)
            found, more = more[: self.n], more[self.n :]
            kept = self.kept(rows, found)
            if len(self.missing) == known:
                break
        rows.lease(found, self.worker, self.lapse(), self.start)
        if self.bound is not None or self.denied:
            more = rows.next_of(1, None, self.skip, False, self._but, late)
        return Claimed(found, kept, 0.0 if more else self.wait(rows), expired)

    def wait(self, rows: Rows) -> float | None:
        """Seconds until more is due; None: nobody knows."""
        due = rows.next_due()
        # Not less than a loop's timer can tell from now, or it would fire without end.
        return None if due is None else max(1e-9, due - self.now)

    def kept(self, rows: Rows, found: Sequence[ReadyRow]) -> dict[int, FixedColumns]:
        """What the caller needs to build the events that it has not; missing kinds are noted."""
        has, kept = self.has, dict[int, FixedColumns]()
        for one in found:
            if not has(one[0]):
                found_kept = kept[one[0]] = rows.kept(one[0])
                self._is_known(found_kept[1])
        return kept


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
                rows.extend(number, attempt, self.now + self.lease)
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


@dataclass(slots=True)
class Extend:
    """Renew leases; one answer each."""

    claims: Sequence[tuple[int, int]]
    until: float

    def __call__(self, rows: Rows) -> list[Extended]:
        asked = [rows.extend(*claim, self.until) for claim in self.claims]
        words = {None: Extended.LOST, 0: Extended.OK, 1: Extended.CANCEL}
        return [words[each] for each in asked]
