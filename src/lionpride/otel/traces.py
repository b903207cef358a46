"""Traces: a span for each append, and one for each attempt, in whatever process that is.

The names are those of the semantic conventions for messaging
(https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from types import TracebackType
from typing import Any

from opentelemetry import propagate
from opentelemetry.context import attach, detach, get_current
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    TracerProvider,
    get_current_span,
    get_tracer,
    set_span_in_context,
)

from .. import __version__
from ..core import Event, Executor, RateLimited, Skip, Transition
from ..errors import EventCancelledError
from ..model import registry

__all__ = ("Traces",)

_ID = "messaging.message.id"
_PARENT = "traceparent"
"""What the W3C's trace context calls the span that something comes from."""


class Traces:
    """The spans of one executor.

    The context of the append's span travels in the event's metadata. The attempts are its
    children, and linked to it, so that a backend shows them with either.

    Args:
        executor: Whose.
        sample: The part of the events that is traced whoever appends them, 0 to 1.
        provider: Where spans go; None for the global one.
    """

    def __init__(self, executor: Executor, sample: float, provider: TracerProvider | None) -> None:
        self._executor = executor
        self._sample = sample
        self._tracer = get_tracer("lionpride", __version__, tracer_provider=provider)
        self._random = Random().random  # noqa: S311 - it chooses what is traced
        self._queue = executor.store.queue

    def begin(self) -> Callable[[], None]:
        """Make spans from now on; returns how to stop."""
        stops = [
            self._executor.observe_appends(self.append, picks=self.picks),
            self._executor.observe_attempts(self.attempt, picks=self.picks),
        ]

        def stop() -> None:
            for each in stops:
                each()

        return stop

    def picks(self, event: Event, starting: bool) -> bool:
        """Whether an event is traced."""
        if starting:
            return self._sample >= 1 or _PARENT in event.metadata
        if self._random() < self._sample:
            return True
        return bool(get_current()) and get_current_span().get_span_context().trace_flags.sampled

    @contextmanager
    def append(self, event: Event) -> Iterator[None]:
        """The span of an append; its context goes with the event."""
        span = self._tracer.start_span(
            f"append {self._queue}",
            kind=SpanKind.PRODUCER,
            attributes=self._attributes(event, "append", "send"),
        )
        if span.get_span_context().is_valid:  # else there is no SDK, or none that samples
            propagate.inject(event.metadata, set_span_in_context(span))
        try:
            yield
        except BaseException as error:
            _fail(span, error)
            raise
        finally:  # after the append: what has an id before is looked for among all that is here
            span.set_attribute(_ID, str(event.id))
            span.end()

    def attempt(self, start: Transition) -> Current:
        """The span of an attempt, which is the current one within the event's code."""
        event: Any = start.event
        producer = propagate.extract(event.metadata)
        origin = get_current_span(producer).get_span_context()
        attributes = self._attributes(event, "attempt", "process")
        attributes |= {_ID: str(event.id), "lionpride.event.attempt": start.attempt}
        if start.waited is not None:
            attributes["lionpride.event.queue_wait"] = start.waited
        span = self._tracer.start_span(
            f"process {self._queue}",
            producer,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=[Link(origin)] if origin.is_valid else None,
        )
        return Current(span)

    def _attributes(self, event: Event, operation: str, kind: str) -> dict[str, Any]:
        return {
            "messaging.system": "lionpride",
            "messaging.destination.name": self._queue,
            "messaging.operation.name": operation,
            "messaging.operation.type": kind,
            "lionpride.event.class": registry.key_of(type(event)),
        }


class Current:
    """Makes a span the current one, and ends it; by hand, which costs a third less."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> None:
        self._token = attach(set_span_in_context(self._span))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        detach(self._token)
        if error is not None:
            _note(self._span, error)
        self._span.end()


def _note(span: Span, error: BaseException) -> None:
    """What an attempt ended with: an error, unless it is a Skip, a cancel or a "not now"."""
    if isinstance(error, Skip | EventCancelledError | RateLimited):
        span.set_attribute("lionpride.event.ended", f"{type(error).__name__}: {error}")
    else:
        _fail(span, error)


def _fail(span: Span, error: BaseException) -> None:
    if span.is_recording():
        span.record_exception(error)
        span.set_attribute("error.type", type(error).__qualname__)
        span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
