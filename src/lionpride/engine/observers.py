"""Who is told of each step of each event."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeAlias
from weakref import WeakKeyDictionary

from ..model.execution import EventStatus
from ..model.work import Work
from ..rules.lifecycle import Transition
from ..stores.contract import Store

__all__ = ("Observer", "Observers")

Observer: TypeAlias = Callable[[Transition], None]

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
        self._failed: list[Observer] = []  # not a set: they need not be hashable

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
        _check(observer)
        self._callbacks.append(observer)
        self.active = True
        return partial(self._remove, observer)

    def _remove(self, observer: Observer) -> None:
        if observer in self._callbacks:
            self._callbacks.remove(observer)
        self.active = bool(self._callbacks)

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
            except BaseException:  # even an exit: the step that it hears of has been taken
                self.failures += 1
                if not any(observer is each for each in self._failed):
                    self._failed.append(observer)
                    logger.exception(
                        "observer %r failed on %r; its further failures are only counted",
                        observer,
                        event,
                    )


_KNOWN: WeakKeyDictionary[Store, Observers] = WeakKeyDictionary()


def _check(observer: object) -> None:
    if not callable(observer) or inspect.iscoroutinefunction(observer):
        raise TypeError(
            f"observe() takes a plain function of one Transition, not {observer!r}: "
            "where it has to wait, let it put the transition into an asyncio.Queue"
        )
