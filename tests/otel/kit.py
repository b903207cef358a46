"""The real SDK, with what it records in memory; and executors to be traced and measured."""

from typing import Any, ClassVar

from engine.kit import Job
from local_objects import LocalObject
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lionpride.core import Event, Executor, Processor

Point = tuple[dict[str, Any], Any]


class Seen:
    """What was exported."""

    def __init__(self, **how: Any) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.traces = TracerProvider(**how)
        self.traces.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader])

    def providers(self) -> dict[str, Any]:
        return {"tracer_provider": self.traces, "meter_provider": self.meters}

    def spans(self, begins: str = "") -> list[ReadableSpan]:
        return [each for each in self._spans.get_finished_spans() if each.name.startswith(begins)]

    def points(self, name: str) -> list[Point]:
        """Attributes and value of each data point of a metric, as it is now."""
        data = self._reader.get_metrics_data()
        return [
            (dict(point.attributes or {}), point)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def values(self, name: str, *by: str) -> dict[Any, Any]:
        """The value of each point, by these attributes."""
        found = {}
        for attributes, point in self.points(name):
            key = tuple(attributes[each] for each in by)
            found[key[0] if len(key) == 1 else key] = point.value
        return found


class Asking(Processor):
    event_type: ClassVar[type[Event]] = Job

    async def request_permission(self, *, event: Job, **_: Any) -> bool:
        return True if event.ask is None else await event.ask(event)


class Desk(Executor):
    processor_type: ClassVar[type[Processor]] = Asking


class Plain(Event):
    """Does as a Job does; its executor takes it by the quick way."""

    label: str = ""
    do: LocalObject = None

    async def _invoke(self) -> Any:
        return None if self.do is None else await self.do(self)


class Plains(Processor):
    event_type: ClassVar[type[Event]] = Plain


class QuickDesk(Executor):
    processor_type: ClassVar[type[Processor]] = Plains


KINDS: list[tuple[type[Executor], type[Any]]] = [(Desk, Job), (QuickDesk, Plain)]
"""Executors, and their events: what takes its time, and what goes by the quick way."""
