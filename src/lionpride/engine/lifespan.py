"""Resources of an executor, such as an HTTP client, that are open while a worker runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

__all__ = ("Factory", "Lifespan")

Factory: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]
"""Returns an async context manager for an executor, as ``@asynccontextmanager`` makes it."""


class Lifespan:
    """Holds one async context manager open from the first ``enter`` to the last ``leave``.

    The context manager is entered and left in a task of its own, since some libraries require that
    both happen in the same task.

    Args:
        make: Returns the context manager.

    Attributes:
        value: What the context manager yielded; None while it is closed.
    """

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._make = make
        self._users = 0
        self._task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None]
        self._close: asyncio.Event
        self.value: Any = None

    @property
    def is_open(self) -> bool:
        """True while the context manager is entered."""
        return self._task is not None and self._opened.done() and not self._task.done()

    async def enter(self) -> None:
        """Enter the context manager, if no other user has.

        Raises:
            Exception: what the context manager raised.
        """
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._users = 0  # of an earlier event loop, which has closed it
            self._opened, self._close = loop.create_future(), asyncio.Event()
            self._task = loop.create_task(self._hold(), name="lionpride-lifespan")
        self._users += 1
        try:
            await asyncio.shield(self._opened)
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """Leave the context manager, if this was the last user.

        Raises:
            Exception: what the context manager raised when it was left.
        """
        self._users -= 1
        if self._users > 0 or self._task is None:
            return
        task, self._task = self._task, None
        if self._opened.done():
            self._close.set()
        else:
            task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:  # the resources are closed all the same
                cancelled = error
        if cancelled is not None:
            raise cancelled
        if not task.cancelled() and (failure := task.exception()) is not None:
            raise failure

    async def _hold(self) -> None:
        opened, close = self._opened, self._close
        try:
            async with self._make() as self.value:
                opened.set_result(None)
                await close.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)
        finally:
            self.value = None
            if not opened.done():
                opened.cancel()
