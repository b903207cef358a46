"""Opens or creates a database file, after checks; upgrades its schema."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from stat import S_ISDIR
from time import monotonic, sleep
from typing import Final
from uuid import UUID

import apsw

from ...errors import ConfigurationError, StoreError
from .open_files import OPEN_FILES
from .wal import WriteAheadLog

__all__ = (
    "PATIENCE",
    "VERSION",
    "Synchronous",
    "check_head",
    "check_version",
    "connect",
    "damage_of",
    "log_of",
    "make_file",
    "open_file",
    "script",
    "translated_errors",
    "unknown_outcome",
)

VERSION: Final = 1
"""The newest schema version that this library knows: the last file in ``schema/``."""

PATIENCE: Final = 30.0
"""Seconds to wait for another process that is writing."""

_MAGIC: Final = b"SQLite format 3\x00"
_HEAD: Final = 100
"""Bytes of SQLite's header (https://sqlite.org/fileformat2.html#the_database_header)."""
_NAMED: Final = 10
"""Maximum number of events that an error message names."""
_BEFORE_RELEASE: Final = 0x4C696F6E
"""The ``application_id`` of files from before the first release, whose tables had no prefix."""
_CHECKPOINT: Final = 1000
"""Pages of 4 KiB in the write-ahead log before they are copied into the file."""

Synchronous = str
"""``"FULL"``: a commit survives a power cut. ``"NORMAL"``: a killed process, not a power cut."""


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as a ``StoreError`` with a remedy."""
    try:
        yield
    except apsw.NotADBError as error:
        raise StoreError(
            f"{path} is no SQLite database, and was left as it is: give another path",
            retryable=False,
            cause=error,
        ) from error
    except apsw.FullError as error:
        raise StoreError(
            f"the disk of {path} is full: nothing of this step was written; make room, and try "
            "again",
            cause=error,
        ) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreError(
            f"{path} is locked by another process: nothing of this step was written; end that "
            "process's transaction, and try again",
            cause=error,
        ) from error
    except apsw.ReadOnlyError as error:
        raise StoreError(
            f"{path} cannot be written: give this process the right to write the file and its "
            "directory",
            retryable=False,
            cause=error,
        ) from error
    except apsw.CantOpenError as error:
        raise StoreError(
            f"{path} cannot be opened: its directory must exist, and be writable",
            retryable=False,
            cause=error,
        ) from error
    except apsw.CorruptError as error:
        raise StoreError(
            f"{path} is damaged ({error}): restore a backup, or see `.recover` of SQLite's shell",
            retryable=False,
            cause=error,
        ) from error
    except apsw.IOError as error:
        raise StoreError(
            f"{path} cannot be read or written ({error}): nothing of this step was written; look "
            "at the disk, at its quota and at this process's limits, make room, and try again",
            cause=error,
        ) from error
    except apsw.Error as error:
        raise StoreError(f"{path}: {error}", cause=error) from error


def unknown_outcome(path: Path, error: apsw.Error, ids: Sequence[bytes]) -> StoreError:
    """Return the error of a transaction whose COMMIT had an I/O error.

    Args:
        path: The file.
        error: SQLite's error.
        ids: The ids of the events that the caller appended, if any.
    """
    names = ", ".join(str(UUID(bytes=uid)) for uid in ids[:_NAMED])
    if len(ids) > _NAMED:
        names += f" and {len(ids) - _NAMED:,} more"
    again = (
        f"append {names} again with exist_ok=True" if ids else "look at the events, and try again"
    )
    return StoreError(
        f"{path}: an I/O error in COMMIT ({error}): it is unknown whether this step was written, "
        f"and a restart may find it. Look at the disk, then {again}",
        cause=error,
    )


def connect(path: Path, *, synchronous: Synchronous = "FULL") -> apsw.Connection:
    """Open another connection to a file that ``open_file`` has opened."""
    with translated_errors(path):
        connection = OPEN_FILES.open(path, apsw.SQLITE_OPEN_READWRITE)
        _prepare(connection, synchronous)
        return connection


def damage_of(path: Path) -> str | None:
    """Return the result of SQLite's quick check of a file; None if the file is sound.

    For a large file this takes seconds. The connection is new, so that no page is in its cache.

    Raises:
        StoreError: if the file cannot be read.
    """
    with translated_errors(path):
        connection = OPEN_FILES.open(path, apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            found = [str(line) for (line,) in connection.execute("PRAGMA quick_check(3)")]
        except (apsw.CorruptError, apsw.NotADBError) as error:
            return str(error)
        finally:
            connection.close()
    return None if found == ["ok"] else "; ".join(found)


def log_of(connection: apsw.Connection) -> WriteAheadLog:
    """Return the log of a writing connection."""
    return WriteAheadLog(connection, _CHECKPOINT)


def open_file(path: Path, *, synchronous: Synchronous, patience: float) -> apsw.Connection:
    """Open or create a file with the schema of this version.

    Args:
        path: The file; its directory exists.
        synchronous: "FULL" or "NORMAL".
        patience: Seconds to wait while another process writes.

    Raises:
        StoreError: if the file is not a database, belongs to another program, has a newer version,
            is locked, or cannot be written; it is not changed.
        OperationError: if the file was open when this process was forked.
    """
    check_head(path)
    with translated_errors(path):
        connection = OPEN_FILES.open(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        try:
            connection.set_busy_timeout(round(patience * 1000))
            # If the file belongs to another program, its log must be neither copied nor deleted.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log(path))
            if connection.readonly("main"):
                raise apsw.ReadOnlyError("attempt to write a readonly database")
            _bring_up_to_date(connection, path, patience)
            _prepare(connection, synchronous)
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        except BaseException:
            connection.close()
            raise
    return connection


def make_file(path: Path, mode: int) -> None:
    """Create an empty file for a database, if there is none; SQLite gives its log the same mode.

    An error is ignored here, since ``open_file`` raises it.

    Args:
        path: The file.
        mode: Its permissions, such as ``0o600``.
    """
    if path.exists():
        return
    with OPEN_FILES.lock, suppress(OSError):
        new = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.chmod(path, mode)  # noqa: PTH101  # the umask does not apply
        finally:
            os.close(new)


def check_head(path: Path) -> None:
    """Raise an error before SQLite opens the file, if its header is not that of our files."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise ConfigurationError(
                f"the directory {path.parent} does not exist: make it, or give another path"
            ) from None
        return
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}", retryable=False, cause=error) from error
    if S_ISDIR(mode):
        raise ConfigurationError(f"{path} is a directory: give the path of a file")
    head = _read_head(path)
    if head and head[: len(_MAGIC)] != _MAGIC:
        raise StoreError(
            f"{path} is no SQLite database, and was left as it is: give another path",
            retryable=False,
        )
    if len(head) == _HEAD and not has_log(path):
        _check_application(path, int.from_bytes(head[68:72]))


