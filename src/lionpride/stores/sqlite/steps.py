"""What is asked of the rows: each a step that is done wholly or not at all.

Steps of a kind that stand together in a batch are done in one go where nothing is in the way,
and one after another where something is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ...errors import ExistsError, NotFoundError, OperationError, QueueFullError
from ...model import registry
from ...model.execution import TERMINAL, EventStatus
from ...rules.lifecycle import RETRYABLE, Ending, after_interruption, cancelled_while_waiting
from ..contract import Cancelled, Extended, Settled
from .host import born, host, is_dead
from .rows import Leased, Place, Rows, State

__all__ = (
    "Append",
    "Cancel",
    "Claim",
    "Discharge",
    "Enlist",
    "Extend",
    "Pack",
    "Prune",
    "Remove",
    "Requeue",
    "Retain",
    "Settle",
    "Settling",
    "Step",
    "Sweep",
)

_PENDING: Final = EventStatus.PENDING.value
_PROCESSING: Final = EventStatus.PROCESSING.value
_RETRYABLE: Final = frozenset(status.value for status in RETRYABLE)

Step: TypeAlias = Callable[[Rows], Any]
"""What is called inside a transaction; what it raises undoes what it did."""

Pack: TypeAlias = Callable[[Ending, State], State]
"""The state of an event after an ending, from the one before."""


@dataclass(slots=True)
class Append:
    """Take events in; the number of each, and whether it is new.

    Attributes:
        places: The events.
        foreign: Those of them that another store holds.
        room: How many may wait afterwards.
        exist_ok: Whether a known id is left as it stands.
    """

    places: Sequence[Place]
    foreign: frozenset[bytes] = frozenset()
    room: int | None = None
    exist_ok: bool = False

    def is_plain(self) -> bool:
        """Whether it may be done in one go with others."""
        return self.room is None and not self.foreign

    @staticmethod
    def together(rows: Rows, steps: Sequence[Append]) -> list[Any] | None:
        """The answers to all, if nothing is in the way of any."""
        numbers = rows.insert([place for step in steps for place in step.places])
        if numbers is None:
            return None
        answers, at = [], iter(numbers)
        for step in steps:
            answers.append([(next(at), True) for _ in step.places])
        return answers

    def __call__(self, rows: Rows) -> list[tuple[int, bool]]:
        known = rows.known(place.id for place in self.places)
        fresh: dict[bytes, Place] = {}
        for place in self.places:
            if place.id in known or place.id in fresh:
                if not self.exist_ok:
                    raise ExistsError(
                        f"an event of id {_text(place.id)} is known here already: nothing was "
                        "appended; append event.as_fresh_event(), or pass exist_ok=True"
                    )
            elif place.id in self.foreign:
                raise ExistsError(
                    f"the event of id {_text(place.id)} is held by another executor: append "
                    "event.as_fresh_event(), or load(executor.states.to_dict()) to take over "
                    "copies of all"
                )
            else:
                fresh[place.id] = place
        waiting = rows.counts()[_PENDING]
        if self.room is not None and fresh and waiting + len(fresh) > self.room:
            raise QueueFullError(
                f"the queue holds {waiting} waiting events and may hold {self.room} "
                f"(max_queue_size): {len(fresh)} more have no room; append them later",
                details={"queue_size": waiting, "max_size": self.room},
            )
        numbers = rows.insert(list(fresh.values()))
        assert numbers is not None, "every known id has been looked for"
        new = dict(zip(fresh, numbers, strict=True))
        return [
            (known[place.id], False) if place.id in known else (new[place.id], True)
            for place in self.places
        ]


Settling: TypeAlias = tuple[int, int, str, float, float, float, State | None]
"""One settlement: number, attempt, status, due, ended, priority, state.

