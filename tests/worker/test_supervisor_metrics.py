"""Metrics of several processes in one exposition."""

import json
import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from lionpride.view.prometheus import expose
from lionpride.worker.supervisor import ChildProcess, Supervisor
from lionpride.worker.supervisor_metrics import SupervisorMetrics, to_json


def child(number: int, families: Iterable[Metric]) -> ChildProcess:
    """A process as the supervisor knows it after a report with these metrics."""
    sent = json.loads(json.dumps(to_json(families)))
    return ChildProcess(number, cast("Any", None), 0.0, 0.0, {"state": "working"}, sent)


def process(count: int, level: float, *seconds: float) -> list[Metric]:
    """The families of an application in one process."""
    registry = CollectorRegistry()
    Counter("orders", "Orders.", ["shop"], registry=registry).labels("a").inc(count)
    Gauge("level", "A level.", registry=registry).set(level)
    histogram = Histogram("took", "Durations.", buckets=(1.0,), registry=registry)
    for each in seconds:
        histogram.observe(each)
    Info("build", "The build.", registry=registry).info({"version": "1"})
    return list(registry.collect())


def collect(
    metrics: SupervisorMetrics, live: Mapping[int, Iterable[Metric]], gauges: Iterable[Metric] = ()
) -> list[Metric]:
    """All families but those of the supervisor itself."""
    supervisor = Supervisor([sys.executable], len(live), grace=0.0)
    supervisor.children.update({number: child(number, each) for number, each in live.items()})
    own = ("lionpride_processes", "lionpride_process_restarts")
    found = metrics.collect(supervisor, list(gauges))
    return [each for each in found if each.name not in own]


def read(families: Iterable[Metric]) -> dict[tuple[str, str], float]:
    """The values that a scrape finds, by name and the label that matters."""
    text = expose(list(families))[0].decode()
    return {
        (sample.name, sample.labels.get("process") or sample.labels.get("le", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_counters_are_added_up_and_gauges_are_told_apart() -> None:
    live = {1: process(3, 0.5, 0.25), 2: process(4, 7.0, 0.25, 5.0)}
    assert read(collect(SupervisorMetrics(), live)) == {
        ("orders_total", ""): 7,
        ("level", "1"): 0.5,
        ("level", "2"): 7.0,
        ("took_bucket", "1.0"): 2,
        ("took_bucket", "+Inf"): 3,
        ("took_count", ""): 3,
        ("took_sum", ""): 5.5,
        ("build_info", "1"): 1,
        ("build_info", "2"): 1,
    }


def test_what_an_ended_process_has_counted_stays_in_the_sums() -> None:
    metrics = SupervisorMetrics()
    metrics.ended(child(1, process(3, 0.5, 0.1)))
    metrics.ended(child(1, process(10, 0.5)))
    assert read(collect(metrics, {}))["orders_total", ""] == 13
    found = read(collect(metrics, {1: process(4, 7.0, 5.0)}))
    assert found["orders_total", ""] == 17
    assert found["took_bucket", "+Inf"] == 2
    assert [key for key in found if key[0] == "level"] == [("level", "1")]


def test_the_start_of_counting_is_the_earliest() -> None:
    metrics = SupervisorMetrics()
    metrics.ended(child(1, process(1, 0.0)))
    (family,) = [each for each in collect(metrics, {1: process(1, 0.0)}) if each.name == "orders"]
    created = [each.value for each in family.samples if each.name == "orders_created"]
    assert len(created) == 1
    assert created[0] < 4e9, "a time, not a sum of two"


def test_gauges_of_the_store_come_once_without_a_label() -> None:
    own = Metric("lionpride_events", "Events.", "gauge")
    own.add_sample("lionpride_events", {"queue": "q"}, 5)
    found = collect(SupervisorMetrics(), {1: process(1, 0.0), 2: process(1, 0.0)}, [own])
    assert [each.samples for each in found if each.name == own.name] == [own.samples]


def test_a_label_process_of_the_application_gets_another_name() -> None:
    level = GaugeMetricFamily("level", "A level.", labels=("process",))
    level.add_metric(("press",), 1)
    level.add_metric(("dry",), cast("float", Decimal(2)))
    (found,) = collect(SupervisorMetrics(), {1: [level]})
    assert {each.labels["exported_process"]: each.value for each in found.samples} == {
        "press": 1.0,
        "dry": 2.0,
    }
    assert {each.labels["process"] for each in found.samples} == {"1"}
