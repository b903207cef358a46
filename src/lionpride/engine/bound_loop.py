"""The event loop of an executor, and calls into it from other threads."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from ..errors import OperationError

__all__ = ("BoundLoop",)

T = TypeVar("T")


class BoundLoop:
    """The event loop that an executor belongs to: the one in which it was made, or is used first.

    Args:
        owner: Name of the executor's class, for error messages.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._loop: asyncio.AbstractEventLoop | None = None
        with suppress(RuntimeError):  # no loop runs yet
            self.bind()

    def bind(self) -> None:
        """Bind the executor to the running loop.

        Raises:
            RuntimeError: if no loop runs.
        """
        self._loop = asyncio.get_running_loop()

    def bind_if_lost(self) -> None:
        """Bind the executor to the running loop, unless it has one that still runs."""
        if self._loop is None or not self._loop.is_running():
            self.bind()

    def run_threadsafe(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the loop; see ``Executor.run_threadsafe``."""
        if not inspect.iscoroutine(coroutine):
            raise TypeError(
                f"run_threadsafe takes a coroutine, as from executor.append(...), not {coroutine!r}"
            )
        loop = self._loop
        if loop is None:
            problem = (
                "has no event loop yet: make it in a coroutine, or await append() or start() once"
            )
        elif not loop.is_running():
            state = "is closed" if loop.is_closed() else "is not running"
            problem = f"belongs to an event loop that {state}: await start() in a running loop"
        elif _is_running_here(loop):
            problem = "belongs to the loop of this thread: await the coroutine instead"
        else:
            return asyncio.run_coroutine_threadsafe(coroutine, loop)
        coroutine.close()
        raise OperationError(f"run_threadsafe: {self._owner} {problem}")


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
