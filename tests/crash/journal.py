"""The journal: an append-only file of what happened, written by everybody, held against the store.

Each line is one ``write`` to a file opened with ``O_APPEND``: a process that is killed has
written a line or has not. Times are of ``CLOCK_MONOTONIC``, which all processes of a machine
share.
"""

import os
import time
from pathlib import Path
from typing import NamedTuple


class Line(NamedTuple):
    """One thing that happened.

    ``what`` is "up" (a worker begins; ``extra`` is its lease), "old" (it is of the release before),
    "appended" (acknowledged), "ask" (for a cancel), "cancel" (answered), "start" and "finish" (of
    ``_invoke``; ``extra`` of a start is when its claim was checked, see ``points.watch_checks``),
    "settled" (as an observer is told), "point" (the process kills itself in the next
    call), "kill" (the parent is about to), "stop" (the process is stopped in the next call),
    "continue" (the parent is about to let it go on),
    "cut" (of ``_invoke``, by a cancellation or a signal), "interrupt" (the parent sends SIGINT),
    "two" (the worker has two executors), "alone" (there is one worker at a time), "hold" (a deed
    holds the interpreter), "fork" (``extra`` is the child), "refused" and "unrefused" (the child
    has tried to open the store), "orphan" (the child has outlived the worker),
    "crash" (the server is about to crash),
    "exhausted" (it gets no file descriptors), "clock" (the workers' wall clock was set; ``extra``
    is by how much it is ahead), "gone" (the file was removed or changed) or "error" (a worker ends
    with that error).
    """

    what: str
    at: float
    pid: int
    event: str = "-"
    attempt: int = 0
    extra: str = "-"


class Journal:
    """Writes lines; each process opens it for itself."""

    def __init__(self, path: str | Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._pid = os.getpid()

    def write(self, what: str, event: object = "-", attempt: int = 0, extra: str = "-") -> None:
        self.write_for(self._pid, what, event, attempt, extra)

    def write_for(
        self, pid: int, what: str, event: object = "-", attempt: int = 0, extra: str = "-"
    ) -> None:
        line = f"{what} {time.monotonic():.6f} {pid} {event} {attempt} {extra}\n".encode()
        written = os.write(self._file, line)
        assert written == len(line)

    def close(self) -> None:
        os.close(self._file)


def read(path: str | Path) -> list[Line]:
    """All lines, in the order in which they were written."""
    lines = []
    for text in Path(path).read_text("ascii").splitlines():
        what, at, pid, event, attempt, extra = text.split(" ")
        lines.append(Line(what, float(at), int(pid), event, int(attempt), extra))
    return lines
