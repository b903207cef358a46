"""Waiting for many events: each is returned when it has finished, in the order of the finishes."""

from __future__ import annotations

import asyncio
from collections import deque

from ..errors import NotFoundError, StoreError
from ..model.execution import TERMINAL
from ..stores.contract import Store
from ..stores.listeners import Signal, Unsubscribe
from .event import Event

__all__ = ("CompletionQueue", "PendingCompletion")


class PendingCompletion:
    """An event in a CompletionQueue; called as the listener for its finish.

    Attributes:
        event: The event.
        over: True if it has finished, or was removed.
        unsubscribe: Removes the listener from the store.
    """

    __slots__ = ("_queue", "event", "over", "unsubscribe")

    def __init__(self, queue: CompletionQueue, event: Event) -> None:
        self._queue = queue
        self.event = event
        self.over = False
        self.unsubscribe: Unsubscribe = _nothing

    def __call__(self) -> None:
        self._queue.check(self)

    def result(self) -> Event:
        """Return the finished event.

        Raises:
            NotFoundError: if it was removed before it finished.
        """
        state = self.event.execution
        if state.arrival is None and state.status not in TERMINAL:
            raise NotFoundError(f"{self.event!r} was removed before it finished")
        return self.event


class CompletionQueue:
    """Events that one task waits for, by a listener for each, without further tasks or timers.

    Args:
        store: The store of the events.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: set[PendingCompletion] = set()
        self._over: deque[PendingCompletion] = deque()
        self._sleeper: asyncio.Future[None] | None = None
        self._failure: StoreError | None = None

    def __len__(self) -> int:
        """Return the number of events that ``next`` has not returned yet."""
        return len(self._waiting) + len(self._over)

    def add(self, event: Event) -> PendingCompletion:
        """Add an event, which may have finished already."""
        pending = PendingCompletion(self, event)
        self._waiting.add(pending)
        self.check(pending)
        return pending

    def check(self, pending: PendingCompletion) -> None:
        """Note that an event has finished; if it has not, or was retried, subscribe again."""
        state = pending.event.execution
        if state.arrival is not None and state.status not in TERMINAL:
            try:
                pending.unsubscribe = self._store.subscribe(
                    Signal.FINISHED, pending, event=pending.event, once=True
                )
            except StoreError as error:  # the store calls this method: raise it in `wait` instead
                self._failure = error
                self.wake()
            return
        self._waiting.discard(pending)
        pending.over = True
        self._over.append(pending)
        self.wake()

    def next(self) -> PendingCompletion | None:
        """Return the next finished event, and remove it; None if no event has finished yet."""
        return self._over.popleft() if self._over else None

    async def wait(self) -> None:
        """Wait until an event has finished, or ``wake`` is called.

        Raises:
            StoreError: if the store accepts no more listeners.
        """
        if self._failure is None:
            self._sleeper = asyncio.get_running_loop().create_future()
            try:
                await self._sleeper
            finally:
                self._sleeper = None
        if self._failure is not None:
            raise self._failure

    def wake(self) -> None:
        """End ``wait``."""
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    def close(self) -> None:
        """Remove the listeners."""
        for pending in self._waiting:
            pending.unsubscribe()
        self._waiting.clear()


def _nothing() -> None:
    """Do nothing, in place of the removal of a listener."""
