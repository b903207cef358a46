"""The schema of a file from outside: which version it has, and what is to be run."""

from __future__ import annotations

from pathlib import Path

import apsw

from ..upkeep import Schema
from .file import VERSION, check_head, check_version, has_log, open_file, script, speaking
from .open_files import OPEN_FILES

__all__ = ("schema_of", "upgrade")


def schema_of(path: Path) -> Schema:
    """The schema of a file, which is left as it is; version 0 if there is none.

    Raises:
        StoreError: if it is no database or another program's, or of a newer version.
        ConfigurationError: if it is a directory, or its directory does not exist.
    """
    check_head(path)
    found = _version_of(path) if path.exists() and path.stat().st_size else 0
    scripts = tuple((each, _by_hand(each)) for each in range(found + 1, VERSION + 1))
    return Schema(found, VERSION, scripts)


def upgrade(path: Path, *, synchronous: str, patience: float) -> Schema:
    """Make a file, or bring it up to date; what it was before.

    Raises:
        StoreError: as ``schema_of``; or if it cannot be written.
    """
    before = schema_of(path)
    open_file(path, synchronous=synchronous, patience=patience).close()
    return before


def _version_of(path: Path) -> int:
    with speaking(path):
        connection = OPEN_FILES.open(path, apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log(path))
            return check_version(connection, path)
        finally:
            connection.close()


def _by_hand(version: int) -> str:
    """Return the statements that lead to a version as a transaction, to be run by hand."""
    log = "PRAGMA journal_mode = WAL;\n" if version == 1 else ""
    return f"{log}BEGIN IMMEDIATE;\n{script(version).rstrip()}\nCOMMIT;"
