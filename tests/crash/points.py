"""Named points: where a worker kills itself, put in from outside without touching the product.

A point is reached so many times; at the n-th the process notes it in the journal and sends
itself SIGKILL. The points in the file itself lie in a VFS between SQLite and the disk.
"""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import apsw
from crash.deeds import Deed
from crash.journal import Journal

from lionpride.stores.sqlite import file, pulse, steps
from lionpride.stores.sqlite.commits import Commits
from lionpride.stores.sqlite.rows import Rows
from lionpride.stores.sqlite.store import SqliteStore

POINTS = {
    "creation": "before a statement of opening or making the file",
    "append: before": "before the commit of an append",
    "append: after": "after it, before anybody is told",
    "claim: before": "before the commit of a claim",
    "claim: after": "after it, before the loop is told",
    "claim: told": "when the loop is told, before any event starts",
    "attempt": "in _invoke, after its first line",
    "finished": "in _invoke, before it returns",
    "settle: before": "before the commit of a settle",
    "settle: after": "after it, before the loop is told",
    "settle: told": "when the loop is told, before any event shows it",
    "thread: before": "in the thread of the group commit, before a commit",
    "thread: after": "in that thread, after it",
    "sweep: before": "before the commit that takes over dead workers' leases",
    "pulse": "in the transaction that renews leases",
    "log": "before a write to the write-ahead log, in the middle of a commit",
    "checkpoint": "before a write to the file itself, in the middle of a checkpoint",
}
"""Where a worker can be made to die."""

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


def watch(journal: Journal, reached: Reached, point: str | None) -> None:
    """Have the points reported of this process, and the store's answers journalled."""
    Deed.reached = reached
    _watch_commits(reached)
    _watch_answers(journal)
    _watch_pulse(reached)
    if point == "creation":
        _watch_statements(reached)
    if point in ("log", "checkpoint"):
        file._CHECKPOINT = 15  # type: ignore[misc]
        _watch_disk(reached)


def _watch_commits(reached: Reached) -> None:
    do, commit, done = Commits._do, Rows.commit, Commits._done
    under_way: set[str] = set()

    def spy_do(self: Commits, batch: Any, patience: float) -> Any:
        answers, idle = do(self, batch, patience)
        under_way.clear()
        under_way.update(_names(batch, answers))
        return answers, idle

    def spy_commit(self: Rows) -> None:
        places = [f"{name}: %s" for name in sorted(under_way)]
        if threading.current_thread().name == "lionpride-sqlite":
            places.append("thread: %s")
        for place in places:
            reached(place % "before")
        commit(self)
        for place in places:
            reached(place % "after")

    def spy_done(self: Commits, batch: Any, result: Any) -> None:
        for name in sorted(_names(batch, result[0])):
            reached(f"{name}: told")
        done(self, batch, result)

    Commits._do, Rows.commit, Commits._done = spy_do, spy_commit, spy_done


def _names(batch: Any, answers: Any) -> set[str]:
    """What a batch has done to any event."""
    names = set()
    for (step, _, _), (value, error) in zip(batch, answers, strict=True):
        if error is not None:
            continue
        if isinstance(step, steps.Claim | steps.Sweep):
            if value[0]:
                names.add(type(step).__name__.lower())
        elif isinstance(step, steps.Append | steps.Settle):
            names.add(type(step).__name__.lower())
    return names


def _watch_answers(journal: Journal) -> None:
    settled, lease = SqliteStore._settled, Rows.lease

    def spy_settled(self: SqliteStore, settlements: Any, answers: Any) -> Any:
        for (event, attempt, outcome), answer in zip(settlements, answers, strict=True):
            extra = f"{answer.value}/{outcome.status.value}"
            journal.write("settled", event.id, attempt, extra)
        return settled(self, settlements, answers)

    def spy_lease(self: Rows, found: Any, worker: str, until: float) -> Any:
        taken = lease(self, found, worker, until)
        for one in taken:  # inside the transaction, so these lines are in the file's own order
            journal.write("leased", one.number, one.state[0], extra=worker)
        return taken

    SqliteStore._settled, Rows.lease = spy_settled, spy_lease


def _watch_pulse(reached: Reached) -> None:
    beat = pulse.Pulse._beat

    def spy_beat(self: pulse.Pulse, connection: apsw.Connection, turn: Any) -> None:
        clock = self._clock

        def ask() -> float:
            reached("pulse")
            return clock()

        self._clock = ask
        try:
            beat(self, connection, turn)
        finally:
            self._clock = clock

    pulse.Pulse._beat = spy_beat  # type: ignore[method-assign]


def _watch_statements(reached: Reached) -> None:
    """Every statement that any connection of the process begins."""

    def hook(connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_STMT, lambda _: reached("creation"))

    apsw.connection_hooks.append(hook)


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
