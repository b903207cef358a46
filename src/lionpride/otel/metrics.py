"""Metrics: pending and running events, outcomes, durations, and usage of limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from opentelemetry.metrics import CallbackOptions, Histogram, MeterProvider, Observation, get_meter

from .. import __version__
from ..core import EventStatus, Executor, Transition
from ..model import registry
from ..stores.contract import ImmediatePath
from .loop_reader import LoopReader

__all__ = ("Metrics",)

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 60)
"""Bounds of durations: those of the semantic conventions, and a minute."""

_PENDING, _PROCESSING = EventStatus.PENDING, EventStatus.PROCESSING

Observations = Iterable[Observation]
Instrument = tuple[str, Callable[[], Observations], str, str]
"""Name, callback, unit and description."""


class Metrics:
    """The measurements of one executor.

    Pending events, running events and the usage of limits are queried at each collection. All
    finished events are counted. Durations are measured for all events while there are few; if more
    than about 200 plain events a second start, for a sample of them (see ``Executor.observe``).

    Args:
        executor: The executor.
        provider: Provider of the measurements; None for the global one.
    """

    def __init__(self, executor: Executor, provider: MeterProvider | None) -> None:
        self._observe = executor.observe  # until it begins: a meter keeps its callbacks for ever
        self._reader = LoopReader(executor)
        queue = executor.store.queue
        self._own = {"messaging.system": "lionpride", "messaging.destination.name": queue}
        self._waits = not isinstance(executor.store, ImmediatePath)
        self._settled: Counter[tuple[str, str]] = Counter()
        self._reasons: Counter[str] = Counter()
        self._quick = executor.observers.quick
        self._quick_before, self._lost_before = Counter(self._quick), executor.observers.lost
        self._began: dict[int, float] = {}  # start of attempts, by the id of the event object
        self._is_active = True
        meter = get_meter("lionpride", __version__, meter_provider=provider)

        def histogram(name: str, description: str) -> Histogram:
            return meter.create_histogram(
                name, "s", description, explicit_bucket_boundaries_advisory=_SECONDS
            )

        self._duration = histogram("messaging.process.duration", "Of attempts")
        self._wait = histogram(
            "lionpride.event.queue_wait", "Wait of events after they could have started"
        )
        self._latency = histogram(
            "lionpride.store.duration", "From the end of an attempt until its outcome was recorded"
        )
        pairs = (
            (meter.create_observable_up_down_counter, self._amounts_now()),
            (meter.create_observable_counter, self._counts_since_start()),
        )
        for create, instruments in pairs:
            for name, callback, unit, description in instruments:
                create(name, [self._while_active(callback)], unit, description)

    def _amounts_now(self) -> Iterator[Instrument]:
        yield "lionpride.event.waiting", self._waiting, "{event}", "Pending"
        yield "lionpride.event.running", self._running, "{event}", "Processing"
        yield "lionpride.limit.used", self._used, "1", "Amount of each limit in use"
        yield "lionpride.limit.amount", self._amounts, "1", "Amount of each limit"

    def _counts_since_start(self) -> Iterator[Instrument]:
        reasons = "Pending again: denied, retried, interrupted"
        yield "lionpride.event.settled", self._ended, "{event}", "Ended"
        yield "lionpride.event.returned", self._returned, "{event}", reasons
        yield "lionpride.lease.lost", self._lost, "{lease}", "Outcomes refused"

    def begin(self) -> Callable[[], None]:
        """Measure from now on, and return a function that ends it."""
        leave = self._observe(self._on_transition, light=True)
        del self._observe

        def stop() -> None:
            self._is_active = False
            leave()

        return stop

    # -- transitions ----------------------------------------------------------------------------

    def _on_transition(self, step: Transition) -> None:
        before, after, number = step.before, step.after, id(step.event)
        if after is _PROCESSING:
            self._began[number] = step.at
            if step.waited is not None:
                self._wait.record(step.waited, self._attributes(step))
            return
        began = self._began.pop(number, None)
        if step.reason:
            self._reasons[step.reason] += 1
        elif before in (_PENDING, _PROCESSING) and after is not None and after is not _PENDING:
            self._settled[registry.key_of(type(step.event)), after.value] += 1
        if before is _PROCESSING and step.duration is not None:
            self._measure(step, step.duration, began)

    def _measure(self, step: Transition, duration: float, began: float | None) -> None:
        """Record how long an attempt took, and how long its outcome took to be recorded."""
        attributes = self._attributes(step)
        if step.is_failure:
            attributes["error.type"] = type(step.error).__qualname__
        self._duration.record(duration, attributes)
        if self._waits and began is not None:
            latency = max(0.0, step.at - began - duration)
            self._latency.record(latency, self._own | {"lionpride.store.operation": "settle"})

    def _attributes(self, step: Transition) -> dict[str, Any]:
        kind = registry.key_of(type(step.event))
        return self._own | {"messaging.operation.name": "attempt", "lionpride.event.class": kind}

    # -- queries at a collection -----------------------------------------------------------------

    def _while_active(
        self, observe: Callable[[], Observations]
    ) -> Callable[[CallbackOptions], Observations]:
        return lambda _: observe() if self._is_active else ()

    def _waiting(self) -> Observations:
        yield Observation(self._reader.counts().get(_PENDING, 0), self._own)

    def _running(self) -> Observations:
        yield Observation(self._reader.counts().get(_PROCESSING, 0), self._own)

    def _ended(self) -> Observations:
        for (kind, status), count in self.settled().items():
            of = {"lionpride.event.class": kind, "lionpride.event.status": status}
            yield Observation(count, self._own | of)

    def settled(self) -> Mapping[tuple[str, str], int]:
        """Return the number of events per class and final status since the start."""
        settled = Counter(self._settled)
        for kind, count in (self._quick - self._quick_before).items():
            settled[registry.key_of(kind), "completed"] += count
        return settled

    def _returned(self) -> Observations:
        for reason, count in tuple(self._reasons.items()):
            yield Observation(count, self._own | {"lionpride.event.reason": reason})

    def _lost(self) -> Observations:
        yield Observation(self._reader.lost() - self._lost_before, self._own)

    def _used(self) -> Observations:
        for room in self._reader.rooms():
            yield Observation(room.used, self._own | {"lionpride.limit.name": room.limit})

    def _amounts(self) -> Observations:
        for room in self._reader.rooms():
            yield Observation(room.amount, self._own | {"lionpride.limit.name": room.limit})
