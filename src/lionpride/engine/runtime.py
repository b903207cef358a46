"""Runtime: what the dispatchers of one processor share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

from ..model import registry
from ..model.continuation import Then
from ..model.execution import EventStatus
from ..rules.limits.limit_set import Limits
from ..rules.rate_window import RateWindow
from ..rules.retry import judge
from ..rules.state_machine import Continued, Defer, Ending
from ..stores.contract import ImmediatePath, Store
from .observers import Observers
from .threads import Threads
from .traceback_text import traceback_text

if TYPE_CHECKING:
    from ..rules.explain import Near
    from ..rules.queue_position import About, Standing

__all__ = ("ContinueWith", "Runtime")

ContinueWith: TypeAlias = Callable[[Then[Any]], Continued]
"""Returns the outcome of an attempt that another event continues."""


class Runtime:
    """The store, the slots, the rate limit and the admission check of one processor.

    Args:
        store: The store of the events.
        observers: The observers of each transition.
        name: The name of the worker in the store.
        slots: Number of events that may run at once.
        window: The rate limit; None for no limit.
        limits: The limits on the costs of events; None for no limits.
        permission: Called before each start; None if every event may start.
        halt: Called when user code has raised KeyboardInterrupt or SystemExit.
        backoff: Seconds that an event waits after its first denial.
        grace: Seconds that running events have to finish after user code asked the process to exit.
        executor: Returns the executor, while it exists; else None.
        continue_with: See ``Processor.attach``.

    Attributes:
        mark: Identifies the runtime, and keeps nothing alive.
        concurrency: Number of events that may run at once.
        slots: The same number; 0 while the processor is paused.
        running: Number of slots in use.
        reserved: Number of slots that are kept for claims under way and for events that they found.
        asker: The worker whose event is in the admission check; only one is at a time.
        checks_permission: True if there is an admission check.
        immediate: The store, if it answers at once; else None.
        publish: Publishes the progress of an attempt; None if no other process can use the store.
        holds: Returns True if a claim may still be started; None if claims cannot lapse.
        on_free: Called once when a slot may be free, or no event is in the admission check.
        threads: Threads for code that is not async. Each has a slot of its own.
    """

    def __init__(
        self,
        store: Store,
        observers: Observers,
        *,
        name: str,
        slots: int,
        window: RateWindow | None,
        limits: Limits | None,
        permission: Callable[..., Awaitable[bool | Defer]] | None,
        halt: Callable[[], None],
        backoff: float,
        grace: float,
        executor: Callable[[], Any],
        continue_with: ContinueWith | None,
    ) -> None:
        self.store = store
        self.executor = executor
        self.continue_with = continue_with
        self.observers = observers
        self.name = name
        self.mark = object()
        self.concurrency = slots
        self.slots = slots
        self.window = window
        self.limits = limits
        self.halt = halt
        self.backoff = backoff
        self.grace = grace
        self.running = 0
        self.reserved = 0
        self.asker: object | None = None
        self.checks_permission = permission is not None
        self.immediate = store if isinstance(store, ImmediatePath) else None
        self.publish = store.publish if store.is_shared else None
        self.holds = store.holds if store.is_shared else None
        self.on_free: dict[Callable[[], None], None] = {}  # each once
        self.threads = Threads(slots, f"lionpride-{store.queue}", self._occupy, self.free_slot)
        self._permission = permission
        # A generator of its own, since the user may have seeded the shared one.
        self._random = Random().random  # noqa: S311 - it spreads waits, and hides nothing

    # -- slots -------------------------------------------------------------------------------

    def free_slot(self) -> None:
        """Free a slot that was in use."""
        self.running -= 1
        if self.on_free:
            self.notify_free()

    def when_free(self, call: Callable[[], None]) -> None:
        """Call a function once, at the next ``notify_free``."""
        self.on_free[call] = None

    def notify_free(self) -> None:
        """Call the functions that wait for a slot, or for the end of an admission check."""
        waiting, self.on_free = self.on_free, {}
        for call in waiting:
            call()

    def _occupy(self) -> None:
        """Use a slot for a thread that still runs although its event has finished."""
        self.running += 1

    # -- pause -------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """True if no event may start for now."""
        return not self.slots

    def pause(self) -> None:
        """Start no event until ``resume``; running events continue."""
        self.slots = 0

    def resume(self) -> None:
        """Start events again."""
        self.slots = self.concurrency
        self.notify_free()

    # -- rules -------------------------------------------------------------------------------

    async def ask(self, event: Any) -> bool | Defer:
        """Return the answer of ``request_permission`` to the event's request."""
        assert self._permission is not None, "there is an admission check"
        answer = await self._permission(**event.request)
        return answer if isinstance(answer, Defer) else bool(answer)

    def retry_or_fail(self, event: Any, ending: Ending) -> Ending:
        """Return what a failed attempt means by the retry policy of its event, or of its class."""
        policy = event.__dict__.get("_retry") or type(event).retry
        error = ending.error
        trace = traceback_text(error) if isinstance(error, BaseException) else ""
        now, chance = self.store.time(), self._random()
        return judge(event, ending, policy, now=now, chance=chance, traceback=trace)

    # -- what others may know ----------------------------------------------------------------

    def is_busy(self) -> bool:
        """Return True if the code of an event, or an admission check, may be running."""
        return self.running > 0 or self.asker is not None

    def about(self) -> About:
        """Return the description of the worker for other processes."""
        from ..rules.queue_position import About  # late: running events does not need it

        window, limits = self.window, () if self.limits is None else self.limits.values()
        return About(
            self.concurrency,
            self.running,
            self.paused,
            None if window is None else window.capacity,
            1.0 if window is None else window.span,
            tuple((each.name, each.amount, each.per, each.per_key, each.pool) for each in limits),
            tuple(each.name for each in limits if each.each),
        )

    def near(self, standing: Standing) -> Near:
        """Return the facts about an event's turn that only this process knows."""
        from ..rules.explain import Near  # late: running events does not need it

        event, window_at = self.store.states.find(standing.id), None
        if self.window is not None:
            now = asyncio.get_running_loop().time()
            window_at = standing.now + self.window.when(standing.ahead + 1, now) - now
        is_mine = standing.holder in (None, self.name)
        is_claimed = standing.status is EventStatus.PROCESSING and is_mine
        is_alone = all(each.name == self.name for each in standing.workers if each.is_live)
        return Near(
            window_at,
            is_starting=is_claimed and event is not None and event.status is EventStatus.PENDING,
            foreign=self._why_foreign(standing.kind) if is_alone else None,
            unreadable=self.store.event_types.why_unreadable(standing.id, standing.kind),
        )

    def _why_foreign(self, kind: str) -> str | None:
        """Return why this process does not run a class, and the remedy; None if it does."""
        if not registry.is_defined(kind):
            return f"this process has not defined {kind}: import the module that defines it"
        if not self.store.event_types.runs(kind):
            return f"this executor does not run {kind}: name it in Executor.of(...)"
        return None
