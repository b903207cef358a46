"""How an event's code says how far it is, and who hears of it.

An event knows nobody who would want to hear. So each crew leaves its reporter in the context of
its workers, where the code finds it; also in tasks and threads that take the context along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, ContextVar
from math import isnan
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from ..errors import ValidationError
from ..model.execution import EventStatus
from ..model.progress import ENTRY, Live, Progress
from ..model.serialization.codec import safe_repr
from .workshop import Workshop

if TYPE_CHECKING:
    from .event import Event

__all__ = ("REPORT", "Reporter", "checked_progress", "report")

REPORT: ContextVar[Callable[[Any, Progress], None] | None] = ContextVar("report", default=None)

SLACK: Final = 1e-6
"""How far beyond 1 a sum of fractions may come out."""


def report(event: Event, progress: Progress, tell: Callable[[Any, Progress], None] | None) -> None:
    """Note what an event says of itself, and pass it on; nothing, if it does not run."""
    own = event.__dict__
    if event.execution.status is not EventStatus.PROCESSING:
        return
    live, attempt = Live.of(own), own.get("_attempt", 0)
    if live.attempt != attempt:
        live.begin(attempt)
    live.progress = progress
    if tell is not None:
        tell(event, progress)


def checked_progress(fraction: object, note: object) -> Progress:
    """What ``Event.progress`` was given.

    Raises:
        ValidationError: if the fraction is not from 0 to 1, or the note is no text.
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
    """Hears of the events that a crew runs, from whatever thread.

    A context may outlive its crew by far, in a client's task or timer; so it keeps nothing alive.

    Args:
        shop: Whose observers are told.
        loop: Where they are.
    """

    __slots__ = ("_loop", "_shop")

    def __init__(self, shop: Workshop, loop: asyncio.AbstractEventLoop) -> None:
        self._shop = ref(shop)
        self._loop = loop

    def leave_in(self, context: Context) -> None:
        """Have what runs in a context report here."""
        context.run(REPORT.set, self)

    def __call__(self, event: Event, progress: Progress) -> None:
        shop = self._shop()
        live = event.__dict__.get(ENTRY)
        followed = live is not None and live.bells
        if shop is None or not (shop.observers.listening or shop.share or followed):
            return
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._tell(event, progress)
        else:
            with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self._loop.call_soon_threadsafe(self._tell, event, progress)

    def _tell(self, event: Event, progress: Progress) -> None:
        shop, number = self._shop(), event.execution.arrival
        if shop is None or number is None or shop.store.states.by_number.get(number) is not event:
            return  # it runs by itself, or elsewhere
        live = event.__dict__.get(ENTRY)
        if live is not None and live.bells:
            live.ring()
        if shop.observers.listening:
            shop.observers.report(event, progress)
        if shop.share is not None:
            shop.share(event, event.execution.attempt_number)
