"""Families of several processes in one exposition."""

import json
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from lionpride.view.prometheus import expose
from lionpride.worker.families import Merger, from_json, to_json


def process(count: int, level: float, *seconds: float) -> list[Metric]:
    """The families of an application in one process, as they arrive at the supervisor."""
    registry = CollectorRegistry()
    Counter("orders", "Orders.", ["shop"], registry=registry).labels("a").inc(count)
    Gauge("level", "A level.", registry=registry).set(level)
    histogram = Histogram("took", "Durations.", buckets=(1.0,), registry=registry)
    for each in seconds:
        histogram.observe(each)
    Info("build", "The build.", registry=registry).info({"version": "1"})
    return from_json(json.loads(json.dumps(to_json(registry.collect()))))


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
    merger = Merger()
    found = read(merger.merged({1: process(3, 0.5, 0.25), 2: process(4, 7.0, 0.25, 5.0)}, []))
    assert found == {
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
    merger = Merger()
    merger.end(process(3, 0.5, 0.1))
    merger.end(process(10, 0.5))
    assert read(merger.merged({}, []))["orders_total", ""] == 13
    found = read(merger.merged({1: process(4, 7.0, 5.0)}, []))
    assert found["orders_total", ""] == 17
    assert found["took_bucket", "+Inf"] == 2
    assert [key for key in found if key[0] == "level"] == [("level", "1")]


def test_the_start_of_counting_is_the_earliest() -> None:
    merger = Merger()
    merger.end(process(1, 0.0))
    (family,) = [each for each in merger.merged({1: process(1, 0.0)}, []) if each.name == "orders"]
    created = [each.value for each in family.samples if each.name == "orders_created"]
    assert len(created) == 1
    assert created[0] < 4e9, "a time, not a sum of two"


def test_own_families_come_once_without_a_label() -> None:
    own = Metric("lionpride_events", "Events.", "gauge")
    own.add_sample("lionpride_events", {"queue": "q"}, 5)
    found = Merger().merged({1: process(1, 0.0), 2: process(1, 0.0)}, [own])
    assert [each.samples for each in found if each.name == own.name] == [own.samples]
