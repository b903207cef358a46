"""Hands: the workers of a crew, and who of them looks, runs or rests."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from weakref import ref

from ..stores.clock import capped
from ..stores.contract import Claim, Started
from .attempt import Guard
from .attempt_context import RUNNING
from .event import Event

__all__ = ("Hands", "Worker")


class Worker:
    """One task of a crew, and what it has in hand.

    Attributes:
        claim: The event whose code runs in the task now, and its attempt.
        context: Its context variables, as they are now.
        clean: As they were before the code of the last event.
        left: Whether the task was left behind with code that would not end.
    """

    __slots__ = ("claim", "clean", "context", "guard", "left", "task")

    def __init__(self, context: Context) -> None:
        self.context: Context | Surroundings = context
        self.clean = context
        self.task: asyncio.Task[None]
        self.guard: Guard
        self.claim: Claim | Started | None = None
        self.left = False

    def begin(self) -> None:
        """Note the context variables, as the first thing in the task.

        The one that the task was to be made in is asked from then on, which costs a third of a
        copy; unless a task factory has made it in another.
        """
        token = _HERE.set(self)
        given = isinstance(self.context, Context) and self.context.get(_HERE) is self
        _HERE.reset(token)
        self.clean = copy_context()
        if not given:
            self.context = Surroundings()

    def enter(self, event: Event, attempt: int) -> None:
        """Note the attempt whose code runs next, for ``current()``.

        The variables are noted anew with it. Until the code changes one, both share a table, and
        are compared in no time. What was changed before, as by a permission, stays to be seen.
        """
        unchanged = self.context == self.clean
        RUNNING.set((ref(event), attempt))
        if unchanged:
            self.clean = self.context.copy()

    def leave(self) -> None:
        """Forget the attempt whose code has ended; its changes of variables stay to be seen."""
        unchanged = self.context == self.clean
        RUNNING.set(None)
        if unchanged:
            self.clean = self.context.copy()


_HERE: ContextVar[Worker] = ContextVar("lionpride-worker")


class Surroundings:
    """The context variables of whatever runs, to be compared with a copy of them."""

    __hash__ = None  # type: ignore[assignment]  # it is what it is now

    def __eq__(self, other: object) -> bool:
        return copy_context() == other

    def copy(self) -> Context:
        """Return a copy of them."""
        return copy_context()


class Hands(ABC):
    """Tasks that are hired as there is work for them, and called one at a time.

    At most one is the *looker*; it may sleep until something comes. The others run an event, or
    rest until called.

    Args:
        most: How many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._workers: set[Worker] = set()
        self._resting: list[asyncio.Future[None]] = []
        self._looker: Worker | None = None
        self._called = False  # a worker is on its way to look
        self._closing = False
        self._asleep: asyncio.Future[None] | None = None
        self._errands: list[Callable[[], object]] = []  # for when the one who sleeps gets up
        self._over = self._loop.create_future()

    @property
    def closing(self) -> bool:
        """Whether they start nothing more."""
        return self._closing

    @property
    def lost(self) -> bool:
        """Whether the loop was closed before they had ended."""
        return self._loop.is_closed()

    @abstractmethod
    async def _work(self, worker: Worker) -> None:
        """The life of a worker; it ends with ``_leave``."""

    @abstractmethod
    def _leave_behind(self, worker: Worker) -> None:
        """Go on without a worker whose code ignores its cancellation."""

    def _hire(self) -> None:
        context = self._context.copy()
        worker = Worker(context)
        self._called = True
        usual = self._loop.get_task_factory() is None
        work = self._work(worker) if usual else self._begin(worker)
        worker.task = self._loop.create_task(work, context=context)
        worker.task.add_done_callback(lambda _: self._ended(worker))
        worker.guard = Guard(worker.task, lambda: self._leave_behind(worker))
        self._workers.add(worker)

    async def _begin(self, worker: Worker) -> None:
        """Work, but not at once: an eager task factory is inside ``create_task`` still."""
        await asyncio.sleep(0)
        await self._work(worker)

    def _ended(self, worker: Worker) -> None:
        """The task of a worker is done."""
        if worker in self._workers:  # it was cancelled before it began
            self._called = False
            self._leave(worker)

    def _call(self) -> None:
        """Have somebody look for the next event, unless somebody does or will."""
        if self._called or self._looker is not None or self._closing:
            return
        while self._resting:
            future = self._resting.pop()
            if not future.done():  # a worker that somebody cancelled is on its way out
                self._called = True
                future.set_result(None)
                return
        if len(self._workers) < self._most:
            self._hire()

    def _end_if_empty(self) -> None:
        if self._closing and not self._workers and not self._over.done():
            self._over.set_result(None)

    def _wake(self) -> None:
        """Let the one who looks, and sleeps, look again."""
        if self._asleep is not None and not self._asleep.done() and not self.lost:
            self._asleep.set_result(None)
            if self._errands:
                self._get_up()

    def _rouse(self) -> None:
        """Have somebody look: the one who sleeps over it, or another who is called."""
        asleep, self._asleep = self._asleep, None
        if asleep is not None:
            try:  # `_wake`, written out: an idle crew feels each step of this
                asleep.set_result(None)
            except asyncio.InvalidStateError:  # it was cancelled
                self._call_if_any()
            except RuntimeError:
                self._asleep = asleep
                if not self.lost:
                    raise
            if self._errands:  # now, since another worker may be quicker to run what has come
                self._get_up()
        else:
            self._call_if_any()

    def _call_if_any(self) -> None:
        """Have somebody look, where there is a loop still."""
        if not self.lost:
            self._call()

    async def _sleep(self, seconds: float | None) -> None:
        """Sleep until woken, or for so long; only the one who looks does."""
        if self._closing:
            return
        try:
            await self._lie_down(seconds)
        finally:
            self._asleep = None
            if self._errands:
                self._get_up()

    def _lie_down(self, seconds: float | None) -> asyncio.Future[None]:
        """Return what the looker sleeps on: until woken, for so long, or to look at the clock."""
        self._asleep = self._loop.create_future()
        if seconds is not None:
            timer = self._loop.call_later(capped(seconds), self._wake)
            self._errands.append(timer.cancel)
        return self._asleep

    def _get_up(self) -> None:
        """Do what was to be done when the one who slept gets up."""
        while self._errands:
            self._errands.pop()()

    def when_up(self, errand: Callable[[], object]) -> bool:
        """Have a function called when the one who sleeps is woken, before any event runs.

        Returns:
            Whether it will be: not if nobody sleeps.
        """
        sleeps = self._asleep is not None and not self._asleep.done()
        if sleeps:
            self._errands.append(errand)
        return sleeps

    async def _rest(self) -> None:
        """Rest until called; not where all have been sent home meanwhile."""
        if self._closing:
            return
        future = self._loop.create_future()
        self._resting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self._called = False  # called and cancelled at once: it will not look
            raise
        finally:
            if future in self._resting:
                self._resting.remove(future)

    def _leave(self, worker: Worker) -> None:
        self._workers.discard(worker)
        if not self.lost:
            self._call()
            self._end_if_empty()

    def _send_home(self) -> None:
        """Have every worker end that runs no event."""
        self._closing = True
        self._wake()
        for future in self._resting:
            if not future.done():
                future.set_result(None)
        self._end_if_empty()
