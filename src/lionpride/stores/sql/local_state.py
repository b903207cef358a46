"""State of a SQL store in this process, which the store and its backend share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...model.event_data import EventData
from ..alarm import Alarm
from ..event_cache import EventCache
from ..listeners import Listeners
from ..states import States
from .backend import Backend
from .claiming import BlockedClaims
from .local_events import LocalEvents
from .other_processes import OtherProcesses
from .runnable import Fail, RunnableEvents
from .workers import LocalWorkers

__all__ = ("LocalState",)


class LocalState:
    """State of a store in this process.

    Attributes:
        queue: The name of the queue.
        listeners: The listeners of the store.
        runnable: Which events this process can run.
        workers: Its workers.
        events: Its event objects, and the attempts that it owns.
        blocked: Its claims that limits block.
        others: Changes by other processes.
        releasing: Attempts whose claims are being released, by number.

    Args:
        backend: The database.
        queue: The name of the queue.
        states: The events that are shown.
        shown: Maximum number of events in ``states`` that are not running.
        alarm: See ``OtherProcesses``.
        fail: See ``RunnableEvents``.
        reap_soon: Makes the next claim reap first.
        resolve_soon: Resolves dependencies soon, since parents have ended.
    """

    def __init__(
        self,
        backend: Backend,
        queue: str,
        states: States,
        shown: int,
        *,
        alarm: Alarm,
        fail: Fail,
        reap_soon: Callable[[], None],
        resolve_soon: Callable[[], None],
    ) -> None:
        clock = backend.clock
        self.queue = queue
        self.listeners = Listeners()
        self.runnable = RunnableEvents(
            backend.place, clock, has_workers=lambda: bool(self.workers), fail=fail
        )
        self.workers = LocalWorkers(queue, clock, self.runnable.complete)
        self.events = LocalEvents(
            EventCache(states, shown),
            self.listeners,
            clock=clock,
            look_up=backend.look_up,
            postpone=self.runnable.postpone,
            refuse=self.runnable.refuse,
        )
        self.blocked = BlockedClaims(self.listeners, counts_commits=backend.counts_commits)
        self.releasing: dict[int, int] = {}
        self.reap_soon = reap_soon
        self.resolve_soon = resolve_soon
        self._backend = backend
        self.others = OtherProcesses(
            backend,
            self.events,
            self.workers,
            self.listeners,
            alarm=alarm,
            blocked=self.blocked,
            refresh=self.refresh,
        )

    def attempts(self) -> dict[int, int]:
        """Return all attempts that this process has claimed, by number."""
        return self.events.claims | self.releasing

    async def refresh(self, numbers: Iterable[int]) -> None:
        """Read events again from the database, and show their state; they are not claimed here."""
        if numbers := list(numbers):
            await self._backend.prefetch(numbers)
            self.events.refresh(numbers)
            self._backend.invalidate(numbers)

    def forget(self, numbers: Iterable[int]) -> list[EventData]:
        """Forget removed events; return those that this process had."""
        numbers = list(numbers)
        self._backend.invalidate(numbers)
        return self.events.drop(numbers)
