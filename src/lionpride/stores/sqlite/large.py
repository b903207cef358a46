"""Who waits for a transaction of its own, while others share theirs."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

__all__ = ("Queue",)

_SHARE: Final = 100
"""Events of a large append for which one shared transaction goes first."""


class Queue:
    """Large appends, one after another.

    Shared transactions go first for a while, or what is taken in at a thousand a transaction
    would pile up before what runs it, a hundred at a time. But only for a while: others may
    never have nothing to ask for.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._passed = 0  # shared transactions that went before the first in the queue

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, size: int) -> asyncio.Future[None]:
        """Wait for the turn of an append of so many events."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, size // _SHARE))
        return future

    def call(self, others: bool) -> bool:
        """Give the next one its turn, unless others still go first; whether one was called."""
        while self._waiting:
            future, patience = self._waiting[0]
            if future.done():  # cancelled
                self._waiting.popleft()
            elif others and self._passed < patience:
                self._passed += 1
                return False
            else:
                self._passed = 0
                self._waiting.popleft()
                future.set_result(None)
                return True
        return False
