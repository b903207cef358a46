"""The write-ahead log: how long its file is, whether commits are quick, when it is copied."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
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

_HEAD: Final = 32
_FRAME: Final = 24 + 4096
"""Bytes of its head, and of each page in it (https://sqlite.org/fileformat2.html#walformat)."""

_NEXT: Final = 40
"""Pages that a commit may take: a hundred events take sixteen."""

_MORE: Final = 128
"""Pages by which the file is made longer at once: with more, the disk has too much to do."""

_FULL: Final = 2
"""The value of SQLite's setting ``synchronous`` with which each commit is synced."""


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
        self._most = pages + _NEXT if connection.pragma("synchronous") == _FULL else 0
        self._room = 0  # pages that its file has room for, as far as is known
        self._is_longer = False  # the next commit syncs zeros too
        self._copied = 0  # pages that were there when it was copied last, and not to its end
        self._slow = 0.0
        connection.wal_autocheckpoint(0)

    def measure(self) -> None:
        """Ask how long it is; called after each commit, outside of a transaction.

        SQLite would call a hook in the midst of COMMIT. What a signal handler raises there would
        come out of a COMMIT that is on the disk.
        """
        with suppress(apsw.Error):
            self._has, _ = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)

    def lengthen(self) -> None:
        """Have room in the file for what is to be committed; called before, with the write lock.

        The sync of a commit that overwrites what the file has takes two thirds of the time of one
        that makes it longer, and there are dozens before the log begins anew. So the file is made
        longer for several at once, but for the first: who commits once has nothing of it. Zeros
        are no frame of a log: SQLite passes over them. Where the disk has no room for them, the
        file stays as it is.
        """
        db = self._connection
        self._is_longer = (
            self._has > 0
            and self._room - self._has < _NEXT
            and self._room < self._most
            and db.txn_state("main") == apsw.SQLITE_TXN_WRITE  # else others may write just there
        )
        if self._is_longer:
            self._room = _lengthen(Path(db.filename_wal), self._has, self._most)

    @property
    def frames(self) -> int:
        """The number of its frames after the last commit, as far as is known."""
        return self._has

    @property
    def is_quick(self) -> bool:
        """Whether a commit takes so little that it may be made on the event loop."""
        return self._slow < _FEW

    def note(self, seconds: float) -> None:
        """Note how long a commit took; of one that synced zeros too it says nothing."""
        if not self._is_longer:
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
        self._room = 0  # it is looked at anew: others may have cut it off, or made room
        done = copied >= length
        self._has, self._copied = (0, 0) if done else (length, length)


def _lengthen(path: Path, pages: int, most: int) -> int:
    """Have room in a log for more than so many pages; for how many there is room now.

    It says ``most`` as well if there can be no more. The zeros are appended, so that they can
    stand before nothing that is written meanwhile: a file that was moved in use has another's log
    in its place.
    """
    try:
        with open(path, "ab", buffering=0, opener=_if_there) as file:
            length = file.seek(0, os.SEEK_END)
            room = min(max(pages, (length - _HEAD) // _FRAME) + _MORE, most)
            missing = _HEAD + room * _FRAME - length
            if missing > 0 and file.write(bytes(missing)) < missing:
                file.truncate(length)
                return most
            return room
    except OSError:
        return most


def _if_there(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_CREAT)
