"""Queue of a processor that works without an executor: its events come from a pile, by id.

This is how the original package used a processor; ``Processor.enqueue`` and ``dequeue`` keep it.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from ..errors import ConfigurationError, NotFoundError
from ..model.collections.pile import Pile
from ..rules.state_machine import RELEASED
from ..stores.clock import capped
from ..stores.contract import Store
from ..stores.listeners import Signal
from ..stores.states import Events
from .config import checked_priority
from .event import Event

__all__ = ("PendingQueue", "dequeue", "enqueue")


class PendingQueue(Events):
    """The pending events, with the methods of a queue."""

    def qsize(self) -> int:
        """Return the number of pending events."""
        return len(self)

    def empty(self) -> bool:
        """Return True if no event is pending."""
        return not len(self)


async def enqueue(
    store: Store,
    pile: Pile[Any] | None,
    event_id: UUID,
    priority: float | None,
    max_pending: int | None,
) -> None:
    """Append an event of a pile to a store; see ``Processor.enqueue``."""
    if pile is None:
        raise ConfigurationError("enqueue() finds events in a pile: give Processor(pile=...)")
    event = pile.get(event_id, None)
    if event is None:
        raise NotFoundError(f"event {event_id} is not in the pile: add it there first")
    await store.append(((event, checked_priority(event, priority)),), room=max_pending)


async def dequeue(store: Store, worker: str) -> Event:
    """Wait for the next event, and remove it from a store; see ``Processor.dequeue``.

    Args:
        store: The store.
        worker: Name of the worker that claims it.
    """
    while True:
        claims, wait = await store.claim(worker)
        if claims:
            ((event, attempt),) = claims
            await store.settle(((event, attempt, RELEASED),))
            await store.remove((event,))
            assert isinstance(event, Event)
            return event
        ready = asyncio.Event()
        unsubscribe = store.subscribe(Signal.READY, ready.set, once=True)
        try:
            await asyncio.wait_for(ready.wait(), None if wait is None else capped(wait))
        except TimeoutError:
            continue
        finally:
            unsubscribe()
