"""Detects that a database file was removed, replaced or truncated while it is open.

SQLite continues with the open files, even if their names lead to other files now. It would
acknowledge appends to a file that no other process can open.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import Final

import apsw

from ...errors import StoreError
from .file import damage_of

__all__ = ("FileGuard",)

INTERVAL: Final = 1.0
"""Minimum number of seconds between two checks."""

_TAILS: Final = ("", "-wal", "-shm")
"""Endings of the names of the database, its log, and the index of the log."""

_TRIES: Final = 3
"""Measurements that all have to fail, since another process may write during one."""

_LOG_HEAD: Final = 32
_FRAME_HEAD: Final = 24
"""Bytes of the log before its first frame, and of a frame before its page
(https://sqlite.org/fileformat2.html#walformat)."""

_REMEDY: Final = (
    "nothing more is accepted, and what was appended since may be lost. Put the file and its log "
    "back, or end this process; then start it again"
)


class FileGuard:
    """Compares the open files with the files that have their names now.

    It uses ``os.stat`` only: opening and closing a file would release SQLite's locks.

    Args:
        path: The database.
        connection: A connection that has read the database, so that the log is open as well.

    Raises:
        StoreError: if ``os.stat`` fails.
    """

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self._path = path
        self._log = f"{path}-wal"
        self._connection = connection
        self._page = int(connection.pragma("page_size"))
        names = [f"{path}{tail}" for tail in _TAILS]
        try:
            self._files = {name: _identity(name) for name in names}
            self._length = path.stat().st_size  # of the database, at the last measurement
        except OSError as error:
            raise StoreError(f"the size of {path} cannot be read: {error}", cause=error) from error
        self._next_look = self._next_measure = monotonic() + INTERVAL
        self._loss: str | None = None
        self._cut: str | None = None

    def check(self) -> None:
        """Raise an error if a file was removed, replaced or truncated; any thread may call.

        A second check within the interval repeats the result of the first.

        Raises:
            StoreError: names the file.
        """
        now = monotonic()
        if now >= self._next_look:
            self._loss = self._find_loss()
            self._next_look = now + INTERVAL
        if error := self._loss or self._cut:
            raise StoreError(error, retryable=False)

    def check_lengths(self, frames: int, *, now: bool = False) -> None:
        """Raise an error if a file was removed, replaced or truncated; compare lengths as well.

        The connection must be outside of a transaction, and no other thread may use it. The length
        of the log is compared each time, since the next commit extends a truncated log again.

        Args:
            frames: The length of the log after the last commit; another process may have reset it.
            now: True to compare all lengths even if the interval has not passed.

        Raises:
            StoreError: names the file.
        """
        at = monotonic()
        if self._is_short(frames):
            now, self._next_look = True, at
        if now or at >= self._next_measure:
            self._cut = self._find_cut()
            self._next_measure = at + INTERVAL
        self.check()

    def _is_short(self, frames: int) -> bool:
        """Return True if the log is missing or may be too short: then everything is compared."""
        try:
            return os.stat(self._log).st_size < self._needed(frames)  # noqa: PTH116  as below
        except OSError:
            return True

    def _needed(self, frames: int) -> int:
        """Return the size in bytes of a log with a number of frames."""
        return _LOG_HEAD + frames * (_FRAME_HEAD + self._page) if frames > 0 else 0

    def _find_loss(self) -> str | None:
        """Return the error message if a file was removed or replaced; else None."""
        for name, opened in self._files.items():
            if opened is None:
                continue
            try:
                now = _identity(name)
            except OSError:  # the file may still be there
                continue
            if now is None:
                return f"{name} was removed or renamed while it was open: {_REMEDY}"
            if now != opened:
                return f"{name} was replaced by another file while it was open: {_REMEDY}"
        return None

    def _find_cut(self) -> str | None:
        """Return the error message if each of several measurements finds a truncated file."""
        found = None
        for _ in range(_TRIES):
            try:
                found = self._find_cut_now()
            except (OSError, apsw.BusyError, apsw.LockedError):  # _find_loss reports lost files
                return None
            if found is None:
                return None
        return found

    def _find_cut_now(self) -> str | None:
        before = self._frames()
        length, log = self._path.stat().st_size, Path(self._log).stat().st_size
        pages = int(self._connection.pragma("page_count"))
        frames = max(before, self._frames())
        if log < (needed := self._needed(before)):
            return _cut(self._log, log, needed)
        # Each page is in the database or in its log, except the lock page at 1 GB.
        least = max(1, pages - frames - 1) * self._page
        if length < least or (length < self._length and self._is_damaged(pages, length)):
            return _cut(str(self._path), length, max(least, self._length))
        self._length = length
        return None

    def _is_damaged(self, pages: int, length: int) -> bool:
        """Return True if pages are missing from a shorter file, which VACUUM also produces."""
        return length < pages * self._page and damage_of(self._path) is not None

    def _frames(self) -> int:
        """Return the number of valid frames in the log, by SQLite's index."""
        mode = apsw.SQLITE_CHECKPOINT_NOOP
        frames, _ = self._connection.wal_checkpoint(mode=mode)
        return frames


def _cut(name: str, length: int, needed: int) -> str:
    return (
        f"{name} was truncated while it was open: it has {length:,} bytes, and needs "
        f"{needed:,}. Nothing more is accepted. End all processes that use it, and restore a "
        "backup, or see `.recover` of SQLite's shell"
    )


def _identity(name: str) -> tuple[int, int] | None:
    """Return the device and the inode of a file; None if there is no such file.

    Raises:
        OSError: if they cannot be read.
    """
    try:
        found = os.stat(name)  # noqa: PTH116  a third of the time of Path.stat
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
