"""Rate limit with a sliding window: at most ``capacity`` starts in any ``span`` seconds."""

from __future__ import annotations

from collections import deque
from math import fsum

__all__ = ("RateWindow",)


class RateWindow:
    """Keeps the times of the last ``capacity`` starts.

    For every t, at most ``capacity`` starts lie in (t, t + span]: a start is allowed as soon as
    the start ``capacity`` before it lies a whole ``span`` back. This is exact: the times are kept
    as they are, and their differences are summed without rounding (``math.fsum``).

    Args:
        capacity: Starts allowed in one span.
        span: The length of the window, in seconds.
    """

    __slots__ = ("_starts", "capacity", "span")

    def __init__(self, capacity: int, span: float) -> None:
        self.capacity = capacity
        self.span = span
        self._starts: deque[float] = deque(maxlen=capacity)

    def wait(self, now: float) -> float:
        """Return the seconds from ``now`` until a start is allowed; 0.0 if it is."""
        starts = self._starts
        if len(starts) < self.capacity:
            return 0.0
        left = fsum((starts[0], self.span, -now))
        return 0.0 if left <= 0.0 else max(left, 1e-9)

    def stamp(self, now: float) -> None:
        """Count a start at ``now``; in a round of ``forward()`` it may exceed the limit."""
        self._starts.append(now)

    def when(self, n: int, now: float) -> float:
        """Return the time at which the n-th start from now on is allowed, n from 1 up.

        Each start before it is assumed to be made as soon as it is allowed.
        """
        left = n - self.free(now)
        if left <= 0:
            return now
        taken = [start for start in self._starts if fsum((start, self.span, -now)) > 0.0]
        rounds, place = divmod(left - 1, self.capacity)
        first = taken[place] if place < len(taken) else now
        return first + self.span * (rounds + 1)

    def free(self, now: float) -> int:
        """Return the number of starts that are allowed at ``now``."""
        span = self.span
        return self.capacity - sum(1 for start in self._starts if fsum((start, span, -now)) > 0.0)
