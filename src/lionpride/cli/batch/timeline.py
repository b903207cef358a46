"""Keeps what the timeline draws: when each event arrived, started and ended."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from ...core import EventStatus, Transition
from ...drawing.chart import Span
from ...model.event_data import EventData
from .lines import label

__all__ = ["Recorder"]


class Recorder:
    """Observes an executor; `spans()` are the stays of all its events, finished or not.

    Args:
        lines: The line number of each event of the input.
        began: When the run did; what was in the queue before is drawn as waiting from then on.
    """

    def __init__(self, lines: Mapping[UUID, int], began: float | None = None) -> None:
        self._lines = lines
        self._began = began
        self._done: list[Span] = []
        self._open: dict[UUID, tuple[EventData, float, float | None]] = {}

    def __call__(self, step: Transition) -> None:
        """Note one step."""
        event, at = step.event, step.at
        new = at if step.before is None or self._began is None else self._began
        _, arrival, start = self._open.get(event.id, (event, new, None))
        if step.after is EventStatus.PROCESSING:
            self._open[event.id] = (event, arrival, at)
        elif step.after is EventStatus.PENDING:
            if start is not None:
                self._close(event, arrival, start, at, "pending")
                arrival = at
            self._open[event.id] = (event, arrival, None)
        else:
            self._open.pop(event.id, None)
            status = "cancelled" if step.after is None else step.after.value
            self._close(event, arrival, start, at, status)

    def spans(self) -> list[Span]:
        """All stays so far; those that have not ended are last."""
        unfinished = (
            Span(
                arrival,
                start,
                None,
                "pending" if start is None else "processing",
                self._label(event),
            )
            for event, arrival, start in self._open.values()
        )
        return [*self._done, *unfinished]

    def _close(
        self, event: EventData, arrival: float, start: float | None, end: float, status: str
    ) -> None:
        self._done.append(Span(arrival, start, end, status, self._label(event)))

    def _label(self, event: EventData) -> str:
        return label(event) or f"line {self._lines.get(event.id, '?')}"
