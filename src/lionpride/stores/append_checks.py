"""Checks of an append: new events, space in the queue, and support of a connection."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import OperationError, QueueFullError
from ..model.event_data import EventData

__all__ = ("are_new", "check_room", "refuse_connection")


def are_new(events: Sequence[EventData]) -> bool:
    """Return True if no store can have any of the events, so that no id has to be made.

    No id of them was ever asked for, no store has had them, and none is there twice.
    """
    for event in events:
        own = event.__dict__
        if "id" in own or "_status" in own:
            return False
    return len(set(map(id, events))) == len(events)


def check_room(waiting: int, more: int, room: int | None) -> None:
    """Refuse events for which a queue has no space.

    Args:
        waiting: The number of pending events.
        more: The number of events to append.
        room: Maximum number of pending events; None for no maximum.

    Raises:
        QueueFullError: with these numbers, in its details too.
    """
    if room is not None and more and waiting + more > room:
        remedy = "append them later, or with wait=True"
        if more > room:
            remedy = f"append at most {room} in one call, or raise max_queue_size"
        raise QueueFullError(
            f"the queue has {waiting} pending events and may have {room} (max_queue_size): "
            f"there is no space for {more} more; {remedy}",
            details={"queue_size": waiting, "max_size": room, "events": more},
        )


def refuse_connection(connection: object) -> None:
    """Refuse a connection of the caller, in a store without transactional append.

    Raises:
        OperationError: if one is given.
    """
    if connection is not None:
        raise OperationError(
            "connection= needs a store in PostgreSQL: leave it out, or give the executor "
            "store='postgresql://...'"
        )
