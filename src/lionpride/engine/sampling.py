"""Sampling: each event is selected with the same probability, at almost no cost."""

from __future__ import annotations

from collections.abc import Callable
from math import log, log1p
from random import Random
from sys import maxsize
from typing import Any

from ..model.event_data import EventData

__all__ = ("Sample",)


class Sample:
    """Selects each appended event with the same probability, and all that have to be selected.

    The number of events up to the next selected one is drawn in advance, so an event that is not
    selected costs a subtraction, which ``Observers.passes`` writes out. Geometrically distributed
    gaps are equivalent to a draw for each event (Devroye, Non-Uniform Random Variate Generation,
    X.2).

    Args:
        part: The probability, 0 to 1.
        maybe: A quick check, called for each event: false if the event does not have to be
            selected.
        must: Returns True if the event has to be selected; called only if ``maybe`` is true.
        knows: Returns True if an event that starts was selected before, in any process.

    Attributes:
        left: Number of events before the next selected one.
    """

    __slots__ = ("_draw", "_knows", "_must", "_scale", "left", "maybe", "part")

    def __init__(
        self,
        part: float,
        *,
        maybe: Callable[[], object],
        must: Callable[[], bool],
        knows: Callable[[EventData], bool],
    ) -> None:
        self.part = part
        self.maybe = maybe
        self._must, self._knows = must, knows
        self._draw = Random().random  # noqa: S311 - the selection is no secret
        self._scale = log1p(-part) if 0 < part < 1 else 0.0
        self.left = self._gap()

    def _gap(self) -> int:
        if self._scale:
            return int(log(1.0 - self._draw()) / self._scale)
        return 0 if self.part >= 1 else maxsize

    def __call__(self, event: Any, starting: bool) -> bool:
        """Return True if an event is selected, at its start or at its append."""
        if starting:
            return self.part >= 1 or self._knows(event)
        if self.maybe() and self._must():
            return True
        if self.left:
            self.left -= 1
            return False
        self.left = self._gap()
        return True

    def among(self, count: int) -> list[int]:
        """Return the positions that are selected in a batch, if no event has to be selected."""
        selected, at = [], self.left
        while at < count:
            selected.append(at)
            at += 1 + self._gap()
        self.left = at - count
        return selected
