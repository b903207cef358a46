"""Metrics of several processes: as JSON, and merged into one exposition by the supervisor.

prometheus-client has a mode for several processes of its own. It writes files, and it has to be
switched on before the application imports it. Here each process sends its samples to the
supervisor instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from .http_server import Handler
from .metrics import StoreGauges, metrics_routes
from .supervisor import ChildProcess, Supervisor

__all__ = ["SupervisorMetrics", "from_json", "merge_families", "to_json"]

_STATES: Final = ("starting", "working", "draining")

_SUMMED: Final = frozenset({"counter", "histogram", "summary"})
"""Types whose samples are added up over processes, and stay in the sum when a process ends."""

_Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels of a sample."""


class SupervisorMetrics:
    """Merges what the processes have reported with the gauges of the store.

    Counters, histograms and summaries are added up; what an ended process has counted stays in the
    sums. Other families, such as gauges, get the label ``process``, and end with their process.
    """

    def __init__(self) -> None:
        self._ended: list[Metric] = []

    def ended(self, child: ChildProcess) -> None:
        """Keep what an ended process has counted."""
        summed = [each for each in from_json(child.metrics) if each.type in _SUMMED]
        self._ended = merge_families([*self._ended, *summed])

    def routes(self, supervisor: Supervisor) -> Mapping[str, Handler]:
        """Return the handler of scrapes; it reads the gauges of the store itself."""
        gauges = StoreGauges(supervisor.stores)
        return metrics_routes(lambda found: self.collect(supervisor, found), gauges)

    def collect(self, supervisor: Supervisor, gauges: Sequence[Metric]) -> list[Metric]:
        """Return all families, each name once.

        Args:
            supervisor: The supervisor.
            gauges: The gauges of the store, which are returned as they are.
        """
        found = [*_processes(supervisor), *gauges, *self._ended]
        for child in supervisor.children.values():
            for each in from_json(child.metrics):
                is_summed = each.type in _SUMMED
                found.append(each if is_summed else _labelled(each, str(child.number)))
        return merge_families(found)


def _processes(supervisor: Supervisor) -> list[Metric]:
    """Return the metrics of the supervisor itself."""
    states = Counter(child.state for child in supervisor.children.values())
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
    return [processes, restarts]


# -- families --------------------------------------------------------------------------------


def to_json(families: Iterable[Metric]) -> list[Any]:
    """Return families as values for JSON, without timestamps and exemplars."""
    return [
        [
            each.name,
            each.documentation,
            each.type,
            each.unit,
            [
                [sample.name, {key: str(text) for key, text in sample.labels.items()}, value]
                for sample in each.samples
                for value in [float(sample.value)]
            ],
        ]
        for each in families
    ]


def from_json(values: Iterable[Any]) -> list[Metric]:
    """Return the families of ``to_json``."""
    families = []
    for name, documentation, kind, unit, samples in values:
        family = Metric(name, documentation, kind, unit)
        for sample, labels, value in samples:
            family.add_sample(sample, labels, value)
        families.append(family)
    return families


def merge_families(families: Iterable[Metric]) -> list[Metric]:
    """Return one family for each name; equal samples are added up.

    A sample ``…_created`` is the time at which counting began: the earliest one remains.
    """
    by_name: dict[str, Metric] = {}
    values: dict[str, dict[_Key, float]] = {}
    for each in families:
        if each.name not in by_name:
            by_name[each.name] = Metric(each.name, each.documentation, each.type, each.unit)
            values[each.name] = {}
        known = values[each.name]
        for sample in each.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            if key not in known:
                known[key] = sample.value
            elif sample.name.endswith("_created"):
                known[key] = min(known[key], sample.value)
            else:
                known[key] += sample.value
    for name, family in by_name.items():
        for (sample_name, labels), value in values[name].items():
            family.add_sample(sample_name, dict(labels), value)
    return list(by_name.values())


def _labelled(family: Metric, process: str) -> Metric:
    """Return a family with the label ``process``; one of that name becomes ``exported_process``."""
    copy = Metric(family.name, family.documentation, family.type, family.unit)
    for sample in family.samples:
        labels = dict(sample.labels)
        if "process" in labels:  # Prometheus renames labels of a target like this
            labels["exported_process"] = labels.pop("process")
        copy.add_sample(sample.name, {**labels, "process": process}, sample.value)
    return copy
