"""Database and lock files that this process has open, and that a forked child inherits.

SQLite keeps its locks of a file in a table of the process, by device and inode. A fork copies the
table, but no POSIX lock. A child that opens the file again would find the locks of its parent in
the table, take none of its own, and overwrite what other processes commit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Final, Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import apsw

from ...errors import OperationError

__all__ = ("OPEN_FILES", "inherited_error")

T = TypeVar("T")


class LockFile(Protocol):
    """A lock file with a descriptor of its own."""

    def close(self) -> None:
        """Close the descriptor."""


class OpenFiles:
    """The files that this process has open.

    No fork happens while a file is opened, so that a child knows all that it inherits.

    Attributes:
        lock: Held while a file is opened, while a lock file is closed, and during a fork. It is
            reentrant, because a signal handler may fork in the thread that holds it.
    """

    def __init__(self) -> None:
        self.lock: Final = RLock()
        self._connections = WeakKeyDictionary[apsw.Connection, tuple[int, int]]()
        self._lock_files = WeakSet[LockFile]()
        self._inherited = set[tuple[int, int]]()
        self._abandoned: list[apsw.Connection] = []

    def open(self, path: Path, flags: int) -> apsw.Connection:
        """Open a connection to a database.

        Raises:
            OperationError: if the file was open when this process was forked.
            apsw.Error: if the file cannot be opened.
        """
        with self.lock:
            self.check(path)
            connection = apsw.Connection(str(path), flags=flags)
            if (identity := _identity(path)) is not None:
                self._connections[connection] = identity
        return connection

    def check(self, path: Path) -> None:
        """Raise an error if a file was open when this process was forked.

        Raises:
            OperationError: if it was.
        """
        if self._inherited and _identity(path) in self._inherited:
            raise inherited_error(path)

    def open_lock_file(self, path: Path, lock_file: LockFile, open_: Callable[[Path], T]) -> T:
        """Open a lock file; a forked child closes its copy at once."""
        with self.lock:
            opened = open_(path)
            self._lock_files.add(lock_file)
        return opened

    def begin_child(self) -> None:
        """Note what the child of a fork has inherited, and close the lock files."""
        for connection, identity in list(self._connections.items()):
            if _is_open(connection):
                self._inherited.add(identity)
                self._abandoned.append(connection)  # closing it would disturb the parent
        self._connections.clear()
        for lock_file in list(self._lock_files):
            lock_file.close()
        self._lock_files.clear()
        self.lock.release()


def inherited_error(path: Path) -> OperationError:
    """Return the error of a file that was open when this process was forked."""
    return OperationError(
        f"{path} was open when this process was forked, and cannot be used in it: open it after "
        "the fork (gunicorn: no --preload), close the store before it, or start the process by "
        "spawn or forkserver"
    )


def _is_open(connection: apsw.Connection) -> bool:
    try:
        return bool(connection.filename)
    except apsw.ConnectionClosedError:
        return False
    except apsw.Error:  # a thread was using it when the process was forked
        return True


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the device and inode of a file; None if there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


OPEN_FILES: Final = OpenFiles()
if hasattr(os, "register_at_fork"):  # Windows has neither this function nor fork
    os.register_at_fork(
        before=OPEN_FILES.lock.acquire,
        after_in_parent=OPEN_FILES.lock.release,
        after_in_child=OPEN_FILES.begin_child,
    )
