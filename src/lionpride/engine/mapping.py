"""Mapping: events from a source, appended while few enough are under way, given as they end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from .attempt import SLICE
from .endings import Awaited, Endings
from .event import Event

__all__ = ("Mapping",)


class Mapping:
    """One run over a source: a task takes events from it, and waits while enough are under way.

    Args:
        source: Where the events come from.
        append: Appends one, when there is room; gives the event as it is held.
        endings: Tells when one has ended.
        ordered: Whether they are given in the order of the source; else in that of their ends.
        size: How many may have been taken from the source and not been given yet.
        overlap: Whether the next is appended while the one before is on its way: for a store
            whose commits many can share.
    """

    def __init__(
        self,
        source: Iterable[Any] | AsyncIterable[Any],
        append: Callable[[Any], Awaitable[Event]],
        endings: Endings,
        *,
        ordered: bool,
        size: int,
        overlap: bool = False,
    ) -> None:
        self._source: Iterable[Any] | AsyncIterable[Any] = source
        self._append = append
        self._endings = endings
        self._order: deque[Awaited] | None = deque() if ordered else None
        self._size = size
        self._under_way = 0
        self._room = asyncio.Event()
        self._entering: deque[asyncio.Task[Event]] = deque()
        self._more = asyncio.Event()  # one is entering, or the source is at its end
        feed = self._feed_ahead() if overlap else self._feed()
        self._feeder = asyncio.create_task(feed, name="lionpride-map")
        self._feeder.add_done_callback(lambda _: endings.wake())

    async def _feed(self) -> None:
        async for event in _each(self._source):
            self._under_way += 1
            self._add(await self._append(event))
            await self._until_room()

    def _add(self, event: Event) -> None:
        """An event has been appended."""
        awaited = self._endings.add(event)
        if self._order is not None:
            self._order.append(awaited)

    async def _until_room(self) -> None:
        """Wait while enough are under way: before another is asked for."""
        while self._under_way >= self._size:
            self._room.clear()
            await self._room.wait()

    async def _feed_ahead(self) -> None:
        taking = asyncio.create_task(self._take(), name="lionpride-map-source")
        taking.add_done_callback(lambda _: self._more.set())
        try:
            while not taking.done() or self._entering:
                if self._entering:
                    self._add(await self._entering[0])
                    self._entering.popleft()
                else:
                    self._more.clear()
                    await self._more.wait()
            taking.result()
        finally:
            left = (taking, *self._entering)
            for task in left:
                task.cancel()
            await asyncio.wait(left)
            for task in left:  # it has been raised, or nobody is left to hear of it
                if not task.cancelled():
                    task.exception()

    async def _take(self) -> None:
        """Take from the source, and have each appended: in its order, since tasks begin so."""
        clock = asyncio.get_running_loop().time
        turn = clock() + SLICE
        async for event in _each(self._source):
            self._under_way += 1
            self._entering.append(asyncio.create_task(self._enter(event)))
            self._more.set()
            await self._until_room()
            if clock() > turn:  # a source that never waits is no reason to hold up others
                await asyncio.sleep(0)
                turn = clock() + SLICE

    async def _enter(self, event: Any) -> Event:
        return await self._append(event)

    async def next(self) -> Event | None:
        """The next event that has ended; None when the source is at its end, and all were given.

        Raises:
            Exception: what the source raised, or the append: after all that came before it.
        """
        while (awaited := self._ready()) is None:
            if self._feeder.done() and not len(self._endings) and not self._order:
                self._feeder.result()
                return None
            await self._endings.wait()
        self._under_way -= 1
        self._room.set()
        return awaited.given()

    def _ready(self) -> Awaited | None:
        if self._order is None:
            return self._endings.next()
        while self._endings.next() is not None:  # it is noted on the event itself
            pass
        return self._order.popleft() if self._order and self._order[0].over else None

    async def close(self) -> None:
        """Take no more from the source; what has been appended is left to the executor."""
        self._endings.close()
        self._source = ()  # the cancelled task's traceback keeps us: the source shall not wait
        self._feeder.cancel()
        await asyncio.wait([self._feeder])
        if not self._feeder.cancelled():
            self._feeder.exception()  # it has been raised, or nobody is left to hear of it


async def _each(source: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    """The items of a source of either kind."""
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item
