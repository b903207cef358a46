"""A clock that reads as Unix time and moves as the event loop's does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic, time

__all__ = ("LoopClock", "time_of_loop")


class LoopClock:
    """Unix time in seconds when a loop first asks; from then on that loop's own clock.

    So a delay is as long as it says when somebody sets the wall clock, and in a loop whose time
    is virtual; and what it gives means the same after a restart.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._offset = 0.0

    def __call__(self) -> float:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            self._offset = time() - loop.time()
        return self._offset + loop.time()


def time_of_loop() -> Callable[[], float]:
    """The running loop's own clock, without the method around it where it is the usual one."""
    loop = asyncio.get_running_loop()
    usual = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
    return monotonic if usual else loop.time
