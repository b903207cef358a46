"""Watching: looks now and then whether another process has written, while anybody cares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

__all__ = ("Watch",)

INTERVAL: Final = 0.05
"""Seconds between two looks: a look costs microseconds, for SQLite keeps the answer at hand."""

REST: Final = 9.0
"""For each second that looks take, so many without: where thousands wait, a look takes its time."""


class Watch:
    """Calls ``look`` at intervals, for as long as ``wanted`` says so.

    Args:
        wanted: Whether to go on.
        look: What to do each time.
    """

    def __init__(self, wanted: Callable[[], bool], look: Callable[[], None]) -> None:
        self._wanted = wanted
        self._look = look
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def look(self, rest: float = 0.0) -> None:
        """Begin to look, if that is wanted and not done already; after so many seconds at least."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a loop that is over took its timers with it
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
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
