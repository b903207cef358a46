"""Alarm: one timer of the event loop for the earliest of many times of a wall clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .clock import capped

__all__ = ("Alarm",)

_SOON: Final = 1e-6
"""Shortest timer in seconds. A clock of Unix time cannot tell less from now, and a shorter timer
would fire again and again."""


class Alarm:
    """Calls a function once, at the earliest time that it was set to since the last call.

    Args:
        clock: Returns the time as a Unix timestamp in seconds.
        call: Called at that time, or a little later: within ``LOOK`` seconds if the clock is set
            forward.
    """

    __slots__ = ("_at", "_call", "_clock", "_loop", "_timer")

    def __init__(self, clock: Callable[[], float], call: Callable[[], object]) -> None:
        self._clock = clock
        self._call = call
        self._at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float | None) -> None:
        """Call at this time too; None has no effect."""
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
        assert self._loop is not None, "the alarm is set in a loop"
        seconds = capped(max(_SOON, self._at - self._clock()))
        self._timer = self._loop.call_later(seconds, self._fire)

    def off(self) -> None:
        """Turn the alarm off."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _fire(self) -> None:
        if self._clock() < self._at - _SOON:  # the clock may have been set
            self._arm()
            return
        self._timer = None
        self._call()
