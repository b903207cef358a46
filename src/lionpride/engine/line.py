"""The line before a full queue: who waits for room gets it first come, first served."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ..errors import QueueFullError
from ..stores.contract import Store
from ..stores.listeners import Signal, Unsubscribe

__all__ = ("Line",)

T = TypeVar("T")

MOST: Final = 500
"""How many ask the store together at most."""


class Place:
    """Somebody's place in the line.

    Attributes:
        alone: Whether the store must be asked for this one alone.
        turn: Set when it is this one's turn to ask.
    """

    __slots__ = ("alone", "asks", "turn")

    def __init__(self, turn: asyncio.Future[None], alone: bool) -> None:
        self.turn = turn
        self.alone = alone
        self.asks = False


class Line:
    """Those who wait for room in one store.

    Only the first of them ask the store, each time that there may be room; so nobody polls, and
    nobody is overtaken by one who came later. They ask together, in their order, so that they
    share a commit where there is one: twice as many as the last time if there was room for all
    of those, one if there was not.

    Args:
        store: Whose queue may be full.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._waiting: OrderedDict[Place, None] = OrderedDict()
        self._asking = 0
        self._size = 1
        self._is_full = False  # one was refused since room was last made
        self._hangs = False
        self._unsubscribe: Unsubscribe = lambda: None

    async def enter(self, append: Callable[[], Awaitable[T]], *, alone: bool = False) -> T:
        """Append when it is one's turn and there is room.

        Args:
            append: Asks the store; called again after each QueueFullError.
            alone: Whether it appends so much that the store may take it in later than what is
                asked for together with it.

        Raises:
            QueueFullError: if there can never be room: there are more events than may wait.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # one that is over left nobody who could go on
            self._unsubscribe()
            self._begin_anew()
            self._loop = loop
        place = Place(loop.create_future(), alone)
        self._waiting[place] = None
        self._let_in()
        try:
            while True:
                await place.turn
                try:
                    return await append()
                except QueueFullError as error:
                    if error.details["events"] > error.details["max_size"]:
                        raise
                    self._is_full = True
                    place.turn = loop.create_future()
                self._answered(place)
        finally:
            del self._waiting[place]
            self._answered(place)
            self._close_if_empty()

    def _let_in(self) -> None:
        """Have the first of those who wait ask the store, unless some do, or it is full."""
        if self._asking or self._is_full or not self._waiting:
            return
        if not self._hangs:  # before the store is asked: it may take its time
            self._hangs = True
            self._unsubscribe = self._store.subscribe(Signal.CAPACITY, self._freed, once=True)
        for place in self._waiting:
            if place.turn.done():
                continue  # it is cancelled, and about to leave
            if self._asking and (place.alone or self._asking == self._size):
                break
            self._let_ask(place)
            if place.alone:
                break

    def _let_ask(self, place: Place) -> None:
        self._asking += 1
        place.asks = True
        place.turn.set_result(None)

    def ask_again(self) -> None:
        """Have all who wait ask once more, room or none: the answer may be another now."""
        for place in self._waiting:
            if not place.turn.done():
                self._let_ask(place)

    def _answered(self, place: Place) -> None:
        """One of those who asked has its answer, or asks no more."""
        if not place.asks:
            return
        place.asks = False
        self._asking -= 1
        if self._asking:
            return
        self._size = 1 if self._is_full else min(2 * self._size, MOST)
        if not self._hangs:  # room was made meanwhile
            self._is_full = False
        self._let_in()

    def _close_if_empty(self) -> None:
        """Ask to be told of no more, if nobody waits."""
        if not self._waiting and self._hangs:
            self._hangs = self._is_full = False
            self._unsubscribe()

    def _freed(self) -> None:
        """There may be room."""
        self._hangs = self._is_full = False
        self._let_in()
