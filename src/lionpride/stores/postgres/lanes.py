"""Lanes: what is asked for while one batch is under way makes up the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any, Final, Generic, NamedTuple, TypeVar

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


LONG: Final = 0.1
"""Seconds that a batch usually takes at most."""


async def _turn(_: object) -> None:
    """Return in the next turn of the loop."""
    await asyncio.sleep(0)


class Lane(Generic[T]):
    """Makes one batch after another, in a task of its own while there is something to do.

    Args:
        make: Does what is asked, and deals with what it raises; whether to go on at once.
        most: How many a batch has at most.
        pause: Called with what waits and awaited before each batch is made up, in place of the end
            of this turn of the loop: what is asked for in it comes along.
    """

    def __init__(
        self,
        make: Callable[[Sequence[T]], Awaitable[bool]],
        most: int,
        pause: Callable[[Sequence[T]], Awaitable[None]] | None = None,
    ) -> None:
        self._make = make
        self._most = most
        self._pause = _turn if pause is None else pause
        self._items: list[T] = []
        self._under_way = 0
        self._task: asyncio.Task[None] | None = None
        self._turn: asyncio.Future[None] | None = None  # ends with the batch that is under way
        self._began = 0.0  # the batch that is under way, or the last one
        self._lent = 0
        self._loan: asyncio.Future[None] | None = None  # ends when what is lent is done
        self.stalled = False  # it was not to go on
        self._is_sound = True  # what was done last is not to be done anew

    def put(self, item: T) -> None:
        """Ask for something."""
        self._items.append(item)
        self.go()

    def put_back(self, items: Sequence[T]) -> None:
        """Have this done first, with what is asked for next, or at the next ``go``.

        The lane is stalled until then, and nothing is lent until that was done.
        """
        self._items[:0] = items
        self.stalled, self._is_sound = True, False

    def go(self) -> None:
        """Begin, if there is anything to do."""
        if self._task is None and self._items:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            self.stalled = False
            while self._items and not self.stalled:
                await self._pause(self._items)
                if not self._items:
                    break  # they were lent
                items = self._items[: self._most]
                del self._items[: self._most]
                self._under_way = len(items)
                loop = asyncio.get_running_loop()
                self._turn, self._began = loop.create_future(), loop.time()
                try:
                    self._is_sound = await self._make(items)
                    self.stalled = not self._is_sound
                finally:
                    self._under_way = 0
                    self._turn.set_result(None)
                    self._turn = None
        finally:
            self._task = None

    @property
    def behind(self) -> int:
        """How many are asked for and not done."""
        return len(self._items) + self._under_way + self._lent

    @property
    def begins(self) -> bool:
        """Whether the next batch is made up within this turn of the loop or the next."""
        return bool(self._items) and self._turn is None and self._task is not None

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for or under way."""
        return self._task is None and self._loan is None and not self._items

    @contextmanager
    def lend(self, wanted: Callable[[T], bool]) -> Iterator[Sequence[T]]:
        """What waits, for another lane to do within the block; it is under way until then.

        Nothing is lent while something of that is not wanted, nor while the lane is held up: what
        does that might hold up the other lane too.
        """
        items = self._items[: self._most]
        if not items or self._is_held_up() or not all(map(wanted, items)):
            yield ()
            return
        del self._items[: self._most]
        self._lent, loan = len(items), asyncio.get_running_loop().create_future()
        self._loan = loan
        try:
            yield items
        finally:
            self._lent, self._loan = 0, None
            loan.set_result(None)

    def _is_held_up(self) -> bool:
        """Whether the last batch has failed, or one takes longer than is usual."""
        late = self._turn is not None and self._turn.get_loop().time() - self._began > LONG
        return late or not self._is_sound

    async def passed(self) -> bool:
        """Return when what is under way now is noted; whether there was anything."""
        if under_way := [each for each in (self._turn, self._loan) if each is not None]:
            await asyncio.wait(under_way)
        return bool(under_way)

    async def quiet(self) -> None:
        """Return when nothing is under way any more."""
        while under_way := [each for each in (self._task, self._loan) if each is not None]:
            await asyncio.wait(under_way)
