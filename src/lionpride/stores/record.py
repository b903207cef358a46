"""Record: an event as its store has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from ..model import registry
from ..model.element import Element
from ..model.execution import EventStatus
from ..model.live import Progress
from ..model.work import Work
from ..rules.bills import bill_on_record

__all__ = ("Record",)


@dataclass(frozen=True, slots=True)
class Record:
    """An event as its store has it, readable without its class.

    Attributes:
        number: The arrival number.
        kind: The registry key of its class.
        payload: ``event.to_dict("json")``.
        ended: When it ended, a Unix timestamp in seconds; None if it has not, or its store does
            not note it.
        progress: What an attempt that runs has said of how far it is, as far as it is known here.
        chunks: How many a stream that runs has yielded.
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

    @property
    def attempt_number(self) -> int:
        """``attempt``, by the name that it has in ``Execution``."""
        return self.attempt

    @property
    def failure_count(self) -> int:
        """``tries``, by the name that it has in ``Execution``."""
        return self.tries

    @classmethod
    def of(cls, event: Work, queue: str, status: EventStatus) -> Record:
        """The record of an event that a store holds."""
        state = event.execution
        if state.arrival is None or state.priority is None:
            raise ValueError(f"{event!r} is held by no store")
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
        )

    def event(self) -> Element:
        """The event, in its class.

        Raises:
            NotFoundError: if this process has not defined the class.
            ValidationError: (pydantic's) if it no longer fits the class.
        """
        return Element.from_dict(self.payload)
