"""The write-ahead log: when it is checkpointed, and whether commits are quick."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import apsw

__all__ = ("WriteAheadLog",)

QUICK: Final = 0.002
"""Seconds that a commit may take on the event loop; a slower one is made in the thread."""

_WEIGHT: Final = 0.99
"""Weight of the earlier slow commits: one counts half after 69 commits."""

_FEW: Final = 1.5
_MOST: Final = 3.0
"""Weighted numbers of slow commits: below the first, the next commit is made on the loop; the
number does not grow beyond the second.

A single slow commit says nothing about the next one, and handing over the next few dozen commits
would cost more than it did. After a second one soon, the disk is slow.
"""


class WriteAheadLog:
    """The write-ahead log of one connection.

    Args:
        connection: The connection that writes; its automatic checkpoints are switched off.
        pages: Number of pages in the log after which it is checkpointed.
    """

    def __init__(self, connection: apsw.Connection, pages: int) -> None:
        self._connection = connection
        self._pages = pages
        self._has = 0
        self._copied = 0  # pages at the last checkpoint, if that did not reach the end
        self._slow = 0.0
        connection.wal_autocheckpoint(0)

    def measure(self) -> None:
        """Read the length of the log; called after each commit, outside of a transaction.

        A hook of SQLite would be called inside COMMIT. An error that a signal handler raises there
        would come out of a COMMIT that is on the disk.
        """
        with suppress(apsw.Error):
            self._has, _ = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)

    @property
    def frames(self) -> int:
        """The number of frames after the last commit, as far as is known."""
        return self._has

    @property
    def is_quick(self) -> bool:
        """Return True if commits are quick enough for the event loop."""
        return self._slow < _FEW

    def note(self, seconds: float) -> None:
        """Note how long a commit took."""
        self._slow = min(self._slow * _WEIGHT + (seconds >= QUICK), _MOST)

    @property
    def is_long(self) -> bool:
        """Return True if the log is to be checkpointed now."""
        return self._has - self._copied >= self._pages

    def copy(self) -> None:
        """Copy the log into the database, as far as no reader needs it; this may take long.

        After an error the log stays as it is, and a later call copies it.
        """
        length, copied = self._has, 0
        with suppress(apsw.Error):
            length, copied = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        done = copied >= length
        self._has, self._copied = (0, 0) if done else (length, length)
