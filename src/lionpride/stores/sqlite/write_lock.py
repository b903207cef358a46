"""Fair write lock between processes: a lock file next to the database."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE
from time import monotonic, sleep
from typing import Final

import apsw

from ...errors import StoreError
from .open_files import OPEN_FILES
from .options import MODE

__all__ = (
    "WriteLock",
    "is_free",
)


try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows)
    fcntl = None  # type: ignore[assignment]


class WriteLock:
    """A lock file that the processes lock in turn before they write; one object per connection.

    Waiting in SQLite's busy handler is unfair: its sleeps grow, and a process may find the database
    locked each time; waits of seconds were measured. On systems without ``fcntl`` only SQLite's own
    lock is used.

    The lock provides fairness only; SQLite's own lock protects the data. If no process is writing,
    a waiting process continues without the lock after a quarter of a second. Then the owner of the
    lock is stopped, or it has died and a child process has inherited the lock file.

    Args:
        path: The database; the lock file has the same name with ``-turn`` added.
        patience: Seconds to wait for the lock.

    Raises:
        StoreError: if the lock file cannot be opened.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self._file = -1
        self._has = False
        self._patience = patience
        if fcntl is not None:
            try:
                self._file = OPEN_FILES.open_lock_file(Path(f"{path}-turn"), self, _open)
            except OSError as error:
                raise StoreError(
                    f"{path}-turn, the lock file next to the database, cannot be opened: "
                    "give this process the right to write it",
                    retryable=False,
                    cause=error,
                ) from error

    def try_acquire(self) -> bool:
        """Take the lock if it is free; return False if it is not.

        Return True as well if the system does not support the lock.
        """
        if self._file < 0:
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self._has = True
        return True

    def acquire(self, is_free: Callable[[], bool]) -> None:
        """Block until the lock is taken, at most for ``patience`` seconds.

        Args:
            is_free: Returns True if no process is writing; called four times a second.
        """
        now = monotonic()
        end, next_question, pause = now + self._patience, now + _QUESTION, _FIRST_PAUSE
        while not self.try_acquire() and (now := monotonic()) < end:
            if now >= next_question:
                if is_free():
                    return
                next_question = now + _QUESTION
            sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def release(self) -> None:
        """Release the lock."""
        if self._has:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)
            self._has = False

    def close(self) -> None:
        """Close the lock file."""
        with OPEN_FILES.lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
            self._has = False


def is_free(connection: apsw.Connection) -> bool:
    """Return True if no process is writing; sets the busy timeout of the connection to 0.

    Args:
        connection: A connection that is not in a transaction.
    """
    connection.set_busy_timeout(0)
    try:
        connection.execute("BEGIN IMMEDIATE")
    except apsw.BusyError:
        return False
    connection.execute("ROLLBACK")
    return True


def _open(path: Path) -> int:
    """Open a lock file; a new one gets the mode of the database."""
    flags = os.O_RDWR | os.O_CLOEXEC
    with suppress(FileNotFoundError):
        return os.open(path, flags)
    mode = MODE
    with suppress(FileNotFoundError):
        mode = S_IMODE(path.with_name(path.name.removesuffix("-turn")).stat().st_mode)
    file = os.open(path, flags | os.O_CREAT, mode)
    with suppress(OSError):  # another process has created it, as another user
        os.fchmod(file, mode)
    return file


_QUESTION: Final = 0.25
"""Seconds between two checks whether the database is free although the lock is taken."""

_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.002
"""Seconds between two attempts; shorter than the time between two transactions of a writer."""
