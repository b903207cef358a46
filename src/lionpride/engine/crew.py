"""Crews: workers that take one event after another from a workshop's store.

At any time at most one worker of a crew *looks* for the next event; the others run one, or
rest. Having found one, it calls another worker to look if there may be more, and runs what it
found. So an event costs no task and no hand-over of its own, permission is asked in the order
of the claims, and one timer serves all. A worker outlives its events: code that leaves the
task or its context variables in doubt costs it a successor (docs/decisions/workers.md).
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from time import monotonic
from typing import Any

from ..model.execution import EventStatus
from ..model.work import Work
from ..rules.lifecycle import (
    RELEASED,
    Cause,
    Completion,
    Ending,
    Outcome,
    after_denial,
    after_error,
    cancelled_while_waiting,
)
from ..stores.contract import Claim, Settled
from .attempt import INSISTENCE, SLICE, Guard
from .event import Event, explain, perform
from .workshop import Workshop

__all__ = ("Crew", "Loop", "Round")

_PENDING = EventStatus.PENDING
_PROCESSING = EventStatus.PROCESSING
_APPLIED = Settled.APPLIED

logger = logging.getLogger("lionpride")


def _clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's own clock, without the method around it where it is asyncio's usual one."""
    usual = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
    return monotonic if usual else loop.time


