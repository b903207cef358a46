"""Whose turn it is to write: a lock file beside the database, so that waiting is fair.

SQLite's own busy handler sleeps longer and longer, and may find the file taken each time; waits
of seconds were seen. Where there is no ``fcntl``, it is all there is.
"""

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

try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows)
    fcntl = None  # type: ignore[assignment]

__all__ = ("Turn", "is_free")


class Turn:
    """The right to write; one for each connection, since a lock is its file's.

    It is a matter of fairness alone, and SQLite's own lock decides. If no process is writing, a
    waiting process goes on without the turn after a quarter of a second: the process that has the
    turn is stopped, or it died and a child of it has the lock file open.

    Args:
        path: The database; the lock file's name is its name with ``-turn`` behind it.
        patience: Seconds to wait for it.

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

    def take_now(self) -> bool:
        """Take it if it is free; return False if it is not.

        Where the system has no lock to give, SQLite's own decides.
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

    def take(self, is_free: Callable[[], bool]) -> None:
        """Wait for it as long as patience lasts, in a thread that may.

        Args:
            is_free: Returns True if no process is writing; asked four times a second.
        """
        now = monotonic()
        end, next_question, pause = now + self._patience, now + _QUESTION, _FIRST_PAUSE
        while not self.take_now() and (now := monotonic()) < end:
            if now >= next_question:
                if is_free():
                    return
                next_question = now + _QUESTION
            sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def give(self) -> None:
        """Let the next one have it."""
        if self._has:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)
            self._has = False

    def close(self) -> None:
        """Give it up for good."""
        with OPEN_FILES.lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
            self._has = False


def is_free(connection: apsw.Connection) -> bool:
    """Return True if no process is writing; sets the busy timeout of the connection to 0.

    Args:
        connection: One that is outside of a transaction.
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
    with suppress(OSError):  # another process made it, as another user
        os.fchmod(file, mode)
    return file


_QUESTION: Final = 0.25
"""Seconds between two questions whether the file is free although another process has the turn."""

_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.002
"""Seconds: shorter than what a writer does between two transactions, so that none is starved."""
