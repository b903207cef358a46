"""Who is told of each step of each event, and what is put around each attempt."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from time import perf_counter
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary, ref

from ..model.execution import EventStatus
from ..model.live import Progress
from ..model.work import Work
from ..rules.lifecycle import Outcome
from ..rules.transition import Transition, reason_of
from ..stores.contract import Store
from .around import Around
from .journal import is_wanted, note

__all__ = ("SLOW", "Listener", "Observer", "Observers", "Wrapper")

Observer: TypeAlias = Callable[[Transition], None]
Wrapper: TypeAlias = Callable[[Transition], AbstractContextManager[Any]]
Listener: TypeAlias = Callable[[Any, Progress], object]
"""Is called with an event, and what it has said of how far it is."""

SLOW: Final = 0.1
"""Seconds in one call beyond which an observer holds up the event loop for too long."""

_PENDING, _PROCESSING = EventStatus.PENDING, EventStatus.PROCESSING

logger = logging.getLogger("lionpride")


class Observers:
    """Callbacks that hear of every transition of a store's events in this process.

    An observer never harms the run: the first exception of each is logged, and all are counted;
    so is it if one is slow.

    Args:
        store: Whose events they are; None for those of a processor that stands alone.

    Attributes:
        active: Whether anybody is to be told of each step.
        listening: Whether anybody is to be told of progress.
        wraps: Whether anything is put around attempts.
        failures: How often one of them has raised.
        delays: How often one took longer than ``SLOW`` seconds.
        lost: Outcomes that were refused, since another worker had been given the event.
    """

    def __init__(self, store: Store | None = None) -> None:
        self.active = self.listening = self.wraps = False
        self.failures = self.delays = self.lost = 0
        self._store = None if store is None else ref(store)
        self._queue = "" if store is None else store.queue
        self._callbacks: list[Observer] = []
        self._listeners: list[Listener] = []
        self._wrappers: list[Wrapper] = []
        self._logs = False
        self._failed: list[object] = []  # not a set: they need not be hashable
        self._slow: list[object] = []

    @classmethod
    def of(cls, store: Store) -> Observers:
        """Those of a store: every executor over it tells them, whichever they were given to."""
        observers = _KNOWN.get(store)
        if observers is None:
            observers = _KNOWN[store] = cls(store)
            store.on_expired(observers.hear_of_expired)
        observers.look()
        return observers

    def look(self) -> None:
        """Look who is to be told, which the level of the log decides too."""
        self._logs = is_wanted()
        self.wraps, self.listening = bool(self._wrappers), bool(self._listeners)
        self.active = self._logs or self.wraps or bool(self._callbacks)

    def add(self, observer: Observer) -> Callable[[], None]:
        """Tell ``observer`` of each transition from now on; returns how to stop it.

        Raises:
            TypeError: if it cannot be called, or is a coroutine function: nobody would await it.
        """
        _check("observe() takes a plain function of one Transition", observer)
        return self._add(self._callbacks, observer)

    def wrap(self, wrapper: Wrapper) -> Callable[[], None]:
        """Put what ``wrapper(start)`` gives around each attempt from now on; returns how to stop.

        Raises:
            TypeError: as ``add``.
        """
        _check("observe_attempts() takes a function that returns a context manager", wrapper)
        return self._add(self._wrappers, wrapper)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, progress)`` at each report from now on; returns how to stop it.

        Raises:
            TypeError: as ``add``.
        """
        _check("observe_progress() takes a plain function of event and progress", listener)
        return self._add(self._listeners, listener)

    def _add(self, callbacks: list[Any], one: object) -> Callable[[], None]:
        callbacks.append(one)
        self.look()
        return partial(self._remove, callbacks, one)

    def _remove(self, callbacks: list[Any], one: object) -> None:
        if one in callbacks:
            callbacks.remove(one)
        self.look()

    def hear_of_expired(self, event: Work) -> None:
        """An event has ended since it was not started in time."""
        state = event.execution
        error = state.error if isinstance(state.error, BaseException) else None
        self._tell_of(event, _PENDING, state.status, None, error)

    def tell(
        self,
        event: Work,
        before: EventStatus | None,
        after: EventStatus | None,
        outcome: Outcome | None = None,
    ) -> Transition:
        """Tell of one step; call it only while ``active``, or if it ends an event badly.

        Args:
            event: Whose step it was.
            before: As in ``Transition``.
            after: Likewise.
            outcome: What came of its claim, if the step settles one.
        """
        if outcome is None:
            return self._tell_of(event, before, after)
        error, duration = outcome.error, outcome.duration
        return self._tell_of(
            event,
            before,
            after,
            duration if before is _PROCESSING and isinstance(duration, float) else None,
            error if isinstance(error, BaseException) else None,
            reason_of(outcome),
        )

    def _tell_of(
        self,
        event: Work,
        before: EventStatus | None,
        after: EventStatus | None,
        duration: float | None = None,
        error: BaseException | None = None,
        reason: str = "",
    ) -> Transition:
        now, own = asyncio.get_running_loop().time(), event.__dict__
        waited = self._waited(own, before, after, now) if self.active else None
        attempt = own.get("_attempt", 0)
        step = Transition(
            event, before, after, now, attempt, self._queue, waited, duration, error, reason
        )
        if self._logs or step.is_failure:
            note(step)
        for observer in tuple(self._callbacks):
            self._call(observer, step, event)
        return step

    def _waited(
        self,
        own: dict[str, Any],
        before: EventStatus | None,
        after: EventStatus | None,
        now: float,
    ) -> float | None:
        """How long an event could have started before it did; since when is noted on the event.

        By the event loop's clock, where this process has seen it begin to wait.
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
        """Seconds from now until a Unix time."""
        store = None if self._store is None else self._store()
        return 0.0 if store is None else due - store.time()

    def report(self, event: Work, progress: Progress) -> None:
        """Tell of what an event has said of itself; call it only while ``listening``."""
        for listener in tuple(self._listeners):
            self._call(listener, event, event, progress)

    async def around(self, start: Transition, attempt: Awaitable[Outcome]) -> Outcome:
        """Run the attempt that has started so, inside all that is to be put around it."""
        with Around(start, tuple(self._wrappers), self._guarded) as around:
            outcome = await attempt
            around.error = outcome.error if isinstance(outcome.error, BaseException) else None
        return outcome

    def _call(self, observer: Callable[..., object], what: Any, event: Work, *more: Any) -> None:
        self._guarded(observer, event, partial(observer, what, *more))

    def _guarded(self, observer: object, event: Work, call: Callable[[], Any]) -> Any:
        """What a call gives; None if it raises: even an exit, since the step has been taken."""
        began = perf_counter()
        try:
            return call()
        except BaseException as error:
            self._note_failure(observer, event, error)
            return None
        finally:
            if perf_counter() - began > SLOW:
                self._note_delay(observer, perf_counter() - began)

    def _note_failure(self, observer: object, event: Work, error: BaseException) -> None:
        """Log the first failure of an observer, count the others."""
        self.failures += 1
        if not any(observer is each for each in self._failed):
            self._failed.append(observer)
            logger.error(
                "observer %r failed on %r; its further failures are only counted",
                observer,
                event,
                exc_info=error,
            )

    def _note_delay(self, observer: object, seconds: float) -> None:
        self.delays += 1
        if not any(observer is each for each in self._slow):
            self._slow.append(observer)
            logger.warning(
                "observer %r held up the event loop for %.1f s; that is only counted from now "
                "on: let it put what it hears into a queue, for a thread",
                observer,
                seconds,
            )


_KNOWN: WeakKeyDictionary[Store, Observers] = WeakKeyDictionary()


def _check(what: str, observer: object) -> None:
    if not callable(observer) or inspect.iscoroutinefunction(observer):
        raise TypeError(
            f"{what}, not {observer!r}: where it has to wait, let it put what it hears into an "
            "asyncio.Queue"
        )
