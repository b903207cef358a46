"""Whose turn it is to write: a lock file beside the database, so that waiting is fair.

SQLite's own busy handler sleeps and tries again, and may find the file taken each time; who
waits for a file lock is woken when it is free. Where there is no ``fcntl``, SQLite's is all.
"""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import StoreError

try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows)
    fcntl = None  # type: ignore[assignment]

__all__ = ("Turn",)


class Turn:
    """The right to write; one for each connection, since a lock is its file's.

    Args:
        path: The database; the lock file's name is its name with ``-turn`` behind it.

    Raises:
        StoreError: if the lock file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = -1
        if fcntl is not None:
            name = f"{path}-turn"
            try:
                self._file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise StoreError(
                    f"{name} cannot be written: give this process the right to write it, beside "
                    "the database",
                    retryable=False,
                    cause=error,
                ) from error

    def take_now(self) -> bool:
        """Take it if it is free; whether it was."""
        if self._file < 0:
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def take(self) -> None:
        """Wait for it, in a thread that may."""
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def give(self) -> None:
        """Let the next one have it."""
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give it up for good."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
