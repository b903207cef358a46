"""The wall clock, a clock that cannot be set, and timers that notice when the first one is."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

__all__ = ("LOOK", "LoopClock", "boot_time", "capped", "steady", "time_of_loop")

LOOK: Final = 2.0
"""Seconds until a timer compares with the wall clock again, which may be set meanwhile."""

_ASYNCIO_TIME: Final = asyncio.BaseEventLoop.time
_REAL: Final = ("uvloop", "winloop")
"""Packages whose event loops have their own ``time`` method, which reads the machine's clock."""


_SINCE_BOOT: Final = getattr(
    time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC if sys.platform == "darwin" else None
)


def boot_time() -> float:
    """Return seconds of a clock that cannot be set and that counts while the machine sleeps.

    That is ``CLOCK_BOOTTIME`` on Linux, and ``CLOCK_MONOTONIC`` on macOS. Where there is no such
    clock, it is ``time.monotonic()``, which may stand still while the machine sleeps.
    """
    return monotonic() if _SINCE_BOOT is None else time.clock_gettime(_SINCE_BOOT)


class LoopClock:
    """Unix time in seconds: the wall clock's, or that of a loop whose time is virtual.

    A loop with a clock of its own starts at the wall clock's time, and moves as that clock does.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._offset: float | None = None  # of virtual time

    def __call__(self) -> float:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._offset = None if _is_real(loop) else time.time() - loop.time()
        return time.time() if self._offset is None else self._offset + loop.time()

    def of_this_loop(self) -> Callable[[], float]:
        """Return a clock of the running loop that any thread may call."""
        self()
        offset, ticks = self._offset, asyncio.get_running_loop().time
        return time.time if offset is None else lambda: offset + ticks()


def _is_real(loop: Any) -> bool:
    """Return True if the clock of a loop is the machine's."""
    usual = getattr(loop.time, "__func__", None) is _ASYNCIO_TIME
    return usual or type(loop).__module__.partition(".")[0] in _REAL


def capped(seconds: float) -> float:
    """Return how long a timer of the running loop may sleep that is meant for a wall clock.

    After ``LOOK`` seconds it has to compare with that clock again. Virtual time is not cut: no
    other program can set it.

    Args:
        seconds: Time until the instant of the timer, if the clock is not set before.
    """
    return min(seconds, LOOK) if _is_real(asyncio.get_running_loop()) else seconds


def steady(clock: Callable[[], float]) -> Callable[[], float]:
    """Return the same clock for another thread, which has no event loop."""
    return clock.of_this_loop() if isinstance(clock, LoopClock) else clock


def time_of_loop() -> Callable[[], float]:
    """Return the clock of the running loop: ``monotonic`` itself for the loops of asyncio."""
    loop = asyncio.get_running_loop()
    usual = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
    return monotonic if usual else loop.time
