"""Progress reports of running events.

Each dispatcher sets its reporter in the context variables of its workers. The code of an event
finds it there, also in tasks and threads that inherit these variables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from math import isnan
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from ..errors import ValidationError
from ..model.execution import EventStatus
from ..model.progress import ENTRY, Live, Progress
from ..model.serialization.codec import safe_repr

if TYPE_CHECKING:
    from ..model.event_data import EventData
    from .runtime import Runtime

__all__ = ("REPORT", "Reporter", "checked_progress", "report")

REPORT: ContextVar[Callable[[Any, Progress], None] | None] = ContextVar("report", default=None)

SLACK: Final = 1e-6
"""Rounding error that is accepted in a sum of fractions."""


def report(
    event: EventData, progress: Progress, pass_on: Callable[[Any, Progress], None] | None
) -> None:
    """Store the progress of a running event, and pass it on; do nothing if it does not run."""
    own = event.__dict__
    if event.execution.status is not EventStatus.PROCESSING:
        return
    live, attempt = Live.of(own), own.get("_attempt", 0)
    if live.attempt != attempt:
        live.begin(attempt)
    live.progress = progress
    if pass_on is not None:
        pass_on(event, progress)


def checked_progress(fraction: object, note: object) -> Progress:
    """Return the arguments of ``Event.progress`` as a value.

    Raises:
        ValidationError: if the fraction is not from 0 to 1, or the note is not a text.
    """
    if not isinstance(note, str):
        raise ValidationError(f"progress: the note must be text, not {note!r}")
    if fraction is None:
        return Progress(None, note)
    is_nan = isinstance(fraction, float) and isnan(fraction)
    if not isinstance(fraction, int | float) or isinstance(fraction, bool) or is_nan:
        raise ValidationError(f"progress: the fraction must be a number or None, not {fraction!r}")
    if not 0 <= fraction <= 1 + SLACK:
        raise ValidationError(
            f"progress: the fraction must be from 0 to 1, not {safe_repr(fraction)}: divide what "
            "is done by all that there is"
        )
    return Progress(min(float(fraction), 1.0), note)


class Reporter:
    """Passes the progress of the events of one dispatcher on, from any thread.

    The context variables of a task or a timer may outlive the dispatcher by far, so the reporter
    keeps nothing alive.

    Args:
        runtime: Has the observers.
        loop: The event loop of the dispatcher.
    """

    __slots__ = ("_loop", "_runtime")

    def __init__(self, runtime: Runtime, loop: asyncio.AbstractEventLoop) -> None:
        self._runtime = ref(runtime)
        self._loop = loop

    def __call__(self, event: EventData, progress: Progress) -> None:
        runtime = self._runtime()
        live = event.__dict__.get(ENTRY)
        is_followed = live is not None and live.listeners
        if runtime is None or not (runtime.observers.listening or runtime.publish or is_followed):
            return
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if is_here:
            self._pass_on(event, progress)
        else:
            with suppress(RuntimeError):  # the loop is closed, and no listener is left
                self._loop.call_soon_threadsafe(self._pass_on, event, progress)

    def _pass_on(self, event: EventData, progress: Progress) -> None:
        runtime, number = self._runtime(), event.execution.arrival
        if runtime is None or number is None:
            return
        if runtime.store.states.by_number.get(number) is not event:
            return  # it runs without an executor, or in another process
        live = event.__dict__.get(ENTRY)
        if live is not None and live.listeners:
            live.notify()
        if runtime.observers.listening:
            runtime.observers.report(event, progress)
        if runtime.publish is not None:
            runtime.publish(event, event.execution.attempt_number)
