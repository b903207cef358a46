"""Layout of the picture of a run: lanes, counts, waits, and places on the page."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from .svg import Axis, round_step
from .text import duration

__all__ = ["RETRIED", "Bar", "Chart", "Span", "assign_lanes", "kind_of", "percentile"]

WIDTH, LEFT, RIGHT = 1200, 68, 28
PLOT = WIDTH - LEFT - RIGHT
MARKS = 10  # about how many times are labelled
TOP = 118  # the top of the slots
BAND = 84  # height of the panel of waiting events
GAP = 56  # between the slots and that panel
MAX_ROWS = 120  # if there are more slots, several share a row

RETRIED = "returned to the queue"


@dataclass(frozen=True, slots=True)
class Span:
    """The time of an event in the queue and in an attempt, with a label and a URL.

    Times are seconds of one clock. ``status`` is the status at the end. "pending" with a start is
    an attempt after which the event returned to the queue. "pending" without a start is an event
    that never started. "processing" is an event that still ran at the end of the picture.
    """

    arrival: float
    start: float | None
    end: float | None
    status: str
    label: str = ""
    link: str = ""

    @property
    def last(self) -> float:
        """The latest known time."""
        return next(at for at in (self.end, self.start, self.arrival) if at is not None)


@dataclass(frozen=True, slots=True)
class Bar:
    """A span with its lane, and the time at which that lane became free."""

    span: Span
    start: float
    end: float
    lane: int
    free_since: float


def kind_of(span: Span) -> str:
    """Return the kind by which a span is counted and coloured: its status, or ``RETRIED``."""
    return RETRIED if span.status == "pending" and span.start is not None else span.status


def assign_lanes(spans: Iterable[Span], until: float) -> list[Bar]:
    """Give each span that ran the lowest lane that is free at its start."""
    ran = sorted(
        (
            (span.start, until if span.end is None else span.end, span)
            for span in spans
            if span.start is not None
        ),
        key=lambda item: item[:2],
    )
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    last_end: list[float] = []
    bars = []
    for start, end, span in ran:
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane = len(last_end)
            last_end.append(-math.inf)
        bars.append(Bar(span, start, end, lane, last_end[lane]))
        last_end[lane] = end
        heapq.heappush(busy, (end, lane))
    return bars


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of some sorted values that at least a share of them does not exceed."""
    if not values:
        return 0.0
    return values[max(0, math.ceil(share * len(values)) - 1)]


def _tick_label(at: float, step: float) -> str:
    """Return the label of a time, with as many digits as the step between labels has."""
    if at == 0:
        return "0"
    if step >= 1:
        return duration(at) if at >= 60 else f"{at:.0f} s"
    if step >= 0.1:
        return f"{at:.1f} s"
    digits = max(0, -math.floor(math.log10(step * 1000) + 1e-9))
    return f"{at * 1000:.{digits}f} ms"


class Chart:
    """A run with its counts and places: time goes right, rows of slots go down.

    Attributes:
        axis: The time since the origin, the arrival of the first event.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans
        self.origin = min((span.arrival for span in spans), default=0.0)
        self.until = max((span.last for span in spans), default=0.0)
        self.seconds = self.until - self.origin
        step = round_step(self.seconds / MARKS)
        self.axis = Axis(
            0.0, self.seconds, partial(_tick_label, step=step), MARKS, LEFT, PLOT, unit=""
        )
        self.bars = assign_lanes(spans, self.until)
        self.lanes = 1 + max((bar.lane for bar in self.bars), default=0)
        self.waits = sorted(bar.start - bar.span.arrival for bar in self.bars)
        self.counts: dict[str, int] = {}
        for span in spans:
            kind = kind_of(span)
            self.counts[kind] = self.counts.get(kind, 0) + 1
        self.events = len(spans) - self.counts.get(RETRIED, 0)
        self.settled = self.events - sum(self.counts.get(s, 0) for s in ("pending", "processing"))

        self.shared = math.ceil(self.lanes / MAX_ROWS)  # slots in one row
        self.rows = math.ceil(self.lanes / self.shared)
        self.pitch = max(4.0, min(30.0, 460 / self.rows))
        self.height = self.pitch * (0.8 if self.pitch >= 8 else 0.9)
        self.bottom = TOP + self.pitch * self.rows
        self.band_top = self.bottom + GAP
        self.band_bottom = self.band_top + BAND

    def x(self, at: float) -> float:
        """Return the place of a time."""
        return self.axis.x(at - self.origin)

    def y(self, row: int) -> float:
        """Return the place of the top of a row."""
        return TOP + self.pitch * row

    def depth(self) -> list[tuple[float, int]]:
        """Return the number of waiting events after each change, as (time, number), by time."""
        changes: dict[float, int] = {}
        for span in self.spans:
            changes[span.arrival] = changes.get(span.arrival, 0) + 1
            left = span.start if span.start is not None else span.end
            if left is not None:
                changes[left] = changes.get(left, 0) - 1
        waiting = 0
        steps = []
        for at in sorted(changes):
            waiting += changes[at]
            steps.append((at, waiting))
        return steps
