"""Schema version of a file, and upgrades."""

from __future__ import annotations

from pathlib import Path

import apsw

from ..maintenance import SchemaVersion
from .file import VERSION, check_head, check_version, has_log, open_file, script, translated_errors
from .open_files import OPEN_FILES

__all__ = (
    "schema_of",
    "upgrade",
)


def schema_of(path: Path) -> SchemaVersion:
    """Return the schema version of a file without changing it; version 0 if there is no file.

    Raises:
        StoreError: if it is not a database, belongs to another program, or has a newer version.
        ConfigurationError: if it is a directory, or its directory does not exist.
    """
    check_head(path)
    found = _version_of(path) if path.exists() and path.stat().st_size else 0
    scripts = tuple((each, _by_hand(each)) for each in range(found + 1, VERSION + 1))
    return SchemaVersion(found, VERSION, scripts)


def upgrade(path: Path, *, synchronous: str, patience: float) -> SchemaVersion:
    """Create a file, or upgrade its schema; return the version before.

    Raises:
        StoreError: as ``schema_of``; or if it cannot be written.
    """
    before = schema_of(path)
    open_file(path, synchronous=synchronous, patience=patience).close()
    return before


def _version_of(path: Path) -> int:
    with translated_errors(path):
        connection = OPEN_FILES.open(path, apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log(path))
            return check_version(connection, path)
        finally:
            connection.close()


def _by_hand(version: int) -> str:
    """Return the statements for a version as a transaction that an administrator can run."""
    log = "PRAGMA journal_mode = WAL;\n" if version == 1 else ""
    return f"{log}BEGIN IMMEDIATE;\n{script(version).rstrip()}\nCOMMIT;"