def has_log(path: Path) -> bool:
    """Return True if a file has a log or a journal with content."""
    return any(_size(Path(f"{path}{tail}")) for tail in ("-wal", "-journal"))


def _read_head(path: Path) -> bytes:
    """Read the first bytes of a file through SQLite's own file layer.

    No other code may open and close a database. When a process closes any descriptor of a file,
    POSIX releases all locks of the process on that file. Another program could then believe that
    it is the only user of the database, and delete its log. SQLite keeps the descriptor open while
    it has locks.
    """
    flags = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY  # only this kind stays open
    OPEN_FILES.check(path)
    try:
        with OPEN_FILES.lock:
            file = apsw.VFSFile("", str(path), [flags, 0])
            try:
                return file.xRead(_HEAD, 0)
            finally:
                file.xClose()
    except apsw.Error as error:
        raise StoreError(
            f"{path} cannot be read ({error}): give this process the right to read it",
            retryable=False,
            cause=error,
        ) from error


def _size(path: Path) -> int:
    """Return the size of a file; 0 if it does not exist."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _check_application(path: Path, application: int) -> None:
    """Raise an error if the ``application_id`` is that of another program or a pre-release.

    Our files have the id 0, so that the tables of several programs can share a file.
    """
    if application == _BEFORE_RELEASE:
        raise StoreError(
            f"{path} was written by a version of lionpride-core from before the first release, "
            "and was left as it is: this version cannot read its tables. Give another path",
            retryable=False,
        )
    if application:
        raise StoreError(
            f"{path} is another program's database (application_id {application}), and was left "
            "as it is: give another path",
            retryable=False,
        )


def _prepare(connection: apsw.Connection, synchronous: Synchronous) -> None:
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
    # Otherwise a statement journal of more than 64 KiB goes to a temporary file, which needs a
    # free file descriptor and space in another folder.
    connection.execute("PRAGMA temp_store = MEMORY")
    # Otherwise SQLite recompiles a statement whenever a bound value may select a partial index,
    # and small statements take three times as long.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def _bring_up_to_date(connection: apsw.Connection, path: Path, patience: float) -> None:
    """Run the scripts from the version of the file to ``VERSION``, in one transaction."""
    if check_version(connection, path) == VERSION:
        return
    _log_ahead(connection, patience)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for version in range(check_version(connection, path) + 1, VERSION + 1):
            connection.execute(script(version))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _log_ahead(connection: apsw.Connection, patience: float) -> None:
    """Switch the file to a write-ahead log; SQLite itself does not always wait for a lock here."""
    end = monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except apsw.BusyError:  # another process creates the same file
            if monotonic() >= end:
                raise
            sleep(0.002)


def check_version(connection: apsw.Connection, path: Path) -> int:
    """Return the version of our tables in a file; 0 if there are none.

    Raises:
        StoreError: if the version is newer than ``VERSION``, or the file is another program's.
    """
    with connection:  # one snapshot: another process may be creating the tables
        _check_application(path, connection.pragma("application_id"))
        table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'lionpride_version'"
        version = 0
        if connection.execute(table).get:
            version = connection.execute("SELECT max(number) FROM lionpride_version").get or 0
    if version > VERSION:
        raise StoreError(
            f"{path} was written by a newer version of lionpride-core (schema {version}; this "
            f"one knows {VERSION}), and was left as it is: upgrade lionpride-core",
            retryable=False,
        )
    return int(version)


def script(version: int) -> str:
    """Return the statements that lead to a version of the schema, and record it."""
    text = (resources.files(__package__) / "schema" / f"{version}.sql").read_text("utf-8")
    return f"{text.rstrip()}\nINSERT INTO lionpride_version (number) VALUES ({version});\n"
