"""The data of the picture of a run: lanes, scales, counts and waits."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["RETRIED", "Bar", "Chart", "Span", "assign_lanes", "kind_of", "percentile"]

WIDTH, LEFT, RIGHT = 1200, 68, 28
PLOT = WIDTH - LEFT - RIGHT
TOP = 118  # where the slots begin
BAND = 84  # height of the panel of what waits
GAP = 56  # between the slots and that panel
MAX_ROWS = 120  # more slots than this share rows
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)

RETRIED = "returned to the queue"


@dataclass(frozen=True, slots=True)
class Span:
    """The time of an event in the queue and in an attempt.

    Times are seconds of one clock. ``status`` is the status at the end. "pending" with a start is
    an attempt after which the event returned to the queue. "pending" without a start is an event
    that never started. "processing" is an event that still ran at the end of the picture.
    """

    arrival: float
    start: float | None
    end: float | None
    status: str
    label: str = ""

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
    """The smallest of the sorted values that at least `share` of them do not exceed."""
    if not values:
        return 0.0
    return values[max(0, math.ceil(share * len(values)) - 1)]


def tick_step(seconds: float) -> float:
    """The step between the marks of a time axis: a round number that makes about ten of them."""
    wanted = (seconds or 1.0) / 10
    if wanted > 1:
        return float(next((t for t in TICKS if t >= wanted), 86400 * math.ceil(wanted / 86400)))
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= wanted * 0.999)


class Chart:
    """A run, counted and placed on the page: time goes right, rows of slots go down."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans
        self.origin = min((span.arrival for span in spans), default=0.0)
        self.until = max((span.last for span in spans), default=0.0)
        self.seconds = self.until - self.origin
        self.scale = PLOT / (self.seconds or 1.0)
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
        """Where a time is on the page."""
        return LEFT + (at - self.origin) * self.scale

    def y(self, row: int) -> float:
        """Where the top of a row is on the page."""
        return TOP + self.pitch * row

    def depth(self) -> list[tuple[float, int]]:
        """How many waited, as (time, number) after each change, in order of time."""
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
