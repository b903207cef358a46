"""An alarm: one timer of the event loop, for the earliest of many instants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ("Alarm",)

_SOON: Final = 1e-6
"""Seconds that a clock of Unix time can tell from now: a shorter timer would fire without end."""


class Alarm:
    """Calls back once, at the earliest instant that it was set to since it did.

    Args:
        clock: The time as a Unix timestamp in seconds.
        ring: Called at that instant, or a little later.
    """

    __slots__ = ("_at", "_clock", "_loop", "_ring", "_timer")

    def __init__(self, clock: Callable[[], float], ring: Callable[[], object]) -> None:
        self._clock = clock
        self._ring = ring
        self._at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float | None) -> None:
        """Ring at this instant too; None: at none."""
        if at is None:
            return
        loop = asyncio.get_running_loop()
        if self._timer is not None and self._loop is loop:
            if self._at <= at:
                return
            self._timer.cancel()
        self._loop, self._at = loop, at
        self._timer = loop.call_later(max(_SOON, at - self._clock()), self._fire)

    def off(self) -> None:
        """Do not ring."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _fire(self) -> None:
        self._timer = None
        self._ring()
