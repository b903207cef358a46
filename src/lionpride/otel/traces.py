"""Traces: a span for each append, and one for each attempt, in every process.

The names are those of the semantic conventions for messaging
(https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/).
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry import propagate
from opentelemetry.context import Context, attach, detach, get_current
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
from ..engine.sampling import Sample
from ..errors import EventCancelledError
from ..model import registry
from ..model.event_data import EventData

__all__ = ("Traces",)

_ID = "messaging.message.id"
_PARENT = "traceparent"
"""Key of the parent span in the W3C trace context."""


class Traces:
    """The spans of one executor.

    The context of the append's span is stored in the event's metadata. The spans of attempts are
    its children, and linked to it, so that a backend shows them with either.

    Args:
        executor: The executor.
        sample: Share of the events that is traced, 0 to 1, independent of their producers.
        provider: Provider of the spans; None for the global one.
    """

    def __init__(self, executor: Executor, sample: float, provider: TracerProvider | None) -> None:
        self._executor = executor
        self._sample = Sample(
            sample, maybe=_context_check(), must=_is_sampled, knows=_has_parent_span
        )
        self._tracer = get_tracer("lionpride", __version__, tracer_provider=provider)
        self._queue = executor.store.queue
        self._names = f"append {self._queue}", f"process {self._queue}"
        self._known_attributes: WeakKeyDictionary[type, tuple[dict[str, Any], dict[str, Any]]] = (
            WeakKeyDictionary()
        )

    def begin(self) -> Callable[[], None]:
        """Record spans from now on, and return a function that ends it."""
        stops = [
            self._executor.observe_appends(self.append, picks=self._sample),
            self._executor.observe_attempts(self.attempt, picks=self._sample),
        ]

        def stop() -> None:
            for each in stops:
                each()

        return stop

    def append(self, event: Event) -> AppendSpan:
        """Return the span of an append; its context is stored with the event."""
        span = self._tracer.start_span(
            self._names[0], kind=SpanKind.PRODUCER, attributes=self._attributes_of(event)[0]
        )
        if span.get_span_context().is_valid:  # without an SDK it is not valid
            propagate.inject(event.metadata, set_span_in_context(span))
        return AppendSpan(span, event)

    def attempt(self, start: Transition) -> Current:
        """Return the span of an attempt, which is the current span of the event's code."""
        event: Any = start.event
        producer = propagate.extract(event.metadata)
        origin = get_current_span(producer).get_span_context()
        attributes = {
            **self._attributes_of(event)[1],
            _ID: str(event.id),
            "lionpride.event.attempt": start.attempt,
        }
        if start.waited is not None:
            attributes["lionpride.event.queue_wait"] = start.waited
        span = self._tracer.start_span(
            self._names[1],
            producer,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=(Link(origin),) if origin.is_valid else None,
        )
        return Current(span)

    def _attributes_of(self, event: Event) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the attributes of appends and of attempts for an event's class."""
        kind = type(event)
        if kind not in self._known_attributes:
            self._known_attributes[kind] = (
                self._attributes(kind, "append", "send"),
                self._attributes(kind, "attempt", "process"),
            )
        return self._known_attributes[kind]

    def _attributes(self, kind: type[Event], operation: str, sort: str) -> dict[str, Any]:
        return {
            "messaging.system": "lionpride",
            "messaging.destination.name": self._queue,
            "messaging.operation.name": operation,
            "messaging.operation.type": sort,
            "lionpride.event.class": registry.key_of(kind),
        }


class AppendSpan:
    """Context manager that ends the span of an append."""

    __slots__ = ("_event", "_span")

    def __init__(self, span: Span, event: Event) -> None:
        self._span = span
        self._event = event

    def __enter__(self) -> None:
        """Do nothing: the span has begun."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            _set_failed(self._span, error)
        # After the append: an append searches the store for an event that has an id already.
        self._span.set_attribute(_ID, str(self._event.id))
        self._span.end()


class Current:
    """Context manager that makes a span the current one, and ends it.

    A class costs a third less than a function with ``contextmanager``.
    """

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
            _record_error(self._span, error)
        self._span.end()


def _context_check() -> Callable[[], object]:
    """Return a function whose result is true while the current context has content.

    It is called at each append. If the API keeps its contexts in one context variable, it is the
    method of that variable: the variable that contains a context that was just attached.
    """
    mark = Context()
    token = attach(mark)
    try:
        holds = [variable for variable, value in copy_context().items() if value is mark]
    finally:
        detach(token)
    return partial(holds[0].get, None) if holds else get_current


def _is_sampled() -> bool:
    return get_current_span().get_span_context().trace_flags.sampled


def _has_parent_span(event: EventData) -> bool:
    return _PARENT in event.metadata


def _record_error(span: Span, error: BaseException) -> None:
    """Record the error of an attempt on its span, except a Skip, a cancellation or a delay."""
    if isinstance(error, Skip | EventCancelledError | RateLimited):
        span.set_attribute("lionpride.event.ended", f"{type(error).__name__}: {error}")
    else:
        _set_failed(span, error)


def _set_failed(span: Span, error: BaseException) -> None:
    if span.is_recording():
        span.record_exception(error)
        span.set_attribute("error.type", type(error).__qualname__)
        span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
