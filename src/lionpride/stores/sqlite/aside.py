"""A thread for what may take its time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

__all__ = ("Aside", "tell")


def tell(loop: asyncio.AbstractEventLoop, *call: Any) -> None:
    """Have something called in an event loop, from a thread."""
    try:
        loop.call_soon_threadsafe(*call)
    except RuntimeError:  # the loop is closed: nobody is left to be told
        return


def _end_outside(loop: Any, work: Callable[[], None]) -> None:
    """Do what a virtual loop counts among its threads."""

    def end() -> None:
        loop.threads -= 1

    try:
        work()
    finally:
        tell(loop, end)


class Aside:
    """A thread that makes one call after another; it keeps no process alive."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._free = threading.Event()
        self._free.set()

    def call(self, work: Callable[[], None]) -> None:
        """Have it called; it deals with what it raises. Called in a running event loop."""
        loop: Any = asyncio.get_running_loop()
        if hasattr(loop, "threads"):  # one of `lionpride.testing`: its time stands still meanwhile
            loop.threads += 1
            work = partial(_end_outside, loop, work)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lionpride-sqlite", daemon=True)
            self._thread.start()
        self._free.clear()
        self._calls.put(work)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            work()
            work = None  # while it waits it keeps nothing of it
            self._free.set()

    async def finish(self, work: Callable[[], None]) -> bool:
        """Have it called, to its end; whether the task that waits was cancelled meanwhile.

        Raises:
            Exception: what it raised.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def call() -> None:
            try:
                work()
            except Exception as error:
                tell(loop, future.set_exception, error)
            else:
                tell(loop, future.set_result, None)

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
        """Block until it is free."""
        self._free.wait()

    def close(self) -> None:
        """End the thread when it is free; one that waits for its turn is left behind."""
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join(1.0)
            self._thread = None
