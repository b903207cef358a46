"""The pulse: a thread that renews a process's leases, however long its event loop is held up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import apsw

from ..sql import pulse
from .file import PATIENCE, connect
from .lock import Turn

__all__ = ("Pulse",)

logger = logging.getLogger("lionpride")


class Pulse(pulse.Pulse):
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
        super().__init__(lease, "lionpride-sqlite-pulse")
        self._path = path
        self._synchronous = synchronous
        self._clock = clock

    def _run(self) -> None:
        connection, turn = (
            connect(self._path, synchronous=self._synchronous),
            Turn(self._path, self._lease / 3),
        )
        connection.set_busy_timeout(round(min(self._lease, PATIENCE) * 1000))
        try:
            while not self._is_over():
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
