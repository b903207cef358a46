"""The points of a worker over an SQLite file."""

import threading
from typing import Any

import apsw
from crash.points import Reached

from lionpride.stores.sqlite import file

POINTS = {
    "creation": "before a statement of opening or making the file",
    "append: before": "before the commit of an append",
    "append: after": "after it, before anybody is told",
    "claim: before": "before the commit of a claim",
    "claim: after": "after it, before any event starts",
    "attempt": "in _invoke, after its first line",
    "finished": "in _invoke, before it returns",
    "settle: before": "before the commit of a settle",
    "settle: after": "after it, before the loop is told",
    "settle: told": "when the loop has been told",
    "thread: before": "in the thread of the group commit, before a commit",
    "thread: after": "in that thread, after it",
    "takeover: before": "before the commit that takes a dead worker's leases over",
    "takeover: after": "after it",
    "resolve: before": "before the commit that releases or cancels children",
    "resolve: after": "after it, before anybody is told",
    "continue: before": "before the commit of a settle with a continuation",
    "continue: after": "after it, before the loop is told",
    "renewal": "in the transaction that renews leases",
    "log": "before a write to the write-ahead log, in the middle of a commit",
    "checkpoint": "before a write to the file itself, in the middle of a checkpoint",
}
"""Where a worker can be made to die."""

_DOES = {
    "INSERT INTO lionpride_event ": "append",
    "INSERT INTO lionpride_lease ": "claim",
    "INSERT INTO lionpride_finished ": "settle",
    "DELETE FROM lionpride_parent_change ": "resolve",
    "INSERT INTO lionpride_continuation ": "continue",
    "UPDATE lionpride_lease SET leased_until = 0 ": "takeover",
    "UPDATE lionpride_lease SET leased_until = ? ": "renewal",
    "UPDATE lionpride_worker SET heartbeat_at = ": "renewal",
}
"""What a statement is for, by its beginning."""


def watch(reached: Reached, point: str) -> None:
    """Have the points reported that this process comes to.

    They are told by what SQLite is asked to do, as its own trace tells it, or lie in a VFS
    between SQLite and the disk.
    """
    if point in ("log", "checkpoint"):
        assert isinstance(file._CHECKPOINT, int), "pages between two checkpoints"
        file._CHECKPOINT = 15  # type: ignore[misc]
        _watch_disk(reached)
    else:
        apsw.connection_hooks.append(lambda connection: _watch_statements(connection, reached))


def _watch_statements(connection: apsw.Connection, reached: Reached) -> None:
    """Report what a connection begins and ends, in whatever thread."""
    does: set[str] = set()

    def trace(told: dict[str, Any]) -> None:
        sql = told["sql"]
        if told["code"] == apsw.SQLITE_TRACE_STMT:
            if told["trigger"]:
                return
            reached("creation")
            for beginning, name in _DOES.items():
                if sql.lstrip().startswith(beginning):
                    does.add(name)
                    reached(name)
            if sql == "COMMIT":
                tell("before")
        elif sql == "COMMIT":
            tell("after")
            does.clear()
        elif sql == "ROLLBACK":
            does.clear()

    def tell(when: str) -> None:
        for name in sorted(does):
            reached(f"{name}: {when}")
        if does and threading.current_thread() is not threading.main_thread():
            reached(f"thread: {when}")

    connection.trace_v2(apsw.SQLITE_TRACE_STMT | apsw.SQLITE_TRACE_PROFILE, trace)


def _watch_disk(reached: Reached) -> None:
    """Every write that SQLite makes to the log and to the file."""

    class File(apsw.VFSFile):
        def __init__(self, name: Any, flags: Any) -> None:
            super().__init__("unix", name, flags)
            path = name if isinstance(name, str | None) else name.filename()
            self._point = "log" if (path or "").endswith("-wal") else "checkpoint"

        def xWrite(self, data: bytes, offset: int) -> None:
            reached(self._point)
            super().xWrite(data, offset)

    class Disk(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("watched", "unix", makedefault=True)

        def xOpen(self, name: Any, flags: Any) -> File:
            return File(name, flags)

    global _disk
    _disk = Disk()


_disk: apsw.VFS | None = None
