"""What was not started in time: ended in the transaction that finds it so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ..sql.forms import State
from ..sql.local import EXPIRE
from .rows import Rows

__all__ = ("Expire", "Expired", "Lapse")

Lapse: TypeAlias = Callable[[State], tuple[str, State]]
"""The status and the state of an event that waited in this state, and expired."""


class Expired(NamedTuple):
    """What was ended, by number, and when the next one may have to be; None: none does."""

    numbers: list[int]
    next: float | None

    def leaves(self, now: float) -> bool:
        """Whether some wait still that were to be started by now."""
        return self.next is not None and self.next <= now


@dataclass(slots=True)
class Expire:
    """End what waits and was not started in time: ``EXPIRE`` events at most, the first ones.

    Attributes:
        clock: Returns the time, for what becomes due and what expires. It is called within the
            transaction, perhaps in another thread.
        ended: When it is, by the clock of endings.
        lapse: Says what becomes of it.
    """

    clock: Callable[[], float]
    ended: Callable[[], float]
    lapse: Lapse

    def __call__(self, rows: Rows) -> Expired:
        return self.by(rows, self.clock())

    def by(self, rows: Rows, now: float) -> Expired:
        """End the events that were to be started before a time."""
        first = rows.next_expiry()
        if first is None or first > now:
            return Expired([], first)
        late = rows.late(now, EXPIRE)
        for one in late:
            rows.leave(one)
            status, state = self.lapse(one.state)
            rows.place([(one.number, status, self.ended(), state)], [])
        return Expired([one.number for one in late], rows.next_expiry())
