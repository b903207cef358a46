"""A file of events and schedules to import: lines that `export` wrote, or one Flow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any, TypeAlias

from ...drawing.text import one_line, plural, shorten
from ...errors import LionprideError, ValidationError
from ...stores.record import Record
from ..usage import UsageError
from .flows import flow_records, is_flow, own_progressions
from .records import QueueSchedule, is_schedule, read_record, read_schedule

__all__ = ["Bundle", "open_bundle"]

TOLD = 5  # so many things wrong with a file are said

Named = tuple[str, Record]  # where it stands in the file, and what stands there
Entry: TypeAlias = Record | QueueSchedule


class Bundle:
    """The events and schedules of a file, which can be read several times.

    Attributes:
        left_out: The names of what is in the file and cannot be kept in a store.
    """

    def __init__(self, file: IO[bytes], name: str, queue: str | None) -> None:
        self.left_out: list[str] = []
        self._file = file
        self._name = name
        self._queue = queue

    def check(self) -> None:
        """Read it to its end.

        Raises:
            UsageError: if it holds nothing.
            ValidationError: if something in it is no record, or an id or a schedule is there twice.
        """
        wrong: list[str] = []
        count = 0
        seen: dict[object, str] = {}
        for where, found in self._read():
            if isinstance(found, ValidationError):
                wrong.append(f"{where}: {shorten(one_line(str(found)), 300)}")
            elif (key := _key_of(found)) in seen:
                wrong.append(f"{where}: {_described(found)} of {seen[key]}")
            else:
                seen[key] = where
            count += 1
        if not count:
            raise UsageError(f"{self._name} is empty: there is no event to import")
        if wrong:
            more = f"; and {len(wrong) - TOLD:,} more like these" if len(wrong) > TOLD else ""
            raise ValidationError(
                f"{self._name}: nothing was imported, {plural(len(wrong), 'problem')}: "
                f"{'; '.join(wrong[:TOLD])}{more}"
            )

    def records(self) -> Iterator[Named]:
        """Yield each event and where it stands, once ``check`` has found nothing."""
        for where, found in self._checked():
            if isinstance(found, Record):
                yield where, found

    def schedules(self) -> Iterator[tuple[str, QueueSchedule]]:
        """Yield each schedule and where it stands, once ``check`` has found nothing."""
        for where, found in self._checked():
            if isinstance(found, QueueSchedule):
                yield where, found

    def _checked(self) -> Iterator[tuple[str, Entry]]:
        for where, found in self._read():
            if isinstance(found, ValidationError):
                raise LionprideError(
                    f"{self._name} has changed while it was read; {where}: {found}"
                )
            yield where, found

    def _read(self) -> Iterator[tuple[str, Entry | ValidationError]]:
        self._file.seek(0)
        for number, line in enumerate(self._file, 1):
            if line.isspace():
                continue
            found: Entry | ValidationError
            try:
                data = _parse(line)
                read = read_schedule if is_schedule(data) else read_record
                found = read(data, self._queue)
            except ValidationError as error:
                found = error
            yield f"line {number}", found


class FlowBundle(Bundle):
    """The events of a Flow."""

    def __init__(self, file: IO[bytes], name: str, queue: str | None, flow: Any) -> None:
        super().__init__(file, name, queue)
        self._flow = flow
        self.left_out = own_progressions(flow)

    def _read(self) -> Iterator[tuple[str, Entry | ValidationError]]:
        try:
            for number, record in enumerate(flow_records(self._flow, self._queue), 1):
                yield f"item {number}", record
        except ValidationError as error:
            yield "the flow", error


def open_bundle(file: IO[bytes], name: str, queue: str | None) -> Bundle:
    """Return the contents of a file by its first line; a Flow may take several lines."""
    first = next((line for line in file if not line.isspace()), b"")
    try:
        data = _parse(first)
    except ValidationError:
        file.seek(0)
        try:
            data = _parse(file.read())
        except (ValidationError, MemoryError):
            data = {}
    if is_flow(data):
        return FlowBundle(file, name, queue, data)
    return Bundle(file, name, queue)


def _key_of(entry: Entry) -> object:
    """Return what an entry shares with no other one of a file."""
    return entry.id if isinstance(entry, Record) else (entry.queue, entry.record.name)


def _described(entry: Entry) -> str:
    """Return what an entry shares with another one, as text."""
    if isinstance(entry, Record):
        return f"id {entry.id} is also the id"
    return f"schedule {entry.record.name!r} of queue {entry.queue!r} is also the one"


def _parse(text: bytes) -> dict[str, Any]:
    """An object of JSON.

    Raises:
        ValidationError: if it is none.
    """
    try:
        data = json.loads(text.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"is not JSON: {one_line(str(error))}") from error
    if not isinstance(data, dict):
        raise ValidationError("is not an object: write what `lionpride export` writes")
    return data
