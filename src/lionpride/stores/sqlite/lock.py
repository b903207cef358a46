"""Whose turn it is to write: a lock file beside the database, so that waiting is fair.

SQLite's own busy handler sleeps longer and longer, and may find the file taken each time; waits
of seconds were seen. Where there is no ``fcntl``, it is all there is.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from ...errors import StoreError

try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows)
    fcntl = None  # type: ignore[assignment]

__all__ = ("Turn",)


class Turn:
    """The right to write; one for each connection, since a lock is its file's.

    It is a matter of fairness alone: who does not get it in time goes on without it, and SQLite's
    own lock decides. A process that is stopped, or a child that inherited the lock, hinders none.

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
                self._file = os.open(f"{path}-turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise StoreError(
                    f"{path}-turn, the lock file beside the database, cannot be opened: give this "
                    "process the right to write it",
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

    def take(self) -> None:
        """Wait for it as long as patience lasts, in a thread that may."""
        end = monotonic() + self._patience
        pause = _FIRST_PAUSE
        while not self.take_now() and monotonic() < end:
            sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def give(self) -> None:
        """Let the next one have it."""
        if self._has:
            self._has = False
            with suppress(OSError):  # it ends with the file at the latest
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give it up for good."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.002
"""Seconds: shorter than what a writer does between two transactions, so that none is starved."""
