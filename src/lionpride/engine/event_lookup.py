"""Lookup of an event by itself or its id, and of its parents and children."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final
from uuid import UUID

from ..model.collections.container import IdLike
from ..model.element import as_id
from ..model.event_data import EventData
from ..stores.contract import Relative, Store, not_here
from ..stores.relatives import ReadPage, relative_pages
from .event import Event

__all__ = ("find_event", "is_known", "parent_events", "relatives")

_EVENTS: Final = 100
"""Number of parents that are read at once: the event loop waits while the events are made."""


async def find_event(store: Store, event: Event | IdLike) -> Event:
    """Return the event that a store has.

    Raises:
        NotFoundError: if the event is unknown, or was removed.
        ValidationError: if the argument is not an id.
    """
    if isinstance(event, Event) and store.states.by_number.get(_number(event)) is event:
        return event
    found = await store.find(as_id(event))
    if not isinstance(found, Event):
        raise not_here(event, store.queue)
    return found


async def relatives(read: ReadPage, uid: UUID) -> AsyncGenerator[Relative, None]:
    """Yield the parents or the children of an event.

    Args:
        read: ``parents`` or ``children`` of the store.
        uid: The id of the event.

    Raises:
        NotFoundError: if the event is unknown.
    """
    async for page in relative_pages(read, uid):
        for each in page:
            yield each


async def parent_events(store: Store, uid: UUID) -> AsyncGenerator[Event, None]:
    """Yield the parents of an event as events, in the order given at its append.

    Raises:
        NotFoundError: if the event is unknown, or this process has not defined the class of a
            parent.
    """
    first = 0
    while page := await store.parent_events(uid, first=first, limit=_EVENTS):
        for _, event in page:
            if isinstance(event, Event):
                yield event
        if len(page) < _EVENTS:
            return
        first = page[-1][0] + 1
        await asyncio.sleep(0)  # other events run between two pages


def is_known(store: Store, event: object) -> bool:
    """Return True if this process has the event with the id of the argument."""
    try:
        return store.states.find(as_id(event)) is not None
    except ValueError:
        return False


def _number(event: EventData) -> int:
    return event.execution.arrival or 0
