"""``Executor.map``: appends the events of a source on demand, and returns them as they finish."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from .attempt import SLICE
from .completion_queue import CompletionQueue, PendingCompletion
from .event import Event

__all__ = ("MapRun",)


class MapRun:
    """One run over a source: a task takes events from it while few enough are in progress.

    Args:
        source: The events, as an iterable or async iterable.
        append: Appends an event when there is space, and returns the event of the store.
        completions: A new queue for the appended events.
        ordered: True to return events in the order of the source; False in that of their finishes.
        size: Number of events that were taken from the source and not returned yet, at most.
        overlap: True to append the next event while an append is under way, so that a durable
            store commits several at once.
    """

    def __init__(
        self,
        source: Iterable[Any] | AsyncIterable[Any],
        append: Callable[[Any], Awaitable[Event]],
        completions: CompletionQueue,
        *,
        ordered: bool,
        size: int,
        overlap: bool = False,
    ) -> None:
        self._source: Iterable[Any] | AsyncIterable[Any] = source
        self._append = append
        self._completions = completions
        self._order: deque[PendingCompletion] | None = deque() if ordered else None
        self._size = size
        self._in_progress = 0
        self._has_space = asyncio.Event()
        self._appending: deque[asyncio.Task[Event]] = deque()
        self._more = asyncio.Event()  # an append has begun, or the source has ended
        feed = self._feed_ahead() if overlap else self._feed()
        self._feeder = asyncio.create_task(feed, name="lionpride-map")
        self._feeder.add_done_callback(lambda _: completions.wake())

    async def _feed(self) -> None:
        """Append one event after another."""
        async for event in _each(self._source):
            self._in_progress += 1
            self._add(await self._append(event))
            await self._until_space()

    def _add(self, event: Event) -> None:
        """Wait for an event that has been appended."""
        pending = self._completions.add(event)
        if self._order is not None:
            self._order.append(pending)

    async def _until_space(self) -> None:
        """Wait while ``size`` events are in progress."""
        while self._in_progress >= self._size:
            self._has_space.clear()
            await self._has_space.wait()

    async def _feed_ahead(self) -> None:
        """Append events in tasks of their own, and add them in the order of the source."""
        taking = asyncio.create_task(self._take(), name="lionpride-map-source")
        taking.add_done_callback(lambda _: self._more.set())
        try:
            while not taking.done() or self._appending:
                if self._appending:
                    self._add(await self._appending[0])
                    self._appending.popleft()
                else:
                    self._more.clear()
                    await self._more.wait()
            taking.result()
        finally:
            left = (taking, *self._appending)
            for task in left:
                task.cancel()
            await asyncio.wait(left)
            for task in left:  # retrieve errors, so that asyncio does not log them
                if not task.cancelled():
                    task.exception()

    async def _take(self) -> None:
        """Take events from the source and start their appends; tasks begin in that order."""
        clock = asyncio.get_running_loop().time
        turn = clock() + SLICE
        async for event in _each(self._source):
            self._in_progress += 1
            self._appending.append(asyncio.create_task(self._append_one(event)))
            self._more.set()
            await self._until_space()
            if clock() > turn:  # let other tasks run if the source never waits
                await asyncio.sleep(0)
                turn = clock() + SLICE

    async def _append_one(self, event: Any) -> Event:
        return await self._append(event)

    async def next(self) -> Event | None:
        """Return the next finished event; None after the last event of the source.

        Raises:
            Exception: an error of the source or of an append, after all earlier events.
        """
        while (pending := self._ready()) is None:
            if self._feeder.done() and not len(self._completions) and not self._order:
                self._feeder.result()
                return None
            await self._completions.wait()
        self._in_progress -= 1
        self._has_space.set()
        return pending.result()

    def _ready(self) -> PendingCompletion | None:
        """Return the event that is next, if it has finished."""
        if self._order is None:
            return self._completions.next()
        while self._completions.next() is not None:  # `over` tells it too
            pass
        return self._order.popleft() if self._order and self._order[0].over else None

    async def close(self) -> None:
        """Take no more events from the source; appended events stay in the executor."""
        self._completions.close()
        self._source = ()  # the cancelled task's traceback keeps this object, but not the source
        self._feeder.cancel()
        await asyncio.wait([self._feeder])
        if not self._feeder.cancelled():
            self._feeder.exception()  # retrieve it, so that asyncio does not log it


async def _each(source: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    """Yield the items of an iterable or async iterable."""
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item
