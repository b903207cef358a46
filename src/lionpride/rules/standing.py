"""Where an event stands among those that wait, as its store sees it; and who is at work."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from math import inf
from typing import Any, NamedTuple
from uuid import UUID

from ..model.execution import EventStatus
from .fleet import Starts
from .lifecycle import FOR_EVER
from .limits import Account, Limit
from .metering import Limits

__all__ = (
    "FOR_EVER",
    "About",
    "First",
    "Room",
    "Standing",
    "Unreadable",
    "Worker",
    "limits_at_work",
    "room_of",
)


class Unreadable(NamedTuple):
    """Events of a class that a process could not build from what is stored of them.

    Attributes:
        kind: The registry key of the class.
        total: How many the process remembers.
        example: The id of one of them, as text.
        reason: Why that one could not be built.
    """

    kind: str
    total: int
    example: str
    reason: str


class About(NamedTuple):
    """What a worker says of itself to whoever looks at its store.

    Attributes:
        slots: How many events it runs at once.
        running: How many it runs now.
        paused: Whether it starts nothing for now.
        stopped: Whether it starts nothing more, and ends when its running events have finished.
        capacity: Starts in any ``refresh`` seconds; None for any number.
        refresh: Seconds.
        limits: Of each limit what ``Limit`` takes: name, amount, per, per_key, pool.
        starts: The names of those that every start takes one of, whatever its event costs.
        missing: The classes of waiting events that it does not run.
        unreadable: The classes that its process has defined, but could not build events of.
    """

    slots: int
    running: int = 0
    paused: bool = False
    capacity: int | None = None
    refresh: float = 1.0
    limits: tuple[tuple[str, float, float | None, bool, str], ...] = ()
    starts: tuple[str, ...] = ()
    stopped: bool = False
    missing: tuple[str, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> About:
        """Read back from what ``_asdict`` gave, through JSON."""
        known = {name: data[name] for name in cls._fields if name in data}
        limits = tuple(map(tuple, data.get("limits", ())))
        names = {name: tuple(data.get(name, ())) for name in ("starts", "missing")}
        size = len(Unreadable._fields)  # a later release may have reported more
        unreadable = tuple(Unreadable(*each[:size]) for each in data.get("unreadable", ()))
        return cls(**known | {"limits": limits, **names, "unreadable": unreadable})

    @property
    def may_be_stuck(self) -> bool:
        """Return False if ``can_run_none_of`` is False for all classes."""
        return self.stopped or (not self.paused and bool(self.missing or self.unreadable))

    def can_run_none_of(self, kinds: Collection[str]) -> bool:
        """Return True if ``join`` need not wait for this worker.

        It was stopped, or it has reported each of these classes as missing or unreadable.
        """
        said = {*self.missing, *(each.kind for each in self.unreadable)}
        return self.stopped or (not self.paused and said.issuperset(kinds))


class Worker(NamedTuple):
    """A worker of a queue.

    Attributes:
        name: Under which it claims.
        is_live: Whether it is taken to be at work.
        running: How many events it has claimed.
        about: What it has said of itself last; None if it has not.
    """

    name: str
    is_live: bool
    running: int
    about: About | None


class Room(NamedTuple):
    """What an event needs of one limit, and what there is.

    Attributes:
        limit: The name of the limit.
        key: The event's, if each has so much.
        amount: How much there is altogether.
        per: In so many seconds; None: at once.
        cost: What the event takes.
        used: What counts now.
        at: The earliest time at which there may be enough, a Unix timestamp in seconds; inf if it
            waits for others to end.
    """

    limit: str
    key: str | None
    amount: float
    per: float | None
    cost: float
    used: float
    at: float


class First(NamedTuple):
    """The first of the events that come before another.

    Attributes:
        id, kind: Which event.
        rooms: What it needs of limits.
    """

    id: UUID
    kind: str
    rooms: tuple[Room, ...]


class Standing(NamedTuple):
    """What a store knows of an event's turn.

    Attributes:
        id, queue, kind, status, attempt, denials, tries, interruptions: As on record.
        now: The time at which this was so, a Unix timestamp in seconds, as all times here.
        due: Not before; None: at once.
        expires: Not to be started after.
        ahead: How many come before it of those that are due; 0 where it is not due itself.
        paused: Nothing of the queue is claimed before this time; None: it may be.
        rooms: What it needs of limits.
        workers: Those of its queue.
        holder: The worker that has claimed it.
        first: The first of those before it; None if there is none.
    """

    id: UUID
    queue: str
    kind: str
    status: EventStatus
    attempt: int
    denials: int
    tries: int
    interruptions: int
    now: float
    due: float | None = None
    expires: float | None = None
    ahead: int = 0
    paused: float | None = None
    rooms: tuple[Room, ...] = ()
    workers: tuple[Worker, ...] = ()
    holder: str | None = None
    first: First | None = None


def room_of(
    limit: Limit,
    key: str | None,
    cost: float,
    now: float,
    *,
    held: float,
    paused: float,
    taken: Iterable[tuple[float, float]],
) -> Room:
    """What there is of a limit, from what a store has on record of its pool.

    Args:
        limit: Which one.
        key: The event's.
        cost: What it takes.
        now: The time.
        held: What claims hold.
        paused: Nothing is to be had before this time; 0: it is.
        taken: When so much was taken, the oldest first.
    """
    account = Account(limit)
    account.held, account.paused = held, paused or -inf
    for at, amount in taken:
        account.stamp(amount, at)
    return Room(
        limit.name,
        key if limit.per_key else None,
        limit.amount,
        limit.per,
        cost,
        account.used(now),
        account.free_at(cost, now),
    )


def limits_at_work(workers: Iterable[Worker]) -> Limits | None:
    """The limits under which the live workers of a queue claim, as they say; None for none."""
    return Limits(_each(workers)) or None


def _each(workers: Iterable[Worker]) -> Iterator[Limit]:
    seen = set[str]()
    for worker in workers:
        if not worker.is_live or worker.about is None:
            continue
        for name, amount, per, per_key, pool in worker.about.limits:
            if name not in seen:
                seen.add(name)
                kind = Starts if name in worker.about.starts else Limit
                yield kind(name, amount, per, per_key=per_key, pool=pool)