class Worker:
    """One task of a crew, and what it has in hand.

    Attributes:
        claim: The event whose code runs in the task now, and its attempt.
        left: Whether the task was left behind with code that would not end.
    """

    __slots__ = ("claim", "guard", "left", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[None]
        self.guard: Guard
        self.claim: Claim | None = None
        self.left = False


class Crew(ABC):
    """Workers with one purpose; ``_next`` says which.

    Args:
        shop: What they share with the other crews of the processor.
    """

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.fatal: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self._now = _clock(self._loop)
        self._context = copy_context()
        self._boss = asyncio.current_task()
        self._workers: set[Worker] = set()
        self._resting: list[asyncio.Future[None]] = []
        self._looker: Worker | None = None
        self._called = False  # a worker is on its way to look
        self._more = True  # a claim may find something at once
        self._closing = False
        self._asleep: asyncio.Future[None] | None = None
        self._over = self._loop.create_future()
        self._turn = 0.0
        self._admitted: Work | None = None  # permitted, and waiting for room
        self._dropped = False  # ... and cancelled meanwhile
        self._armed = False  # the store's bell will call
        self._bell = self._ring
        self._plain: set[type] = set()
        self._orphans: set[asyncio.Task[None]] = set()

    def _ring(self) -> None:
        """There may be something new to claim."""

    @abstractmethod
    async def _next(self, worker: Worker) -> Claim | None:
        """The next event to start, permission granted; None ends the worker."""

    # -- from outside ------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until there is no more to do, or ``close``.

        If it is cancelled, what runs goes back to PENDING as interrupted. If a user's code
        raised KeyboardInterrupt or SystemExit, that is raised once all others have ended.
        """
        self._hire()
        try:
            await asyncio.shield(self._over)
        except asyncio.CancelledError:
            self.interrupt()
            await self._wait_out()
            raise
        if self.fatal is not None:
            raise self.fatal

    async def _wait_out(self) -> None:
        """Wait for the last worker, however often one is cancelled meanwhile."""
        while not self._over.done():
            try:
                await asyncio.shield(self._over)
            except asyncio.CancelledError:
                continue

    def close(self) -> None:
        """Start nothing more; what runs, ends."""
        self._closing = True
        if self._looker is not None and self._looker.claim is not None:
            self._looker.guard.end(Cause.INTERRUPT)  # it is asking: it may not be answered
        self._wake()
        while self._resting:
            self._resting.pop().set_result(None)
        self._end_if_empty()

    def interrupt(self) -> None:
        """Start nothing more, and send what runs back to PENDING."""
        self.close()
        for worker in tuple(self._workers):
            if worker.claim is not None:
                worker.guard.end(Cause.INTERRUPT)

    def end(self, event: Event, cause: Cause) -> bool:
        """Have the attempt of an event ended; False if it is not in this crew's hands."""
        for worker in self._workers:
            if worker.claim is not None and worker.claim[0] is event:
                worker.guard.end(cause)
                return True
        if self._admitted is event:
            self._dropped = True
            self._wake()
            return True
        return False

    # -- hands -------------------------------------------------------------------------------

    def _hire(self) -> None:
        worker = Worker()
        self._called = True
        worker.task = self._loop.create_task(self._work(worker), context=self._context.copy())
        worker.guard = Guard(worker.task, lambda: self._leave_behind(worker))
        self._workers.add(worker)

    def _call(self) -> None:
        """Have somebody look for the next event, unless somebody does or will."""
        if self._called or self._looker is not None or self._closing:
            return
        if self._resting:
            self._called = True
            self._resting.pop().set_result(None)
        elif len(self._workers) < self.shop.slots:
            self._hire()

    def _end_if_empty(self) -> None:
        if self._closing and not self._workers and not self._over.done():
            self._over.set_result(None)

    def _wake(self) -> None:
        """Let the one who looks, and sleeps, look again."""
        if self._asleep is not None and not self._asleep.done():
            self._asleep.set_result(None)

    async def _sleep(self, seconds: float | None) -> None:
        """Sleep until woken, or for so long; only the one who looks does."""
        if self._closing:
            return
        self._asleep = self._loop.create_future()
        timer = None if seconds is None else self._loop.call_later(seconds, self._wake)
        try:
            await self._asleep
        finally:
            self._asleep = None
            if timer is not None:
                timer.cancel()

    async def _rest(self) -> None:
        """Rest until called."""
        future = self._loop.create_future()
        self._resting.append(future)
        try:
            await future
        finally:
            if future in self._resting:
                self._resting.remove(future)

    # -- the work ----------------------------------------------------------------------------

    async def _work(self, worker: Worker) -> None:
        """The life of a worker: look, run, and again."""
        clean = copy_context()
        task = worker.task
        self._called = False
        try:
            while not self._closing:
                claim = self._take()
                if claim is None:
                    if self._looker is not None:
                        await self._rest()
                        self._called = False
                        continue
                    claim = await self._look(worker)
                if claim is not None:
                    if not self._called:
                        self._keep_watch()
                    ended = await self._attempt(worker, claim)
                    if ended > self._turn:
                        await asyncio.sleep(0)
                        self._turn = self._now() + SLICE
                if worker.left or copy_context() != clean:
                    return
                if task.cancelling():
                    await self._recover(task)
        except Exception as error:  # the store's, or ours: users' own have been dealt with
            self._fail(error)
        finally:
            self._leave(worker)

    async def _look(self, worker: Worker) -> Claim | None:
        """Look for the next event, as the only one of the crew."""
        self._looker = worker
        try:
            return await self._next(worker)
        finally:
            if self._looker is worker:
                self._looker = None

    def _take(self) -> Claim | None:
        """The next event, if it can be had without waiting for anything."""
        return None

    def _keep_watch(self) -> None:
        """See to it that the next event is found while this worker runs one."""
        if self._more:
            self._call()

    def _leave(self, worker: Worker) -> None:
        self._workers.discard(worker)
        self._call()
        self._end_if_empty()

    async def _recover(self, task: asyncio.Task[Any]) -> None:
        """Take the marks of a cancellation off a task whose event is settled."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._is_dismissed():
                raise
        while task.cancelling():
            task.uncancel()

    def _is_dismissed(self) -> bool:
        """Whether whoever runs this crew is being cancelled too, as when a loop shuts down."""
        return self._boss is not None and self._boss.cancelling() > 0

    async def _attempt(self, worker: Worker, claim: Claim) -> float:
        """Run a claimed event's code and settle what came of it; the time when it ended."""
        event: Any
        event, attempt = claim
        outcome: Outcome
        shop, now, observers = self.shop, self._now, self.shop.observers
        began = now()
        if shop.window is not None:
            shop.window.stamp(began)
        shop.running += 1
        if shop.asks:
            shop.store.start(event)
        if observers.active:
            observers.tell(event, event.execution.arrival, _PENDING, _PROCESSING)
        worker.claim = claim
        own = event.__dict__  # pydantic makes `event.timeout` three times as slow
        if own["timeout"] is None and not own["streaming"]:  # what `perform` does, a frame less
            try:
                if not shop.asks and type(event) not in self._plain:
                    self._look_at_request(event)
                response = await event._invoke()
                if worker.guard.cause is not None:
                    worker.guard.over()
            except BaseException as error:
                outcome = self._explain(worker, event, error)
            else:
                outcome = Completion(response, 0.0)
        else:
            outcome = await perform(event, worker.guard, partial(self._explain, worker))
        ended = now()
        worker.claim = None
        if worker.left:
            return ended  # settled already
        outcome.duration = ended - began
        if shop.now is not None:
            answer = shop.now.settle_now(event, attempt, outcome)
        else:
            (answer,) = await shop.store.settle(((event, attempt, outcome),))
        shop.running -= 1
        if shop.on_free:
            shop.ring_free()
        if outcome.error is not None:
            self._after_trouble(outcome)
        if observers.active and answer is _APPLIED:
            observers.tell(event, event.execution.arrival, _PROCESSING, outcome.status)
        return ended

    def _explain(self, worker: Worker, event: Event, error: BaseException) -> Ending:
        """What an attempt that ended with an exception means."""
        if isinstance(error, GeneratorExit) and not self._loop.is_running():
            raise error  # the coroutine is being closed, with its loop
        cause = worker.guard.over()
        if cause is None and isinstance(error, asyncio.CancelledError) and self._is_dismissed():
            cause = Cause.INTERRUPT
        return explain(event, error, cause)

    def _after_trouble(self, outcome: Outcome) -> None:
        """User code that asks the process to exit ends the crews, not the event loop."""
        if isinstance(outcome.error, KeyboardInterrupt | SystemExit):
            self._fail(outcome.error)

    def _fail(self, error: BaseException) -> None:
        """Start nothing more, give what runs its grace time, and have ``run`` raise."""
        if self.fatal is None:
            self.fatal = error
            self.shop.halt()
            self.close()
            self._loop.call_later(self.shop.grace, self.interrupt)

    def _look_at_request(self, event: Event) -> None:
        """Raise what ``request`` raises, as where permission is asked; plain ones are noted."""
        if type(event).request is Event.request:  # type: ignore[comparison-overlap]
            self._plain.add(type(event))
        elif not isinstance(event.request, Mapping):
            raise TypeError(f"request must be a mapping, not {event.request!r}")

    async def _admit(self, worker: Worker, claim: Claim) -> bool:
        """Ask permission for a claimed event; if it cannot start now, settle what that means."""
        async with self.shop.gate:
            outcome = RELEASED if self._closing else await self._ask(worker, claim)
        if outcome is None:
            self._admitted, self._dropped = claim[0], False
            await self._until_allowed()
            self._admitted, dropped, self._dropped = None, self._dropped, False
            if not self._closing and not dropped:
                return True
            outcome = cancelled_while_waiting() if dropped else RELEASED
        if not worker.left:
            await self._settle(claim, outcome)
        return False

    async def _ask(self, worker: Worker, claim: Claim) -> Outcome | None:
        """None if the event may start; else what is to be settled."""
        event: Any = claim[0]
        guard, worker.claim = worker.guard, claim
        try:
            if event.timeout is not None:
                guard.limit(event.timeout)
            granted = await self.shop.ask(event)
        except BaseException as error:
            asked_to_stop = guard.cause is Cause.INTERRUPT
            outcome = self._explain(worker, event, error)
            return RELEASED if asked_to_stop else outcome
        finally:
            worker.claim = None
        guard.over()
        return None if granted else after_denial(event.execution.denials, self.shop.backoff)

    async def _until_slot(self) -> None:
        """Wait until an event may run beside those that do."""
        while self.shop.running >= self.shop.slots and not (self._closing or self._dropped):
            self.shop.on_free.append(self._wake)
            await self._sleep(None)

    @abstractmethod
    async def _until_allowed(self) -> None:
        """Wait until a start is allowed."""

    async def _settle(self, claim: Claim, outcome: Outcome) -> None:
        """Settle a claim off the hot path."""
        event, attempt = claim
        before = event.execution.status
        (answer,) = await self.shop.store.settle(((event, attempt, outcome),))
        self._after_trouble(outcome)
        if answer is _APPLIED and self.shop.observers.active:
            number = event.execution.arrival
            self.shop.observers.tell(event, number, before, outcome.status)

    def _leave_behind(self, worker: Worker) -> None:
        """Settle the event of a worker whose code ignores its cancellation, and go on without."""
        if worker.claim is None or worker.left:
            return
        claim, cause, worker.left = worker.claim, worker.guard.cause, True
        event = claim[0]
        logger.warning(
            "%r ignored %d cancellations: its code is left behind in task %s, its slot is free",
            event,
            INSISTENCE,
            worker.task.get_name(),
        )
        error = asyncio.CancelledError("ignored its cancellation, and was left behind")
        outcome = after_error(event, error, cause, True)
        self._orphans.add(self._loop.create_task(self._settle_left(worker, claim, outcome)))

    async def _settle_left(self, worker: Worker, claim: Claim, outcome: Outcome) -> None:
        running = claim[0].execution.status is _PROCESSING
        await self._settle(claim, outcome)
        if running:
            self.shop.running -= 1
            self.shop.ring_free()
        if self._looker is worker:
            self._looker = None
        self._leave(worker)


class Loop(Crew):
    """Runs what comes until it is closed, within the window."""

    def _take(self) -> Claim | None:
        shop = self.shop
        if shop.now is None or shop.asks or shop.window or shop.running >= shop.slots:
            return None
        self._more = True
        return shop.now.claim_now()

    async def _next(self, worker: Worker) -> Claim | None:
        shop = self.shop
        while not self._closing and not worker.left:
            if shop.window is not None or shop.running >= shop.slots:
                await self._until_allowed()
                if self._closing:
                    break
            if not self._armed:
                # Hung before the claim, so that no event slips in between; and it goes on
                # to call while this worker runs what it found and nobody looks.
                self._armed = True
                shop.store.on_ready(self._bell)
            claims, wait = await shop.store.claim(shop.name, start=not shop.asks)
            self._more = wait is not None
            if not claims:
                await self._sleep(wait)
            elif not shop.asks or await self._admit(worker, claims[0]):
                return claims[0]
        return None

    async def _until_allowed(self) -> None:
        shop = self.shop
        while not (self._closing or self._dropped):
            await self._until_slot()
            if shop.window is None or not (wait := shop.window.wait(self._now())):
                return
            await self._sleep(wait)

    def _ring(self) -> None:
        """There may be something new to claim."""
        self._armed = False
        self._wake()
        self._call()


class Round(Crew):
    """Runs what is due, each event once and ``most`` at most, and ends; a denial ends it early.

    Args:
        shop: What it shares with the other crews.
        most: How many events it may start; None: no limit.
    """

    def __init__(self, shop: Workshop, most: int | None) -> None:
        super().__init__(shop)
        self._left = most
        self._until = shop.store.last_arrival()
        self._seen: set[int | None] = set()

    async def _next(self, worker: Worker) -> Claim | None:
        await self._until_slot()
        if not self._closing and self._left != 0:
            store = self.shop.store
            claims, wait = await store.claim(
                self.shop.name, until=self._until, denied=True, start=not self.shop.asks
            )
            if claims and await self._accepts(worker, claims[0]):
                self._more = wait == 0.0
                return claims[0]
        self.close()
        return None

    async def _accepts(self, worker: Worker, claim: Claim) -> bool:
        """Whether the round runs what it claimed."""
        number = claim[0].execution.arrival
        if number in self._seen:  # it came back: it is for the next round
            await self._settle(claim, RELEASED)
            return False
        self._seen.add(number)
        if self._left is not None:
            self._left -= 1
        return not self.shop.asks or await self._admit(worker, claim)

    async def _until_allowed(self) -> None:
        await self._until_slot()
