"""The results file: one line of JSON for each event, written as the events settle."""

from __future__ import annotations

import asyncio
import io
import json
import os
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from ..core import EventStatus, Transition, Unset
from ..model.codec import encode, error_to_dict
from ..model.work import Work
from .usage import UsageError

__all__ = ["Results", "open_output", "result_line"]

_PLAIN = json.JSONEncoder(default=encode, allow_nan=False, ensure_ascii=False)
OPEN = (EventStatus.PENDING, EventStatus.PROCESSING, None)


class Results:
    """Observes an executor and writes a line for each event of the input that settles.

    An event has a line number until its result is written, so no id is written twice. The lines
    of one round of the event loop are written together, before the next round begins.

    Args:
        raw: Where to write.
        lines: The line number of each event that has no result yet; results are taken out.
        on_error: Called once if writing fails; nothing more is written then.
    """

    def __init__(
        self, raw: io.FileIO, lines: dict[UUID, int], on_error: Callable[[OSError], None]
    ) -> None:
        self.written = 0
        self._raw: io.FileIO | None = raw
        self._lines = lines
        self._on_error = on_error
        self._buffer: list[bytes] = []

    def __call__(self, step: Transition) -> None:
        """Note a step; what is settled goes out with this round of the loop."""
        if step.after in OPEN or self._raw is None:
            return
        event = step.event
        number = self._lines.pop(event.id, None)
        if number is None:
            return
        if not self._buffer:
            asyncio.get_running_loop().call_soon(self.flush)
        self._buffer.append(result_line(event, number))

    def flush(self) -> None:
        """Write what is buffered."""
        if not self._buffer or self._raw is None:
            return
        data, count = memoryview(b"".join(self._buffer)), len(self._buffer)
        self._buffer.clear()
        try:
            while data:
                data = data[self._raw.write(data) or 0 :]
        except OSError as error:
            self._raw = None
            self._on_error(error)
        else:
            self.written += count


def result_line(event: Work, number: int) -> bytes:
    """The line of a settled event: what it was, how it ended, with what, and how long it took."""
    execution = event.execution
    record: dict[str, Any] = {"id": str(event.id), "line": number, "status": event.status.value}
    if isinstance(execution.error, BaseException):
        record["error"] = error_to_dict(execution.error)
    if execution.response is not Unset:  # what a stream gave before it failed is one, too
        record["response"] = execution.response
    record["tries"] = execution.tries
    record["duration"] = None if execution.duration is Unset else execution.duration
    return _json(record)


def _json(record: Mapping[str, Any]) -> bytes:
    """Plain JSON as far as it goes; the tags of `lionpride.model.codec` only where it does not."""
    try:
        text = _PLAIN.encode(record)
    except (TypeError, ValueError, RecursionError):
        tagged = {name: encode(value) for name, value in record.items()}
        text = _PLAIN.encode(tagged)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair: JSON can say it, UTF-8 cannot
        return json.dumps(json.loads(text)).encode() + b"\n"


def open_output(option: str, path: str, taken: Mapping[str, str]) -> io.FileIO:
    """Open a file to write, `-` for standard output; what it held is kept until `start_over`.

    Args:
        option: The option that named it, for messages.
        path: Its name.
        taken: The other files of the command, by option; none of them may be the same file.

    Raises:
        UsageError: if it cannot be written, or is one of the others.
    """
    if path == "-":
        return io.FileIO(sys.stdout.fileno(), "w", closefd=False)
    for other, name in taken.items():
        if os.path.realpath(name) == os.path.realpath(path) and Path(path).is_file():
            raise UsageError(f"{option} {path} is also the file of {other}: name another file")
    parent = Path(path).parent
    if not parent.is_dir():
        raise UsageError(f"{option} {path}: no directory {parent}; make it with: mkdir -p {parent}")
    try:
        return io.FileIO(path, "a")
    except IsADirectoryError as error:
        raise UsageError(f"{option} {path} is a directory: name a file in it") from error
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be written: {error.strerror or error}") from error


def start_over(raw: io.FileIO) -> None:
    """Empty the file, if it is one, and leave devices and pipes alone."""
    if stat.S_ISREG(os.fstat(raw.fileno()).st_mode) and raw.closefd:
        raw.truncate(0)
