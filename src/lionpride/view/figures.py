"""The figures of an executor, counted as it goes: what has ended, and how long things took."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from ..core import EventStatus, Executor, Transition
from ..model import registry

__all__ = ["BOUNDS", "Figures", "Histogram"]

BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of what is counted together, in seconds."""

_PENDING, _PROCESSING = EventStatus.PENDING, EventStatus.PROCESSING


class Histogram:
    """How often something took how long.

    Attributes:
        counts: Of each bound, how many took at most so long and longer than the one before; at
            the end, how many took longer than any.
        sum: Seconds altogether.
    """

    def __init__(self, bounds: Sequence[float] = BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def note(self, seconds: float) -> None:
        """It took so long once more."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


class Figures:
    """What is counted of an executor from now on, by a light observer: see ``Executor.observe``.

    Attributes:
        returned: How often events went back to wait, by reason.
        waited: How long events could have started before they did.
        took: How long attempts took.
    """

    def __init__(self, executor: Executor) -> None:
        self._observers = executor.observers
        self._settled: Counter[tuple[str, EventStatus]] = Counter()
        self._before = Counter(self._observers.quick)
        self.returned: Counter[str] = Counter()
        self.waited = Histogram()
        self.took = Histogram()
        self.close: Callable[[], None] = executor.observe(self._note, light=True)

    @property
    def lost(self) -> int:
        """Outcomes that were refused, since another worker had been given the event."""
        return self._observers.lost

    @property
    def failures(self) -> int:
        """How often an observer has raised."""
        return self._observers.failures

    def settled(self) -> dict[tuple[str, EventStatus], int]:
        """How many of each class have ended in each status, all of them."""
        settled = Counter(self._settled)
        for kind, count in (self._observers.quick - self._before).items():
            settled[registry.key_of(kind), EventStatus.COMPLETED] += count
        return dict(settled)

    def _note(self, step: Transition) -> None:
        if step.after is _PROCESSING:
            if step.waited is not None:
                self.waited.note(step.waited)
            return
        if step.reason:
            self.returned[step.reason] += 1
        elif step.before in (_PENDING, _PROCESSING) and step.after not in (None, _PENDING):
            assert step.after is not None
            self._settled[registry.key_of(type(step.event)), step.after] += 1
        if step.duration is not None:
            self.took.note(step.duration)
