"""Live progress: writes the chunks and the progress of running attempts for other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

from ...errors import StoreError
from ...model.event_data import EventData
from ...model.execution import Execution
from ...model.progress import Live, Progress
from ...model.serialization.payload import result_text
from .backend import Transaction
from .codec import size_of
from .rows import ProgressRow

__all__ = ("ProgressPublisher", "write_progress")


Write: TypeAlias = Callable[[Sequence[ProgressRow], Sequence[tuple[int, int]]], asyncio.Future[Any]]
"""Writes progress rows, and deletes those of ended attempts, given by number and attempt."""

INTERVAL: Final = 0.1
"""Seconds between two writes."""

PIECE: Final = 500
"""Maximum number of chunks of one attempt per write."""

MOST: Final = 2000
"""Maximum number of chunks of all attempts per write; more would block the event loop."""

TEXT: Final = 250_000
"""Approximate maximum of characters of one attempt per write, if its chunks are similar."""

NOTE: Final = 1000
"""Maximum length of a stored note in characters."""

_PROGRESS: Final = """
INSERT INTO {progress} (number, attempt, fraction, note, chunks)
SELECT $1, $2, CAST($3 AS double precision), CAST($4 AS text), CAST($5 AS integer)
FROM {lease} WHERE number = $1 AND attempt = $2
ON CONFLICT (number) DO UPDATE SET attempt = excluded.attempt, fraction = excluded.fraction,
    note = excluded.note, chunks = excluded.chunks
