"""Position of an event in its queue, as its store knows it, and the workers of the queue."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from math import inf
from typing import Any, NamedTuple
from uuid import UUID

from ..model.after import When
from ..model.execution import EventStatus
from .action import Action, PauseRecord
from .limits.fleet import Starts
from .limits.limit import Account, Limit
from .limits.limit_set import Limits
from .state_machine import FOR_EVER

__all__ = (
    "FOR_EVER",
    "About",
    "Blockers",
    "First",
    "QueueWorker",
    "Room",
    "Standing",
    "Unreadable",
    "limits_at_work",
    "room_of",
)


class Unreadable(NamedTuple):
    """Events of a class that a process could not build from what is stored of them.

    Attributes:
        kind: The registry key of the class.
        total: Number of such events that the process remembers.
        example: The id of one of them, as text.
        reason: The reason why that one could not be built.
    """

    kind: str
    total: int
    example: str
    reason: str


class About(NamedTuple):
    """Description of a worker, as it reports it to other processes.

    Attributes:
        slots: Number of events that it runs at once.
        running: Number of events that it runs now.
        paused: True if it starts nothing for now.
        stopped: True if it starts nothing more, and ends when its running events have finished.
        capacity: Starts in any ``refresh`` seconds; None for any number.
        refresh: Length of that window in seconds.
        limits: The arguments of each ``Limit``: name, amount, per, per_key, pool.
        starts: The names of the limits that every start takes one of.
        missing: The classes of pending events that it does not run.
        unreadable: The classes that its process has defined, but could not build events of.
        schedules: The names of the schedules that its event types declare.
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
    schedules: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> About:
        """Return the description from the result of ``_asdict``, read from JSON."""
        known = {name: data[name] for name in cls._fields if name in data}
        limits = tuple(map(tuple, data.get("limits", ())))
        names = {name: tuple(data.get(name, ())) for name in ("starts", "missing", "schedules")}
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


class QueueWorker(NamedTuple):
    """A worker of a queue.

    Attributes:
        name: The name that it claims under.
        is_live: True if it is assumed to be running.
        running: Number of events that it has claimed.
        about: Its last description; None if there is none.
    """

    name: str
    is_live: bool
    running: int
    about: About | None


class Room(NamedTuple):
    """Need of an event for one limit, and the usage of the limit.

    Attributes:
        limit: The name of the limit.
        key: The key of the event, if each key has its own amount.
        amount: The amount of the limit.
        per: Length of its window in seconds; None for an amount at once.
        cost: The amount that the event takes.
        used: The amount that is used now.
        at: The earliest time at which enough may be available, a Unix timestamp in seconds; inf if
            other events have to finish first.
    """

    limit: str
    key: str | None
    amount: float
    per: float | None
    cost: float
    used: float
    at: float


class First(NamedTuple):
    """The first of the events before another.

    Attributes:
        id, kind: Its id and the registry key of its class.
        rooms: Its need for limits.
    """

    id: UUID
    kind: str
    rooms: tuple[Room, ...]


class Blockers(NamedTuple):
    """The unfinished parents of an event.

    Attributes:
        id, kind, queue, status: Of the first of them, in the order given at the append.
        when: How each has to finish.
        total: Their number.
    """

    id: UUID
    kind: str
    queue: str
    status: EventStatus
    when: When
    total: int


class Standing(NamedTuple):
    """Position of an event in its queue; all times are Unix timestamps in seconds.

    Attributes:
        id, queue, kind, status, attempt, denials, tries, interruptions: As recorded.
        now: The time of this information.
        due: The earliest start; None for at once.
        expires: The latest start; None for no limit.
        ahead: Number of due events before it; 0 if the event itself is not due.
        paused: Nothing of the queue is claimed before this time; None without a pause.
        pause: Who has paused the queue by hand, and when; None if it is not.
        actions: Who has cancelled or retried the event, the oldest first.
        rooms: Its need for limits.
        workers: The workers of its queue.
        holder: The worker that has claimed it; None if none has.
        first: The first of the events before it; None if there is none.
        blockers: The parents that it waits for; None if there are none.
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
    pause: PauseRecord | None = None
    actions: tuple[Action, ...] = ()
    rooms: tuple[Room, ...] = ()
    workers: tuple[QueueWorker, ...] = ()
    holder: str | None = None
    first: First | None = None
    blockers: Blockers | None = None


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
    """Return the need for a limit, from what a store has recorded of its pool.

    Args:
        limit: The limit.
        key: The key of the event.
        cost: The amount that the event takes.
        now: The time.
        held: The amount that claims hold.
        paused: Nothing is available before this time; 0 without a pause.
        taken: Times and amounts in the window, oldest first.
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


def limits_at_work(workers: Iterable[QueueWorker]) -> Limits | None:
    """Return the limits that the live workers of a queue report; None if there are none."""
    return Limits(_each(workers)) or None


def _each(workers: Iterable[QueueWorker]) -> Iterator[Limit]:
    seen = set[str]()
    for worker in workers:
        if not worker.is_live or worker.about is None:
            continue
        for name, amount, per, per_key, pool in worker.about.limits:
            if name not in seen:
                seen.add(name)
                kind = Starts if name in worker.about.starts else Limit
                yield kind(name, amount, per, per_key=per_key, pool=pool)
