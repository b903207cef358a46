"""Waiting for many events at once: each is heard of when it ends, in the order of the endings."""

from __future__ import annotations

import asyncio
from collections import deque

from ..errors import NotFoundError, StoreError
from ..model.execution import TERMINAL
from ..stores.contract import Store
from ..stores.listeners import Signal, Unsubscribe
from .event import Event

__all__ = ("Awaited", "Endings")


class Awaited:
    """An event that is waited for; called as the listener for its finish.

    Attributes:
        event: The event.
        over: Whether it has finished, or was removed.
        unsubscribe: Removes it from the listeners of the store.
    """

    __slots__ = ("_endings", "event", "over", "unsubscribe")

    def __init__(self, endings: Endings, event: Event) -> None:
        self._endings = endings
        self.event = event
        self.over = False
        self.unsubscribe: Unsubscribe = _nothing

    def __call__(self) -> None:
        self._endings.rung(self)

    def given(self) -> Event:
        """The event, which is over.

        Raises:
            NotFoundError: if it was removed before it ended.
        """
        state = self.event.execution
        if state.arrival is None and state.status not in TERMINAL:
            raise NotFoundError(f"{self.event!r} was removed before it finished")
        return self.event


class Endings:
    """Events that are waited for, by one task: no other task, and no look at the clock.

    Args:
        store: The store that has them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: set[Awaited] = set()
        self._over: deque[Awaited] = deque()
        self._sleeper: asyncio.Future[None] | None = None
        self._failure: StoreError | None = None

    def __len__(self) -> int:
        """How many have not been taken yet."""
        return len(self._waiting) + len(self._over)

    def add(self, event: Event) -> Awaited:
        """Wait for an event too; one that has ended is over at once."""
        awaited = Awaited(self, event)
        self._waiting.add(awaited)
        self.rung(awaited)
        return awaited

    def rung(self, awaited: Awaited) -> None:
        """Note that an event is over, or go on waiting: it may have been sent back to wait."""
        state = awaited.event.execution
        if state.arrival is not None and state.status not in TERMINAL:
            try:
                awaited.unsubscribe = self._store.subscribe(
                    Signal.FINISHED, awaited, event=awaited.event, once=True
                )
            except StoreError as error:  # called by the store: the task that waits is to know
                self._failure = error
                self.wake()
            return
        self._waiting.discard(awaited)
        awaited.over = True
        self._over.append(awaited)
        self.wake()

    def next(self) -> Awaited | None:
        """Take the next that is over; None if there is none yet."""
        return self._over.popleft() if self._over else None

    async def wait(self) -> None:
        """Return when one is over, or ``wake`` is called.

        Raises:
            StoreError: if the store cannot tell any more.
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
        """Have the one who waits look again."""
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    def close(self) -> None:
        """Wait no more."""
        for awaited in self._waiting:
            awaited.unsubscribe()
        self._waiting.clear()


def _nothing() -> None:
    """Stand for the removal of a listener that was not subscribed."""
