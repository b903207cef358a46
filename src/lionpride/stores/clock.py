"""A clock that reads as Unix time and moves as the event loop's does."""

from __future__ import annotations

import asyncio
from time import time

__all__ = ("LoopClock",)


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
