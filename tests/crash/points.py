"""Named points: where a worker kills itself, put in from outside without touching the product.

A point is reached so many times; at the n-th the process notes it in the journal and sends
itself SIGKILL. The points are told by what SQLite is asked to do, as its own trace tells it, or
lie in a VFS between SQLite and the disk.
"""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import apsw
from crash.deeds import Deed, Doer
from crash.journal import Journal

from lionpride.core import EventStatus
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
    "renewal": "in the transaction that renews leases",
    "log": "before a write to the write-ahead log, in the middle of a commit",
    "checkpoint": "before a write to the file itself, in the middle of a checkpoint",
}
"""Where a worker can be made to die."""

_DOES = {
    "INSERT INTO event ": "append",
    "INSERT INTO lease ": "claim",
    "INSERT INTO finished ": "settle",
    "UPDATE lease SET until = 0 ": "takeover",
    "UPDATE lease SET until = ? ": "renewal",
}
"""What a statement is for, by its beginning."""

Reached = Callable[[str], None]


class Fuse:
    """Kills the process at the n-th passing of one point; others are passed unharmed."""

    def __init__(self, point: str, nth: int, journal: Journal) -> None:
        assert point in POINTS, point
        self._point = point
        self._left = nth
        self._journal = journal
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        if point != self._point:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._journal.write("point", extra=point.replace(" ", "_"))
                os.kill(os.getpid(), signal.SIGKILL)


def watch(reached: Reached, point: str | None) -> None:
    """Have the points reported that this process comes to."""
    Deed.reached = reached
    if point is None:
        return
    if point in ("log", "checkpoint"):
        assert isinstance(file._CHECKPOINT, int), "pages between two checkpoints"
        file._CHECKPOINT = 15  # type: ignore[misc]
        _watch_disk(reached)
    else:
        apsw.connection_hooks.append(lambda connection: _watch_statements(connection, reached))


def watch_answers(executor: Doer, journal: Journal, reached: Reached) -> None:
    """Journal the completions that this process has been told of."""

    def observe(transition: Any) -> None:
        if transition.after is EventStatus.COMPLETED:
            journal.write("settled", transition.event.id, transition.attempt, "completed")
            reached("settle: told")

    executor.observe(observe)


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
                if sql.startswith(beginning):
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
