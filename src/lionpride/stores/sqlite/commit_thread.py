"""The thread for commits and waits that would block the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

__all__ = ("CommitThread", "call_in_loop")


def call_in_loop(loop: asyncio.AbstractEventLoop, *call: Any) -> None:
    """Call a function with arguments in an event loop, from a thread; a closed loop is ignored."""
    try:
        loop.call_soon_threadsafe(*call)
    except RuntimeError:  # the loop is closed: no task waits for the result
        return


def _run_counted(loop: Any, work: Callable[[], None]) -> None:
    """Run a function that a loop with virtual time counts as a running thread."""

    def end() -> None:
        loop.threads -= 1

    try:
        work()
    finally:
        call_in_loop(loop, end)


class CommitThread:
    """A daemon thread that calls functions, one at a time."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def call(self, work: Callable[[], None]) -> None:
        """Call a function that handles its own errors; called in a running event loop."""
        loop: Any = asyncio.get_running_loop()
        if hasattr(loop, "threads"):  # a loop of `lionpride.testing`: its time stands still
            loop.threads += 1
            work = partial(_run_counted, loop, work)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lionpride-sqlite", daemon=True)
            self._thread.start()
        self._calls.put(work)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            work()
            work = None  # no reference is kept while the thread waits

    async def finish(self, work: Callable[[], None]) -> bool:
        """Call a function and wait for its end, even if the waiting task is cancelled.

        Returns:
            True if the task was cancelled meanwhile.

        Raises:
            Exception: what the function raised.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def call() -> None:
            try:
                work()
            except Exception as error:
                call_in_loop(loop, future.set_exception, error)
            else:
                call_in_loop(loop, future.set_result, None)

        self.call(call)
        cancelled = False
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                cancelled = True
        future.result()
        return cancelled

    def wait(self) -> None:
        """Block until all earlier calls have ended."""
        if self._thread is not None:
            ended = threading.Event()
            self._calls.put(ended.set)
            ended.wait()

    def close(self) -> None:
        """End the thread after its last call; a thread that does not end in a second is left."""
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join(1.0)
            self._thread = None
