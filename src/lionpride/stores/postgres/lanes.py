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
    """Makes one batch after another, in a task of its own while there is something to do.

    Args:
        make: Does what is asked, and deals with what it raises; whether to go on at once.
        most: How many a batch has at most.
    """

    def __init__(self, make: Callable[[Sequence[T]], Awaitable[bool]], most: int) -> None:
        self._make = make
        self._most = most
        self._items: list[T] = []
        self._under_way = 0
        self._task: asyncio.Task[None] | None = None
        self._turn: asyncio.Future[None] | None = None  # ends with the batch that is under way
        self.stalled = False  # it was not to go on

    def put(self, item: T) -> None:
        """Ask for something."""
        self._items.append(item)
        self.go()

    def put_back(self, items: Sequence[T]) -> None:
        """Have this done first, with what is asked for next, or at the next ``go``."""
        self._items[:0] = items

    def go(self) -> None:
        """Begin, if there is anything to do."""
        if self._task is None and self._items:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            self.stalled = False
            while self._items and not self.stalled:
                await asyncio.sleep(0)  # so that what is asked for in this turn comes along
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
        """How many are asked for and not done."""
        return len(self._items) + self._under_way

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for or under way."""
        return self._task is None and not self._items

    async def passed(self) -> None:
        """Return when what is under way now is noted."""
        if self._turn is not None:
            await asyncio.wait([self._turn])

    async def quiet(self) -> None:
        """Return when nothing is under way any more."""
        while self._task is not None:
            await asyncio.wait([self._task])
