"""Metrics of stores and executors, as families of prometheus-client, for ``/metrics``."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from heapq import heapify, heapreplace
from itertools import accumulate
from time import monotonic
from typing import Final, TypeAlias

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ..core import EventStatus
from ..errors import NotFoundError, ValidationError
from ..stores.contract import Store
from ..stores.record import Record
from .executor_metrics import ExecutorMetrics, Histogram
from .monitor import Monitor
from .records import created_of
from .schedules import STATES, ShownSchedule

__all__ = [
    "Exposition",
    "Prometheus",
    "expose",
    "families_of_executors",
    "families_of_stores",
    "oldest_waiting",
]

Exposition: TypeAlias = tuple[bytes, str]
"""The body of an answer to a scrape, and its content type."""

_PAGE_SIZE: Final = 100
"""Records per page in the search for the event that has waited longest."""

_MAX_PAGES: Final = 20
"""Maximum number of pages, if the first events are not due yet."""

_MAX_CHILDREN: Final = 20
"""Maximum number of events whose parents are read in that search."""

_CACHE_SECONDS: Final = 1.0
"""Seconds for which the public answer is cached."""

_Samples: TypeAlias = Iterable[tuple[Sequence[str], float]]


class Prometheus:
    """Metrics of the page: those of its stores, and of its executor if there is one.

    The metrics of a store are read at each request. Those of an executor are counted from the
    creation of this object on.

    Args:
        monitor: The store or executor.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._lock = asyncio.Lock()
        self._public: list[Metric] | None = None
        self._cached_at = 0.0
        executor = monitor.executor
        self._metrics: dict[str, ExecutorMetrics] = {}
        if executor is not None:
            self._metrics[executor.store.queue] = ExecutorMetrics(executor)

    def close(self) -> None:
        """End the counting."""
        for each in self._metrics.values():
            each.close()

    async def answer(self, accept: str = "", *, keys: bool = True) -> Exposition:
        """Return all metrics.

        Args:
            accept: The header Accept of the request.
            keys: True to include a sample for each key of a limit. Keys are texts of the
                application, such as the names of its customers.

        Raises:
            StoreError: if the store cannot be read.
        """
        return expose(await self._families(keys), accept)

    async def public_answer(self, accept: str = "") -> Exposition:
        """Return the metrics without keys. They are cached for a second: many requests cost one.

        Raises:
            StoreError: if the store cannot be read.
        """
        async with self._lock:
            now = monotonic()
            if self._public is None or now - self._cached_at > _CACHE_SECONDS:
                self._public, self._cached_at = await self._families(keys=False), now
            return expose(self._public, accept)

    async def _families(self, keys: bool) -> list[Metric]:
        families = await families_of_stores(self._monitor, keys=keys)
        if self._metrics:
            families += families_of_executors(self._metrics)
        return families


def expose(families: Sequence[Metric], accept: str = "") -> Exposition:
    """Return families in the format that a scrape asks for: the text format, or OpenMetrics.

    Args:
        families: The families, each name once.
        accept: The header Accept of the request.
    """
    encode, content_type = choose_encoder(accept)
    return encode(_Collected(families)), content_type


