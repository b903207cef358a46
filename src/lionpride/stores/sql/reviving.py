"""Making the events of a claim that nobody has tried before, from their rows.

That is the quick way of nearly every event that another process has appended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...model.revival import Revival, revival_of
from ...model.work import Work
from .forms import NEW, Kept, Untried, Waits

__all__ = ("Revive", "start_all")


class Revive:
    """Makes them one by one, as they wait."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, Revival | None] = {}

    def __call__(self, one: Waits, kept: Kept | None) -> Work | None:
        """The event, as it waits; None if it takes ``event_of``."""
        if kept is None or one[3:] != NEW or one[1] or kept[4:] != _USUALLY:
            return None
        kind = kept[1]
        if kind in self._known:
            revival = self._known[kind]
        else:
            revival = self._known[kind] = revival_of(kind)
        event = None if revival is None else revival(kept[3], kept[0], kept[2])
        if event is not None:
            own = event.__dict__
            own["_status"] = "pending"
            own["_arrival"] = one[0]
            own["_priority"] = one[2]
        return event


_USUALLY: Final = (None, None, None)
"""Neither a retry policy of its own, nor appended as the only one."""


def start_all(
    rows: Sequence[Untried], known: Sequence[Work | None]
) -> tuple[dict[int, Work], list[Untried]]:
    """Make the events of rows, as they run for the first time.

    Args:
        rows: All that there is to know of each.
        known: Those that are here already.

    Returns:
        The new ones by number; and the rows of all others, also of those that take more to build
        than ``Revival`` does.
    """
    made: dict[int, Work] = {}
    rest: list[Untried] = []
    ways: dict[str, Revival | None] = {}
    for one, there in zip(rows, known, strict=True):
        number, priority, uid, kind, created, payload, _, _ = one
        if kind in ways:
            way = ways[kind]
        else:
            way = ways[kind] = revival_of(kind)
        event = None if way is None or there is not None else way(payload, uid, created)
        if event is None:
            rest.append(one)
            continue
        own = event.__dict__
        own["_status"] = "processing"
        own["_arrival"] = number
        own["_priority"] = priority
        own["_attempt"] = 1
        made[number] = event
    return made, rest
