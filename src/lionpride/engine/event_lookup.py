"""Lookup of an event by itself or its id."""

from __future__ import annotations

from ..model.collections.container import IdLike
from ..model.element import as_id
from ..model.event_data import EventData
from ..stores.contract import Store, not_here
from .event import Event

__all__ = ("find_event", "is_known")


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


def is_known(store: Store, event: object) -> bool:
    """Return True if this process has the event with the id of the argument."""
    try:
        return store.states.find(as_id(event)) is not None
    except ValueError:
        return False


def _number(event: EventData) -> int:
    return event.execution.arrival or 0
