"""Which events of a batch are new to a store, and which it knows."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from ..errors import ExistsError, QueueFullError
from ..model.work import Work
from .contract import Entry
from .states import States

__all__ = ("are_new", "check_room", "resolve")


def are_new(events: Sequence[Work]) -> bool:
    """Whether nobody can know any of them, so that no id need be made to find out.

    Of each the id was never asked for and nobody has held it; and none is there twice.
    """
    for event in events:
        own = event.__dict__
        if "id" in own or "_status" in own:
            return False
    return len(set(map(id, events))) == len(events)


def check_room(waiting: int, more: int, room: int | None) -> None:
    """Refuse events for which a queue has no room.

    Args:
        waiting: How many wait.
        more: How many are to be taken in.
        room: How many may wait; None: any number.

    Raises:
        QueueFullError: says how many of each, in its details too.
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


def resolve(states: States, entries: Sequence[Entry], *, exist_ok: bool) -> dict[UUID, Entry]:
    """What each id of a batch stands for: the event known already, or the new one.

    Raises:
        ExistsError: if one is known, or there twice, unless ``exist_ok``; or held elsewhere.
    """
    taken: dict[UUID, Entry] = {}
    for event, priority in entries:
        known = states.find(event.id)
        if known is None and event.execution.arrival is not None:
            raise ExistsError(
                f"{event!r} belongs to another executor: append event.as_fresh_event(), or "
                "load(executor.states.to_dict()) to take over copies of all"
            )
        if known is None and event.id in taken:
            known = taken[event.id][0]
        if known is not None and not exist_ok:
            raise ExistsError(
                f"{event!r} is known here already and was not appended again: append "
                "event.as_fresh_event(), or pass exist_ok=True"
            )
        taken.setdefault(event.id, (known or event, priority))
    return taken
