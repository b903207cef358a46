"""Who is told of each step of each event."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from ..model.execution import EventStatus
from ..model.live import Progress
from ..model.work import Work
from ..rules.lifecycle import Transition
from ..stores.contract import Store

__all__ = ("Listener", "Observer", "Observers")

Observer: TypeAlias = Callable[[Transition], None]
Listener: TypeAlias = Callable[[Any, Progress], object]
"""Is called with an event, and what it has said of how far it is."""

logger = logging.getLogger("lionpride")


class Observers:
    """Callbacks that hear of every transition of a store's events in this process.

    An observer never harms the run: the first exception of each is logged, and all are counted
    in ``failures``.
    """

    def __init__(self) -> None:
        self.active = False
        self.failures = 0
        self._callbacks: list[Observer] = []
        self.listening = False
        self._listeners: list[Listener] = []
        self._failed: list[object] = []  # not a set: they need not be hashable

    @classmethod
    def of(cls, store: Store) -> Observers:
        """Those of a store: every executor over it tells them, whichever they were given to."""
        observers = _KNOWN.get(store)
        if observers is None:
            observers = _KNOWN[store] = cls()
            store.on_expired(observers.hear_of_expired)
        return observers

    def add(self, observer: Observer) -> Callable[[], None]:
        """Tell ``observer`` of each transition from now on; returns how to stop it.

        Raises:
            TypeError: if it cannot be called, or is a coroutine function: nobody would await it.
        """
        _check("observe() takes a plain function of one Transition", observer)
        self._callbacks.append(observer)
        self.active = True
        return partial(self._remove, self._callbacks, observer)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, progress)`` at each report from now on; returns how to stop it.

        Raises:
            TypeError: as ``add``.
        """
        _check("observe_progress() takes a plain function of event and progress", listener)
        self._listeners.append(listener)
        self.listening = True
        return partial(self._remove, self._listeners, listener)

    def _remove(self, callbacks: list[Any], one: object) -> None:
        if one in callbacks:
            callbacks.remove(one)
        self.active, self.listening = bool(self._callbacks), bool(self._listeners)

    def hear_of_expired(self, event: Work) -> None:
        """An event has ended since it was not started in time."""
        if self.active:
            state = event.execution
            self.tell(event, state.arrival, EventStatus.PENDING, state.status)

    def tell(
        self,
        event: Work,
        number: int | None,
        before: EventStatus | None,
        after: EventStatus | None,
    ) -> None:
        """Tell of one step; call it only while ``active``."""
        now = asyncio.get_running_loop().time()
        transition = Transition(event, before, after, now, event.execution.attempt)
        for observer in tuple(self._callbacks):
            try:
                observer(transition)
            except BaseException as error:  # even an exit: the step has been taken
                self._note_failure(observer, event, error)

    def report(self, event: Work, progress: Progress) -> None:
        """Tell of what an event has said of itself; call it only while ``listening``."""
        for listener in tuple(self._listeners):
            try:
                listener(event, progress)
            except BaseException as error:
                self._note_failure(listener, event, error)

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


_KNOWN: WeakKeyDictionary[Store, Observers] = WeakKeyDictionary()


def _check(what: str, observer: object) -> None:
    if not callable(observer) or inspect.iscoroutinefunction(observer):
        raise TypeError(
            f"{what}, not {observer!r}: where it has to wait, let it put what it hears into an "
            "asyncio.Queue"
        )
