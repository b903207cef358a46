"""Observers: one list of subscribers to transitions, progress, appends and attempts.

The log, metrics and traces are subscribers too. A subscriber has a level: which events it sees. The
highest level decides which events may take the fast path, which calls no subscriber.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from math import inf
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary, ref

from ..model.event_data import EventData
from ..model.execution import EventStatus
from ..model.progress import Progress
from ..rules.state_machine import Outcome
from ..rules.transition import Transition, reason_of
from ..stores.contract import ImmediatePath, Store
from ..stores.listeners import Signal
from .safe_callbacks import SafeCallbacks
from .sampling import Sample
from .transition_log import is_wanted, log_transition
from .wrappers import OpenWrappers

__all__ = (
    "AppendWrapper",
    "Level",
    "Listener",
    "Observer",
    "Observers",
    "Picks",
    "Subscriber",
    "Wrapper",
)

Observer: TypeAlias = Callable[[Transition], None]
Wrapper: TypeAlias = Callable[[Transition], AbstractContextManager[Any]]
AppendWrapper: TypeAlias = Callable[[Any], AbstractContextManager[Any]]
Picks: TypeAlias = Callable[[Any, bool], bool]
"""Selects events: called with False when an event is appended, and with True when it starts."""
Listener: TypeAlias = Callable[[Any, Progress], object]
"""Called with an event and its progress report."""

_INTERVAL: Final = 0.005
"""Average seconds between two sampled events of the fast path, for light observers."""

_BURST: Final = 100
"""Number of sampled events that may come at once (the generic cell rate algorithm, ITU-T I.371)."""

_PENDING, _PROCESSING = EventStatus.PENDING, EventStatus.PROCESSING
_COMPLETED = EventStatus.COMPLETED


class Level(IntEnum):
    """Which events a subscriber sees."""

    FAILURES = 0
    """Events that finish without completing."""

    SOME = 1
    """Events that leave the fast path: a sample, selected events, and the failures."""

    ALL = 2
    """All events."""


@dataclass(frozen=True, slots=True, eq=False)
class Subscriber:
    """A subscriber with its level, and what it subscribes to.

    Attributes:
        level: Which events it sees.
        step: Called with each transition.
        progress: Called with each progress report; of all events.
        append: Returns a context manager for each append.
        attempt: Returns a context manager for each attempt.
        picks: Selects the events for ``append`` and ``attempt``; None for all events.
    """

    level: Level
    step: Observer | None = None
    progress: Listener | None = None
    append: AppendWrapper | None = None
    attempt: Wrapper | None = None
    picks: Picks | None = None


class Observers:
    """Callbacks for every transition of a store's events in this process.

    An observer does not affect the run. Its first exception is logged, and all are counted; slow
    calls are handled in the same way.

    Args:
        store: The store of the events; None for a processor without an executor.

    Attributes:
        level: The highest level of a subscriber.
        listening: True if there are listeners for progress.
        asks: True if events are selected at their start; in memory they are selected at the append.
        counts: True if completions on the fast path are counted.
        quick: Number of completions on the fast path, by class.
        next: The event loop's time from which the next event of the fast path is sampled.
        sample: Selection of appended events, if nothing else needs to see them.
        lost: Number of refused outcomes, since another worker had claimed the event.
    """

    def __init__(self, store: Store | None = None) -> None:
        self._calls = SafeCallbacks()
        self.level: int = Level.FAILURES
        self.listening = self.asks = self.counts = False
        self.quick: Counter[type] = Counter()
        self.next = inf
        self.sample: Sample | None = None
        self.lost = 0
        self._store = None if store is None else ref(store)
        self._waits = not isinstance(store, ImmediatePath)
        self._queue = "" if store is None else store.queue
        self._subscribers: list[Subscriber] = []
        # Derived from the subscribers by `refresh`.
        self._steps: list[tuple[Observer, bool]] = []  # True if it sees more than failures
        self._wraps_appends = self._sees_steps = self._samples = False
        self._pickers: list[Picks] = []
        self._even = -inf  # the time of the next sampled event if they come at the average rate
        self.refresh()

    @classmethod
    def of(cls, store: Store) -> Observers:
        """Return the observers of a store; all executors of the store share them."""
        observers = _KNOWN.get(store)
        if observers is None:
            observers = _KNOWN[store] = cls(store)
            store.subscribe(Signal.EXPIRED, observers.notify_expired)
        observers.refresh()
        return observers

    @property
    def failures(self) -> int:
        """Number of calls that raised an exception."""
        return self._calls.failures

    @property
    def delays(self) -> int:
        """Number of calls that took longer than a tenth of a second."""
        return self._calls.delays

    def refresh(self) -> None:
        """Determine what the subscribers need to see; the level of the log is read from logging."""
        log = Subscriber(Level.ALL if is_wanted() else Level.FAILURES, step=log_transition)
        subscribers = [log, *self._subscribers]
        self.level = max(each.level for each in subscribers)
        self._steps = [
            (each.step, each.level > Level.FAILURES)
            for each in subscribers
            if each.step is not None
        ]
        self._sees_steps = any(beyond_failures for _, beyond_failures in self._steps)
        self._samples = any(each.step and each.level is Level.SOME for each in subscribers)
        self.listening = any(each.progress is not None for each in subscribers)
        self._wraps_appends = any(each.append is not None for each in subscribers)
        given = [each.picks for each in subscribers if each.picks is not None]
        self._pickers = [picks for i, picks in enumerate(given) if picks not in given[:i]]
        only = self._pickers[0] if len(self._pickers) == 1 and self.level == Level.SOME else None
        self.sample = only if isinstance(only, Sample) else None
        self.asks = self._waits and bool(self._pickers)
        self.counts = self.level == Level.SOME and self._samples
        self._set_next()

    def _set_next(self) -> None:
        if self.counts:
            self.next = self._even - _BURST * _INTERVAL
        else:
            self.next = -inf if self.level == Level.ALL else inf

    def add(self, observer: Observer, *, light: bool = False) -> Callable[[], None]:
        """Call ``observer`` at each transition from now on; return a function that removes it.

        Raises:
            TypeError: if it is not callable, or is a coroutine function, which would not be
                awaited.
        """
        _check("observe() takes a plain function of one Transition", observer)
        return self.subscribe(Subscriber(Level.SOME if light else Level.ALL, step=observer))

    def wrap(self, wrapper: Wrapper, picks: Picks | None = None) -> Callable[[], None]:
        """Open the context manager ``wrapper(start)`` around attempts; return a function to end it.

        Raises:
            TypeError: see ``add``.
        """
        _check("observe_attempts() takes a function that returns a context manager", wrapper)
        level = Level.ALL if picks is None else Level.SOME
        return self.subscribe(Subscriber(level, attempt=wrapper, picks=picks))

    def wrap_appends(
        self, wrapper: AppendWrapper, picks: Picks | None = None
    ) -> Callable[[], None]:
        """Open the context manager ``wrapper(event)`` around appends; return a function to end it.

        Raises:
            TypeError: see ``add``.
        """
        _check("observe_appends() takes a function that returns a context manager", wrapper)
        level = Level.ALL if picks is None else Level.SOME
        return self.subscribe(Subscriber(level, append=wrapper, picks=picks))

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, progress)`` at each report; return a function that removes it.

        Raises:
            TypeError: see ``add``.
        """
        _check("observe_progress() takes a plain function of event and progress", listener)
        return self.subscribe(Subscriber(Level.FAILURES, progress=listener))

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Add a subscriber, and return a function that removes it."""
        self._subscribers.append(subscriber)
        self.refresh()
        return partial(self._remove, subscriber)

    def _remove(self, subscriber: Subscriber) -> None:
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)
        s = subscriber
        for callback in (s.step, s.progress, s.append, s.attempt, s.picks):
            self._calls.forget(callback)
        self.refresh()

    def notify_expired(self, event: EventData, before: EventStatus) -> None:
        """Notify observers of an event that expired before its start, or whose worker died."""
        state = event.execution
        error = state.error if isinstance(state.error, BaseException) else None
        self._send(event, before, state.status, None, error)

    def notify(
        self,
        event: EventData,
        before: EventStatus | None,
        after: EventStatus | None,
        outcome: Outcome | None = None,
        now: float | None = None,
    ) -> Transition | None:
        """Notify observers of one transition.

        Call it only while ``level`` is not 0, or if the event finishes without completing. It
        returns None if there is nothing to notify, as with wrappers alone. A start is always
        returned.

        Args:
            event: The event.
            before: See ``Transition``.
            after: See ``Transition``.
            outcome: The outcome, if the transition settles a claim.
            now: The event loop's time, if it is known: a query may take a system call.
        """
        if outcome is None:
            if not self._sees_steps and after is not _PROCESSING:
                return None
            return self._send(event, before, after, now=now)
        if not self._sees_steps and outcome.status is _COMPLETED:
            return None
        error, duration = outcome.error, outcome.duration
        return self._send(
            event,
            before,
            after,
            duration if before is _PROCESSING and isinstance(duration, float) else None,
            error if isinstance(error, BaseException) else None,
            reason_of(outcome),
            now,
        )

    def _send(
        self,
        event: EventData,
        before: EventStatus | None,
        after: EventStatus | None,
        duration: float | None = None,
        error: BaseException | None = None,
        reason: str = "",
        now: float | None = None,
    ) -> Transition:
        if now is None:
            now = asyncio.get_running_loop().time()
        own = event.__dict__
        waited = self._waited(own, before, after, now) if self.level else None
        attempt = own.get("_attempt", 0)
        step = Transition(
            event, before, after, now, attempt, self._queue, waited, duration, error, reason
        )
        if self._samples and after is _PROCESSING:
            self._even = max(self._even, now) + _INTERVAL
            self._set_next()
        for observer, beyond_failures in self._steps:
            if beyond_failures or step.is_failure:
                self._calls.call(observer, event, partial(observer, step))
        return step

    def _waited(
        self,
        own: dict[str, Any],
        before: EventStatus | None,
        after: EventStatus | None,
        now: float,
    ) -> float | None:
        """Return for how long an event could have started; the beginning is noted on the event.

        It is measured by the event loop's clock, if this process has seen the beginning.
        """
        since: tuple[float, float | None] | None = own.get("_since")
        if after is _PENDING:
            due = own.get("_due")
            if due is not None or since is None or before is not _PENDING:
                own["_since"] = (now + (0.0 if due is None else self._left(due)), None)
            return since[1] if since is not None and before is _PROCESSING else None
        if after is _PROCESSING:
            if since is None:  # when it was made, or was due, by whatever clock that was
                waited = -self._left(max(own.get("_created", 0.0), own.get("_due") or 0.0))
            else:
                waited = now - since[0]
            own["_since"] = (now, max(0.0, waited))
            return max(0.0, waited)
        own.pop("_since", None)
        return since[1] if since is not None else None

    def _left(self, due: float) -> float:
        """Return the seconds from now until a Unix time."""
        store = None if self._store is None else self._store()
        return 0.0 if store is None else due - store.time()

    def report(self, event: EventData, progress: Progress) -> None:
        """Notify listeners of a progress report; call it only while ``listening``."""
        for each in tuple(self._subscribers):
            if each.progress is not None:
                self._calls.call(each.progress, event, partial(each.progress, event, progress))

    # -- what may take the fast path ------------------------------------------------------------

    def passes(self, event: EventData) -> bool:
        """Return True if no observer needs to see an event's append; mark selected events."""
        sample = self.sample
        if sample is not None and sample.left and not sample.maybe():
            sample.left -= 1  # `Sample.__call__`, written out
            return True
        for picks in self._pickers:
            try:
                if picks(event, False):
                    event.__dict__["_picked"] = True
                    return False
            except BaseException as error:  # even an exit, as of an observer
                self._calls.note_failure(picks, event, error)
        return self.level < Level.ALL

    def pass_all(self, events: Sequence[EventData]) -> bool:
        """Return True if no observer needs to see the appends of these events."""
        passed, sample = True, self.sample
        if sample is not None and not sample.maybe():
            picked = sample.among(len(events))
            for number in picked:
                events[number].__dict__["_picked"] = True
            return not picked
        for event in events if self._pickers else ():
            passed &= self.passes(event)
        return passed and self.level < Level.ALL

    def sees_append(self, event: EventData) -> bool:
        """Return True if an observer is notified of an event's append."""
        return self.level == Level.ALL or "_picked" in event.__dict__

    def picks(self, event: EventData) -> bool:
        """Return True if an event is selected at its start; call it only while ``asks``."""
        return any(self._picked(picks, event) for picks in self._pickers)

    def _picked(self, picks: Picks, event: EventData) -> bool:
        return bool(self._calls.call(picks, event, partial(picks, event, True)))

    # -- wrappers ------------------------------------------------------------------------------

    def appending(self, events: Iterable[EventData]) -> OpenWrappers:
        """Enter the wrappers of the append of events, and return them to be left."""
        around = OpenWrappers(self._calls)
        for event in events if self._wraps_appends else ():
            is_selected = "_picked" in event.__dict__
            for each in tuple(self._subscribers):
                if each.append is not None and (each.picks is None or is_selected):
                    around.enter(each.append, event, event)
        return around

    def enter_attempt(self, start: Transition) -> OpenWrappers:
        """Enter the wrappers of an attempt that has started; leave them when it has ended."""
        event = start.event
        around = OpenWrappers(self._calls)
        is_known = self.sample is not None and "_picked" in event.__dict__
        for each in tuple(self._subscribers):
            if each.attempt is None:
                continue
            if each.picks is None or is_known or self._picked(each.picks, event):
                around.enter(each.attempt, start, event)
        return around


_KNOWN: WeakKeyDictionary[Store, Observers] = WeakKeyDictionary()


def _check(what: str, observer: object) -> None:
    if not callable(observer) or inspect.iscoroutinefunction(observer):
        raise TypeError(
            f"{what}, not {observer!r}: to await something, put the arguments into an asyncio.Queue"
        )
