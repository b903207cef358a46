"""Periodic check for changes by other processes, while a caller waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

__all__ = ("Watch",)

INTERVAL: Final = 0.05
"""Seconds between two checks; a check takes microseconds, as SQLite reads shared memory."""

REST: Final = 9.0
"""Seconds without checks for each second that checks take: with thousands of waiters they are slow.
"""


class Watch:
    """Calls ``look`` at intervals while ``wanted`` returns True.

    Args:
        wanted: Returns True to continue.
        look: The check.
    """

    def __init__(self, wanted: Callable[[], bool], look: Callable[[], None]) -> None:
        self._wanted = wanted
        self._look = look
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def look(self, rest: float = 0.0) -> None:
        """Start the timer, if it is wanted and not running; wait at least ``rest`` seconds."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the timer of a closed loop never fires
            self._timer, self._loop = None, loop
        if self._timer is None and self._wanted():
            self._timer = loop.call_later(max(INTERVAL, rest), self._turn)

    def _turn(self) -> None:
        self._timer = None
        if self._wanted():
            began = monotonic()
            self._look()
            self.look(REST * (monotonic() - began))

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
