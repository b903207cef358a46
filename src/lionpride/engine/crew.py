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
from contextvars import Context, copy_context
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
        clean: Its context variables before the first event.
        left: Whether the task was left behind with code that would not end.
    """

    __slots__ = ("claim", "clean", "guard", "left", "task")

    def __init__(self) -> None:
        self.clean: Context
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
        self._plain: set[type] = set()  # events whose `request` need not be looked at
        self._starts = not shop.asks  # its claims start the event at once
        self._formal = shop.window is not None or shop.asks
        self._take: Callable[[], Claim | None] | None = None
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
        clean = worker.clean = copy_context()
        task, shop, take = worker.task, self.shop, self._take
        self._called = False
        try:
            while not self._closing:
                # What can be had without waiting for anything is had without a coroutine.
                claim = None if take is None or shop.running >= shop.slots else take()
                if claim is None:
                    if self._looker is not None:
                        await self._rest()
                        self._called = False
                        continue
                    claim = await self._look(worker)
                else:
                    self._more = True
                if claim is not None:
                    if self._more and not self._called:
                        self._call()
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
        shop, now, observers = self.shop, self._now, self.shop.observers
        began = now()
        shop.running += 1
        if self._formal:
            self._enter(event, began)
        if observers.active:
            observers.tell(event, event.execution.arrival, _PENDING, _PROCESSING)
        worker.claim = claim
        own = event.__dict__  # pydantic makes `event.timeout` three times as slow
        outcome: Outcome | None = None
        try:
            if type(event) not in self._plain:
                self._look_at_request(event)
            if own["timeout"] is None and not own["streaming"]:  # `perform`, a frame shorter
                response = await event._invoke()
            else:
                outcome = await perform(event, worker.guard, partial(self._explain, worker))
            if worker.guard.cause is not None:
                worker.guard.over()
        except BaseException as error:
            outcome = self._explain(worker, event, error)
        ended = now()
        worker.claim = None
        if worker.left:
            return ended  # settled already
        if outcome is None and shop.now is not None:
            answer = shop.now.complete_now(event, attempt, response, ended - began)
        else:
            outcome = outcome or Completion(response, 0.0)
            outcome.duration = ended - began
            (answer,) = await shop.store.settle(((event, attempt, outcome),))
            self._after_trouble(outcome)
        shop.running -= 1
        if shop.on_free:
            shop.ring_free()
        if observers.active and answer is _APPLIED:
            observers.tell(event, own.get("_arrival"), _PROCESSING, event.status)
        return ended

    def _enter(self, event: Event, began: float) -> None:
        """Count a start, and show it where permission was asked first."""
        if self.shop.window is not None:
            self.shop.window.stamp(began)
        if not self._starts:
            self.shop.store.start(event)

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
        if self.shop.asks or type(event).request is Event.request:  # type: ignore[comparison-overlap]
            self._plain.add(type(event))
        elif not isinstance(event.request, Mapping):
            raise TypeError(f"request must be a mapping, not {event.request!r}")

    async def _admit(self, worker: Worker, claim: Claim) -> bool:
        """Ask permission for a claimed event; if it cannot start now, settle what that means."""
        self._admitted = claim[0]
        outcome: Outcome | None = None
        while self.shop.asker is not None and self._may_wait():
            await self._sleep_until_free()
        if self._may_wait():
            outcome = await self._ask(worker, claim)
            if worker.left:
                return False  # settled already
            if outcome is None:
                await self._until_allowed()
        if outcome is None and not self._may_wait():
            outcome = cancelled_while_waiting() if self._dropped else RELEASED
        self._admitted, self._dropped = None, False
        if outcome is not None:
            await self._settle(claim, outcome)
            if isinstance(outcome, Ending) and outcome.denials:
                self._denied()
        return outcome is None

    def _denied(self) -> None:
        """An event was denied permission."""

    def _may_wait(self) -> bool:
        """Whether the one who looks may go on waiting for what it waits for."""
        return not self._closing and not self._dropped

    def _is_spent(self, worker: Worker) -> bool:
        """Whether a worker must not go on: its code is running still, or left its context."""
        return worker.left or copy_context() != worker.clean

    async def _ask(self, worker: Worker, claim: Claim) -> Outcome | None:
        """None if the event may start; else what is to be settled."""
        event: Any = claim[0]
        guard, self.shop.asker, worker.claim = worker.guard, worker, claim
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
            self._asked(worker)
        guard.over()
        return None if granted else after_denial(event.execution.denials, self.shop.backoff)

    def _asked(self, worker: Worker) -> None:
        """Let the next one ask."""
        if self.shop.asker is worker:
            self.shop.asker = None
            self.shop.ring_free()

    async def _until_slot(self) -> None:
        """Wait until an event may run beside those that do."""
        while self.shop.running >= self.shop.slots and self._may_wait():
            await self._sleep_until_free()

    async def _sleep_until_free(self) -> None:
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
        self._asked(worker)
        if self._looker is worker:
            self._looker = self._admitted = None
        self._leave(worker)


class Loop(Crew):
    """Runs what comes until it is closed, within the window."""

    def __init__(self, shop: Workshop) -> None:
        super().__init__(shop)
        if shop.now is not None and not self._formal:
            self._take = shop.now.claim_now

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
            claims, wait = await shop.store.claim(shop.name, start=self._starts)
            self._more = wait is not None
            if not claims:
                await self._sleep(wait)
            elif not shop.asks or await self._admit(worker, claims[0]):
                return claims[0]
            elif self._is_spent(worker):
                break
        return None

    async def _until_allowed(self) -> None:
        shop = self.shop
        while self._may_wait():
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
        self._again: list[Claim] = []  # came back in this round: for the next one
        self._starts, self._formal = False, True

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            for claim in self._again:
                await self._settle(claim, RELEASED)

    async def _next(self, worker: Worker) -> Claim | None:
        while self._left != 0:
            await self._until_slot()
            if self._closing:
                return None
            store = self.shop.store
            claims, wait = await store.claim(self.shop.name, until=self._until, denied=True)
            if not claims:
                break
            if await self._accepts(worker, claims[0]):
                self._more = wait == 0.0 and self._left != 0
                return claims[0]
            if self._is_spent(worker):
                return None
        self.close()
        return None

    async def _accepts(self, worker: Worker, claim: Claim) -> bool:
        """Whether the round runs what it claimed."""
        number = claim[0].execution.arrival
        if number in self._seen:
            self._again.append(claim)
            return False
        self._seen.add(number)
        if self.shop.asks and not await self._admit(worker, claim):
            return False
        if self._left is not None:
            self._left -= 1
        return True

    async def _until_allowed(self) -> None:
        await self._until_slot()

    def _denied(self) -> None:
        self.close()
