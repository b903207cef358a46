"""The server's clock, as far as this process can tell."""

from __future__ import annotations

from time import time
from typing import Final

from ..clock import boot_time

__all__ = ("ServerClock",)

_FRESH: Final = 60.0
"""Seconds for which a good measurement is kept though a worse one is newer."""

_DRIFT: Final = 0.1
"""Seconds by which two clocks may drift apart in that time."""


class ServerClock:
    """Unix time in seconds by the server's clock.

    It is right to within half of the quickest answer of the last minute. Before the first answer
    it is this machine's own time. If an answer cannot be explained by that error, the server's
    clock has been set, and the answer is believed.
    """

    def __init__(self) -> None:
        self._offset = time() - boot_time()
        self._error = float("inf")
        self._at = 0.0

    def __call__(self) -> float:
        return self._offset + boot_time()

    def note(self, now: float, asked: float, answered: float) -> None:
        """Take a measurement into account.

        Args:
            now: The server's time.
            asked, answered: The times of ``boot_time()`` between which it was read.
        """
        error = (answered - asked) / 2
        offset = now - (asked + answered) / 2
        was_set = abs(offset - self._offset) > self._error + error + _DRIFT
        if was_set or error <= self._error or answered - self._at > _FRESH:
            self._offset, self._error, self._at = offset, error, answered
