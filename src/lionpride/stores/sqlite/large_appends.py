"""The order of large appends, each in its own transaction, and the shared transactions."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

__all__ = ("LargeAppends",)

_SHARE: Final = 100
"""Events of a large append for which one shared transaction goes first."""


class LargeAppends:
    """Large appends that wait, in order of arrival.

    A number of shared transactions go first, in proportion to the size of the append. Otherwise
    appends would take the file from the claims and completions that run the events. The number is
    limited, since shared transactions may never pause.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._passed = 0  # shared transactions since the first append became the first

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, size: int) -> asyncio.Future[None]:
        """Enter an append of so many events; the future is done when it may begin."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, size // _SHARE))
        return future

    def call(self, others: bool) -> bool:
        """Let the next append begin, unless shared transactions go first.

        Args:
            others: True if requests wait for a shared transaction.

        Returns:
            True if an append begins.
        """
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
