"""The pulse: a thread that keeps a process's leases alive, however long its loop is held up."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, TypeAlias

__all__ = ("JOIN", "Pulse", "Saying")

Saying: TypeAlias = dict[str, Callable[[], str | None]]
"""By the name of a worker, what it says of itself."""

JOIN: Final = 1.0
"""Seconds to wait for the end of the thread."""


class Pulse(ABC):
    """Gives a sign of life of the workers of this process, three times in a lease.

    Args:
        lease: Seconds.
        name: What the thread is called.
    """

    def __init__(self, lease: float, name: str) -> None:
        self._lease = lease
        self._name = name
        self._workers: Saying = {}
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def beat_for(self, workers: Saying) -> None:
        """Keep these alive from now on; the thread runs while there are any.

        Args:
            workers: What each says of itself; asked in the thread.
        """
        self._workers = workers
        if workers and self._thread is None:
            self._end.clear()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread; what it holds open is closed."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(JOIN)
            self._thread = None

    def _is_over(self) -> bool:
        """Wait for the next beat; whether there is none any more."""
        return self._end.wait(self._lease / 3)

    @abstractmethod
    def _run(self) -> None:
        """Beat until it is over; in the thread."""
