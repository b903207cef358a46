"""What all workers of one processor share: the store, the slots, the window, the permission."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ..model.work import Work
from ..rules.window import Window
from ..stores.contract import Store
from .event import Event
from .observers import Observers

__all__ = ("Workshop",)


class Workshop:
    """The shared bench of a processor's crews.

    Args:
        store: Where the events are.
        observers: Who is told of each step.
        name: Under which the store knows this worker.
        slots: How many events may run at once.
        window: The limit on starts; None for no limit.
        permission: Asked before each start; None if every answer is yes.
        halt: Called when a user's code raised KeyboardInterrupt or SystemExit.
        backoff: Seconds that an event waits after its first denial.
        grace: Seconds that running events get to end, once a user's code asked to exit.
    """

    def __init__(
        self,
        store: Store,
        observers: Observers,
        *,
        name: str,
        slots: int,
        window: Window | None,
        permission: Callable[..., Awaitable[bool]] | None,
        halt: Callable[[], None],
        backoff: float,
        grace: float,
    ) -> None:
        self.store = store
        self.observers = observers
        self.name = name
        self.slots = slots
        self.window = window
        self.halt = halt
        self.backoff = backoff
        self.grace = grace
        self.running = 0
        self.gate = asyncio.Lock()
        self._permission = permission
        self._on_free: list[Callable[[], None]] = []

    def must_ask(self, kind: type) -> bool:
        """Whether user code has a say in whether events of a class may start."""
        return self._permission is not None or getattr(kind, "request", None) is not Event.request

    async def ask(self, event: Any) -> bool:
        """The answer of ``request_permission`` to the event's request."""
        request = event.request
        if self._permission is None:
            return True
        return bool(await self._permission(**request))

    def free_slot(self) -> None:
        """One event fewer runs; whoever waits for a slot may look again."""
        self.running -= 1
        if self._on_free:
            bells, self._on_free = self._on_free, []
            for bell in bells:
                bell()

    def on_free(self, bell: Callable[[], None]) -> None:
        """Ring once, when a slot is free."""
        self._on_free.append(bell)
