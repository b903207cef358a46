"""Calls of what users wrote that harm nobody: what goes wrong is logged once, and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, Final

from ..model.work import Work

__all__ = ("SLOW", "Harmless")

SLOW: Final = 0.1
"""Seconds in one call beyond which an observer holds up the event loop for too long."""

logger = logging.getLogger("lionpride")


class Harmless:
    """Calls observers, whatever they do.

    Attributes:
        failures: How often one of them has raised.
        delays: How often one took longer than ``SLOW`` seconds.
    """

    def __init__(self) -> None:
        self.failures = self.delays = 0
        self._failed: list[object] = []  # not a set: they need not be hashable
        self._slow: list[object] = []

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
        if getattr(observer, "takes_its_time", False):  # it knows, and cannot do otherwise
            return
        if not any(observer is each for each in self._slow):
            self._slow.append(observer)
            logger.warning(
                "observer %r blocked the event loop for %.1f s; its further slow calls are "
                "only counted: let it pass transitions to a thread through a queue",
                observer,
                seconds,
            )
