"""A sample of the events: each is picked with the same probability, at next to no cost."""

from __future__ import annotations

from collections.abc import Callable
from math import log, log1p
from random import Random
from sys import maxsize
from typing import Any

from ..model.work import Work

__all__ = ("Sample",)


class Sample:
    """Picks each event with the same probability when it is appended, and those that have to be.

    It is drawn beforehand how many are left out until the next, so that it takes a subtraction to
    leave one out: ``Executor.append`` writes that out. Gaps that are distributed geometrically
    are the same as a draw for each (Devroye, Non-Uniform Random Variate Generation, X.2).

    Args:
        part: The probability, 0 to 1.
        maybe: Whether it is to be asked if an event has to be picked; asked of each, so cheap.
        must: Whether it has to be, whatever was drawn.
        knows: Whether an event that starts was picked before, in whatever process.

    Attributes:
        left: How many are left out before the next is picked.
    """

    __slots__ = ("_draw", "_knows", "_must", "_scale", "left", "maybe", "part")

    def __init__(
        self,
        part: float,
        *,
        maybe: Callable[[], object],
        must: Callable[[], bool],
        knows: Callable[[Work], bool],
    ) -> None:
        self.part = part
        self.maybe = maybe
        self._must, self._knows = must, knows
        self._draw = Random().random  # noqa: S311 - it chooses what somebody looks at
        self._scale = log1p(-part) if 0 < part < 1 else 0.0
        self.left = self._gap()

    def _gap(self) -> int:
        if self._scale:
            return int(log(1.0 - self._draw()) / self._scale)
        return 0 if self.part >= 1 else maxsize

    def __call__(self, event: Any, starting: bool) -> bool:
        """Whether an event is picked; ``starting`` or appended."""
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
        """Which of so many events that are appended at once are picked, if none has to be."""
        picked, at = [], self.left
        while at < count:
            picked.append(at)
            at += 1 + self._gap()
        self.left = at - count
        return picked