``due`` counts only if it goes back to wait, ``ended`` only if it does not. Without a state it
comes from somebody who has no such claim, and is only compared.
"""


@dataclass(slots=True)
class Settle:
    """Put on record what came of claims."""

    settlings: Sequence[Settling]

    def only_ends(self) -> bool:
        """Whether none of it goes back to wait."""
        return all(one[2] != _PENDING for one in self.settlings)

    @staticmethod
    def together(rows: Rows, steps: Sequence[Settle]) -> list[Any] | None:
        """The answers to all, if every claim still holds."""
        settlings = [one for step in steps for one in step.settlings]
        if any(one[6] is None for one in settlings):
            return None
        if not rows.end_leases([one[:2] for one in settlings]):
            return None
        _put(rows, settlings)
        return [[Settled.APPLIED] * len(step.settlings) for step in steps]

    def __call__(self, rows: Rows) -> list[Settled]:
        return [self._one(rows, one) for one in self.settlings]

    def _one(self, rows: Rows, one: Settling) -> Settled:
        number, attempt, status, *_, state = one
        if state is not None and rows.end_leases([(number, attempt)]):
            _put(rows, [one])
            return Settled.APPLIED
        same = rows.standing(number) == (status, attempt)
        return Settled.REPLAYED if same else Settled.FENCED


def _put(rows: Rows, settlings: Sequence[Settling]) -> None:
    ended, back = [], []
    for number, _, status, due, when, priority, state in settlings:
        assert state is not None, "who has no claim settles nothing"
        if status == _PENDING:
            back.append((due, priority, number, state))
        else:
            ended.append((number, status, when, state))
    rows.place(ended, back)


@dataclass(slots=True)
class Claim:
    """Lease what is to be run next, and say in how many seconds more may be found.

    Attributes:
        has: Whether the caller has the event of a number.
        missing: The kinds of events that this process has no class for; found ones are added.
        now, until: The time, and when the leases lapse.
    """

    worker: str
    n: int
    bound: int | None
    skip: Collection[int]
    denied: bool
    has: Callable[[int], bool]
    missing: set[str]
    now: float
    until: float

    def __call__(self, rows: Rows) -> tuple[list[Leased], float | None]:
        rows.mature(self.now)
        claims: list[Leased] = []
        more = True
        while more and len(claims) < self.n:
            wanted = self.n - len(claims)
            found = rows.next(wanted, self.bound, self.skip, self.denied, self.missing)
            more = len(found) == wanted
            before = len(self.missing)
            known = [one for one in map(self._with_event, [rows] * len(found), found) if one]
            claims += rows.lease(known, self.worker, self.until)
            if len(self.missing) == before:
                break
        if more and rows.next(1, None, (), denied=False, but=self.missing):
            return claims, 0.0
        due = rows.next_due()
        # Not less than a loop's timer can tell from now, or it would fire without end.
        return claims, None if due is None else max(1e-9, due - self.now)

    def _with_event(self, rows: Rows, one: Leased) -> Leased | None:
        """A claim with what is needed to build its event; None if there is no class for it."""
        if self.has(one.number):
            return one
        kept = rows.kept(one.number)
        assert kept is not None, "what waits is an event"
        try:
            registry.find(kept[1])
        except NotFoundError:
            self.missing.add(kept[1])
            return None
        return one._replace(kept=kept)


@dataclass(slots=True)
class Sweep:
    """Give back what is held under a lapsed lease, or by a process that is dead.

    It answers their numbers, and whether others than ``mine`` hold leases still.

    Attributes:
        mine: The workers of this process.
        now: The time.
        ended: When it is, for those that are FAILED: interrupted too often.
        pack: Writes an ending into a state.
        limit: How many at most.
    """

    mine: Collection[str]
    now: float
    ended: Callable[[], float]
    pack: Pack
    limit: int = 1000

    def __call__(self, rows: Rows) -> tuple[list[int], bool]:
        others = False
        for worker in rows.holders():
            if worker not in self.mine:
                process = rows.process_of(worker)
                if process is not None and is_dead(*process):
                    rows.lapse(worker)
                else:
                    others = True
        lapsed = rows.lapsed(self.now, self.limit)
        for one in lapsed:
            ending = after_interruption(one.state[3])
            assert rows.end_leases([(one.number, one.state[0])])
            state, status = self.pack(ending, one.state), ending.status.value
            when = self.ended()
            _put(rows, [(one.number, one.state[0], status, 0.0, when, one.priority, state)])
        return [one.number for one in lapsed], others


@dataclass(slots=True)
class Enlist:
    """Note the process behind a worker, so that others can tell whether it is dead."""

    worker: str
    now: float

    def __call__(self, rows: Rows) -> None:
        pid = os.getpid()
        rows.enlist(self.worker, host(), pid, born(pid), self.now)


@dataclass(slots=True)
class Discharge:
    """Forget a worker."""

    worker: str

    def __call__(self, rows: Rows) -> None:
        rows.discharge(self.worker)


@dataclass(slots=True)
class Extend:
    """Renew leases; one answer each."""

    claims: Sequence[tuple[int, int]]
    until: float

    def __call__(self, rows: Rows) -> list[Extended]:
        asked = [rows.extend(*claim, self.until) for claim in self.claims]
        words = {None: Extended.LOST, 0: Extended.OK, 1: Extended.CANCEL}
        return [words[each] for each in asked]


@dataclass(slots=True)
class Cancel:
    """Cancel what waits; ask for it of who holds a lease."""

    numbers: Sequence[int]
    ended: Callable[[], float]
    pack: Pack

    def __call__(self, rows: Rows) -> list[Cancelled]:
        _check_here(rows, self.numbers)
        return [self._one(rows, number) for number in self.numbers]

    def _one(self, rows: Rows, number: int) -> Cancelled:
        waits = rows.waits(number)
        if waits is not None:
            ending = cancelled_while_waiting()
            rows.leave(waits)
            entry = number, ending.status.value, self.ended(), self.pack(ending, waits.state)
            rows.place([entry], [])
            return Cancelled.DONE
        standing = rows.standing(number)
        if standing is not None and standing[0] == _PROCESSING:
            rows.ask_cancel(number)
            return Cancelled.CLAIMED
        return Cancelled.SETTLED


@dataclass(slots=True)
class Requeue:
    """Let ended events wait again."""

    numbers: Sequence[int]

    def __call__(self, rows: Rows) -> None:
        _check_here(rows, self.numbers)
        for number in self.numbers:
            if not rows.reopen(number):
                standing = rows.standing(number)
                status = "removed" if standing is None else standing[0]
                raise OperationError(
                    f"a {status} event cannot be retried, only one of "
                    f"{', '.join(sorted(_RETRYABLE))}: append event.as_fresh_event() to do the "
                    "same again"
                )


@dataclass(slots=True)
class Remove:
    """Remove events that no worker has."""

    numbers: Sequence[int]

    def __call__(self, rows: Rows) -> None:
        _check_here(rows, self.numbers)
        for number in self.numbers:
            standing = rows.standing(number)
            if standing is not None and standing[0] == _PROCESSING:
                raise OperationError(
                    f"event {number} is running: cancel it, and remove it when it has ended"
                )
            rows.drop(number)


@dataclass(slots=True)
class Prune:
    """Remove ended events, of each status the oldest endings first; their numbers.

    Attributes:
        limit: How many at most.
    """

    statuses: Sequence[str]
    limit: int

    def __call__(self, rows: Rows) -> list[int]:
        gone: list[int] = []
        for status in self.statuses:
            numbers = [number for _, number in rows.oldest(status, self.limit - len(gone))]
            rows.prune(status, numbers)
            gone += numbers
        return gone


@dataclass(slots=True)
class Retain:
    """Remove the oldest endings beyond those that are to be kept; their numbers.

    Attributes:
        keep: How many endings stay; None: any number.
        since: Those that ended since then stay; None: whenever they ended.
        limit: How many are removed at most.
    """

    keep: int | None
    since: float | None
    limit: int

    def __call__(self, rows: Rows) -> list[int]:
        limit = self.limit
        if self.keep is not None:
            counts = rows.counts()
            limit = min(limit, sum(counts[each.value] for each in TERMINAL) - self.keep)
        if limit <= 0:
            return []
        oldest = sorted(
            (ended, number, status.value)
            for status in TERMINAL
            for ended, number in rows.oldest(status.value, limit, self.since)
        )[:limit]
        for status in TERMINAL:
            rows.prune(status.value, [number for _, number, each in oldest if each == status.value])
        return [number for _, number, _ in oldest]


def _check_here(rows: Rows, numbers: Sequence[int]) -> None:
    for number in numbers:
        if rows.standing(number) is None:
            raise NotFoundError(f"event {number} is not in this queue: append it first")


def _text(uid: bytes) -> str:
    hexed = uid.hex()
    return "-".join((hexed[:8], hexed[8:12], hexed[12:16], hexed[16:20], hexed[20:]))
