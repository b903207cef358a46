"""Telling other processes what runs here: at intervals, in one step for all attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

from ...errors import StoreError
from ...model.execution import Execution
from ...model.live import Live, Progress
from ...model.packing import packed_result
from ...model.work import Work
from .forms import News
from .sizes import size_of

__all__ = ("Telling",)

Ask: TypeAlias = Callable[[Sequence[News], Sequence[tuple[int, int]]], asyncio.Future[Any]]
"""Writes news, and takes away what was written of attempts that are over."""

INTERVAL: Final = 0.1
"""Seconds between two steps that tell of what runs: the file is written no oftener for it."""

PIECE: Final = 500
"""Chunks of an attempt that one step writes at most."""

MOST: Final = 2000
"""Chunks of all attempts that one step writes at most: more would hold up the event loop."""

TEXT: Final = 250_000
"""Characters that one step writes of an attempt, about, if its chunks are much alike."""

NOTE: Final = 1000
"""Characters of a note that are written."""


class Told:
    """An attempt of this process that others may want to see, and what is written of it."""

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

    def __init__(self, event: Work, attempt: int) -> None:
        self.event = event
        self.attempt = attempt
        self.is_written = False
        self.is_cut = False  # a chunk was too large: neither it nor later ones are written
        self.written = 0  # chunks
        self.count = 0
        self.length = 0.0  # characters that a chunk takes, the last time
        self.progress: Progress | None = None

    def news(
        self, number: int, most: int, largest: int
    ) -> tuple[News, Callable[[], None], int] | None:
        """Return what is to be written; None if nothing is new.

        Args:
            number: Of the event.
            most: How many chunks at most.
            largest: The most bytes that the database keeps in one row.

        Returns:
            The news, what is to be called when they are written, and the number of their chunks.
        """
        live = Live.now(self.event.__dict__)
        if live is None or live.attempt != self.attempt:
            return None  # it is over, but for its record
        chunks, progress = live.chunks or [], live.progress
        size = 0 if self.is_cut else self._size(chunks, most)
        new = chunks[self.written : self.written + size]
        if not new and progress is self.progress and len(chunks) == self.count:
            return None
        text = packed_result(Execution.over({"_response": new})) if new else None
        if text is not None and size_of([text]) > largest:
            self.is_cut, new, text = True, [], None
        if text is not None:
            self.length = len(text) / len(new)
        fraction, note = (None, None) if progress is None else (progress.fraction, progress.note)
        if note is not None:  # a lone surrogate, which is no text to SQLite, is replaced
            note = note[:NOTE].encode("utf-8", "replace").decode()
        news = News(number, self.attempt, fraction, note, len(chunks), self.written, text)
        return news, partial(self._note, news, len(new), progress), len(new)

    def _size(self, chunks: Sequence[Any], most: int) -> int:
        """How many chunks to write: of large ones few, as they are encoded in the event loop."""
        length = self.length
        if not length and self.written < len(chunks):
            first = chunks[self.written]
            length = len(first) if isinstance(first, str | bytes) else 100
        return min(most, max(1, int(TEXT / max(length, 1))))

    def _note(self, news: News, size: int, progress: Progress | None) -> None:
        """What was new is written."""
        self.is_written, self.count, self.progress = True, news.yielded, progress
        self.written = news.first + size


class Telling:
    """Writes what the attempts of this process show of themselves, while there are any.

    Args:
        claims: The attempts that are under way here, by number.
        ask: Has it written what is new, and taken away what was written of attempts that ended.
        largest: Returns the most bytes that the database keeps in one row.
    """

    def __init__(self, claims: Mapping[int, int], ask: Ask, largest: Callable[[], int]) -> None:
        self._claims = claims
        self._ask = ask
        self._largest = largest
        self._told: dict[int, Told] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: list[tuple[int, int]] = []

    def tell(self, number: int, event: Work, attempt: int) -> None:
        """Tell of an attempt from now on, until it is over."""
        told = self._told.get(number)
        if told is None or told.attempt != attempt:
            if told is not None and told.is_written:
                self._over.append((number, told.attempt))
            self._told[number] = Told(event, attempt)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a loop that is over took its timers with it
            self._timer, self._loop = None, loop
        if self._timer is None:
            self._timer = loop.call_later(INTERVAL, self._turn)

    def _turn(self) -> None:
        """Write what is new, and look again after the interval."""
        told = list(self._news())
        if not told and not self._over:
            self._again()
            return
        over, self._over = self._over, []
        asked = self._ask([news for news, _ in told], over)
        asked.add_done_callback(lambda done: self._written(done, [note for _, note in told], over))

    def _written(
        self,
        done: asyncio.Future[Any],
        noted: list[Callable[[], None]],
        over: list[tuple[int, int]],
    ) -> None:
        if done.cancelled() or done.exception() is not None:
            self._over += over  # it is tried again
        else:
            for note in noted:
                note()
        self._again()

    def _again(self) -> None:
        self._timer = None
        if (self._told or self._over) and self._loop is not None:
            self._timer = self._loop.call_later(INTERVAL, self._turn)

    def _news(self) -> Iterator[tuple[News, Callable[[], None]]]:
        """What is to be written now, each with what is to be called when it is."""
        left = MOST
        for number, told in tuple(self._told.items()):
            if self._claims.get(number) != told.attempt:
                del self._told[number]
                if told.is_written:
                    self._over.append((number, told.attempt))
                continue
            found = told.news(number, min(PIECE, left), self._largest())
            if found is None:
                continue
            news, note, size = found
            left -= size
            if size:  # those who had much to say are last the next time
                self._told[number] = self._told.pop(number)
            yield news, note

    async def stop(self) -> None:
        """Tell no more; what was written is taken away."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        told, self._told = self._told, {}
        self._over += [(number, one.attempt) for number, one in told.items() if one.is_written]
        if self._over:
            over, self._over = self._over, []
            with suppress(StoreError):  # what is left there harms nobody
                await self._ask((), over)
