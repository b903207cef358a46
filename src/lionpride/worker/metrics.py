"""Metrics of a worker: those of its executors, of its store, and of the application."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from ..core import Executor
from ..errors import LionprideError
from ..stores.contract import Store
from ..view.executor_metrics import ExecutorMetrics
from ..view.monitor import Monitor
from ..view.prometheus import expose, families_of_executors, families_of_stores
from .health import STORE_TIMEOUT
from .http_server import Handler, HttpResponse

__all__ = ["METRICS", "ProcessMetrics", "StoreGauges", "metrics_routes", "registries_of"]

METRICS: Final = "/metrics"

_CACHE_SECONDS: Final = 1.0

logger = logging.getLogger("lionpride.worker")


class ProcessMetrics:
    """Counters and histograms of the executors of this process, and metrics of the application.

    Args:
        executors: The executors; their events are counted from now on.
        registries: The registries of the application.
    """

    def __init__(
        self, executors: Sequence[Executor], registries: Sequence[CollectorRegistry]
    ) -> None:
        self._executors = {each.store.queue: ExecutorMetrics(each) for each in executors}
        self._registries = registries
        self._failing = set[CollectorRegistry]()

    def families(self) -> list[Metric]:
        """Return the present state of all families that this process counts itself.

        If a collector of the application raises, the families of its registry that come after it
        are missing. The first failure is logged.
        """
        found = {each.name: each for each in families_of_executors(self._executors)}
        for registry in self._registries:
            for each in self._collect(registry):  # a metric may be in several registries
                found.setdefault(each.name, each)
        return list(found.values())

    def _collect(self, registry: CollectorRegistry) -> list[Metric]:
        found = []
        try:
            for each in registry.collect():
                for sample in each.samples:
                    float(sample.value)  # a collector may yield anything
                found.append(each)
        except Exception:
            if registry not in self._failing:
                logger.exception("a collector failed; metrics of the application are missing")
            self._failing.add(registry)
        else:
            self._failing.discard(registry)
        return found

    def close(self) -> None:
        """End the counting."""
        for each in self._executors.values():
            each.close()


def registries_of(modules: Iterable[str]) -> list[CollectorRegistry]:
    """Return the registries that an application uses.

    These are the default registry of prometheus-client, and each registry at the top of a module.

    Args:
        modules: Names of imported modules.
    """
    found = {id(REGISTRY): REGISTRY}
    known = (sys.modules[name] for name in modules if name in sys.modules)
    for value in (each for module in known for each in tuple(vars(module).values())):
        if isinstance(value, CollectorRegistry):
            found.setdefault(id(value), value)
    return list(found.values())


class StoreGauges:
    """Reads the gauges of stores; many scrapes within a second cost one reading.

    Args:
        stores: Returns the stores, each of another queue.
    """

    def __init__(self, stores: Callable[[], Sequence[Store]]) -> None:
        self._stores = stores
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._families: list[Metric] = []

    async def families(self) -> list[Metric]:
        """Return the gauges, and ``lionpride_store_up``.

        If a store does not answer, ``lionpride_store_up`` is 0, and there are no other gauges.
        """
        async with self._lock:
            if monotonic() - self._read_at > _CACHE_SECONDS:
                self._families = await self._read()
                self._read_at = monotonic()
            return self._families

    async def _read(self) -> list[Metric]:
        up = GaugeMetricFamily("lionpride_store_up", "1 if the store answered the scrape, else 0.")
        try:
            stores = self._stores()
            if not stores:  # no process has named its store yet
                return []
            async with asyncio.timeout(STORE_TIMEOUT):
                found = await families_of_stores(Monitor(stores), keys=False)
            up.add_metric((), 1)
        except (LionprideError, OSError, TimeoutError):
            found = []
            up.add_metric((), 0)
        return [up, *found]


def metrics_routes(
    collect: Callable[[Sequence[Metric]], Sequence[Metric]], gauges: StoreGauges
) -> dict[str, Handler]:
    """Return the handler of ``/metrics``.

    Args:
        collect: Returns all families; called with the gauges of the stores.
        gauges: The gauges of the stores.
    """

    async def answer(accept: str) -> HttpResponse:
        body, content_type = expose(collect(await gauges.families()), accept)
        return HttpResponse(200, body, content_type)

    return {METRICS: answer}
