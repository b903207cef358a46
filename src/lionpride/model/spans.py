"""The attempts of events over time, for a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..drawing.chart import Span
from ..drawing.text import one_line
from .event_data import EventData
from .execution import TERMINAL, EventStatus
from .progress import BEGAN

__all__ = ("MAX_EVENTS", "counts_of", "spans_of")

MAX_EVENTS: Final = 10_000
"""Maximum number of events in a picture; the newest are drawn."""


def spans_of(events: Sequence[EventData], ahead: float | None = None) -> list[Span]:
    """Return how events ran over time: a span for each known attempt.

    Args:
        events: The events; if there are more than ``MAX_EVENTS``, the last ones.
        ahead: The difference in seconds between Unix time and the clock of their start times. If
            it is None, the smallest difference with which no event starts before its creation.
    """
    shown = events[-MAX_EVENTS:]
    if ahead is None:
        lead = (e.created_timestamp - e.__dict__[BEGAN] for e in shown if BEGAN in e.__dict__)
        ahead = max(lead, default=0.0)
    return [span for event in shown for span in _spans(event, ahead)]


def _spans(event: EventData, ahead: float) -> Iterable[Span]:
    """Yield the spans of an event: one to the end of each failed attempt, and the last one."""
    state, label = event.execution, _label(event)
    since = event.created_timestamp
    began = event.__dict__.get(BEGAN)
    last = None if began is None else began + ahead
    for attempt in state.failed_attempts:
        if last is not None and attempt.number == state.attempt_number and state.status in TERMINAL:
            break  # the last one is drawn below, with the final status
        end = attempt.started + attempt.duration
        yield Span(min(since, attempt.started), attempt.started, end, "pending", label)
        since = end
    status = state.status
    ran = state.duration if isinstance(state.duration, (int, float)) else None
    if status is EventStatus.PENDING or (last is None and status is EventStatus.PROCESSING):
        yield Span(since, None, None, "pending", label)
    elif last is not None and status is EventStatus.PROCESSING:
        yield Span(since, last, None, "processing", label)
    elif last is not None and ran is not None:
        yield Span(min(since, last), last, last + ran, status.value, label)


def _label(event: EventData) -> str:
    """Return a name for an event: the first text among its own fields, or its class."""
    for name, field in type(event).model_fields.items():
        value = event.__dict__.get(name)
        if isinstance(value, str) and value and field.repr:
            return one_line(value[:400])
    return type(event).__name__


def counts_of(events: Iterable[EventData]) -> dict[str, int]:
    """Return the number of events in each status."""
    counts = dict.fromkeys((status.value for status in EventStatus), 0)
    for event in events:
        counts[event.execution.status.value] += 1
    return counts
