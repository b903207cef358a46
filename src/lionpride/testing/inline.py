"""Inline execution: an executor that runs an event as it is appended, for tests of callers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from ..core import Event, EventStatus, Executor
from ..errors import OperationError
from ..stores.clock import capped
from ..stores.contract import Store
from ..stores.listeners import Signal

__all__ = ("inline",)

E = TypeVar("E", bound=Event)
X = TypeVar("X", bound=Executor)

_RAISED = (EventStatus.FAILED, EventStatus.ABORTED, EventStatus.CANCELLED)
_OPEN = (EventStatus.PENDING, EventStatus.PROCESSING)


def inline(kind: type[X]) -> type[X]:
    """Return a subclass whose ``append`` returns when the event has finished.

    If an event finishes as FAILED, CANCELLED or ABORTED, ``append`` raises its error. Other due
    events run too, in their usual order. An event that is scheduled for later (``delay``, ``at``)
    stays pending, as does one whose parents (``after``) have not finished. If a retry is due later,
    ``append`` waits for it; in virtual time this takes no time. ``async with`` starts nothing in
    the background.

    >>> executor = inline(Mailer)()

    Args:
        kind: The executor class that the code under test uses.
    """
    return cast("type[X]", type(f"Inline{kind.__name__}", (_Inline, kind), {}))


class _Inline(Executor):
    """Methods that override those of the executor class."""

    async def append(self, event: E, priority: float | None = None, **how: Any) -> E:
        is_new = event.execution.arrival is None
        held = await super().append(event, priority, **how)
        if held.status in _OPEN or (is_new and held is event):
            await self._run_through(held)
            await self._raise(held)
        return held

    async def append_many(
        self, events: Iterable[E], priorities: Iterable[float | None] | None = None, **how: Any
    ) -> list[E]:
        events = list(events)
        new = {id(event) for event in events if event.execution.arrival is None}
        held = await super().append_many(events, priorities, **how)
        begun = [event for event in held if event.status in _OPEN or id(event) in new]
        waiting, left = begun, len(begun) + 1
        while waiting and len(waiting) < left:  # again, as a parent may be behind its child
            left = len(waiting)
            for event in waiting:
                await self._run_through(event)
            waiting = [event for event in waiting if event.status in _OPEN]
        for event in begun:
            await self._raise(event)
        return held

    async def _raise(self, event: Event) -> None:
        """Raise the error of an event that did not complete."""
        if event.status in _RAISED:
            await self.result(event)

    async def _run_through(self, event: Event) -> None:
        """Run due events until the event has finished, or is scheduled for later."""
        if self.processor is None:
            await self.start()
        assert self.processor is not None, "start() creates it"
        processor, store = self.processor, self.store
        while event.status in _OPEN and event.execution.arrival is not None:
            if processor.paused:
                return
            is_full = len(self.processing_events) >= processor.concurrency_limit
            if is_full and processor.is_inside():
                raise OperationError(
                    f"{event!r} was appended by an event, and no slot is left to run it at once: "
                    "raise concurrency_limit"
                )
            await self.forward()
            if event.status is EventStatus.PROCESSING:
                await _finished(store, event)  # another worker runs it
            elif event.status is EventStatus.PENDING:
                _, wait = await store.claim("inline", 0)  # claims none, and returns the next time
                if wait is None or not event.execution.attempt_number:
                    return
                if not event.execution.denials:  # a denied event may start in the next round
                    await asyncio.sleep(capped(wait))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
        if self._control.owns_store:
            await self.store.close()


async def _finished(store: Store, event: Event) -> None:
    """Return when an event may have finished; it may have been retried since."""
    finished = asyncio.Event()
    unsubscribe = store.subscribe(Signal.FINISHED, finished.set, event=event, once=True)
    try:
        await finished.wait()
    finally:
        unsubscribe()
