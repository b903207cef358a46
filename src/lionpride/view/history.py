"""Recent history: finished events, with their waits and durations.

It costs nothing until it is queried. The first query reads the history that the store still has.
Later queries read the counts, and the events that have finished since.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import time

from ..core import EventStatus
from ..drawing.chart import percentile
from ..model.execution import TERMINAL
from ..stores.inspector import FinishedEvent
from .monitor import Monitor

__all__ = ["History", "Interval"]

MAX_EVENTS = 20_000
"""Number of finished events that are kept."""

READ_LIMIT = 1_000
"""Number of finished events that are read at a refresh: the latest, if there are more."""

COUNTS_MAX_AGE = 15.0
"""Seconds after which the difference of two counts is not attributed to an interval."""

FIRST_READ_TIMEOUT = 0.5
"""Seconds that the first refresh waits for the earlier history."""

PERCENTILES = (0.5, 0.95)


@dataclass(frozen=True, slots=True)
class Interval:
    """Finished events of an interval of time.

    Attributes:
        at: Its start, a Unix timestamp in seconds.
        ended: Number of events that finished in it, by status.
        waited: Median and 95th percentile of their waits in seconds; None if unknown.
        ran: Median and 95th percentile of their durations in seconds; None if unknown.
    """

    at: float
    ended: dict[EventStatus, int]
    waited: tuple[float, ...] | None
    ran: tuple[float, ...] | None


class History:
    """The recent history of a store.

    Args:
        monitor: The store or executor.
        width: Length of an interval in seconds.
        intervals: Number of intervals.
    """

    def __init__(self, monitor: Monitor, width: float = 10.0, intervals: int = 90) -> None:
        self.width = width
        self.intervals = intervals
        self._monitor = monitor
        self._finished: deque[FinishedEvent] = deque(maxlen=MAX_EVENTS)
        self._waited: dict[int, _Sample] = {}
        self._ran: dict[int, _Sample] = {}
        self._ended: Counter[tuple[int, EventStatus]] = Counter()
        self._counts: dict[EventStatus, int] | None = None
        self._read_at = 0.0
        self._version = ""
        self._lock = asyncio.Lock()
        self._earlier: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End all queries."""
        if self._earlier is not None:
            self._earlier.cancel()
            await asyncio.wait([self._earlier])

    async def refresh(self, max_age: float = 0.0) -> dict[EventStatus, int]:
        """Read what is new, and return the counts.

        Args:
            max_age: Skip the query if the last one is less than this many seconds old.
        """
        async with self._lock:
            now, version = time(), await self._monitor.version()
            if self._counts is not None and (
                now - self._read_at < max_age
                or (version == self._version and now - self._read_at < COUNTS_MAX_AGE / 2)
            ):
                return self._counts
            self._version = version
            counts = Counter[EventStatus]()
            for each in (await self._monitor.counts()).values():
                counts.update(each)
            first = self._counts is None or now - self._read_at > COUNTS_MAX_AGE
            if first:
                self._begin(now)
            elif self._counts is not None:
                self._count(now, self._counts, counts)
            begin = now - self.width * self.intervals
            since = max(begin, self._finished[-1].ended if self._finished else begin)
            self._add(
                await self._monitor.finished(
                    since, READ_LIMIT if self._finished else MAX_EVENTS // 4
                )
            )
            if first and self._earlier is not None:  # usually it has ended by now
                await asyncio.wait([self._earlier], timeout=FIRST_READ_TIMEOUT)
            self._read_at = now
            self._counts = {status: counts[status] for status in EventStatus}
            return self._counts

    def _count(
        self, now: float, before: dict[EventStatus, int], counts: Counter[EventStatus]
    ) -> None:
        span = int(now / self.width)
        for status in TERMINAL:
            if (more := counts[status] - before[status]) > 0:
                self._ended[span, status] += more
        oldest = span - self.intervals
        for key in [key for key in self._ended if key[0] < oldest]:
            del self._ended[key]

    def _begin(self, now: float) -> None:
        """Count the earlier history from records, which may take a second."""
        if self._earlier is None or self._earlier.done():
            self._ended.clear()
            self._earlier = asyncio.ensure_future(self._read_earlier(now))

    async def _read_earlier(self, now: float) -> None:
        since = now - self.width * self.intervals
        found = await self._monitor.finished_counts(since, self.width)
        for (span, status), number in found.items():
            self._ended[span, status] = max(number, self._ended[span, status])

    def finished_events(self, since: float) -> Sequence[FinishedEvent]:
        """Return the events that have finished since a time, as far as they are known."""
        events = list(self._finished)
        return events[bisect_left(events, since, key=lambda event: event.ended) :]

    def known_and_ended(self, begin: float, end: float) -> tuple[int, int]:
        """Return two counts of events that ended in a span of time: in detail, and all of them.

        The page reads the details of the newest events only; the store counts all of them.

        Args:
            begin, end: Unix timestamps; whole intervals count.
        """
        first = max(int(begin / self.width), int(time() / self.width) - self.intervals + 1)
        last = int(end / self.width)
        ended = sum(n for (span, _), n in self._ended.items() if first <= span <= last)
        after = (last + 1) * self.width
        known = sum(event.ended < after for event in self.finished_events(first * self.width))
        return min(known, ended), ended

    def _add(self, events: Sequence[FinishedEvent]) -> None:
        """Add finished events, each to its span of time."""
        self._finished.extend(events)
        for event in events:
            span = int(event.ended / self.width)
            if event.waited is not None:
                self._waited.setdefault(span, _Sample()).add(event.waited)
            if event.duration is not None:
                self._ran.setdefault(span, _Sample()).add(event.duration)
        oldest = int(time() / self.width) - self.intervals
        for samples in (self._waited, self._ran):
            for span in [span for span in samples if span < oldest]:
                del samples[span]

    def series(self) -> list[Interval]:
        """Return the intervals, oldest first; the last one is not complete."""
        last = int(time() / self.width)
        return [
            Interval(
                span * self.width,
                {s: n for s in EventStatus if (n := self._ended.get((span, s), 0))},
                self._waited[span].percentiles() if span in self._waited else None,
                self._ran[span].percentiles() if span in self._ran else None,
            )
            for span in range(last - self.intervals + 1, last + 1)
        ]

    def rate(self, over: float = 60.0) -> float:
        """Return the number of events that finished per second, over the last seconds."""
        now = time()
        first = int((now - over) / self.width) + 1
        number = sum(n for (span, _), n in self._ended.items() if span >= first)
        return number / max(1.0, now - first * self.width)


class _Sample:
    """Durations in one span of time; they are sorted on a query after a change."""

    __slots__ = ("_known", "_values")

    def __init__(self) -> None:
        self._values: list[float] = []
        self._known: tuple[float, ...] | None = None

    def add(self, value: float) -> None:
        self._values.append(value)
        self._known = None

    def percentiles(self) -> tuple[float, ...]:
        if self._known is None:
            self._values.sort()
            self._known = tuple(percentile(self._values, share) for share in PERCENTILES)
        return self._known
