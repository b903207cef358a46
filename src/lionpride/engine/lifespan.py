"""Resources of an executor, such as an HTTP client, that are open while a worker runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from ..errors import OperationError

__all__ = ("Factory", "Lifespan", "Opening")

Factory: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]
"""Returns an async context manager for an executor, as ``@asynccontextmanager`` makes it."""

Make: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]

Lost: TypeAlias = Callable[[BaseException], object]
"""Called with the reason if a context manager ends before its users have left it."""


class Lifespan:
    """Holds one async context manager open from the first ``enter`` to the last ``leave``.

    Args:
        make: Returns the context manager.
    """

    def __init__(self, make: Make) -> None:
        self._make = make
        self._last: Opening | None = None

    @property
    def is_open(self) -> bool:
        """True while the context manager is entered."""
        return self._last is not None and self._last.is_open

    @property
    def value(self) -> Any:
        """What the context manager yielded; None while it is closed."""
        return None if self._last is None else self._last.value

    async def enter(self, lost: Lost) -> Opening:
        """Enter the context manager, if no other user has; wait first if it is being left.

        Args:
            lost: Called if the context manager ends by itself before ``leave(lost)``.

        Raises:
            Exception: what the context manager raised.
        """
        while True:
            opening = self._last
            if opening is None or opening.is_over():
                opening = self._last = Opening(self._make)
            if not opening.is_closing:
                await opening.join(lost)
                return opening
            await opening.wait()


class Opening:
    """One context manager, which is entered, used and left.

    It is entered and left in a task of its own, since some libraries require that both happen in
    the same task.

    Args:
        make: Returns the context manager.

    Attributes:
        value: What the context manager yielded; None while it is closed.
        is_closing: True if its last user has left it.
    """

    def __init__(self, make: Make) -> None:
        self._loop = asyncio.get_running_loop()
        self._make = make
        self._users: list[Lost] = []
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._close = asyncio.Event()
        self.value: Any = None
        self.is_closing = False
        self._task = self._loop.create_task(self._hold(), name="lionpride-lifespan")

    @property
    def is_open(self) -> bool:
        """True while the context manager is entered."""
        return self._opened.done() and not (self.is_closing or self._task.done())

    def is_over(self) -> bool:
        """Return True if it has ended, or belongs to another event loop."""
        return self._task.done() or self._loop is not asyncio.get_running_loop()

    async def wait(self) -> None:
        """Wait until it has ended."""
        await asyncio.wait((self._task,))

    async def join(self, lost: Lost) -> None:
        """Add a user, and wait until the context manager is entered.

        Raises:
            Exception: what the context manager raised.
        """
        self._users.append(lost)
        try:
            await asyncio.shield(self._opened)
        except BaseException:
            await self.leave(lost)
            raise
        if self._task.done():
            lost(self._reason())

    async def leave(self, lost: Lost) -> None:
        """Remove a user; leave the context manager, if this was the last one.

        A cancellation of the caller is passed on to the context manager, as in ``async with``.

        Raises:
            Exception: what the context manager raised when it was left.
        """
        self._users.remove(lost)
        if self._users or self._loop.is_closed():
            return
        task, self.is_closing = self._task, True
        if self._opened.done():
            self._close.set()
        else:
            task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as error:
                cancelled = error
                task.cancel()
        if cancelled is not None:
            raise cancelled
        if not task.cancelled() and (failure := task.exception()) is not None:
            raise failure

    async def _hold(self) -> None:
        opened = self._opened
        try:
            async with self._make() as self.value:
                opened.set_result(None)
                await self._close.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)
        finally:
            self.value = None
            if not opened.done():
                opened.cancel()
            elif not (self.is_closing or self._loop.is_closed()):
                self._loop.call_soon(self._notify_users)

    def _notify_users(self) -> None:
        """Call the users, since the context manager has ended by itself."""
        for lost in tuple(self._users):
            lost(self._reason())

    def _reason(self) -> BaseException:
        """Return why it has ended; what it raised is retrieved by this."""
        failure = None if self._task.cancelled() else self._task.exception()
        return failure or OperationError(
            "the lifespan of the executor ended while a worker ran: let it yield once, and end "
            "only after the yield has returned"
        )
