"""Families of metrics of several processes: as JSON, and merged into one exposition.

prometheus-client has a mode for several processes of its own. It writes files, and it has to be
switched on before the application imports it. Here each process sends its samples to the
supervisor instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from prometheus_client.metrics_core import Metric

__all__ = ["Merger", "from_json", "to_json"]

SUMMED: Final = frozenset({"counter", "histogram", "summary"})
"""Types whose samples are added up over processes, and stay in the sum when a process ends."""

_Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels of a sample."""


def to_json(families: Iterable[Metric]) -> list[Any]:
    """Return families as values for JSON, without timestamps and exemplars."""
    return [
        [
            each.name,
            each.documentation,
            each.type,
            each.unit,
            [[sample.name, sample.labels, sample.value] for sample in each.samples],
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


class Merger:
    """Merges the families of processes that come and go.

    Counters, histograms and summaries are added up; what an ended process has counted stays in the
    sums. Other families, such as gauges, get the label ``process``, and end with their process.
    """

    def __init__(self) -> None:
        self._ended: list[Metric] = []

    def end(self, families: Iterable[Metric]) -> None:
        """Keep what an ended process has counted.

        Args:
            families: Its last families.
        """
        summed = [each for each in families if each.type in SUMMED]
        self._ended = _merged([*self._ended, *summed])

    def merged(self, live: Mapping[int, Iterable[Metric]], own: Sequence[Metric]) -> list[Metric]:
        """Return one family for each name.

        Args:
            live: The families of the running processes, by number.
            own: Families that are returned as they are.
        """
        found = [*own, *self._ended]
        for number, families in live.items():
            for each in families:
                is_summed = each.type in SUMMED
                found.append(each if is_summed else _labelled(each, str(number)))
        return _merged(found)


def _labelled(family: Metric, process: str) -> Metric:
    copy = Metric(family.name, family.documentation, family.type, family.unit)
    for sample in family.samples:
        copy.add_sample(sample.name, {**sample.labels, "process": process}, sample.value)
    return copy


def _merged(families: Iterable[Metric]) -> list[Metric]:
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
