"""Record: an event in the form in which its store has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any
from uuid import UUID

from ..model import registry
from ..model.element import Element
from ..model.event_data import EventData
from ..model.execution import EventStatus
from ..model.progress import Progress
from ..rules.action import Action
from ..rules.limits.costs import bill_on_record

__all__ = ("Record",)


@dataclass(frozen=True, slots=True)
class Record:
    """An event in the form in which its store has it, readable without its class.

    Attributes:
        number: The arrival number.
        kind: The registry key of its class.
        payload: ``event.to_dict("json")``.
        ended: The time at which it finished, a Unix timestamp in seconds; None if it has not
            finished, or the store does not record the time.
        progress: The last progress report of a running attempt, if it is known here.
        chunks: Number of chunks that a running stream has yielded.
        actions: Who has cancelled or retried it, the oldest first.
    """

    number: int
    id: UUID
    queue: str
    kind: str
    status: EventStatus
    priority: float
    due: float | None
    attempt: int
    tries: int
    denials: int
    interruptions: int
    payload: dict[str, Any] = field(repr=False)
    key: str | None = None
    costs: dict[str, float] = field(default_factory=dict)
    ended: float | None = None
    progress: Progress | None = None
    chunks: int = 0
    actions: tuple[Action, ...] = ()

    @property
    def is_blocked(self) -> bool:
        """True while it is PENDING because its parents have not finished; ``due`` is inf then."""
        return self.due == inf and self.status is EventStatus.PENDING

    @property
    def continued_by(self) -> UUID | None:
        """The id of the event that continues it, if it has returned ``Then``; else None."""
        response = self.payload.get("execution", {}).get("response")
        continued = response.get("$continued") if isinstance(response, dict) else None
        return UUID(continued) if isinstance(continued, str) else None

    @property
    def attempt_number(self) -> int:
        """``attempt``, under its name in ``Execution``."""
        return self.attempt

    @property
    def failure_count(self) -> int:
        """``tries``, under its name in ``Execution``."""
        return self.tries

    @classmethod
    def of(cls, event: EventData, queue: str, status: EventStatus) -> Record:
        """Return the record of an event that belongs to a store."""
        state = event.execution
        if state.arrival is None or state.priority is None:
            raise ValueError(f"{event!r} belongs to no store")
        runs = state.status is EventStatus.PROCESSING
        key, costs = bill_on_record(event)
        return cls(
            number=state.arrival,
            id=event.id,
            queue=queue,
            kind=registry.key_of(type(event)),
            status=status,
            priority=state.priority,
            due=state.due,
            attempt=state.attempt_number,
            tries=state.failure_count,
            denials=state.denials,
            interruptions=state.interruptions,
            payload=event.to_dict("json"),
            key=key,
            costs=costs,
            progress=state.progress if runs else None,
            chunks=len(state.chunks) if runs else 0,
            actions=event.__dict__.get("_actions", ()),
        )

    def event(self) -> Element:
        """Return the event as an object of its class.

        Raises:
            NotFoundError: if this process has not defined the class.
            ValidationError: (pydantic's) if the data no longer fits the class.
        """
        return Element.from_dict(self.payload)
