"""Worker tasks: they are spawned while there is work, and wait to be woken while there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from time import monotonic
from typing import Any

from ..stores.clock import capped
from ..stores.contract import Claim, Started
from .attempt import SLICE, Guard
from .attempt_context import RUNNING
from .event import Event

__all__ = ("Worker", "WorkerPool")


class Worker:
    """One task of a pool, which runs events one after another.

    Attributes:
        task: The task.
        guard: Cancels the task if its event has to end.
        claim: The event whose code runs in the task now, and its attempt number; None between two
            events.
        context: The context variables of the task, as they are now.
        clean: The context variables before the code of the last event.
        cancelling: Returns the number of cancellations that user code has requested.
        is_abandoned: True if the task was abandoned, since its code ignored its cancellation.
        is_spent: True if the task must not run another event: it was abandoned, or an admission
            check has changed the context variables.
    """

    __slots__ = (
        "cancelling",
        "claim",
        "clean",
        "context",
        "guard",
        "is_abandoned",
        "is_spent",
        "task",
    )

    def __init__(self, context: Context) -> None:
        self.context: Context | CurrentContext = context
        self.clean = context
        self.task: asyncio.Task[None]
        self.guard: Guard
        self.claim: Claim | Started | None = None
        self.cancelling: Callable[[], int]
        self.is_abandoned = False
        self.is_spent = False

    def begin(self) -> None:
        """Note the context variables, as the first step of the task.

        A context object that is given to ``create_task`` can be compared without a copy. But a task
        factory may have made the task in another context; then each comparison takes a copy.
        """
        token = _WORKER.set(self)
        is_given = isinstance(self.context, Context) and self.context.get(_WORKER) is self
        _WORKER.reset(token)
        self.clean = copy_context()
        if not is_given:
            self.context = CurrentContext()

    async def recover(self) -> None:
        """Reset the cancellation requests of the task, before it uses the store."""
        with suppress(asyncio.CancelledError):  # requested by user code
            await asyncio.sleep(0)
        while self.task.cancelling():
            self.task.uncancel()

    def clear_current(self) -> None:
        """Have ``current()`` return no attempt; changes of context variables remain visible."""
        is_clean = self.context == self.clean
        RUNNING.set(None)
        if is_clean:
            self.clean = self.context.copy()


_WORKER: ContextVar[Worker] = ContextVar("lionpride_worker")


class CurrentContext:
    """The context variables of the code that compares it with a copy of them."""

    __hash__ = None  # type: ignore[assignment]  # its value changes

    def __eq__(self, other: object) -> bool:
        return copy_context() == other

    def copy(self) -> Context:
        """Return a copy of them."""
        return copy_context()


class WorkerPool:
    """Workers of one dispatcher.

    At most one worker is the *claimer*: it waits for the next event, with one timer. The others run
    an event, or are idle until ``wake_one``.

    Args:
        size: The maximum number of workers.
        work: The coroutine function of a worker. It calls ``leave`` at its end.
        abandon: Called when the code of a worker ignores its cancellation.
        context: The context variables that each worker starts with.

    Attributes:
        loop: The event loop.
        now: The clock of the event loop.
        claimer: The claimer.
        closing: True if no event is started any more.
        may_wake: False if ``wake_one`` would do nothing: it was called, and no worker has begun to
            look for an event, become idle or left since.
        over: Done when the pool is closing and its last worker has left.
        turn_ends: The time at which events that never wait let other tasks of the event loop run.
        workers: All workers.
    """

    def __init__(
        self,
        size: int,
        work: Callable[[Worker], Coroutine[Any, Any, None]],
        abandon: Callable[[Worker], None],
        context: Context,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.now = _clock(self.loop)
        self.turn_ends = 0.0
        self.claimer: Worker | None = None
        self.closing = False
        self.may_wake = True
        self.over: asyncio.Future[None] = self.loop.create_future()
        self.workers: set[Worker] = set()
        self._size = size
        self._work = work
        self._abandon = abandon
        self._context = context
        self._idle: list[asyncio.Future[None]] = []
        self._asleep: asyncio.Future[None] | None = None  # the claimer waits for it
        self._on_wake: list[Callable[[], object]] = []

    @property
    def is_lost(self) -> bool:
        """True if the event loop was closed before the pool was over."""
        return self.loop.is_closed()

    # -- spawn and wake ----------------------------------------------------------------------

    def wake_one(self) -> None:
        """Have a worker look for the next event, unless one does or will: wake or spawn one."""
        if not self.may_wake or self.claimer is not None or self.closing:
            return
        self.may_wake = False
        while self._idle:
            future = self._idle.pop()
            if not future.done():  # else user code has cancelled this worker
                future.set_result(None)
                return
        if len(self.workers) < self._size:
            self._spawn()

    def wake_claimer(self) -> None:
        """Have the claimer look again, if it sleeps."""
        if self._asleep is not None and not self._asleep.done() and not self.is_lost:
            self._asleep.set_result(None)
            self._call_on_wake()

    def wake(self) -> None:
        """Wake the claimer if it sleeps; otherwise have a worker look for the next event.

        It is the listener for READY. An idle executor starts an event with this call.
        """
        asleep, self._asleep = self._asleep, None
        if asleep is None:
            if not self.is_lost:
                self.wake_one()
            return
        try:
            asleep.set_result(None)
        except asyncio.InvalidStateError:  # user code has cancelled this worker
            self.wake_one()
        except RuntimeError:
            if not self.is_lost:
                raise
        if self._on_wake:  # at once, since another worker may be faster to claim
            self._call_on_wake()

    def _spawn(self) -> None:
        context = self._context.copy()
        worker = Worker(context)
        is_usual = self.loop.get_task_factory() is None
        work = self._work(worker) if is_usual else self._begin_later(worker)
        # Called in a copy of the context: a task factory may ignore the argument, and an eager one
        # enters the context itself.
        worker.task = context.copy().run(self.loop.create_task, work, context=context)
        worker.cancelling = worker.task.cancelling
        worker.task.add_done_callback(lambda _: self._ended(worker))
        worker.guard = Guard(worker.task, lambda: self._abandon(worker))
        self.workers.add(worker)

    async def _begin_later(self, worker: Worker) -> None:
        """Work, but not at once: an eager task factory is still inside ``create_task``."""
        await asyncio.sleep(0)
        await self._work(worker)

    def _ended(self, worker: Worker) -> None:
        """Remove a worker whose task was cancelled before it began."""
        if worker in self.workers:
            self.leave(worker)

    # -- wait --------------------------------------------------------------------------------

    async def idle(self) -> None:
        """Wait until woken; call it only in a worker that is not the claimer."""
        if self.closing:
            return
        self.may_wake = True
        future = self.loop.create_future()
        self._idle.append(future)
        try:
            await future
        finally:
            if future in self._idle:
                self._idle.remove(future)
        self.may_wake = True
        self.begin_turn()

    async def sleep(self, seconds: float | None) -> None:
        """Wait until woken, or for so long; call it only in the claimer.

        Args:
            seconds: None waits until woken.
        """
        if self.closing:
            return
        future = self._asleep = self.loop.create_future()
        if seconds is not None:
            timer = self.loop.call_later(capped(seconds), self.wake_claimer)
            self._on_wake.append(timer.cancel)
        try:
            await future
        finally:
            self._asleep = None
            if self._on_wake:
                self._call_on_wake()
        self.begin_turn()

    async def give_turn(self) -> None:
        """Let other tasks of the event loop run."""
        await asyncio.sleep(0)
        self.begin_turn()

    def begin_turn(self) -> None:
        """Begin a turn of ``SLICE`` seconds, since other tasks of the event loop have run."""
        self.turn_ends = self.now() + SLICE

    def when_woken(self, callback: Callable[[], object]) -> bool:
        """Call a function when the claimer is woken, before any event runs.

        Returns:
            False if the claimer does not sleep; then the function is not called.
        """
        sleeps = self._asleep is not None and not self._asleep.done()
        if sleeps:
            self._on_wake.append(callback)
        return sleeps

    def _call_on_wake(self) -> None:
        while self._on_wake:
            self._on_wake.pop()()

    # -- end ---------------------------------------------------------------------------------

    def leave(self, worker: Worker) -> None:
        """Remove a worker at its end; another one takes its place if there is work."""
        self.workers.discard(worker)
        self.may_wake = True
        if not self.is_lost:
            self.wake_one()
            self._check_over()

    def close(self) -> None:
        """Have every worker end that runs no event."""
        self.closing = True
        self.wake_claimer()
        for future in self._idle:
            if not future.done():
                future.set_result(None)
        self._check_over()

    def holder(self, task: asyncio.Task[None]) -> Event | None:
        """Return the event whose code runs in a task; None if there is none."""
        for worker in tuple(self.workers):
            if worker.task is task:
                claim = worker.claim
                return None if claim is None else claim[0]  # type: ignore[return-value]
        return None

    def _check_over(self) -> None:
        if self.closing and not self.workers and not self.over.done():
            self.over.set_result(None)


def _clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return the clock of an event loop; asyncio's own is read without the method around it."""
    is_usual = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
    return monotonic if is_usual else loop.time
