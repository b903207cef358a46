"""Metrics of a supervisor: the sums over its processes, and the gauges of the store, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from .families import Merger, from_json
from .http_server import Handler
from .metrics import StoreGauges, metrics_routes
from .supervisor import Child, Supervisor

__all__ = ["SupervisorMetrics"]

_STATES: Final = ("starting", "working", "draining")


class SupervisorMetrics:
    """Merges what the processes have reported."""

    def __init__(self) -> None:
        self._merger = Merger()

    def ended(self, child: Child) -> None:
        """Keep what an ended process has counted."""
        self._merger.end(from_json(child.metrics))

    def routes(self, supervisor: Supervisor) -> Mapping[str, Handler]:
        """Return the handler of scrapes; it reads the gauges of the store itself."""
        gauges = StoreGauges(supervisor.stores)
        return metrics_routes(lambda found: self.collect(supervisor, found), gauges)

    def collect(self, supervisor: Supervisor, gauges: Sequence[Metric]) -> list[Metric]:
        """Return all families.

        Args:
            supervisor: The supervisor.
            gauges: The gauges of the store.
        """
        children = supervisor.children.values()
        states = Counter(child.state for child in children)
        processes = GaugeMetricFamily(
            "lionpride_processes", "Processes of this worker, by state.", labels=("state",)
        )
        for state in _STATES:
            processes.add_metric((state,), states[state])
        restarts = CounterMetricFamily(
            "lionpride_process_restarts",
            "Processes that were started again, by reason.",
            labels=("reason",),
        )
        for reason, number in supervisor.restarts.items():
            restarts.add_metric((reason,), number)
        live = {child.number: from_json(child.metrics) for child in children}
        return self._merger.merged(live, [processes, restarts, *gauges])