class _Collected:
    """A collector over families that exist already."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


# -- stores ----------------------------------------------------------------------------------


async def families_of_stores(monitor: Monitor, *, keys: bool) -> list[Metric]:
    """Read the gauges of all queues.

    Args:
        monitor: The stores.
        keys: True to include a sample for each key of a limit.

    Raises:
        StoreError: if a store cannot be read.
    """
    counts = await monitor.counts()
    alive = Counter(each.queue for each in await monitor.workers() if each.alive)
    families: list[Metric] = [
        _gauge(
            "events",
            "Events in the store, by status.",
            ("queue", "status"),
            [
                ((queue, status.value), each[status])
                for queue, each in counts.items()
                for status in EventStatus
            ],
        ),
        _gauge(
            "oldest_waiting_seconds",
            "How long the oldest due event has waited; 0 if none is due.",
            ("queue",),
            [((each,), await oldest_waiting(monitor.store(each))) for each in counts],
        ),
        _gauge(
            "workers",
            "Workers whose last heartbeat is recent.",
            ("queue",),
            [((queue,), alive[queue]) for queue in counts],
        ),
    ]
    with suppress(ValidationError):  # a schedule of a later release
        schedules = await monitor.schedules()
        times = {queue: monitor.store(queue).time() for queue in counts}
        families += _of_schedules(schedules, times)
    usage = [one for one in await monitor.limit_usage() if keys or one.key is None]
    taken = [((each.name,), each.used) for each in usage]
    families.append(
        _gauge("limit_used", "Amount of each limit that is used now.", ("limit",), taken)
    )
    amounts = [((one.name,), one.amount) for one in usage if one.amount is not None]
    families.append(_gauge("limit_amount", "Amount of each limit.", ("limit",), amounts))
    return families


def _of_schedules(
    schedules: Sequence[ShownSchedule], times: Mapping[str, float]
) -> Iterator[Metric]:
    """Yield the metrics of schedules, without their names.

    Args:
        schedules: The schedules of all queues.
        times: The time of the store of each queue, a Unix timestamp in seconds.
    """
    states = Counter((each.queue, each.state) for each in schedules)
    yield _gauge(
        "schedules",
        "Schedules, by state.",
        ("queue", "state"),
        [((queue, state), states[queue, state]) for queue in times for state in STATES],
    )
    overdue = dict.fromkeys(times, 0.0)
    for each in schedules:
        if each.record.next is not None and each.queue in overdue:
            late = times[each.queue] - each.record.next
            overdue[each.queue] = max(overdue[each.queue], late)
    yield _gauge(
        "schedule_overdue_seconds",
        "How long the earliest instant of a schedule has passed without an event; 0 if none has.",
        ("queue",),
        [((queue,), late) for queue, late in overdue.items()],
    )


# -- executors -------------------------------------------------------------------------------


def families_of_executors(metrics: Mapping[str, ExecutorMetrics]) -> list[Metric]:
    """Return the counters and histograms of the executors of this process.

    Args:
        metrics: The counts of each executor, by the name of its queue.
    """
    each = metrics.items()
    return [
        _counter(
            "settled",
            "Events that finished in this process, by class and status.",
            ("queue", "class", "status"),
            [
                ((queue, kind, status.value), count)
                for queue, one in each
                for (kind, status), count in sorted(one.settled().items())
            ],
        ),
        _counter(
            "returned",
            "Events that became pending again in this process, by reason.",
            ("queue", "reason"),
            [
                ((queue, reason), count)
                for queue, one in each
                for reason, count in sorted(one.returned.items())
            ],
        ),
        _counter(
            "leases_lost",
            "Outcomes that were refused, since another worker had claimed the event.",
            ("queue",),
            [((queue,), one.lost) for queue, one in each],
        ),
        _counter(
            "observer_failures",
            "Exceptions that observers have raised.",
            ("queue",),
            [((queue,), one.failures) for queue, one in each],
        ),
        _histogram(
            "queue_wait_seconds",
            "How long events waited after they could have started.",
            {queue: one.waits for queue, one in each},
        ),
        _histogram(
            "attempt_seconds",
            "Duration of attempts.",
            {queue: one.durations for queue, one in each},
        ),
    ]


# -- the age of the oldest event -------------------------------------------------------------


async def oldest_waiting(store: Store) -> float:
    """Return for how many seconds the oldest due event has waited; 0.0 if none is due.

    It is measured from the creation, from ``due``, or from the last ending of the first parents.
    If very many events are scheduled or blocked, only the first ones are read.
    """
    now, after = store.time(), 0
    for _ in range(_MAX_PAGES):
        page = await store.list_records(EventStatus.PENDING, after=after, limit=_PAGE_SIZE)
        waits = [
            (max(created_of(record.payload).timestamp(), record.due or 0.0), record.number, record)
            for record in page
        ]
        due = [wait for wait in waits if wait[0] < now]
        if due:
            return max(0.0, now - await _earliest(store, due))
        if len(page) < _PAGE_SIZE:
            break
        after = page[-1].number
    return 0.0


async def _earliest(store: Store, waits: list[tuple[float, int, Record]]) -> float:
    """Return the time from which the first event could have started.

    Args:
        store: The store.
        waits: The times without regard to parents, with the number and the record of the event.
    """
    heapify(waits)
    known = set[int]()
    while len(known) < _MAX_CHILDREN and waits[0][1] not in known:
        since, number, record = waits[0]
        known.add(number)
        with suppress(NotFoundError):  # it was removed meanwhile
            parents = await store.parents(record.id, limit=_PAGE_SIZE)
            since = max([since, *(each.record.ended or 0.0 for each in parents)])
        heapreplace(waits, (since, number, record))
    return waits[0][0]


# -- families --------------------------------------------------------------------------------


def _gauge(name: str, help_text: str, labels: Sequence[str], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(f"lionpride_{name}", help_text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, help_text: str, labels: Sequence[str], samples: _Samples) -> Metric:
    family = CounterMetricFamily(f"lionpride_{name}", help_text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _histogram(name: str, help_text: str, by_queue: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(f"lionpride_{name}", help_text, labels=("queue",))
    for queue, histogram in by_queue.items():
        bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
        family.add_metric((queue,), buckets, histogram.sum)
    return family