"""
_CHUNK: Final = """
INSERT INTO {chunk} (number, attempt, first, chunks)
SELECT $1, $2, CAST($3 AS integer), CAST($4 AS text)
FROM {lease} WHERE number = $1 AND attempt = $2
ON CONFLICT (number, attempt, first) DO UPDATE SET chunks = excluded.chunks
"""
_DELETE: Final = tuple(
    f"DELETE FROM {{{table}}} WHERE number = $1 AND attempt = $2" for table in ("progress", "chunk")
)


async def write_progress(
    tx: Transaction, progress: Sequence[ProgressRow], ended: Sequence[tuple[int, int]]
) -> None:
    """Write the progress of attempts that have a lease, and delete that of ended attempts.

    A repeat writes the same again.

    Round trips on PostgreSQL: 4.
    """
    rows = [(*one[:3], _without_nul(one.note), one.yielded) for one in progress]
    pieces = [(*one[:2], one.first, one.chunks) for one in progress if one.chunks is not None]
    await tx.many(_PROGRESS, rows)
    await tx.many(_CHUNK, pieces)
    for statement in _DELETE:
        await tx.many(statement, ended)


def _without_nul(note: str | None) -> str | None:
    """Return a note without NUL, which PostgreSQL refuses in a text."""
    return None if note is None else note.replace("\0", "\ufffd")


class _PublishedAttempt:
    """A running attempt of this process, and the part of its progress that has been written."""

    __slots__ = (
        "attempt",
        "count",
        "event",
        "is_cut",
        "is_written",
        "length",
        "progress",
        "written",
    )

    def __init__(self, event: EventData, attempt: int) -> None:
        self.event = event
        self.attempt = attempt
        self.is_written = False
        self.is_cut = False  # a chunk was too large: it and later chunks are not written
        self.written = 0  # number of chunks
        self.count = 0
        self.length = 0.0  # average length of the chunks of the last write
        self.progress: Progress | None = None

    def new_row(
        self, number: int, most: int, largest: int
    ) -> tuple[ProgressRow, Callable[[], None], int] | None:
        """Return the progress that has not been written yet; None if there is none.

        Args:
            number: The number of the event.
            most: The maximum number of chunks.
            largest: The maximum size of a row in bytes.

        Returns:
            The row, a function to call after the write, and the number of its chunks.
        """
        live = Live.now(self.event.__dict__)
        if live is None or live.attempt != self.attempt:
            return None  # the attempt has ended, and its outcome is not recorded yet
        chunks, progress = live.chunks or [], live.progress
        size = 0 if self.is_cut else self._size(chunks, most)
        new = chunks[self.written : self.written + size]
        if not new and progress is self.progress and len(chunks) == self.count:
            return None
        text = result_text(Execution.over({"_response": new})) if new else None
        if text is not None and size_of([text]) > largest:
            self.is_cut, new, text = True, [], None
        if text is not None:
            self.length = len(text) / len(new)
        fraction, note = (None, None) if progress is None else (progress.fraction, progress.note)
        if note is not None:  # SQLite refuses lone surrogates: they are replaced
            note = note[:NOTE].encode("utf-8", "replace").decode()
        row = ProgressRow(number, self.attempt, fraction, note, len(chunks), self.written, text)
        return row, partial(self._note, row, len(new), progress), len(new)

    def _size(self, chunks: Sequence[Any], most: int) -> int:
        """Return the number of chunks to write; few if they are large, as encoding blocks."""
        length = self.length
        if not length and self.written < len(chunks):
            first = chunks[self.written]
            length = len(first) if isinstance(first, str | bytes) else 100
        return min(most, max(1, int(TEXT / max(length, 1))))

    def _note(self, row: ProgressRow, size: int, progress: Progress | None) -> None:
        """Note that a row was written."""
        self.is_written, self.count, self.progress = True, row.yielded, progress
        self.written = row.first + size


class ProgressPublisher:
    """Writes the progress of this process's attempts at intervals, in one step for all.

    Args:
        claims: The running attempts of this process, by the number of the event.
        write: Writes progress to the database.
        largest: Returns the maximum size of a row in bytes.
    """

    def __init__(self, claims: Mapping[int, int], write: Write, largest: Callable[[], int]) -> None:
        self._claims = claims
        self._write = write
        self._largest = largest
        self._attempts: dict[int, _PublishedAttempt] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: list[tuple[int, int]] = []

    def publish(self, number: int, event: EventData, attempt: int) -> None:
        """Write the progress of an attempt from now on, until the attempt ends."""
        known = self._attempts.get(number)
        if known is None or known.attempt != attempt:
            if known is not None and known.is_written:
                self._ended.append((number, known.attempt))
            self._attempts[number] = _PublishedAttempt(event, attempt)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the timer of a closed loop never fires
            self._timer, self._loop = None, loop
        if self._timer is None:
            self._timer = loop.call_later(INTERVAL, self._turn)

    def _turn(self) -> None:
        """Write new progress, and set the timer again."""
        rows = list(self._new_rows())
        if not rows and not self._ended:
            self._set_timer()
            return
        ended, self._ended, timer = self._ended, [], self._timer

        def written(done: asyncio.Future[Any]) -> None:
            is_failed = done.cancelled() or done.exception() is not None
            if self._timer is not timer:  # it was stopped meanwhile
                return
            if is_failed:
                self._ended += ended  # the next write repeats it
            else:
                for _, note in rows:
                    note()
            self._set_timer()

        self._write([row for row, _ in rows], ended).add_done_callback(written)

    def _set_timer(self) -> None:
        self._timer = None
        if (self._attempts or self._ended) and self._loop is not None:
            self._timer = self._loop.call_later(INTERVAL, self._turn)

    def _new_rows(self) -> Iterator[tuple[ProgressRow, Callable[[], None]]]:
        """Yield the rows to write now, each with a function to call after the write."""
        left = MOST
        for number, known in tuple(self._attempts.items()):
            if self._claims.get(number) != known.attempt:
                del self._attempts[number]
                if known.is_written:
                    self._ended.append((number, known.attempt))
                continue
            found = known.new_row(number, min(PIECE, left), self._largest())
            if found is None:
                continue
            row, note, size = found
            left -= size
            if size:  # attempts with chunks go to the end, so that each gets its turn
                self._attempts[number] = self._attempts.pop(number)
            yield row, note

    async def stop(self) -> None:
        """Stop writing, and delete the progress that was written."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        attempts, self._attempts = self._attempts, {}
        self._ended += [(number, one.attempt) for number, one in attempts.items() if one.is_written]
        if self._ended:
            ended, self._ended = self._ended, []
            with suppress(StoreError):  # remaining rows do no harm: they are reaped later
                await self._write((), ended)
