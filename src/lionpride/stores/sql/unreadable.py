"""Events that this process cannot build, and for how long it does not claim them again.

A worker of an older release claims events that only the newer release can read. They return to
pending for a process that can read them. This process remembers their numbers, so that it does not
claim them again at once. If a class has many of them, the whole class is skipped for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from uuid import UUID
from weakref import ref

from pydantic import ValidationError

from ...drawing.text import one_line, shorten
from ...errors import NotFoundError
from ...model import registry
from ...rules.queue_position import Unreadable

__all__ = ("MANY", "PAUSE", "REMEMBERED", "UnreadableEvents", "reason_of")

MANY: Final = 100
"""Unreadable events of one class after which the class is not claimed for ``PAUSE`` seconds."""

PAUSE: Final = 60.0

REMEMBERED: Final = 1000
"""Numbers that are remembered at most, the newest; an older one may be claimed once more."""

REPORTED: Final = 20
"""Classes that a worker reports to others at most, the newest."""

AGAIN: Final = 600.0
"""Seconds after which an event is claimed again: the reason may be gone by then, such as a missing
file that a validator looks for."""

_LONGEST: Final = 300


def reason_of(error: BaseException) -> str:
    """Return why an event cannot be built.

    The input of a pydantic error is left out, since a field may be secret. The text of an error
    that a user's validator raises is kept, whatever it contains.
    """
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_context=False, include_input=False)
        parts = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found]
        return shorten("; ".join(parts), _LONGEST)
    return shorten(one_line(f"{type(error).__name__}: {error}"), _LONGEST)


@dataclass(slots=True)
class _Event:
    id: UUID
    kind: str
    reason: str
    until: float


@dataclass(slots=True)
class _Class:
    """Unreadable events of one class.

    Attributes:
        definition: The class that refused its events. If it is redefined, they are claimed again.
        new: Unreadable events since the class was last skipped.
        until: The class is skipped before this time.
        last: The last unreadable event.
    """

    definition: ref[Any]
    new: int
    until: float
    last: _Event


class UnreadableEvents:
    """The unreadable events of one queue, as this process has met them."""

    def __init__(self) -> None:
        self._events: dict[int, _Event] = {}
        self._classes: dict[str, _Class] = {}
        self._numbers: tuple[int, ...] | None = None  # None: they have changed

    def __bool__(self) -> bool:
        return bool(self._events or self._classes)

    def note(self, number: int, uid: UUID, kind: str, error: Exception, now: float) -> bool:
        """Remember an event that could not be built; return True if other processes should be told.

        That is so for the first event of a class, and when the class is skipped from now on.
        """
        event = _Event(uid, kind, reason_of(error), now + AGAIN)
        self._numbers = None
        self._events.pop(number, None)
        self._events[number] = event
        while len(self._events) > REMEMBERED:
            del self._events[next(iter(self._events))]
        known = self._classes.get(kind)
        if known is None:
            known = self._classes[kind] = _Class(ref(registry.find(kind)), 0, 0.0, event)
        is_first, known.last = known.last is event, event
        if known.until > now:  # from the same claim as the hundredth
            return is_first
        known.new += 1
        if known.new < MANY:
            return is_first
        known.new, known.until = 0, now + PAUSE
        return True

    def refresh(self, now: float) -> None:
        """Forget events to claim again: after their time, or if their class was redefined."""
        if not self:
            return
        for kind, known in tuple(self._classes.items()):
            try:
                anew = registry.find(kind) is not known.definition()
            except NotFoundError:  # no longer defined: claims skip missing classes anyway
                anew = True
            if anew:
                del self._classes[kind]
                for number in [n for n, one in self._events.items() if one.kind == kind]:
                    self._forget(number)
        while self._events and next(iter(self._events.values())).until <= now:  # the oldest
            self._forget(next(iter(self._events)))
        if any(one.until <= now for one in self._classes.values()):
            here = {one.kind for one in self._events.values()}
            for kind in [k for k, o in self._classes.items() if k not in here and o.until <= now]:
                del self._classes[kind]

    def _forget(self, number: int) -> None:
        del self._events[number]
        self._numbers = None

    def kinds(self, now: float) -> frozenset[str]:
        """Return the classes that are skipped now."""
        return frozenset(kind for kind, one in self._classes.items() if one.until > now)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The events that are not claimed for now; the same object until they change."""
        if self._numbers is None:
            self._numbers = tuple(self._events)
        return self._numbers

    def next_look(self, now: float) -> float | None:
        """Return the seconds until an event or a class is tried again; None if there is none."""
        times = [one.until for one in self._classes.values() if one.until > now]
        times += [one.until for one in islice(self._events.values(), 1)]  # the oldest
        return max(1e-9, min(times) - now) if times else None

    def why(self, uid: UUID, kind: str, now: float) -> str | None:
        """Return why this process does not claim an event; None if it may claim it."""
        for one in self._events.values():
            if one.id == uid:
                return one.reason
        known = self._classes.get(kind)
        return known.last.reason if known is not None and known.until > now else None

    def report(self) -> tuple[Unreadable, ...]:
        """Return a summary for each class."""
        counts: dict[str, int] = {}
        for one in tuple(self._events.values()):
            counts[one.kind] = counts.get(one.kind, 0) + 1
        return tuple(
            Unreadable(kind, counts.get(kind, 1), str(one.last.id), one.last.reason)
            for kind, one in tuple(self._classes.items())[-REPORTED:]
        )
