"""What all workers of one processor share: the store, the slots, the window, the permission."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextvars import ContextVar
from random import Random
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..model import registry
from ..model.execution import EventStatus
from ..rules.lifecycle import Defer, Ending
from ..rules.metering import Limits
from ..rules.retry import judge
from ..rules.window import Window
from ..stores.contract import ImmediatePath, Store
from .observers import Observers
from .threads import Threads
from .traceback_text import traceback_text

if TYPE_CHECKING:
    from ..rules.standing import About, Standing
    from ..rules.why import Near

__all__ = ("INSIDE", "Badge", "Workshop")

T = TypeVar("T")


class Badge:
    """What code has about it that a crew runs, and its tasks and threads inherit.

    Not the workshop: a task of an event's own may outlive it, and must not keep it.

    Args:
        mark: That of the workshop.
        loop: Where the crew works.
        executor: Returns the executor, while it exists; else None.

    Attributes:
        thread: The thread of that loop, in which it is made.
    """

    __slots__ = ("executor", "loop", "mark", "thread")

    def __init__(
        self, mark: object, loop: asyncio.AbstractEventLoop, executor: Callable[[], Any]
    ) -> None:
        self.mark = mark
        self.loop = loop
        self.executor = executor
        self.thread = get_ident()

    def call(self, work: Callable[[], T]) -> T:
        """Call a function in the crew's loop, and wait for what it gives: at once if that is here.

        Raises:
            RuntimeError: if the loop is closed.
        """
        try:
            here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            here = False
        if here:
            return work()
        answer: Future[T] = Future()

        def call() -> None:
            try:
                answer.set_result(work())
            except Exception as error:
                answer.set_exception(error)

        self.loop.call_soon_threadsafe(call)
        return answer.result()


INSIDE: Final[ContextVar[Badge | None]] = ContextVar("lionpride_badge", default=None)
"""The badge of the code that asks; None if no crew runs it."""


class Workshop:
    """The shared bench of a processor's crews.

    Args:
        store: Where the events are.
        observers: Who is told of each step.
        name: Under which the store knows this worker.
        slots: How many events may run at once; while it is paused, none may start.
        window: The limit on starts; None for no limit.
        limits: What events may cost; None for none.
        permission: Asked before each start; None if every answer is yes.
        halt: Called when a user's code raised KeyboardInterrupt or SystemExit.
        backoff: Seconds that an event waits after its first denial.
        grace: Seconds that running events get to end, once a user's code asked to exit.
        executor: Returns the executor, while it exists; else None.
    """

    def __init__(
        self,
        store: Store,
        observers: Observers,
        *,
        name: str,
        slots: int,
        window: Window | None,
        limits: Limits | None,
        permission: Callable[..., Awaitable[bool | Defer]] | None,
        halt: Callable[[], None],
        backoff: float,
        grace: float,
        executor: Callable[[], Any],
    ) -> None:
        self.store = store
        self.executor = executor
        self.observers = observers
        self.name = name
        self.mark = object()
        self.most = slots
        self.slots = slots  # 0 while it is paused: whoever looks for room looks here
        self.window = window
        self.limits = limits
        self.halt = halt
        self.backoff = backoff
        self.grace = grace
        self.running = 0
        self.promised = 0  # starts that a claim under way, or its events, will make
        self.asker: object | None = None  # the worker that asks for permission now
        self.asks = permission is not None
        # Publishes the progress of an attempt; None if no other process can use the store.
        self.share = store.publish if store.is_shared else None
        self.now = store if isinstance(store, ImmediatePath) else None
        # Returns True if a claim may still be started; None if claims cannot lapse.
        self.holds = store.holds if store.is_shared else None
        # Whether nothing can come between a claim and its start.
        self.direct = self.now is not None and not self.asks
        self.on_free: list[Callable[[], None]] = []
        # For events whose code is not async: a slot each, so there are never more than slots.
        self.threads = Threads(slots, f"lionpride-{store.queue}", self._occupy, self._vacate)
        self._permission = permission
        # Of its own: the user may have seeded the one that all share.
        self._chance = Random().random  # noqa: S311 - it spreads waits, and hides nothing

    def judged(self, event: Any, ending: Ending) -> Ending:
        """What a failed attempt comes to under the retry policy of its event, or of its class."""
        policy = event.__dict__.get("_retry") or type(event).retry
        error = ending.error
        trace = traceback_text(error) if isinstance(error, BaseException) else ""
        now, chance = self.store.time(), self._chance()
        return judge(event, ending, policy, now=now, chance=chance, traceback=trace)

    def about(self) -> About:
        """What a worker says of itself to whoever looks at its store."""
        from ..rules.standing import About  # late: who asks nothing needs it not

        window, limits = self.window, () if self.limits is None else self.limits.values()
        return About(
            self.most,
            self.running,
            self.paused,
            None if window is None else window.capacity,
            1.0 if window is None else window.span,
            tuple((each.name, each.amount, each.per, each.per_key, each.pool) for each in limits),
            tuple(each.name for each in limits if each.each),
        )

    def near(self, standing: Standing) -> Near:
        """What only this process knows of an event's turn."""
        from ..rules.why import Near  # late: as above

        event, window_at = self.store.states.find(standing.id), None
        if self.window is not None:
            now = asyncio.get_running_loop().time()
            window_at = standing.now + self.window.when(standing.ahead + 1, now) - now
        is_mine = standing.holder in (None, self.name)
        claimed = standing.status is EventStatus.PROCESSING and is_mine
        alone = all(each.name == self.name for each in standing.workers if each.is_live)
        return Near(
            window_at,
            is_starting=claimed and event is not None and event.status is EventStatus.PENDING,
            foreign=self._why_foreign(standing.kind) if alone else None,
            unreadable=self.store.event_types.why_unreadable(standing.id, standing.kind),
        )

    def _why_foreign(self, kind: str) -> str | None:
        """Why this process does not run a class of events, and the remedy; None if it does."""
        if not registry.is_defined(kind):
            return f"this process has not defined {kind}: import the module that defines it"
        if not self.store.event_types.runs(kind):
            return f"this executor does not run {kind}: name it in Executor.of(...)"
        return None

    @property
    def paused(self) -> bool:
        """Whether nothing may start for now."""
        return not self.slots

    def is_busy(self) -> bool:
        """Whether an event's code may be running, or permission is asked for."""
        return self.running > 0 or self.asker is not None

    def pause(self) -> None:
        """Have nothing start until ``resume``; what runs, runs on."""
        self.slots = 0

    def resume(self) -> None:
        """Let events start again."""
        self.slots = self.most
        self.ring_free()

    def _occupy(self) -> None:
        """A thread runs on whose event has ended: it has a slot of its own."""
        self.running += 1

    def _vacate(self) -> None:
        self.running -= 1
        self.ring_free()

    async def ask(self, event: Any) -> bool | Defer:
        """The answer of ``request_permission`` to the event's request."""
        assert self._permission is not None, "nobody is asked unless `asks`"
        answer = await self._permission(**event.request)
        return answer if isinstance(answer, Defer) else bool(answer)

    def ring_free(self) -> None:
        """A slot is free, or nobody asks any more: ring every bell of ``on_free``, once."""
        bells, self.on_free = self.on_free, []
        for bell in bells:
            bell()
