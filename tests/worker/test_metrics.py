"""Metrics of one process, scraped over a real socket."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from worker.client import get

from lionpride import Executor, job
from lionpride.stores.open import open_store
from lionpride.worker import metrics
from lionpride.worker.http_server import listen, serve
from lionpride.worker.metrics import (
    METRICS,
    ProcessMetrics,
    StoreGauges,
    metrics_routes,
    registries_of,
)


@job
async def double(number: int) -> int:
    return 2 * number


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of an application with a registry of its own."""
    made = ModuleType("shop_of_this_test")
    made.registry = CollectorRegistry()  # type: ignore[attr-defined]
    made.again = made.registry  # type: ignore[attr-defined]
    made.orders = Counter("orders", "Orders.", registry=made.registry)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


async def scrape(port: int) -> dict[str, Metric]:
    answer = await get(port, METRICS)
    assert answer.status == 200
    families = list(text_string_to_metric_families(answer.text))
    found = {each.name: each for each in families}
    assert len(found) == len(families), "each family comes once"
    return found


def sum_of(family: Metric) -> float:
    return sum(each.value for each in family.samples)


async def test_a_scrape_has_the_store_the_executors_and_the_application(
    tmp_path: Path, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_CACHE_SECONDS", -1.0)
    store = f"sqlite:///{tmp_path}/run.db"
    executors = [Executor.of(double, queue=queue, store=store) for queue in ("one", "two")]
    registries = registries_of([__name__, module.__name__, "not_imported"])
    assert registries == [REGISTRY, module.registry]
    own = ProcessMetrics(executors, registries)
    gauges = StoreGauges(lambda: [each.store for each in executors])
    sock = listen(0)
    port = sock.getsockname()[1]
    routes = metrics_routes(lambda found: [*own.families(), *found], gauges)
    async with serve([(sock, routes)]), executors[0] as one, executors[1] as two:
        await one.run(double(1))
        await two.append_many([double(2), double(3)])
        await two.join()
        module.orders.inc(5)
        first = await scrape(port)
        await one.run(double(4))
        second = await scrape(port)
    assert sum_of(first["lionpride_settled"]) == 3, "from the first event on"
    assert sum_of(second["lionpride_settled"]) == 4
    assert {each.labels["queue"] for each in first["lionpride_events"].samples} == {"one", "two"}
    assert sum_of(first["lionpride_events"]) == 3
    assert sum_of(first["lionpride_store_up"]) == 1
    assert first["orders"].samples[0].value == 5
    assert "python_info" in first
    own.close()
    assert not any(each.observers.level for each in executors)


async def test_without_the_store_the_counters_are_still_there(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_text("this is no database " * 100)
    broken = open_store(f"sqlite:///{path}", queue="q", name="q")
    executor = Executor.of(double)
    own = ProcessMetrics([executor], [])
    sock = listen(0)
    routes = metrics_routes(lambda found: [*own.families(), *found], StoreGauges(lambda: [broken]))
    async with serve([(sock, routes)]), executor:
        await executor.run(double(1))
        found = await scrape(sock.getsockname()[1])
    assert sum_of(found["lionpride_settled"]) == 1
    assert sum_of(found["lionpride_store_up"]) == 0
    assert "lionpride_events" not in found
    own.close()
    await broken.close()


class BrokenCollector:
    """A collector of an application that raises, until it is mended."""

    def __init__(self) -> None:
        self.is_broken = True

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("shelves", "Shelves.", 7)
        if self.is_broken:
            raise RuntimeError("out of order")


async def test_a_collector_that_raises_hides_no_other_metric(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, whole = CollectorRegistry(), CollectorRegistry()
    collector = BrokenCollector()
    broken.register(collector)
    Counter("orders", "Orders.", registry=whole).inc()
    executor = Executor.of(double)
    own = ProcessMetrics([executor], [broken, whole])
    for is_broken in (True, True, False, True):
        collector.is_broken = is_broken
        found = {each.name for each in own.families()}
        assert {"lionpride_settled", "shelves", "orders"} <= found
    failures = [each for each in caplog.records if "a collector failed" in each.message]
    assert len(failures) == 2, "once for each time that it began to fail"
    own.close()
