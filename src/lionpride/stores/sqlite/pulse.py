"""Renews a process's leases in the file, in the thread of its heartbeat."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import apsw

from ..clock import boot_time
from ..sql.pulse import Names, Pulse, Said
from .file import PATIENCE, connect
from .lock import Turn, is_free

__all__ = ("Beat", "pulse_of")


def pulse_of(path: Path, synchronous: str, lease: float, clock: Callable[[], float]) -> Pulse:
    """Return the heartbeat of a process over a file; the arguments are those of ``Beat``."""
    make = partial(Beat, path, synchronous, lease, clock)
    return Pulse(lease, "lionpride-sqlite-pulse", path, make)


class Beat:
    """Renews the leases of workers, over a connection of its own.

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
        self._open: tuple[apsw.Connection, Turn] | None = None

    def prepare(self) -> None:
        """Open the file ahead: later there may be no file descriptor left for it."""
        self._opened()

    def __call__(self, names: Names, said: Said) -> float:
        """See ``Beat`` in ``sql/pulse.py``."""
        connection, turn = self._opened()
        try:
            turn.take(lambda: is_free(connection))
            connection.set_busy_timeout(round(min(self._lease, PATIENCE) * 1000))
            try:
                return self._renew(connection, names, said)
            finally:
                turn.give()
        except apsw.BusyError:
            raise
        except BaseException:
            self.close()  # the next call opens it again
            raise

    def close(self) -> None:
        """Close the connection and the lock file."""
        if self._open is not None:
            (connection, turn), self._open = self._open, None
            turn.close()
            connection.close()

    def _opened(self) -> tuple[apsw.Connection, Turn]:
        if self._open is None:
            turn = Turn(self._path, self._lease / 3)
            try:
                connection = connect(self._path, synchronous=self._synchronous)
            except BaseException:
                turn.close()
                raise
            self._open = connection, turn
        return self._open

    def _renew(self, connection: apsw.Connection, names: Names, said: Said) -> float:
        connection.execute("BEGIN IMMEDIATE")  # which may take its time: a lease counts from it
        try:
            at, now = boot_time(), self._clock()
            for worker in names():
                connection.execute(
                    "UPDATE lionpride_lease SET leased_until = ? WHERE worker = ?",
                    (now + self._lease, worker),
                )
                connection.execute(
                    "UPDATE lionpride_worker SET heartbeat_at = ?, description = coalesce(?, "
                    "description) WHERE name = ?",
                    (now, said.get(worker), worker),
                )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return at
