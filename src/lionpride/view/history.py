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
from .office import Office

__all__ = ["History", "Moment"]

KEPT = 20_000  # attempts that are remembered
AT_ONCE = 1_000  # of them at one look: the latest, if there are more
STALE = 15.0  # seconds without a look after which the counts say nothing of when
PATIENCE = 0.5  # seconds that the first look waits for what happened before
SHARES = (0.5, 0.95)


@dataclass(frozen=True, slots=True)
class Moment:
    """One span of time.

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
        office: The store or executor.
        width: Seconds of one moment.
        moments: Number of moments.
    """

    def __init__(self, office: Office, width: float = 10.0, moments: int = 90) -> None:
        self.width = width
        self.moments = moments
        self._office = office
        self._stays: deque[FinishedEvent] = deque(maxlen=KEPT)
        self._waited: dict[int, _Sample] = {}
        self._ran: dict[int, _Sample] = {}
        self._tally: Counter[tuple[int, EventStatus]] = Counter()
        self._counts: dict[EventStatus, int] | None = None
        self._looked = 0.0
        self._version = ""
        self._lock = asyncio.Lock()
        self._tallying: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """End all queries."""
        if self._tallying is not None:
            self._tallying.cancel()
            await asyncio.wait([self._tallying])

    async def look(self, at_most: float = 0.0) -> dict[EventStatus, int]:
        """Read what is new, and return the counts.

        Args:
            at_most: Skip the query if the last one is less than this many seconds old.
        """
        async with self._lock:
            now, version = time(), await self._office.version()
            if self._counts is not None and (
                now - self._looked < at_most
                or (version == self._version and now - self._looked < STALE / 2)
            ):
                return self._counts
            self._version = version
            counts = Counter[EventStatus]()
            for each in (await self._office.counts()).values():
                counts.update(each)
            first = self._counts is None or now - self._looked > STALE
            if first:
                self._begin(now)
            elif self._counts is not None:
                self._count(now, self._counts, counts)
            begin = now - self.width * self.moments
            since = max(begin, self._stays[-1].ended if self._stays else begin)
            self._note(await self._office.finished(since, AT_ONCE if self._stays else KEPT // 4))
            if first and self._tallying is not None:  # mostly it is there by now
                await asyncio.wait([self._tallying], timeout=PATIENCE)
            self._looked = now
            self._counts = {status: counts[status] for status in EventStatus}
            return self._counts

    def _count(
        self, now: float, before: dict[EventStatus, int], counts: Counter[EventStatus]
    ) -> None:
        span = int(now / self.width)
        for status in TERMINAL:
            if (more := counts[status] - before[status]) > 0:
                self._tally[span, status] += more
        oldest = span - self.moments
        for key in [key for key in self._tally if key[0] < oldest]:
            del self._tally[key]

    def _begin(self, now: float) -> None:
        """Count the earlier history from records, which may take a second."""
        if self._tallying is None or self._tallying.done():
            self._tally.clear()
            self._tallying = asyncio.ensure_future(self._tally_before(now))

    async def _tally_before(self, now: float) -> None:
        since = now - self.width * self.moments
        found = await self._office.finished_counts(since, self.width)
        for (span, status), number in found.items():
            self._tally[span, status] = max(number, self._tally[span, status])

    def stays(self, since: float) -> Sequence[FinishedEvent]:
        """Return the events that have finished since a time, as far as they are known."""
        stays = list(self._stays)
        return stays[bisect_left(stays, since, key=lambda stay: stay.ended) :]

    def known_and_ended(self, begin: float, end: float) -> tuple[int, int]:
        """Return two counts of events that ended in a span of time: in detail, and all of them.

        The page reads the details of the newest events only; the store counts all of them.

        Args:
            begin, end: Unix timestamps; whole moments count.
        """
        first = max(int(begin / self.width), int(time() / self.width) - self.moments + 1)
        last = int(end / self.width)
        ended = sum(n for (span, _), n in self._tally.items() if first <= span <= last)
        after = (last + 1) * self.width
        known = sum(stay.ended < after for stay in self.stays(first * self.width))
        return min(known, ended), ended

    def _note(self, stays: Sequence[FinishedEvent]) -> None:
        """Add finished events, each to its span of time."""
        self._stays.extend(stays)
        for stay in stays:
            span = int(stay.ended / self.width)
            if stay.waited is not None:
                self._waited.setdefault(span, _Sample()).add(stay.waited)
            if stay.duration is not None:
                self._ran.setdefault(span, _Sample()).add(stay.duration)
        oldest = int(time() / self.width) - self.moments
        for samples in (self._waited, self._ran):
            for span in [span for span in samples if span < oldest]:
                del samples[span]

    def series(self) -> list[Moment]:
        """Return the moments, oldest first; the last one is not complete."""
        last = int(time() / self.width)
        return [
            Moment(
                span * self.width,
                {s: n for s in EventStatus if (n := self._tally.get((span, s), 0))},
                self._waited[span].percentiles() if span in self._waited else None,
                self._ran[span].percentiles() if span in self._ran else None,
            )
            for span in range(last - self.moments + 1, last + 1)
        ]

    def rate(self, over: float = 60.0) -> float:
        """Return the number of events that finished per second, over the last seconds."""
        now = time()
        first = int((now - over) / self.width) + 1
        number = sum(n for (span, _), n in self._tally.items() if span >= first)
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
            self._known = tuple(percentile(self._values, share) for share in SHARES)
        return self._known
