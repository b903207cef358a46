"""Feeds an executor with the lines of the input, and reports those that are no events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import groupby
from uuid import UUID

from ...core import Executor
from ...drawing.text import one_line
from ...errors import ExistsError, LionprideError, QueueFullError, StoreError
from .lines import BadLine, LineReader
from .resume import Entry, Resumption
from .source import NumberedLine, Source

__all__ = ["Intake"]

PATIENCE = 1.0  # seconds to wait for room before looking again: others may have made some


class Intake:
    """Turns lines into events of an executor, a batch at a time.

    Attributes:
        bad: How many lines were refused.
        twice: How many lines were not run, since another event of their ``unique`` value was.
        last: The number of the last line that was read; blank lines do not count.
        begun: Set when there is a first event.
        full: Set when the queue takes no more, so that it must be worked off to go on.
        ended: Set when no more lines will come, for whatever reason.
        complete: True if the input was read to its end.

    Args:
        executor: Takes the events.
        reader: Makes events of lines.
        lines: Is filled with the line number of each event, by id, before its append.
        complain: Is told of each line that is refused.
        room: Is set by others whenever an event leaves the queue.
        resumption: Knows what was done before, if the events are kept for longer than this run.
    """

    def __init__(
        self,
        executor: Executor,
        reader: LineReader,
        lines: dict[UUID, int],
        complain: Callable[[BadLine], None],
        room: asyncio.Event,
        resumption: Resumption | None = None,
    ) -> None:
        self.bad = self.twice = self.last = 0
        self.complete = False
        self.begun = asyncio.Event()
        self.full = asyncio.Event()
        self.ended = asyncio.Event()
        self._executor = executor
        self._reader = reader
        self._lines = lines
        self._complain = complain
        self._room = room
        self._resumption = resumption

    async def feed(self, source: Source) -> None:
        """Take in every line of the source."""
        try:
            async for batch in source.lines():
                if self._resumption is not None and not self.last:
                    await self._resumption.prepare()
                if entries := self._read(batch):
                    self.begun.set()
                    for run in _runs(await self._without_known(entries)):
                        await self._append(run)
            self.complete = True
        finally:
            self.ended.set()

    def _read(self, batch: list[NumberedLine]) -> list[Entry]:
        """The events of a batch of lines, but for those that are refused."""
        entries: list[Entry] = []
        for number, raw in batch:
            self.last = number
            try:
                event, priority, asked = self._reader.read(number, raw)
                if (twin := self._lines.get(event.id)) is not None:
                    raise BadLine(number, f"id: {event.id} is the id of line {twin} too")
            except BadLine as error:
                self._refuse(error)
            else:
                self._lines[event.id] = number
                entries.append((number, event, priority, asked))
        return entries

    async def _without_known(self, entries: list[Entry]) -> list[Entry]:
        """Return the entries that an earlier run has not appended."""
        if self._resumption is None or not entries:
            return entries
        return await self._resumption.without_known(entries)

    async def _append(self, entries: list[Entry]) -> None:
        """Append entries as one batch, which is taken or refused whole.

        A refused one is halved, until the entries at fault stand alone; where the queue is
        full, a single entry waits for room.
        """
        while entries:
            self._room.clear()
            try:
                await self._take_in(entries)
            except StoreError:
                raise  # it is no entry's fault
            except (LionprideError, ValueError) as error:
                rest = (
                    await self._without_known(entries)
                    if isinstance(error, ExistsError)
                    else entries
                )
                if len(rest) < len(entries):  # another run has just appended some
                    entries = rest
                    continue
                if len(entries) > 1:
                    middle = len(entries) // 2
                    await self._append(entries[:middle])
                    await self._append(entries[middle:])
                elif isinstance(error, QueueFullError):
                    self.full.set()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._room.wait(), PATIENCE)
                    continue
                else:
                    self._refuse_entry(entries[0], error)
            return

    async def _take_in(self, entries: list[Entry]) -> None:
        """Append entries on no terms; or one on its own, for which another may stand."""
        _, event, priority, asked = entries[0]
        if not asked:
            events, priorities = [entry[1] for entry in entries], [entry[2] for entry in entries]
            await self._executor.append_many(events, priorities)
        elif await self._executor.append(event, priority, **asked) is not event:
            self._lines.pop(event.id, None)
            self.twice += 1

    def _refuse_entry(self, entry: Entry, error: Exception) -> None:
        number, event, *_ = entry
        self._lines.pop(event.id, None)
        field = "id: " if isinstance(error, ExistsError) else ""
        self._refuse(BadLine(number, f"{field}{one_line(str(error))}"))

    def _refuse(self, error: BadLine) -> None:
        self.bad += 1
        self._complain(error)


def _runs(entries: list[Entry]) -> Iterator[list[Entry]]:
    """The entries in their order: those on no terms many at once, the others one by one."""
    for is_asked, run in groupby(entries, key=lambda entry: bool(entry[3])):
        if is_asked:
            yield from ([entry] for entry in run)
        else:
            yield list(run)
