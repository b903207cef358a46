"""OpenTelemetry: traces and metrics of an executor, through the API only.

    from lionpride.otel import instrument
    stop = instrument(executor)

The application chooses the SDK, the exporter and the sampler; without an SDK, nothing is recorded.
``docs/howto/monitoring.md`` lists the names.
"""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from ..core import Executor
from ..errors import ValidationError
from .metrics import Metrics
from .traces import Traces

__all__ = ("instrument",)


def instrument(
    executor: Executor,
    *,
    sample: float = 1.0,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    traces: bool = True,
    metrics: bool = True,
) -> Callable[[], None]:
    """Trace an executor's events and measure it, from now on.

    Args:
        executor: The executor; call this before its first append to see all events.
        sample: Share of the events that is traced, 0 to 1. Other events cost almost nothing. Events
            that are appended within a sampled span, or whose producer traced them, are traced in
            any case. The SDK's own sampler applies too.
        tracer_provider: Provider of the spans; by default the global one.
        meter_provider: Provider of the measurements; by default the global one.
        traces: True to record spans.
        metrics: True to record measurements.

    Returns:
        A function that ends tracing and measuring.

    Raises:
        ValidationError: if ``sample`` is not between 0 and 1.
    """
    if not 0 <= sample <= 1:
        raise ValidationError(f"sample must be between 0 and 1, not {sample!r}")
    stops = []
    if traces:
        stops.append(Traces(executor, sample, tracer_provider).begin())
    if metrics:
        stops.append(Metrics(executor, meter_provider).begin())

    def stop() -> None:
        for each in stops:
            each()

    return stop
