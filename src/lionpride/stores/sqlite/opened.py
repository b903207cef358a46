"""An open file: its two connections, the group commit, and the heartbeat."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import apsw

from ..sql.codec import MARGIN
from ..sql.local_events import LocalEvents
from .file import connect, open_file, translated_errors
from .file_guard import FileGuard
from .group_commit import GroupCommit
from .heartbeat import make_heartbeat
from .queries import Tables
from .rows import Rows
from .write_lock import WriteLock

__all__ = ("OpenFile",)


class OpenFile:
    """All resources that a store has open.

    Attributes:
        largest: The maximum size of the texts of a row in bytes.

    Args:
        path: The file.
        queue: The queue's name.
        synchronous: "FULL" or "NORMAL".
        patience: Seconds to wait while another program writes.
        lease: The length of a lease in seconds.
        clock: Returns the time for leases; called in threads too.
        local_events: The event objects, which are written after each commit.
        committed: See ``GroupCommit``.
    """

    def __init__(
        self,
        path: Path,
        queue: str,
        *,
        synchronous: str,
        patience: float,
        lease: float,
        clock: Callable[[], float],
        local_events: LocalEvents,
        committed: Callable[[bool, bool], None],
    ) -> None:
        self._path = path
        with ExitStack() as on_error:
            self._connection = open_file(path, synchronous=synchronous, patience=patience)
            on_error.callback(self._connection.close)
            with translated_errors(path):
                self._version = self._data_version()
                self.guard = FileGuard(path, self._connection)
            self._write_lock = WriteLock(path, patience)
            on_error.callback(self._write_lock.close)
            self._reader = Tables(connect(path, synchronous=synchronous), queue)
            on_error.pop_all()
        self.largest = self._connection.limit(apsw.SQLITE_LIMIT_LENGTH) - MARGIN
        self.commits = GroupCommit(
            path,
            self._connection,
            Rows(self._connection, queue),
            self._write_lock,
            self.guard,
            patience=patience,
            local_events=local_events,
            committed=committed,
        )
        self.heartbeat = make_heartbeat(path, queue, synchronous, lease, clock)

    @property
    def reader(self) -> Tables:
        """The tables over a connection for reading.

        Raises:
            OperationError: in a child process after ``fork``.
            StoreError: if the file was removed, replaced or truncated.
        """
        self.commits.check_process()
        self.guard.check()
        return self._reader

    def has_changed(self) -> bool:
        """Return True if another connection has written since the last call.

        Raises:
            StoreError: if the file was removed, replaced or truncated, or cannot be read.
        """
        if not self.commits.idle:
            return False
        with translated_errors(self._path):
            self.commits.check_file()
            before, self._version = self._version, self._data_version()
        return before != self._version

    def _data_version(self) -> int:
        return int(self._connection.pragma("data_version"))

    async def close(self) -> None:
        """Finish running commits and close everything; in a child after ``fork``, do nothing."""
        if not self.commits.is_ours:
            _ABANDONED.append(self)
            return
        try:
            await self.commits.quiet()
        finally:
            self.heartbeat.stop()
            self.commits.close()
            self._reader.connection.close()
            self._connection.close()
            self._write_lock.close()


_ABANDONED: list[OpenFile] = []
"""Resources of a parent process; closing a copy of them would disturb its transactions."""
