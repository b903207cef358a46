"""The results file: one line of JSON for each event, written as the events settle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from ...core import EventStatus, Execution, Transition, Unset
from ...model.event_data import EventData
from ...model.serialization.codec import Unserializable, encode, error_to_dict
from ...stores.record import Record
from ...view.plain_json import plain_json
from .outputs import Output

__all__ = ["Results", "recorded_line", "result_line"]

_PLAIN = json.JSONEncoder(
    default=lambda value: plain_json(encode(value)), allow_nan=False, ensure_ascii=False
)
OPEN = (EventStatus.PENDING, EventStatus.PROCESSING, None)


class Results:
    """Observes an executor and writes a line for each event of the input that settles.

    The line is written at once, so that an event that blocks the loop cannot delay it. No id is
    written twice. Events that finished before this run are written from their records.

    Args:
        output: Where to write.
        lines: The line number of each event of the input.
        on_error: Called once if writing fails; nothing more is written then.
    """

    takes_its_time = True  # for large results: no warning is wanted

    def __init__(
        self, output: Output, lines: Mapping[UUID, int], on_error: Callable[[OSError], None]
    ) -> None:
        self._output: Output | None = output
        self._lines = lines
        self._on_error = on_error
        self._written: set[int] = set()

    def __call__(self, step: Transition) -> None:
        """Note a step, and write what has settled."""
        if step.after in OPEN or self._output is None:
            return
        number = self._lines.get(step.event.id)
        if number is not None:
            self._write(number, lambda: result_line(step.event, number))

    def write_record(self, record: Record, number: int) -> None:
        """Write what a store has on record of an event that has settled.

        Raises:
            ValidationError: if the record cannot be read.
        """
        self._write(number, lambda: recorded_line(record, number))

    def has(self, number: int) -> bool:
        """Return True if a line has its result."""
        return number in self._written

    def start_over(self) -> None:
        """Empty the file, if that can be done: every line is still to be written then."""
        if self._output is not None and self._output.start_over():
            self._written.clear()

    def _write(self, number: int, make: Callable[[], bytes]) -> None:
        if number in self._written or self._output is None:
            return
        line = make()
        self._written.add(number)
        try:
            self._output.write(line)
        except OSError as error:
            self._output = None
            self._on_error(error)


def result_line(event: EventData, number: int) -> bytes:
    """The line of a settled event: what it was, how it ended, with what, and how long it took."""
    return _line(event.id, number, event.execution)


def recorded_line(record: Record, number: int) -> bytes:
    """Return the same line from the record of a finished event.

    Raises:
        ValidationError: if it cannot be read.
    """
    execution = Execution.from_dict(record.payload["execution"], encoded=True)
    return _line(record.id, number, execution)


def _line(uid: UUID, number: int, execution: Execution) -> bytes:
    record: dict[str, Any] = {"id": str(uid), "line": number, "status": execution.status.value}
    if isinstance(execution.error, BaseException):
        record["error"] = error_to_dict(execution.error)
    if execution.response is not Unset:  # what a stream gave before it failed is one, too
        record["response"] = execution.response
    record["attempts"] = execution.attempt_number
    record["duration"] = None if execution.duration is Unset else execution.duration
    return _json(record)


def _json(record: dict[str, Any]) -> bytes:
    """Plain JSON; what has no type there is written as ``plain_json`` says."""
    try:
        text = _PLAIN.encode(record)
    except Exception:  # a class of the user may raise anything
        text = _PLAIN.encode({name: plain_json(_tagged(value)) for name, value in record.items()})
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair: JSON can say it, UTF-8 cannot
        return json.dumps(json.loads(text)).encode() + b"\n"


def _tagged(value: Any) -> Any:
    try:
        return encode(value)
    except Exception as error:
        kind = type(value).__qualname__
        return encode(Unserializable(kind, f"<{kind}: {type(error).__name__} while encoding>"))
