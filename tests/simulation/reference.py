"""A store that is obviously right: a list of rows, sorted again on each claim.

It knows ids and no events, and answers what any store must answer.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any
from uuid import UUID

from lionpride.errors import ExistsError, NotFoundError, OperationError, QueueFullError
from lionpride.model.after import After, When
from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.model.unset import Unset
from lionpride.rules.state_machine import MAX_INTERRUPTIONS, RETRYABLE, Ending, Outcome
from lionpride.stores.contract import NO_PARENTS, Cancelled, Settled
from lionpride.stores.terms import Terms

S = EventStatus

NO_TERMS = Terms()
NO_AFTER = After(())


@dataclass
class Row:
    """What is known of one event. ``shown`` differs from the status while it is claimed.

    Attributes:
        holder: Who has claimed it.
        until: When the lease lapses.
        cancel: Whether a cancel was asked of who has claimed it.
        before: The denials at the claim: what others than the holder see.
        after: The parents given at its append.
        gone: Of its parents those that were removed; they may come back, and are strangers then.
        met: Of each parent whose ending counts: whether it meets the condition.
        loose: Parents of which an older answer may be shown. The row was retried in the call that
            made them wait again, and does not wait for them.
        at: The due time that holds once the parents have finished.
        for_parents: Whether it was cancelled for a parent.
        by_hand: Whether a person cancelled it.
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
    after: After = NO_AFTER
    gone: frozenset[UUID] = frozenset()
    met: dict[UUID, bool] = field(default_factory=dict)
    loose: frozenset[UUID] = frozenset()
    at: float | None = None
    for_parents: bool = False
    by_hand: bool = False

    @property
    def parents(self) -> list[UUID]:
        return [uid for uid in self.after.parents if uid not in self.gone]

    @property
    def blocked(self) -> bool:
        return self.shown is S.PENDING and self.due == inf

    def meets(self, when: When) -> bool:
        """Whether it has ended as a child requires."""
        if when == "completed":
            return self.shown in (S.COMPLETED, S.SKIPPED)
        if when == "failed":
            own = not self.for_parents and not self.by_hand
            return self.shown in (S.FAILED, S.ABORTED) or (self.shown is S.CANCELLED and own)
        return True

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
        tied: Whether what is settled together ends in any order.
    """

    def __init__(
        self, clock: Callable[[], float], *, durable: bool = False, tied: bool = False
    ) -> None:
        self.clock = clock
        self.durable = durable
        self.tied = tied
        self.rows: list[Row] = []
        self.removed: dict[UUID, Row] = {}
        self.last = 0
        self.endings = 0
        self.resolved: set[UUID] = set()  # what was released, cancelled or blocked for parents
        self.wave = 0  # when children were cancelled at the same time, in any order
        self.schedules: dict[str, str] = {}  # their versions
        self.held: list[Row] | None = None  # parents whose ends the children do not know yet

    def find(self, uid: UUID) -> Row:
        for row in self.rows:
            if row.id == uid:
                return row
        raise NotFoundError(str(uid))

    def knows(self, uid: UUID) -> bool:
        return any(row.id == uid for row in self.rows)

    def change_schedule(
        self,
        name: str,
        old: str | None,
        new: str | None,
        entries: list[tuple[UUID, float]],
        room: int | None,
    ) -> tuple[bool, dict[str, str]]:
        made = self.schedules.get(name) == old
        if made and entries:
            self.append(entries, room, True)
        if made:
            self.schedules.pop(name, None)
            self.schedules |= {} if new is None else {name: new}
        return made, dict(self.schedules)

    def append(
        self,
        entries: list[tuple[UUID, float]],
        room: int | None,
        exist_ok: bool,
        terms: Terms = NO_TERMS,
        after: Mapping[UUID, After] = NO_PARENTS,
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
        parents = {parent for uid in first if uid in after for parent in after[uid].parents}
        if not all(parent in first or self.knows(parent) for parent in parents):
            raise NotFoundError
        for uid in dict.fromkeys(uid for uid in ids if uid in first):
            self.last += 1
            was = self.removed.pop(uid, Row(uid, 0.0, 0))
            row = replace(was, priority=first[uid], arrival=self.last)
            row.due, row.expires = terms.due, terms.expires
            row.unique = terms.unique or row.unique
            if uid in after:
                row.after, row.at, row.due = after[uid], row.due, inf
            self.rows.append(row)
        self._look([self.find(uid) for uid in first if uid in after])
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
            row.by_hand = row.for_parents = False
            self._end(row)
        self._resolve(late)
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

    def settle_all(
        self, batch: Iterable[tuple[UUID, int, Outcome]], holder: int = 0
    ) -> list[Settled]:
        self.held = [] if self.durable else None
        before = self.endings
        answers = [self.settle(*each, holder) for each in batch]
        for row in self.rows if self.tied else ():
            row.ended = min(row.ended, before + 1)
        held, self.held = self.held, None
        self._resolve(held or [])
        return answers

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
        row.by_hand, row.for_parents = unwanted, False
        self._end(row, outcome.response)
        self._resolve([row])
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
            row.by_hand, row.cancel, row.for_parents = row.cancel, False, False
            self._end(row)
        self._resolve(lapsed)
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
                row.shown, row.by_hand, row.for_parents = S.CANCELLED, True, False
                self._end(row)
                answers.append(Cancelled.DONE)
        self._resolve([self.find(uid) for uid in ids])
        return answers

    def retry(self, ids: list[UUID]) -> None:
        rows = [self.find(uid) for uid in ids]
        if not all(row.status in RETRYABLE for row in rows):
            raise OperationError
        again = self._waiting_again(ids)
        self.resolved |= again
        for row in rows if self.durable else ():  # it makes them wait in a later transaction
            row.loose |= again.intersection(row.parents) if row.id not in again else set()
        for row in [self.find(uid) for uid in {*ids, *again}]:
            row.shown, row.due, row.expires = S.PENDING, None, None
            row.tries = row.denials = row.interruptions = 0
            row.for_parents = False
            row.due = inf if row.id in again else None

    # -- parents and children ----------------------------------------------------------------

    def children(self, parent: UUID) -> list[Row]:
        """In the order of arrival."""
        return [row for row in self.rows if parent in row.parents]

    def parents(self, row: Row) -> list[tuple[UUID, bool | None]]:
        """Those that are here, and whether each has met the condition."""
        here = [uid for uid in row.parents if self.knows(uid)]
        return [(uid, row.met.get(uid)) for uid in here]

    def leaves_children(self) -> bool:
        """Whether what is late, or whose lease has lapsed, has children that wait for it."""
        ended = [*self.late(), *(row for row in self.rows if row.until < self.clock())]
        return any(child.blocked for row in ended for child in self.children(row.id))

    def _look(self, children: list[Row]) -> None:
        """What those of their parents come to that have ended before."""
        cancelled, self.wave = list[Row](), self.endings + 1
        for child in sorted(children, key=lambda row: row.arrival):
            for uid in child.parents:
                if self.knows(uid):
                    cancelled += self._ended(self.find(uid), child)
        self._resolve(cancelled)

    def _resolve(self, ended: list[Row]) -> None:
        """What the end of these means for their children, and so on."""
        if self.held is not None:
            self.held += ended
            return
        ended, self.wave = list(ended), self.endings + 1
        for parent in ended:  # it grows
            for child in self.children(parent.id):
                ended += self._ended(parent, child)

    def _ended(self, parent: Row, child: Row) -> list[Row]:
        """What the end of a parent means for a child, which is returned if it is cancelled."""
        if parent.status not in TERMINAL or parent.id in child.met:
            return []
        child.met[parent.id] = parent.meets(child.after.when)
        if not child.blocked:
            return []
        if not child.met[parent.id]:
            child.shown, child.for_parents, child.by_hand = S.CANCELLED, True, False
            self._end(child)
            child.ended = self.wave if self.durable else child.ended
        elif all(met for _, met in self.parents(child)):
            child.due = child.at
        else:
            return []
        self.resolved.add(child.id)
        return [child] if child.for_parents else []

    def _waiting_again(self, ids: Collection[UUID]) -> set[UUID]:
        """What was cancelled for parents that run again, and what was cancelled for that."""
        again: set[UUID] = set()
        while True:
            unfinished = {*ids, *again}
            waits = [row for row in self.rows if row.blocked or row.for_parents]
            for row in waits:
                for parent in unfinished.intersection(row.parents):
                    row.met.pop(parent, None)
            more = {
                row.id
                for row in waits
                if row.for_parents
                and unfinished.intersection(row.parents)
                and False not in row.met.values()
            }
            if more <= again:
                return again
            again |= more

    def _is_needed(self, row: Row, besides: Collection[UUID] = ()) -> bool:
        """Whether it has a child that has not ended, and is not to go as well."""
        children = [child for child in self.children(row.id) if child.id not in besides]
        return any(child.status in (S.PENDING, S.PROCESSING) for child in children)

    # -- removal -----------------------------------------------------------------------------

    def prune(self, statuses: Collection[EventStatus], limit: int | None) -> list[UUID]:
        return self._drop([row.id for row in self.prunable(statuses)[:limit]])

    def prunable(self, statuses: Collection[EventStatus]) -> list[Row]:
        """What may be pruned, in the order in which it ended."""
        ended = [row for row in self.rows if row.status in TERMINAL and row.status in statuses]
        ended = [row for row in ended if not self._is_needed(row)]
        return sorted(ended, key=lambda row: row.ended)

    def remove(self, ids: list[UUID]) -> None:
        rows = [self.find(uid) for uid in ids]
        if any(row.claimed or self._is_needed(row, ids) for row in rows):
            raise OperationError
        alone: dict[str, Any] = {"after": NO_AFTER, "for_parents": False, "at": None}
        alone |= {"met": {}, "gone": frozenset(), "loose": frozenset()}
        for row in rows:
            self.removed[row.id] = replace(row, due=None, expires=None, **alone)
        self._drop(ids)

    def _drop(self, ids: Iterable[UUID]) -> list[UUID]:
        gone = list(ids)
        self.rows = [row for row in self.rows if row.id not in gone]
        for row in self.rows:
            if lost := row.gone.union(gone).intersection(row.after.parents):
                row.gone, row.met = lost, {p: met for p, met in row.met.items() if p not in lost}
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
            row.met, row.loose = {}, frozenset()
            row.gone = frozenset(uid for uid in row.after.parents if not self.knows(uid))
        self.endings = self.last
        self._look(self.rows)
