"""An alarm: one timer of the event loop, for the earliest of many instants of a wall clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .clock import capped

__all__ = ("Alarm",)

_SOON: Final = 1e-6
"""Seconds that a clock of Unix time can tell from now: a shorter timer would fire without end."""


class Alarm:
    """Calls back once, at the earliest instant that it was set to since it did.

    Args:
        clock: The time as a Unix timestamp in seconds.
        ring: Called at that instant, or a little later: within ``LOOK`` seconds if the clock is
            set beyond it.
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
        self._arm()

    def _arm(self) -> None:
        assert self._loop is not None, "it is set in a loop"
        seconds = capped(max(_SOON, self._at - self._clock()))
        self._timer = self._loop.call_later(seconds, self._fire)

    def off(self) -> None:
        """Do not ring."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _fire(self) -> None:
        if self._clock() < self._at - _SOON:  # the clock may be set: it is looked at often
            self._arm()
            return
        self._timer = None
        self._ring()
