"""What seeing what is going on takes of the plain events a second.

Events that do nothing, appended to an executor that runs, then joined: with nobody who looks, with
observers, and with the metrics and traces of OpenTelemetry and its real SDK, which collects the
metrics once and exports the spans to nowhere. One in a hundred is traced. It is the time of the
processor that is compared, of all threads.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks import bars
from benchmarks.candidates import WORKERS, expect_all_completed
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import Ask, alternate
from benchmarks.table import Section, absent, figure, held

N = 100_000
N_ON_DISK = 10_000
BATCH = 500
SAMPLE = 0.01
PLAIN = "nobody looks"
WAYS = {
    "light": "a light observer",
    "metrics": "metrics",
    "traces": "traces, 1 %",
    "every": "an observer of every step",
}
HELD = {"metrics": bars.MEASURED, "traces": bars.TRACED}


# --- the measured side ----------------------------------------------------------------


def child(way: str, durable: bool) -> Figures:
    n = N_ON_DISK if durable else N
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(n // 20, way, Path(folder) / "warm.db" if durable else None))
        return {"ns": asyncio.run(run(n, way, Path(folder) / "run.db" if durable else None)) / n}


async def run(n: int, way: str, path: Path | None) -> int:
    from lionpride.core import Event, Executor, Processor

    class Plain(Event):
        async def _invoke(self) -> None:
            return None

    class Runner(Processor):
        event_type: ClassVar[type[Event]] = Plain

    class Desk(Executor):
        processor_type: ClassVar[type[Processor]] = Runner

    desk = Desk({"concurrency_limit": WORKERS}, store=None if path is None else f"sqlite:///{path}")
    finish = look(desk, way)
    gc.collect()
    began = time.process_time_ns()
    async with desk:
        if path is None:
            for number in range(n):
                await desk.append(Plain(), priority=float(number))
        else:
            for _ in range(n // BATCH):
                await desk.append_many([Plain() for _ in range(BATCH)])
        await desk.join()
        counts = desk.status_counts()
        finish()
        took = time.process_time_ns() - began
    expect_all_completed(counts["completed"], n)
    return took


def look(desk: Any, way: str) -> Callable[[], object]:
    """Have somebody look at it; what is to be done at the end."""
    if way in ("light", "every"):
        heard = 0

        def observer(step: object) -> None:
            nonlocal heard
            heard += step is not None

        desk.observe(observer, light=way == "light")
    elif way == "metrics":
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        from lionpride.otel import instrument

        reader = InMemoryMetricReader()
        instrument(desk, meter_provider=MeterProvider([reader]), traces=False)
        return reader.get_metrics_data
    elif way == "traces":
        return traced(desk)
    return lambda: None


def traced(desk: Any) -> Callable[[], object]:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )

    from lionpride.otel import instrument

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    instrument(desk, tracer_provider=provider, metrics=False, sample=SAMPLE)
    return provider.shutdown


# --- the asking side ------------------------------------------------------------------


def report(rounds: int) -> Section:
    section = Section("observing", "OBSERVING: an event that somebody sees, beside one nobody does")
    for durable, where in ((False, "in memory"), (True, "in a file")):
        n = N_ON_DISK if durable else N
        ways = {PLAIN: "plain"} | {label: way for way, label in WAYS.items()}
        questions: dict[str, Ask] = {
            label: partial(measure, "observing", {"way": way, "durable": durable})
            for label, way in ways.items()
        }
        answers = alternate(f"observing {where}", questions, rounds)
        for label, way in ways.items():
            if label not in answers:
                section.rows.append(absent(f"{where}: {label}", answers.failures[label], n))
                continue
            samples = answers.samples(label, "ns")
            section.rows.append(figure(f"{where}: {label}", samples, "ns", n))
            if way in HELD and PLAIN in answers:
                ratio = answers.samples(PLAIN, "ns").least / samples.least
                section.rows.append(held("    of the plain rate", ratio, HELD[way], n))
    return section
