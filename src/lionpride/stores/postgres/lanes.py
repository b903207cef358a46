"""Lanes: what is asked for while one batch is under way makes up the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any, Generic, NamedTuple, TypeVar

from .link import Db, Link

__all__ = ("Asked", "Lane", "take")

T = TypeVar("T")


class Asked(NamedTuple):
    """A step that is asked for.

    Attributes:
        step: What to do.
        then: Called with its answer once that is committed, even if nobody awaits it any more;
            what it gives is the future's result.
        future: Who waits.
    """

    step: Any
    then: Callable[[Any], Any] | None
    future: asyncio.Future[Any]

    def fail(self, error: BaseException) -> None:
        """It came to nothing."""
        if not self.future.done():
            self.future.set_exception(error)

    async def tell(self, answer: Any) -> None:
        """It is committed: have that noted, and tell who waits."""
        try:
            value = answer if self.then is None else self.then(answer)
            if isawaitable(value):
                value = await value
        except Exception as error:
            self.fail(error)
        else:
            if not self.future.done():
                self.future.set_result(value)


async def take(link: Link, step: Callable[[Db], Awaitable[Any]], asked: Asked) -> None:
    """Take a step, and tell who asked for it."""
    try:
        answer = await link.run(step)
    except Exception as error:
        asked.fail(error)
    else:
        await asked.tell(answer)


class Lane(Generic[T]):
    """Runs one batch after another; requests that arrive during a batch form the next.

    Args:
        make: Runs a batch, and handles its errors. Returns True to go on with the next batch.
        most: Maximum number of requests in a batch.
    """

    def __init__(self, make: Callable[[Sequence[T]], Awaitable[bool]], most: int) -> None:
        self._make = make
        self._most = most
        self._items: list[T] = []
        self._under_way = 0
        self._task: asyncio.Task[None] | None = None
        self._turn: asyncio.Future[None] | None = None  # ends with the batch that is under way
        self.stalled = False  # the last batch failed, and nothing has restarted the lane since

    def put(self, item: T) -> None:
        """Add a request to the next batch."""
        self._items.append(item)
        self.go()

    def put_back(self, items: Sequence[T]) -> None:
        """Add requests in front of the others, and stall until the next request or ``go``."""
        self._items[:0] = items
        self.stalled = True

    def go(self) -> None:
        """Start the next batch if there are requests and no batch is under way."""
        if self._task is None and self._items:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            self.stalled = False
            while self._items and not self.stalled:
                await asyncio.sleep(0)  # requests of this turn of the event loop join the batch
                items = self._items[: self._most]
                del self._items[: self._most]
                self._under_way = len(items)
                self._turn = asyncio.get_running_loop().create_future()
                try:
                    self.stalled = not await self._make(items)
                finally:
                    self._under_way = 0
                    self._turn.set_result(None)
                    self._turn = None
        finally:
            self._task = None

    @property
    def behind(self) -> int:
        """Number of requests that are not done."""
        return len(self._items) + self._under_way

    @property
    def idle(self) -> bool:
        """True if there are no requests."""
        return self._task is None and not self._items

    async def passed(self) -> bool:
        """Wait until the batch that is under way is done; return False if there is none."""
        if self._turn is None:
            return False
        await asyncio.wait([self._turn])
        return True

    async def quiet(self) -> None:
        """Wait until no batch is under way."""
        while self._task is not None:
            await asyncio.wait([self._task])
