"""Findings about a file: its location, its log, free space, and abandoned leases."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import apsw

from ..maintenance import DAMAGE, Finding
from .file import check_head, damage_of

__all__ = ("examine", "file_system_of", "find_damage")


MEGA: Final = 1024 * 1024
LOG: Final = 64 * MEGA
"""Size of a log that cannot be reset any more; in normal operation it stays near 16 MB."""
ROOM: Final = 256 * MEGA
"""Minimum of free space on the disk; the log and VACUUM need some."""
EMPTY: Final = 256 * MEGA
"""Minimum of unused space in a file, if it is half of the file, for a note about VACUUM."""

SHARED: Final = (
    *("9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "lustre", "nfs", "nfs4"),
    *("prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"),
)
"""Network and shared file systems, on which processes cannot share memory."""


def examine(path: Path, connection: apsw.Connection, now: float, lease: float) -> list[Finding]:
    """Return the findings about an open file.

    Args:
        path: The file.
        connection: A connection for reading.
        now: The time for leases.
        lease: The length of a lease in seconds.
    """
    found = [_place(path), _log(path), _room(path), _empty(path, connection)]
    found.append(_orphans(connection, now - lease))
    return [each for each in found if each is not None]


def find_damage(path: Path) -> Finding | None:
    """Return a finding if a file is damaged, else None; for a large file this takes seconds.

    Raises:
        StoreError: if it cannot be read, or is not a database of this library.
    """
    check_head(path)
    found = damage_of(path) if path.exists() else None
    if found is None:
        return None
    return Finding(
        DAMAGE,
        "wrong",
        f"{path.name} is damaged: {found}; nothing else was looked at",
        "end all processes that use it, and restore a backup; or save what can be read: "
        f"sqlite3 {path} .recover",
    )


def _place(path: Path) -> Finding | None:
    kind = file_system_of(path)
    if kind not in SHARED:
        return None
    return Finding(
        "place",
        "wrong",
        f"{path} is on a file system of kind {kind}: SQLite's log needs memory that all users of "
        "the file share, and several machines can damage it",
        "move the file and its -wal to a local disk while no process uses it; for several "
        "machines, use PostgreSQL",
    )


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the type of the file system of a path, from proc(5); "" if it is unknown."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        _, point, found, *_ = [*line.split(" "), "", "", ""]
        point = point.replace("\\040", " ")
        if path.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), found
    return kind


def _log(path: Path) -> Finding | None:
    try:
        size = Path(f"{path}-wal").stat().st_size
    except FileNotFoundError:
        return None
    if size < LOG:
        return None
    return Finding(
        "log",
        "slow",
        f"the log {path.name}-wal has {size // MEGA:,} MB: either one append was as large, "
        "or some program keeps a read transaction open, so that the log cannot be reset",
        f"end that program; then: python -m apsw {path} 'PRAGMA wal_checkpoint(TRUNCATE)'. Never "
        "delete the log: it is part of the data",
    )


def _room(path: Path) -> Finding | None:
    free = shutil.disk_usage(path.parent).free
    if free >= ROOM:
        return None
    return Finding(
        "room",
        "wrong",
        f"the disk of {path} has {free // MEGA:,} MB left: appends and completions will fail",
        "make room; delete finished events with ?retain=7d; then free their space with VACUUM",
    )


def _empty(path: Path, connection: apsw.Connection) -> Finding | None:
    pages, free = (int(connection.pragma(name)) for name in ("page_count", "freelist_count"))
    size = int(connection.pragma("page_size"))
    if free * size < EMPTY or free * 2 < pages:
        return None
    return Finding(
        "empty",
        "note",
        f"{free * size // MEGA:,} MB of {path.name}'s {pages * size // MEGA:,} MB are unused; new "
        "events will use them",
        f"to give them back to the disk, with no worker at work: python -m apsw {path} VACUUM",
    )


def _orphans(connection: apsw.Connection, before: float) -> Finding | None:
    """Report expired leases whose worker is not in the table any more."""
    query = (
        "SELECT count(*) FROM lionpride_lease WHERE leased_until < ? "
        "AND NOT EXISTS (SELECT 1 FROM lionpride_worker WHERE name = lionpride_lease.worker)"
    )
    count: int = connection.execute(query, (before,)).get
    if not count:
        return None
    return Finding(
        "leases",
        "wrong",
        f"{count:,} events are claimed by workers that are gone, under expired leases",
        "start a worker on their queue: it returns them to pending within a second",
    )
