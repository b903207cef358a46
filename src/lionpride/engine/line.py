"""The line before a full queue: who waits for room gets it first come, first served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import QueueFullError
from ..stores.contract import Store

__all__ = ("Line",)

T = TypeVar("T")


class Line:
    """Those who wait for room in one store.

    Only the first of them asks the store, each time that there may be room; so nobody polls, and
    nobody is overtaken by one who came later.

    Args:
        store: Whose queue may be full.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._first: asyncio.Event | None = None  # set when the first may ask again

    async def enter(self, append: Callable[[], Awaitable[T]]) -> T:
        """Append when it is one's turn and there is room.

        Args:
            append: Asks the store; called again after each QueueFullError.

        Raises:
            QueueFullError: if there can never be room: there are more events than may wait.
        """
        async with self._turn():
            while True:
                freed = asyncio.Event()
                self._store.on_room(freed.set)  # before the store is asked: it may take its time
                self._first = freed
                try:
                    return await append()
                except QueueFullError as error:
                    if error.details["events"] > error.details["max_size"]:
                        raise
                    await freed.wait()
                finally:
                    self._first = None
                    self._store.off(freed.set)

    def ask_again(self) -> None:
        """Have all who wait ask once more, one after another: the answer may be another now."""
        if self._first is not None:
            self._first.set()

    def _turn(self) -> asyncio.Lock:
        """The lock of the running loop: one is bound to the loop that it was waited for in."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._lock, self._loop = asyncio.Lock(), loop
        return self._lock
