"""The pulse: a thread that renews a process's leases, however long its event loop is held up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import apsw

from .file import PATIENCE, connect
from .lock import Turn

__all__ = ("Pulse",)

logger = logging.getLogger("lionpride")


class Pulse:
    """Renews what the workers of this process hold, three times in a lease.

    Args:
        path: The file.
        synchronous: As for the store.
        lease: Seconds.
        clock: The time as a Unix timestamp in seconds; called in the thread.
    """

    def __init__(
        self, path: Path, synchronous: str, lease: float, clock: Callable[[], float]
    ) -> None:
        self._path = path
        self._synchronous = synchronous
        self._lease = lease
        self._clock = clock
        self._workers: dict[str, Callable[[], str | None]] = {}
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def beat_for(self, workers: dict[str, Callable[[], str | None]]) -> None:
        """Renew the leases of these from now on; the thread runs while there are any.

        Args:
            workers: By name what each says of itself; asked in the thread.
        """
        self._workers = workers
        if workers and self._thread is None:
            self._end.clear()
            self._thread = threading.Thread(
                target=self._run, name="lionpride-sqlite-pulse", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the thread; what it holds open is closed."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(1.0)
            self._thread = None

    def _run(self) -> None:
        connection, turn = (
            connect(self._path, synchronous=self._synchronous),
            Turn(self._path, self._lease / 3),
        )
        connection.set_busy_timeout(round(min(self._lease, PATIENCE) * 1000))
        try:
            while not self._end.wait(self._lease / 3):
                try:
                    self._beat(connection, turn)
                except apsw.Error as error:
                    logger.warning("%s: leases could not be renewed: %s", self._path, error)
        finally:
            turn.close()
            connection.close()

    def _beat(self, connection: apsw.Connection, turn: Turn) -> None:
        turn.take()
        try:
            connection.execute("BEGIN IMMEDIATE")  # which may take its time: a lease counts from it
            try:
                now = self._clock()
                for worker, about in self._workers.items():
                    for table in ("lease", "span"):
                        connection.execute(
                            f"UPDATE {table} SET until = ? WHERE worker = ?",
                            (now + self._lease, worker),
                        )
                    connection.execute(
                        "UPDATE worker SET seen = ?, about = ? WHERE name = ?",
                        (now, about(), worker),
                    )
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        finally:
            turn.give()
