"""Continuations: an event that computes the result of another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar
from uuid import UUID

from .after import When

if TYPE_CHECKING:
    from .event_data import EventData

__all__ = ("ContinuedBy", "Then")

E = TypeVar("E", bound="EventData")


@dataclass(frozen=True, slots=True)
class ContinuedBy:
    """The response of an event that returned ``Then``.

    Attributes:
        id: The id of the event that continues it.
    """

    id: UUID


class Then(Generic[E]):
    """Return value of an event whose result another event computes.

    The event completes, and in the same transaction the continuation and its new parents are
    appended. So none of them exists if the attempt was fenced, and an event that waits holds no
    slot. ``result`` and events that are appended ``after`` the first one wait for the continuation.

    >>> return Then(Merge(), after=[Fetch(url=url) for url in urls])

    Args:
        event: The continuation.
        after: Its parents, new events or events that were appended before; none to run it at once.
        when: How each parent has to finish; see ``Executor.append``.
        priority: The priority of the continuation and of the new events; None for their defaults.
    """

    __slots__ = ("after", "event", "priority", "when")

    def __init__(
        self,
        event: E,
        *,
        after: EventData | UUID | str | Iterable[EventData | UUID | str] = (),
        when: When = "completed",
        priority: float | None = None,
    ) -> None:
        self.event = event
        self.after = after
        self.when = when
        self.priority = priority

    def __repr__(self) -> str:
        return f"Then({self.event!r})"
