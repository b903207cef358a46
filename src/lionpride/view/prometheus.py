"""Metrics in the text format of Prometheus, for ``/metrics``.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from heapq import heapify, heapreplace
from time import monotonic
from typing import Final, TypeAlias

from ..core import EventStatus
from ..errors import NotFoundError, ValidationError
from ..stores.contract import Store
from ..stores.record import Record
from .executor_metrics import ExecutorMetrics, Histogram
from .monitor import Monitor
from .records import created_of
from .schedules import STATES, ShownSchedule

__all__ = ["CONTENT_TYPE", "Prometheus", "oldest_waiting"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_PAGE_SIZE: Final = 100
"""Records per page in the search for the event that has waited longest."""

_MAX_PAGES: Final = 20
"""Maximum number of pages, if the first events are not due yet."""

_MAX_CHILDREN: Final = 20
"""Maximum number of events whose parents are read in that search."""

_CACHE_SECONDS: Final = 1.0
"""Seconds for which the public answer is cached."""

Labels: TypeAlias = Mapping[str, str]
Samples: TypeAlias = Sequence[tuple[Labels, float]]


class Prometheus:
    """Metrics of a store, and of an executor if there is one.

    The metrics of a store are read at each request. Those of an executor are counted from the
    creation of this object on.

    Args:
        monitor: The store or executor.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._lock = asyncio.Lock()
        self._public: str | None = None
        self._cached_at = 0.0
        executor = monitor.executor
        self._metrics = None if executor is None else ExecutorMetrics(executor)

    def close(self) -> None:
        """End the counting."""
        if self._metrics is not None:
            self._metrics.close()

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
            if self._public is None or now - self._cached_at > _CACHE_SECONDS:
                self._public, self._cached_at = await self.text(keys=False), now
            return self._public

    async def _parts(self, keys: bool) -> AsyncIterator[list[str]]:
        monitor = self._monitor
        counts = await monitor.counts()
        yield _gauge(
            "events",
            "Events in the store, by status.",
            [
                ({"queue": queue, "status": status.value}, each[status])
                for queue, each in counts.items()
                for status in EventStatus
            ],
        )
        ages = [({"queue": each}, await oldest_waiting(monitor.store(each))) for each in counts]
        yield _gauge(
            "oldest_waiting_seconds",
            "How long the oldest due event has waited; 0 if none is due.",
            ages,
        )
        alive = [each.queue for each in await monitor.workers() if each.alive]
        yield _gauge(
            "workers",
            "Workers whose last heartbeat is recent.",
            [({"queue": queue}, alive.count(queue)) for queue in counts],
        )
        with suppress(ValidationError):  # a schedule of a later release
            schedules = await monitor.schedules()
            times = {queue: monitor.store(queue).time() for queue in counts}
            for part in _of_schedules(schedules, times):
                yield part
        usage = [one for one in await monitor.limit_usage() if keys or one.key is None]
        taken = [({"limit": each.name}, each.used) for each in usage]
        yield _gauge("limit_used", "Amount of each limit that is used now.", taken)
        amounts = [({"limit": one.name}, one.amount) for one in usage if one.amount is not None]
        yield _gauge("limit_amount", "Amount of each limit.", amounts)
        if self._metrics is not None and monitor.executor is not None:
            for part in _of_executor(self._metrics, monitor.executor.store.queue):
                yield part


def _of_schedules(
    schedules: Sequence[ShownSchedule], times: Mapping[str, float]
) -> Iterator[list[str]]:
    """Yield the metrics of schedules, without their names.

    Args:
        schedules: The schedules of all queues.
        times: The time of the store of each queue, a Unix timestamp in seconds.
    """
    states = Counter((each.queue, each.state) for each in schedules)
    yield _gauge(
        "schedules",
        "Schedules, by state.",
        [
            ({"queue": queue, "state": state}, states[queue, state])
            for queue in times
            for state in STATES
        ],
    )
    overdue = dict.fromkeys(times, 0.0)
    for each in schedules:
        if each.record.next is not None and each.queue in overdue:
            late = times[each.queue] - each.record.next
            overdue[each.queue] = max(overdue[each.queue], late)
    yield _gauge(
        "schedule_overdue_seconds",
        "How long the earliest instant of a schedule has passed without an event; 0 if none has.",
        [({"queue": queue}, late) for queue, late in overdue.items()],
    )


def _of_executor(metrics: ExecutorMetrics, queue: str) -> Iterator[list[str]]:
    """Yield the metrics of an executor, counted since the first request."""
    settled = [
        ({"queue": queue, "class": kind, "status": status.value}, count)
        for (kind, status), count in sorted(metrics.settled().items())
    ]
    yield _counter("settled", "Events that finished in this process, by class and status.", settled)
    returned = [
        ({"queue": queue, "reason": reason}, count)
        for reason, count in sorted(metrics.returned.items())
    ]
    yield _counter(
        "returned", "Events that became pending again in this process, by reason.", returned
    )
    own = {"queue": queue}
    lost = "Outcomes that were refused, since another worker had claimed the event."
    yield _counter("leases_lost", lost, [(own, metrics.lost)])
    yield _counter(
        "observer_failures", "Exceptions that observers have raised.", [(own, metrics.failures)]
    )
    waited = "How long events waited after they could have started."
    yield _histogram("queue_wait_seconds", waited, own, metrics.waits)
    yield _histogram("attempt_seconds", "Duration of attempts.", own, metrics.durations)


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


# -- the format ------------------------------------------------------------------------------


def _gauge(name: str, help_text: str, samples: Samples) -> list[str]:
    return _family(name, "gauge", help_text, [("", labels, value) for labels, value in samples])


def _counter(name: str, help_text: str, samples: Samples) -> list[str]:
    name = f"{name}_total"
    return _family(name, "counter", help_text, [("", labels, value) for labels, value in samples])


def _histogram(name: str, help_text: str, labels: Labels, histogram: Histogram) -> list[str]:
    samples, count = list[tuple[str, Labels, float]](), 0
    for bound, number in zip((*histogram.bounds, None), histogram.counts, strict=True):
        count += number
        upper = "+Inf" if bound is None else _number(bound)
        samples.append(("_bucket", {**labels, "le": upper}, count))
    samples += [("_sum", labels, histogram.sum), ("_count", labels, count)]
    return _family(name, "histogram", help_text, samples)


def _family(
    name: str, kind: str, help_text: str, samples: list[tuple[str, Labels, float]]
) -> list[str]:
    name = f"lionpride_{name}"
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
    for suffix, labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{suffix}{{{inside}}} {_number(value)}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return repr(float(value)) if value != int(value) else str(int(value))
