"""A processor without an executor, over a pile."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from ..errors import ConfigurationError, NotFoundError
from ..model.collections.pile import Pile
from ..model.execution import EventStatus
from ..rules.lifecycle import RELEASED
from ..stores.clock import capped
from ..stores.listeners import Signal
from ..stores.states import Events
from .config import checked_priority
from .event import Event
from .workshop import Workshop

__all__ = ("Alone", "Queue")


class Queue(Events):
    """The pending events, with the methods of a queue."""

    def qsize(self) -> int:
        """Return the number of pending events."""
        return len(self)

    def empty(self) -> bool:
        """Return True if no event is pending."""
        return not len(self)


class Alone(ABC):
    """The part of a Processor that needs no executor."""

    pile: Pile[Any] | None
    max_queue_size: int | None

    @property
    @abstractmethod
    def _bench(self) -> Workshop:
        """The runtime that its dispatchers share."""

    @property
    def queue(self) -> Queue:
        """The pending events, live and read-only, in order of arrival."""
        return Queue(self._bench.store.states, EventStatus.PENDING)

    async def enqueue(self, event_id: UUID, priority: float | None = None) -> None:
        """Enqueue an event of the pile.

        Args:
            event_id: Its id.
            priority: Lower runs first; by default its time of creation.

        Raises:
            NotFoundError: if the event is not in the pile.
            ExistsError: if it is pending or has run.
            QueueFullError: if ``max_queue_size`` events are pending.
            ValidationError: for a priority that is not a finite number.
        """
        if self.pile is None:
            raise ConfigurationError("enqueue() finds events in a pile: give Processor(pile=...)")
        event = self.pile.get(event_id, None)
        if event is None:
            raise NotFoundError(f"event {event_id} is not in the pile: add it there first")
        entry = (event, checked_priority(event, priority))
        await self._bench.store.append((entry,), room=self.max_queue_size)

    async def dequeue(self) -> Event:
        """Wait for the next event, and remove it from the queue without running it."""
        shop = self._bench
        while True:
            claims, wait = await shop.store.claim(shop.name)
            if claims:
                ((event, attempt),) = claims
                await shop.store.settle(((event, attempt, RELEASED),))
                await shop.store.remove((event,))
                assert isinstance(event, Event)
                return event
            ready = asyncio.Event()
            unsubscribe = shop.store.subscribe(Signal.READY, ready.set, once=True)
            try:
                await asyncio.wait_for(ready.wait(), None if wait is None else capped(wait))
            except TimeoutError:
                continue
            finally:
                unsubscribe()
