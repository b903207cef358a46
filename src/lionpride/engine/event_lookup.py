"""Lookup of an event by itself or its id, and of its parents and children."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from typing import Final, Protocol
from uuid import UUID

from ..model.collections.container import IdLike
from ..model.element import as_id
from ..model.event_data import EventData
from ..stores.contract import Named, Relative, Store, not_here
from .event import Event

__all__ = ("find_event", "is_known", "parent_events", "relatives")

_PAGE: Final = 500
"""Parents or children that are read from the store at once."""

_EVENTS: Final = 100
"""The same for parents as events: the event loop waits while they are made."""


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


class _ReadPage(Protocol):
    """``Store.parents`` or ``Store.children``."""

    def __call__(self, event: Named, *, first: int, limit: int) -> Awaitable[list[Relative]]: ...


async def relatives(read: _ReadPage, uid: UUID) -> AsyncGenerator[Relative, None]:
    """Yield the parents or the children of an event, read in pages.

    Args:
        read: ``parents`` or ``children`` of the store.
        uid: The id of the event.

    Raises:
        NotFoundError: if the event is unknown.
    """
    first = 0
    while page := await read(uid, first=first, limit=_PAGE):
        for each in page:
            yield each
        if len(page) < _PAGE:
            return
        first = page[-1].place + 1


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
