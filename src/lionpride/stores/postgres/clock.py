"""The server's clock, as far as this process can tell."""

from __future__ import annotations

import asyncio
from time import time
from typing import Final

__all__ = ("ServerClock",)

_FRESH: Final = 60.0
"""Seconds for which a good measure is kept though a worse one is newer."""


class ServerClock:
    """Unix time in seconds by the server's clock, moving on as the event loop's does.

    It is right to within half of the quickest answer of the last minute. Before the first answer
    it is this machine's own time.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._offset = 0.0
        self._error = 0.0
        self._at = 0.0

    def __call__(self) -> float:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._offset, self._error = loop, time() - loop.time(), 1e9
        return self._offset + loop.time()

    def note(self, now: float, asked: float, answered: float) -> None:
        """The server said that it was ``now``, some time between these two of the loop's."""
        self()
        error = (answered - asked) / 2
        if error <= self._error or answered - self._at > _FRESH:
            self._offset, self._error, self._at = now - (asked + answered) / 2, error, answered
