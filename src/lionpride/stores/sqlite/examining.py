"""What is wrong or slow with a file: its place, its log, its room, and leases that nobody ends."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import apsw

from ..upkeep import DAMAGE, Finding
from .file import check_head, damage_of

__all__ = ("examine", "find_damage", "kind_of_place")

MEGA: Final = 1024 * 1024
LOG: Final = 64 * MEGA
"""A log of this size is not copied into the file any more: in a run it stays near 16 MB."""
ROOM: Final = 256 * MEGA
"""Less room than this on the disk is too little: the log, and a compact copy, want some."""
EMPTY: Final = 256 * MEGA
"""So much unused room in a file, if that is half of it, is worth giving back."""

SHARED: Final = (
    *("9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "lustre", "nfs", "nfs4"),
    *("prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"),
)
"""Kinds of file systems whose users do not share memory."""


def examine(path: Path, connection: apsw.Connection, now: float, lease: float) -> list[Finding]:
    """What is not as it should be with a file that is open.

    Args:
        path: The file.
        connection: It is only read.
        now: The time that leases count by.
        lease: Seconds that a lease lasts.
    """
    found = [_place(path), _log(path), _room(path), _empty(path, connection)]
    found.append(_orphans(connection, now - lease))
    return [each for each in found if each is not None]


def find_damage(path: Path) -> Finding | None:
    """Return the damage of a file, if there is any; over a large file this takes seconds.

    Raises:
        StoreError: if it cannot be read, or is no database of this library.
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
    kind = kind_of_place(path)
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


def kind_of_place(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The kind of the file system that a path is on; empty if it cannot be told (proc(5))."""
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
    """Leases that have lapsed for long, whose worker is not even on the list any more."""
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
