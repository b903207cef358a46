"""Estimate of the server's clock."""

from __future__ import annotations

from time import time
from typing import Final

from ..clock import boot_time

__all__ = ("ServerClock",)

_FRESH: Final = 60.0
"""Seconds for which an exact measurement is preferred to a newer, less exact one."""

_DRIFT: Final = 0.1
"""Maximum drift of two clocks during that time, in seconds."""


class ServerClock:
    """Returns Unix time in seconds by the server's clock.

    The error is at most half of the shortest round trip of the last minute. Before the first
    measurement, this machine's own time is returned. If the difference of a measurement exceeds the
    error, the server's clock has been set, and the measurement is used.
    """

    def __init__(self) -> None:
        self._offset = time() - boot_time()
        self._error = float("inf")
        self._at = 0.0

    def __call__(self) -> float:
        return self._offset + boot_time()

    def note(self, now: float, asked: float, answered: float) -> None:
        """Add a measurement.

        Args:
            now: The server's time.
            asked, answered: The times of ``boot_time()`` before and after the query.
        """
        error = (answered - asked) / 2
        offset = now - (asked + answered) / 2
        was_set = abs(offset - self._offset) > self._error + error + _DRIFT
        if was_set or error <= self._error or answered - self._at > _FRESH:
            self._offset, self._error, self._at = offset, error, answered
