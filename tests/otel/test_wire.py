"""End to end: spans and measurements arrive at a receiver of OTLP over HTTP, as protobuf."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from engine.kit import Job, raises
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from otel.kit import Desk

from lionpride.otel import instrument


class Receiver(ThreadingHTTPServer):
    """Takes what an exporter posts, by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posted: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.posted.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_traces_and_metrics_arrive(receiver: Receiver) -> None:
    traces = TracerProvider()
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{receiver.url}/v1/traces")))
    exporter = OTLPMetricExporter(f"{receiver.url}/v1/metrics")
    meters = MeterProvider([PeriodicExportingMetricReader(exporter, 3_600_000)])
    executor = Desk()
    instrument(executor, tracer_provider=traces, meter_provider=meters)
    async with executor:
        await executor.append_many([Job(), Job(do=raises(ValueError("no luck")))])
        await executor.join()
    traces.shutdown()
    meters.shutdown()

    spans = [span for path, body in receiver.posted if path == "/v1/traces" for span in read(body)]
    assert sorted(span.name.split()[0] for span in spans) == ["append"] * 2 + ["process"] * 2
    appends = {span.span_id: span for span in spans if span.kind == Span.SPAN_KIND_PRODUCER}
    attempts = [span for span in spans if span.kind == Span.SPAN_KIND_CONSUMER]
    for each in attempts:
        assert appends[each.parent_span_id].trace_id == each.trace_id
        assert [link.span_id for link in each.links] == [each.parent_span_id]
    (failed,) = [each for each in attempts if each.status.code]
    assert failed.status.message == "ValueError: no luck"

    names = {name for path, body in receiver.posted if path == "/v1/metrics" for name in told(body)}
    assert names >= {
        "messaging.process.duration",
        "lionpride.event.queue_wait",
        "lionpride.event.settled",
        "lionpride.event.waiting",
        "lionpride.event.running",
        "lionpride.lease.lost",
    }


def read(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        span
        for each in request.resource_spans
        for scope in each.scope_spans
        for span in scope.spans
    ]


def told(body: bytes) -> set[str]:
    request = ExportMetricsServiceRequest.FromString(body)
    return {
        metric.name
        for each in request.resource_metrics
        for scope in each.scope_metrics
        for metric in scope.metrics
    }
