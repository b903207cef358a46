"""Calls of observers that cannot harm the run: failures and slow calls are logged and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

from ..model.event_data import EventData

__all__ = ("SLOW", "SafeCallbacks")

SLOW: Final = 0.1
"""Seconds after which a call is slow: it has blocked the event loop for too long."""

logger = logging.getLogger("lionpride")


class SafeCallbacks:
    """Calls observers, and catches whatever they raise.

    Attributes:
        failures: Number of calls that raised an exception.
        delays: Number of calls that took longer than ``SLOW`` seconds.
    """

    def __init__(self) -> None:
        self.failures = self.delays = 0
        self._failed: list[object] = []  # a list: observers need not be hashable
        self._slow: list[object] = []

    def call(self, observer: object, event: EventData, call: Callable[[], Any]) -> Any:
        """Return the result of a call; None if it raises, SystemExit included.

        Args:
            observer: The observer, named in the log.
            event: The event, named in the log.
            call: The call.
        """
        began = perf_counter()
        try:
            return call()
        except BaseException as error:
            self.note_failure(observer, event, error)
            return None
        finally:
            if perf_counter() - began > SLOW:
                self._note_delay(observer, perf_counter() - began)

    def note_failure(self, observer: object, event: EventData, error: BaseException) -> None:
        """Count a failure; log it if it is the first one of this observer."""
        self.failures += 1
        if not any(observer is each for each in self._failed):
            self._failed.append(observer)
            logger.error(
                "observer %r failed on %r; its further failures are only counted",
                observer,
                event,
                exc_info=error,
            )

    def forget(self, observer: object) -> None:
        """Keep no reference to an observer that was removed."""
        for known in (self._failed, self._slow):
            known[:] = [each for each in known if each is not observer]

    def _note_delay(self, observer: object, seconds: float) -> None:
        self.delays += 1
        if getattr(observer, "takes_its_time", False):  # an observer of ours, slow on purpose
            return
        if not any(observer is each for each in self._slow):
            self._slow.append(observer)
            logger.warning(
                "observer %r blocked the event loop for %.1f s; its further slow calls are "
                "only counted: let it pass transitions to a thread through a queue",
                observer,
                seconds,
            )
