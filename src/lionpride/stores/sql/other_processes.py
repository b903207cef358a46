"""Shows what other processes have done with the events of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from time import monotonic

from ...errors import LionprideError
from ..alarm import Alarm
from ..listeners import Listeners
from . import queries
from .backend import CANCEL, ENDED, EXPIRES, PUBLISHED, READY, SCHEDULES, Backend
from .claiming import BlockedClaims
from .local_events import LocalEvents
from .requests import cancel_task, is_running
from .rows import PENDING, PROCESSING
from .workers import LocalWorkers

__all__ = ("OtherProcesses",)


class OtherProcesses:
    """Reads changes by other processes, and notifies the listeners of this process.

    Attributes:
        are_known: True if another process has changed the queue while it was open here.

    Args:
        backend: The database.
        events: The events of this process.
        workers: The workers of this process.
        listeners: The listeners.
        alarm: Is set to the next time at which an event expires.
        blocked: Is told that limits may allow more.
        refresh: Reads events again, and shows their state.
    """

    def __init__(
        self,
        backend: Backend,
        events: LocalEvents,
        workers: LocalWorkers,
        listeners: Listeners,
        *,
        alarm: Alarm,
        blocked: BlockedClaims,
        refresh: Callable[[Iterable[int]], Awaitable[None]],
    ) -> None:
        self.are_known = False
        self._backend = backend
        self._events = events
        self._workers = workers
        self._listeners = listeners
        self._alarm = alarm
        self._blocked = blocked
        self._refresh = refresh
        self._unchecked: set[int] = set()
        self._checking: asyncio.Task[None] | None = None

    async def look(self, changes: Collection[str]) -> float:
        """Read what has changed.

        Args:
            changes: The kinds of changes; see ``backend.READY``.

        Returns:
            The seconds that the status of the events took to read for which listeners wait.
        """
        claims, took = self._events.claims, 0.0
        if CANCEL in changes and claims:
            requested = await self._backend.read(queries.cancel_requested)
            self.cancel_running(number for number in requested if number in claims)
        if ENDED in changes or PUBLISHED in changes:
            awaited = [number for number in self._listeners.finished if number not in claims]
            if awaited:
                took = await self._see(awaited, is_published=PUBLISHED in changes)
            self._blocked.note_change()
        if EXPIRES in changes:
            self._alarm.set(await self._backend.read(queries.next_expiry))
        if SCHEDULES in changes:
            self._listeners.notify_schedules()
        if READY in changes or ENDED in changes or PUBLISHED in changes:
            self._listeners.notify_capacity()
        return took

    def cancel_running(self, numbers: Iterable[int]) -> None:
        """Ask the workers of this process to cancel the running attempts of events."""
        for number in numbers:
            event = self._events.cache.find(number)
            if event is not None:
                self._workers.cancel(event)

    async def _see(self, awaited: Sequence[int], *, is_published: bool) -> float:
        """Show the state of events, and notify of live progress; return the time of the read."""
        began = monotonic()
        stored = await self._backend.read(partial(queries.statuses, numbers=awaited))
        took = monotonic() - began
        changed = self._events.outdated(stored, awaited)
        if changed:
            self.are_known = True
        await self._refresh(number for number in changed if number not in self._events.claims)
        statuses = {n: stored[n][0] for n in set(awaited).difference(changed)}
        self._listeners.notify_finished(
            [n for n, status in statuses.items() if status not in (PENDING, PROCESSING)]
        )
        if is_published:
            running = [n for n, status in statuses.items() if status == PROCESSING]
            if running:
                published = await self._backend.read(partial(queries.publishing, numbers=running))
                self._listeners.notify_finished(published)
        return took

    def check_soon(self, number: int) -> None:
        """Check soon whether an event has finished before a listener waited for it."""
        if (self.are_known or not self._workers) and number not in self._events.claims:
            self._unchecked.add(number)
            if not is_running(self._checking):
                self._checking = asyncio.get_running_loop().create_task(self._check())

    async def _check(self) -> None:
        try:
            while self._unchecked and self._backend.is_open:
                unchecked, self._unchecked = self._unchecked, set()
                claims, awaited = self._events.claims, self._listeners.finished
                if numbers := [n for n in unchecked if n in awaited and n not in claims]:
                    await self._see(numbers, is_published=False)
        except LionprideError:  # other requests raise it; the next look repeats this
            pass
        finally:
            self._checking = None

    async def stop(self) -> None:
        """Cancel a running check."""
        task, self._checking = self._checking, None
        await cancel_task(task)
