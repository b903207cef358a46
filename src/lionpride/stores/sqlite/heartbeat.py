"""The heartbeat of a process over a file: it renews leases in a thread."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import apsw

from ..clock import boot_time
from ..sql.heartbeat import Descriptions, Heartbeat, WorkerNames
from ..sql.leases import BEAT, REGISTER
from ..sql.process import this_process
from .file import PATIENCE, connect
from .rows import Rows
from .statements import fill
from .write_lock import WriteLock, is_free

__all__ = ("SqliteLeaseRenewal", "make_heartbeat")


def make_heartbeat(
    path: Path, queue: str, synchronous: str, lease: float, clock: Callable[[], float]
) -> Heartbeat:
    """Return the heartbeat of a process over a file; arguments as of ``SqliteLeaseRenewal``."""
    make = partial(SqliteLeaseRenewal, path, queue, synchronous, lease, clock)
    return Heartbeat(lease, "lionpride-sqlite-heartbeat", path, make)


class _Open(NamedTuple):
    """A connection, the tables over it, and the right to write."""

    connection: apsw.Connection
    rows: Rows
    write_lock: WriteLock


class SqliteLeaseRenewal:
    """Renews the leases of workers over its own connection.

    One row for each worker contains the time until which all its leases hold. If the row is
    missing, the heartbeat writes it again.

    Args:
        path: The file.
        queue: The name of the queue.
        synchronous: "FULL" or "NORMAL".
        lease: Length of a lease in seconds.
        clock: Returns the time as a Unix timestamp in seconds; called in the thread.
    """

    def __init__(
        self, path: Path, queue: str, synchronous: str, lease: float, clock: Callable[[], float]
    ) -> None:
        self._path = path
        self._queue = queue
        self._synchronous = synchronous
        self._lease = lease
        self._clock = clock
        self._open: _Open | None = None

    def prepare(self) -> None:
        """Open the file in advance: later there may be no free file descriptor."""
        self._opened()

    def __call__(self, names: WorkerNames, descriptions: Descriptions) -> float:
        """See ``LeaseRenewal`` in ``sql/heartbeat.py``."""
        connection, rows, write_lock = self._opened()
        try:
            write_lock.acquire(lambda: is_free(connection))
            connection.set_busy_timeout(round(min(self._lease, PATIENCE) * 1000))
            try:
                return self._renew(rows, names, descriptions)
            finally:
                write_lock.release()
        except apsw.BusyError:
            raise
        except BaseException:
            self.close()  # the next call reopens the file
            raise

    def close(self) -> None:
        """Close the connection and the lock file."""
        if self._open is not None:
            (connection, _, write_lock), self._open = self._open, None
            write_lock.close()
            connection.close()

    def _opened(self) -> _Open:
        if self._open is None:
            write_lock = WriteLock(self._path, self._lease / 3)
            try:
                connection = connect(self._path, synchronous=self._synchronous)
            except BaseException:
                write_lock.close()
                raise
            self._open = _Open(connection, Rows(connection, self._queue), write_lock)
        return self._open

    def _renew(self, rows: Rows, names: WorkerNames, descriptions: Descriptions) -> float:
        try:
            rows.begin()  # this may take long, and the length of a lease counts from here
            at, now = boot_time(), self._clock()
            for worker in names():
                description, write = descriptions.get(worker), rows.connection.execute
                if write(fill(BEAT), (now, self._lease, worker, description)).get is None:
                    process = platform.node(), *this_process()
                    bound = now, worker, rows.queue, *process, self._lease, description
                    write(fill(REGISTER), bound)
            rows.commit()
        except BaseException:
            rows.roll_back()
            raise
        return at
