"""The write-ahead log: whether commits to it are quick, and when it is copied into the file."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import apsw

__all__ = ("Log",)

QUICK: Final = 0.002
"""Seconds that a commit may take on the event loop; one that takes longer goes to the thread."""

_WEIGHT: Final = 0.99
"""Of the slow commits before: one is half forgotten after 69 commits."""

_FEW: Final = 1.5
_MOST: Final = 3.0
"""Slow commits, so weighed: with fewer the next one is made on the loop; more are not counted.

One alone is a hiccup of the disk, which says nothing of the next commit: to hand over the few
dozen behind it would cost more than it did. With a second one soon after, the disk is slow.
"""


class Log:
    """The log of one connection.

    Args:
        connection: The one that writes; SQLite no longer copies its log in the midst of a commit.
        pages: How many the log gathers before it is copied.
    """

    def __init__(self, connection: apsw.Connection, pages: int) -> None:
        self._connection = connection
        self._pages = pages
        self._has = 0
        self._copied = 0  # pages that were there when it was copied last, and not to its end
        self._slow = 0.0
        connection.set_wal_hook(self._grew)

    def _grew(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._has = pages
        return apsw.SQLITE_OK

    @property
    def is_quick(self) -> bool:
        """Whether a commit takes so little that it may be made on the event loop."""
        return self._slow < _FEW

    def note(self, seconds: float) -> None:
        """Note how long a commit took."""
        self._slow = min(self._slow * _WEIGHT + (seconds >= QUICK), _MOST)

    @property
    def is_long(self) -> bool:
        """Whether it is to be copied into the file now."""
        return self._has - self._copied >= self._pages

    def copy(self) -> None:
        """Copy it into the file, as far as no reader needs it; it may take its time.

        What hinders it hinders nobody else: it stays as it is, and is copied later.
        """
        length, copied = self._has, 0
        with suppress(apsw.Error):
            length, copied = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        done = copied >= length
        self._has, self._copied = (0, 0) if done else (length, length)
