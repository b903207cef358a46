"""A store that is obviously right: a list of rows, sorted again on each claim.

It knows ids and no events, and answers what any store must answer.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from math import inf
from typing import Any
from uuid import UUID

from lionpride.errors import ExistsError, NotFoundError, OperationError, QueueFullError
from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.model.unset import Unset
from lionpride.rules.state_machine import MAX_INTERRUPTIONS, RETRYABLE, Ending, Outcome
from lionpride.stores.contract import Cancelled, Settled
from lionpride.stores.terms import Terms

S = EventStatus

NO_TERMS = Terms()


@dataclass
class Row:
    """What is known of one event. ``shown`` differs from the status while it is claimed.

    Attributes:
        holder: Who has claimed it.
        until: When the lease lapses.
        cancel: Whether a cancel was asked of who has claimed it.
        before: The denials at the claim: what others than the holder see.
    """

    id: UUID
    priority: float
    arrival: int
    shown: EventStatus = S.PENDING
    claimed: bool = False
    attempt: int = 0
    tries: int = 0
    denials: int = 0
    interruptions: int = 0
    due: float | None = None
    expires: float | None = None
    unique: tuple[str, float] | None = None
    response: Any = None
    attempts: tuple[Any, ...] = ()
    ended: int = 0
    holder: int = 0
    until: float = inf
    cancel: bool = False
    before: int = 0

    @property
    def status(self) -> EventStatus:
        return S.PROCESSING if self.claimed else self.shown

    @property
    def key(self) -> tuple[float, int]:
        return self.priority, self.arrival


class Reference:
    """The naive store.

    Args:
        clock: The time.
        durable: Whether it outlives its process: leases lapse.
    """

    def __init__(self, clock: Callable[[], float], *, durable: bool = False) -> None:
        self.clock = clock
        self.durable = durable
        self.rows: list[Row] = []
        self.removed: dict[UUID, Row] = {}
        self.last = 0
        self.endings = 0

    def find(self, uid: UUID) -> Row:
        for row in self.rows:
            if row.id == uid:
                return row
        raise NotFoundError(str(uid))

    def knows(self, uid: UUID) -> bool:
        return any(row.id == uid for row in self.rows)

    def append(
        self,
        entries: list[tuple[UUID, float]],
        room: int | None,
        exist_ok: bool,
        terms: Terms = NO_TERMS,
    ) -> list[UUID]:
        if terms.unique is not None:
            value, now = terms.unique
            same = [row for row in self.rows if row.unique and row.unique[0] == value]
            newest = max(same, key=lambda row: row.arrival, default=None)
            if newest and newest.unique and self._stands(newest, now - terms.period):
                return [newest.id]
        ids = [uid for uid, _ in entries]
        first = {uid: priority for uid, priority in reversed(entries) if not self.knows(uid)}
        if not exist_ok and (len(first) < len(ids)):
            raise ExistsError
        stands = [row.status if self.durable else row.shown for row in self.rows]
        waiting = stands.count(S.PENDING)
        if room is not None and waiting + len(first) > room:
            raise QueueFullError
        for uid in dict.fromkeys(uid for uid in ids if uid in first):
            self.last += 1
            was = self.removed.pop(uid, Row(uid, 0.0, 0))
            row = replace(was, priority=first[uid], arrival=self.last)
            row.due, row.expires = terms.due, terms.expires
            row.unique = terms.unique or row.unique
            self.rows.append(row)
        return ids

    def _stands(self, row: Row, since: float) -> bool:
        assert row.unique is not None
        return row.status in (S.PENDING, S.PROCESSING) or row.unique[1] > since

    def late(self) -> list[Row]:
        """What waits and was to be started by now."""
        now = self.clock()
        waits = [row for row in self.rows if row.status is S.PENDING]
        return [row for row in waits if row.expires is not None and row.expires <= now]

    def lapse(self) -> int:
        """End it, in the order in which it expired."""
        late = sorted(self.late(), key=lambda row: (row.expires, row.arrival))
        for row in late:
            row.shown = S.FAILED if row.tries else S.CANCELLED
            self._end(row)
        return len(late)

    def eligible(self, until: UUID | None, skip: list[UUID], denied: bool) -> list[Row]:
        """What a claim may take, in the order in which it must."""
        now = self.clock()
        last = self.find(until).arrival if until else self.last
        return sorted(
            (
                row
                for row in self.rows
                if row.status is S.PENDING
                and row.arrival <= last
                and row.id not in skip
                and (row.due is None or row.due <= now or (denied and row.denials))
            ),
            key=lambda row: row.key,
        )

    def claim(
        self,
        n: int,
        until: UUID | None,
        skip: list[UUID],
        denied: bool,
        start: bool,
        *,
        holder: int = 0,
        lease: float = inf,
    ) -> list[tuple[UUID, int]]:
        taken = self.eligible(until, skip, denied)[:n]
        for row in taken:
            row.claimed, row.cancel, row.holder = True, False, holder
            row.until, row.before = self.clock() + lease, 0 if start else row.denials
            row.attempt += 1
            if start:
                self.start(row.id)
        return [(row.id, row.attempt) for row in taken]

    def start(self, uid: UUID) -> None:
        row = self.find(uid)
        row.shown, row.denials, row.due = S.PROCESSING, 0, None

    def settle(self, uid: UUID, attempt: int, outcome: Outcome, holder: int = 0) -> Settled:
        if not self.knows(uid) or (row := self.find(uid)).attempt != attempt:
            return Settled.FENCED
        if row.claimed and row.holder != holder:
            return Settled.FENCED
        if not row.claimed:
            same = (
                {outcome.status, S.CANCELLED} if outcome.status is S.PENDING else {outcome.status}
            )
            return Settled.REPLAYED if row.shown in same else Settled.FENCED
        unwanted = row.cancel and outcome.status is S.PENDING
        row.claimed, row.shown, row.cancel = False, outcome.status, False
        for counter in ("tries", "denials", "interruptions"):
            setattr(row, counter, getattr(row, counter) + getattr(outcome, counter, 0))
        if (attempt := getattr(outcome, "attempt", None)) is not None:
            row.attempts = (*row.attempts, attempt)[-20:]
        if delay := getattr(outcome, "delay", None):
            row.due = self.clock() + delay
        if isinstance(outcome, Ending):
            if outcome.expires is not Unset:
                row.expires = outcome.expires  # type: ignore[assignment]
            elif not row.tries and (outcome.interruptions or outcome.error is not Unset):
                row.expires = None
        if unwanted:
            row.shown = S.CANCELLED
        self._end(row, outcome.response)
        return Settled.CANCELLED if unwanted else Settled.APPLIED

    def _end(self, row: Row, response: Any = None) -> None:
        if row.shown is not S.PENDING:
            self.endings += 1
            row.ended, row.due, row.expires = self.endings, None, None
            row.response = response if row.shown is S.COMPLETED else None

    def reap(self, limit: int) -> list[tuple[UUID, int]]:
        """What lapsed leases give back."""
        lapsed = [row for row in self.rows if row.claimed and row.until < self.clock()][:limit]
        for row in lapsed:
            row.claimed, row.denials, row.due = False, 0, None
            row.interruptions += 1
            row.expires = row.expires if row.tries else None
            back = S.CANCELLED if row.cancel else S.PENDING
            row.shown = S.FAILED if row.interruptions > MAX_INTERRUPTIONS else back
            row.cancel = False
            self._end(row)
        return [(row.id, row.attempt) for row in lapsed]

    def cancel(self, ids: list[UUID]) -> list[Cancelled]:
        answers = []
        for row in [self.find(uid) for uid in ids]:
            if row.claimed:
                row.cancel = True
                answers.append(Cancelled.CLAIMED)
            elif row.shown is not S.PENDING:
                answers.append(Cancelled.SETTLED)
            else:
                row.shown = S.CANCELLED
                self._end(row)
                answers.append(Cancelled.DONE)
        return answers

    def retry(self, ids: list[UUID]) -> None:
        rows = [self.find(uid) for uid in ids]
        if not all(row.status in RETRYABLE for row in rows):
            raise OperationError
        for row in rows:
            row.shown, row.due, row.expires = S.PENDING, None, None
            row.tries = row.denials = row.interruptions = 0

    def prune(self, statuses: Collection[EventStatus], limit: int | None) -> list[UUID]:
        ended = [row for row in self.rows if row.status in TERMINAL and row.status in statuses]
        ended.sort(key=lambda row: row.ended)
        return self._drop([row.id for row in ended[:limit]])

    def remove(self, ids: list[UUID]) -> None:
        if any(row.claimed for row in [self.find(uid) for uid in ids]):
            raise OperationError
        self.removed |= {uid: replace(self.find(uid), due=None, expires=None) for uid in ids}
        self._drop(ids)

    def _drop(self, ids: Iterable[UUID]) -> list[UUID]:
        gone = list(ids)
        self.rows = [row for row in self.rows if row.id not in gone]
        return gone

    def restart(self) -> None:
        """What a dump and a load into an empty store come to."""
        self.rows.sort(key=lambda row: row.arrival)
        self.last = len(self.rows)
        for number, row in enumerate(self.rows, 1):
            if row.shown is S.PROCESSING:
                row.interruptions += 1
                row.shown = S.FAILED if row.interruptions > MAX_INTERRUPTIONS else S.PENDING
                row.expires = row.expires if row.tries else None
            row.claimed, row.arrival, row.ended = False, number, number
        self.endings = self.last
