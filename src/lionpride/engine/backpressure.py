"""Backpressure: callers that wait for space in a full queue, in order of arrival."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ..errors import QueueFullError
from ..stores.contract import Store
from ..stores.listeners import Signal, Unsubscribe

__all__ = ("CapacityWaiters",)

T = TypeVar("T")

MOST: Final = 500
"""Maximum number of waiters that call the store at the same time."""


class Waiter:
    """A caller that waits for space.

    Attributes:
        alone: True if no other waiter may call the store at the same time.
        turn: Future that is set when this waiter may call the store.
        is_asking: True while it calls the store.
    """

    __slots__ = ("alone", "is_asking", "turn")

    def __init__(self, turn: asyncio.Future[None], alone: bool) -> None:
        self.turn = turn
        self.alone = alone
        self.is_asking = False


class CapacityWaiters:
    """The callers that wait for space in the queue of one store.

    When there may be space, the first waiters call the store, so there is no polling, and no waiter
    is overtaken. They call it together, in their order, and so share a commit. Their number doubles
    while there is space for all of them, and falls to one when the queue is full.

    Args:
        store: The store whose queue may be full.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reset()

    def _reset(self) -> None:
        self._waiting: OrderedDict[Waiter, None] = OrderedDict()
        self._asking = 0
        self._size = 1
        self._is_full = False  # a waiter was refused since the last signal
        self._is_subscribed = False
        self._unsubscribe: Unsubscribe = lambda: None

    async def enter(self, append: Callable[[], Awaitable[T]], *, alone: bool = False) -> T:
        """Append when it is the caller's turn and there is space.

        Args:
            append: Calls the store; it is called again after each QueueFullError.
            alone: True for a batch, which the store may append later than single events that
                arrive at the same time.

        Raises:
            QueueFullError: if the batch is larger than the queue limit.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # waiters of a loop that has ended cannot continue
            self._unsubscribe()
            self._reset()
            self._loop = loop
        waiter = Waiter(loop.create_future(), alone)
        self._waiting[waiter] = None
        self._admit()
        try:
            while True:
                await waiter.turn
                try:
                    return await append()
                except QueueFullError as error:
                    if error.details["events"] > error.details["max_size"]:
                        raise
                    self._is_full = True
                    waiter.turn = loop.create_future()
                self._answered(waiter)
        finally:
            del self._waiting[waiter]
            self._answered(waiter)
            self._unsubscribe_if_empty()

    def _admit(self) -> None:
        """Let the first waiters call the store, unless some do, or the queue is full."""
        if self._asking or self._is_full or not self._waiting:
            return
        if not self._is_subscribed:  # before the call, so that no signal is missed
            self._is_subscribed = True
            self._unsubscribe = self._store.subscribe(Signal.CAPACITY, self._freed, once=True)
        for waiter in self._waiting:
            if waiter.turn.done():
                continue  # it was cancelled
            if self._asking and (waiter.alone or self._asking == self._size):
                break
            self._let_ask(waiter)
            if waiter.alone:
                break

    def _let_ask(self, waiter: Waiter) -> None:
        self._asking += 1
        waiter.is_asking = True
        waiter.turn.set_result(None)

    def ask_again(self) -> None:
        """Let all waiters call the store once more: the answer may be another error now."""
        for waiter in self._waiting:
            if not waiter.turn.done():
                self._let_ask(waiter)

    def _answered(self, waiter: Waiter) -> None:
        """Note that the store has answered a waiter, or that it was cancelled."""
        if not waiter.is_asking:
            return
        waiter.is_asking = False
        self._asking -= 1
        if self._asking:
            return
        self._size = 1 if self._is_full else min(2 * self._size, MOST)
        if not self._is_subscribed:  # a signal has arrived
            self._is_full = False
        self._admit()

    def _unsubscribe_if_empty(self) -> None:
        if not self._waiting and self._is_subscribed:
            self._is_subscribed = self._is_full = False
            self._unsubscribe()

    def _freed(self) -> None:
        """Continue after a signal that there may be space."""
        self._is_subscribed = self._is_full = False
        self._admit()
