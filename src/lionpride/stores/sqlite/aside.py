"""A thread for what may take its time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ("Aside",)


class Aside:
    """A thread that makes one call after another; it keeps no process alive."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._free = threading.Event()
        self._free.set()

    def call(self, work: Callable[[], None]) -> None:
        """Have it called; it deals with what it raises."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lionpride-sqlite", daemon=True)
            self._thread.start()
        self._free.clear()
        self._calls.put(work)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            work()
            self._free.set()

    def wait(self) -> None:
        """Block until it is free."""
        self._free.wait()

    def close(self) -> None:
        """End the thread when it is free; one that waits for its turn is left behind."""
        if self._thread is not None:
            self._calls.put(None)
            self._thread.join(1.0)
            self._thread = None
