"""OpenTelemetry: traces and metrics of an executor, through the API alone.

    from lionpride.otel import instrument
    stop = instrument(executor)

Which SDK, which exporter and which sampler is the application's business; without one, nothing is
recorded. ``docs/howto/monitoring.md`` lists the names.
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
    """Trace an executor's events and measure it, from now on; returns how to stop.

    Args:
        executor: Any; before its first append, so that all of it is seen.
        sample: The part of the events that is traced, 0 to 1, chosen here, so that the others cost
            next to nothing; beside those that are appended within a sampled span, or whose
            producer traced them. The SDK's own sampler still has its say.
        tracer_provider: Where spans go; by default the global one.
        meter_provider: Where measurements go; by default the global one.
        traces: Whether there are spans.
        metrics: Whether there are measurements.

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
