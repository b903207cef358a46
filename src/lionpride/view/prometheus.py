"""Metrics in the text format of Prometheus, for ``/metrics``.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from time import monotonic
from typing import Final, TypeAlias

from ..core import EventStatus
from ..stores.contract import Store
from .figures import Figures, Histogram
from .office import Office
from .records import created_of

__all__ = ["CONTENT_TYPE", "Prometheus"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_PAGE: Final = 100
"""Records per page in the search for the event that has waited longest."""

_PAGES: Final = 20
"""Maximum number of pages, if the first events are not due yet."""

_FRESH: Final = 1.0
"""Seconds for which the public answer is cached."""

Labels: TypeAlias = Mapping[str, str]
Samples: TypeAlias = Sequence[tuple[Labels, float]]


class Prometheus:
    """Metrics of a store, and of an executor if there is one.

    The metrics of a store are read at each request. Those of an executor are counted from the
    creation of this object on.

    Args:
        office: The store or executor.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._lock = asyncio.Lock()
        self._public: str | None = None
        self._made = 0.0
        executor = office.executor
        self._figures = None if executor is None else Figures(executor)

    def close(self) -> None:
        """End the counting."""
        if self._figures is not None:
            self._figures.close()

    async def text(self, *, keys: bool = True) -> str:
        """Return all metrics.

        Args:
            keys: True to include a sample for each key of a limit. Keys are texts of the
                application, such as the names of its customers.

        Raises:
            StoreError: if the store cannot be read.
        """
        parts = [each async for each in self._parts(keys)]
        return "".join(f"{line}\n" for part in parts for line in part)

    async def public_text(self) -> str:
        """Return the text without keys. It is cached for a second, so many requests cost one.

        Raises:
            StoreError: if the store cannot be read.
        """
        async with self._lock:
            now = monotonic()
            if self._public is None or now - self._made > _FRESH:
                self._public, self._made = await self.text(keys=False), now
            return self._public

    async def _parts(self, keys: bool) -> AsyncIterator[list[str]]:
        office = self._office
        counts = await office.counts()
        yield _gauge(
            "events",
            "Events in the store, by status.",
            [
                ({"queue": queue, "status": status.value}, each[status])
                for queue, each in counts.items()
                for status in EventStatus
            ],
        )
        ages = [({"queue": each}, await oldest_waiting(office.store(each))) for each in counts]
        yield _gauge(
            "oldest_waiting_seconds",
            "How long the oldest due event has waited; 0 if none is due.",
            ages,
        )
        alive = [each.queue for each in await office.workers() if each.alive]
        yield _gauge(
            "workers",
            "Workers whose last heartbeat is recent.",
            [({"queue": queue}, alive.count(queue)) for queue in counts],
        )
        usage = [one for one in await office.limit_usage() if keys or one.key is None]
        taken = [({"limit": each.name}, each.used) for each in usage]
        yield _gauge("limit_used", "Amount of each limit that is used now.", taken)
        amounts = [({"limit": one.name}, one.amount) for one in usage if one.amount is not None]
        yield _gauge("limit_amount", "Amount of each limit.", amounts)
        if self._figures is not None and office.executor is not None:
            for part in _of_executor(self._figures, office.executor.store.queue):
                yield part


def _of_executor(figures: Figures, queue: str) -> Iterator[list[str]]:
    """Yield the metrics of an executor, counted since the first request."""
    settled = [
        ({"queue": queue, "class": kind, "status": status.value}, count)
        for (kind, status), count in sorted(figures.settled().items())
    ]
    yield _counter("settled", "Events that finished in this process, by class and status.", settled)
    returned = [
        ({"queue": queue, "reason": reason}, count)
        for reason, count in sorted(figures.returned.items())
    ]
    yield _counter(
        "returned", "Events that became pending again in this process, by reason.", returned
    )
    own = {"queue": queue}
    lost = "Outcomes that were refused, since another worker had claimed the event."
    yield _counter("leases_lost", lost, [(own, figures.lost)])
    yield _counter(
        "observer_failures", "Exceptions that observers have raised.", [(own, figures.failures)]
    )
    waited = "How long events waited after they could have started."
    yield _histogram("queue_wait_seconds", waited, own, figures.waited)
    yield _histogram("attempt_seconds", "Duration of attempts.", own, figures.took)


async def oldest_waiting(store: Store) -> float:
    """Return for how many seconds the oldest due event has waited; 0.0 if none is due.

    It is measured from the creation or from ``due``. If very many events are scheduled, only the
    first ones are read.
    """
    now, after, oldest = store.time(), 0, 0.0
    for _ in range(_PAGES):
        page = await store.list_records(EventStatus.PENDING, after=after, limit=_PAGE)
        for record in page:
            since = max(created_of(record.payload).timestamp(), record.due or 0.0)
            oldest = max(oldest, now - since)
        if oldest or len(page) < _PAGE:
            break
        after = page[-1].number
    return max(0.0, oldest)


# -- the format ------------------------------------------------------------------------------


def _gauge(name: str, says: str, samples: Samples) -> list[str]:
    return _family(name, "gauge", says, [("", labels, value) for labels, value in samples])


def _counter(name: str, says: str, samples: Samples) -> list[str]:
    name = f"{name}_total"
    return _family(name, "counter", says, [("", labels, value) for labels, value in samples])


def _histogram(name: str, says: str, labels: Labels, histogram: Histogram) -> list[str]:
    samples, count = list[tuple[str, Labels, float]](), 0
    for bound, more in zip((*histogram.bounds, None), histogram.counts, strict=True):
        count += more
        upto = "+Inf" if bound is None else _number(bound)
        samples.append(("_bucket", {**labels, "le": upto}, count))
    samples += [("_sum", labels, histogram.sum), ("_count", labels, count)]
    return _family(name, "histogram", says, samples)


def _family(name: str, kind: str, says: str, samples: list[tuple[str, Labels, float]]) -> list[str]:
    name = f"lionpride_{name}"
    lines = [f"# HELP {name} {says}", f"# TYPE {name} {kind}"]
    for suffix, labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{suffix}{{{inside}}} {_number(value)}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return repr(float(value)) if value != int(value) else str(int(value))
