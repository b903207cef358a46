"""Metrics of an executor, counted as it runs: finished events, waits and durations."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from ..core import EventStatus, Executor, Transition
from ..model import registry

__all__ = ["BUCKET_BOUNDS", "ExecutorMetrics", "Histogram"]

BUCKET_BOUNDS: Final = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
)
"""Upper bounds of the buckets, in seconds."""

_PENDING, _PROCESSING = EventStatus.PENDING, EventStatus.PROCESSING


class Histogram:
    """Histogram of durations.

    Attributes:
        counts: Number of durations in each bucket; at the end, of those above all bounds.
        sum: The sum of the durations, in seconds.
    """

    def __init__(self, bounds: Sequence[float] = BUCKET_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """Add a duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


class ExecutorMetrics:
    """Counts of an executor from now on, by a light observer: see ``Executor.observe``.

    Attributes:
        returned: Number of events that became pending again, by reason.
        waits: How long events waited after they could have started.
        durations: Durations of attempts.
    """

    def __init__(self, executor: Executor) -> None:
        self._observers = executor.observers
        self._settled: Counter[tuple[str, EventStatus]] = Counter()
        self._quick_before = Counter(self._observers.quick)
        self.returned: Counter[str] = Counter()
        self.waits = Histogram()
        self.durations = Histogram()
        self.close: Callable[[], None] = executor.observe(self._note, light=True)

    @property
    def lost(self) -> int:
        """Number of refused outcomes, since another worker had claimed the event."""
        return self._observers.lost

    @property
    def failures(self) -> int:
        """Number of exceptions that observers have raised."""
        return self._observers.failures

    def settled(self) -> dict[tuple[str, EventStatus], int]:
        """Return the number of events of each class and final status."""
        settled = Counter(self._settled)
        for kind, count in (self._observers.quick - self._quick_before).items():
            settled[registry.key_of(kind), EventStatus.COMPLETED] += count
        return dict(settled)

    def _note(self, step: Transition) -> None:
        if step.after is _PROCESSING:
            if step.waited is not None:
                self.waits.add(step.waited)
            return
        if step.reason:
            self.returned[step.reason] += 1
        elif step.before in (_PENDING, _PROCESSING) and step.after not in (None, _PENDING):
            assert step.after is not None
            self._settled[registry.key_of(type(step.event)), step.after] += 1
        if step.duration is not None:
            self.durations.add(step.duration)
