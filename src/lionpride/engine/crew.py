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
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

from ..model.execution import EventStatus
from ..rules.lifecycle import (
    RELEASED,
    Cause,
    Completion,
    Ending,
    Outcome,
    after_interruption,
)
from ..stores.contract import Claim, Started
from ..stores.listeners import Signal, Unsubscribe
from .attempt import INSISTENCE, SLICE
from .event import Event, explain, left_behind, perform, runs_in_thread
from .exchange import Exchange
from .hands import Worker
from .reporting import Reporter
from .workshop import Workshop

__all__ = ("Crew",)

_PENDING = EventStatus.PENDING
_PROCESSING = EventStatus.PROCESSING
_COMPLETED = EventStatus.COMPLETED

logger = logging.getLogger("lionpride")


def _clock(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's own clock, without the method around it where it is asyncio's usual one."""
    usual = getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time
    return monotonic if usual else loop.time


class Crew(Exchange):
    """Workers with one purpose; ``_next`` says which.

    Args:
        shop: What they share with the other crews of the processor.
    """

    def __init__(self, shop: Workshop) -> None:
        super().__init__(shop)
        Reporter(shop, self._loop).leave_in(self._context)
        self.fatal: BaseException | None = None
        self.ended = asyncio.Event()  # its run is over, and what it had in hand is settled
        self._now = _clock(self._loop)
        self._boss = asyncio.current_task()
        self._cancels = 0 if self._boss is None else self._boss.cancelling()
        self._more = True  # a claim may find something at once
        self._turn = 0.0
        self._armed = False  # the store will call `_ring`
        self._unlisten: Unsubscribe = lambda: None
        self._plain: set[type] = set()  # classes of which nothing need be looked at before a start
        self._starts = shop.direct  # its claims start their event at once
        self._formal = shop.window is not None or not self._starts
        # What can be had, and handed over, without waiting and without asking: see `_stretch`.
        self._take: Callable[[], Started | None] | None = None
        self._complete: Callable[[Event, int, Any, float], object] | None = None
        self._orphans: set[asyncio.Task[None]] = set()
        self._owed = 0  # of the shop's promises, those that this crew has made

    def _ring(self) -> None:
        """There may be something new to claim."""
        self._armed = False
        self._more = True
        self._rouse()

    @abstractmethod
    async def _next(self, worker: Worker) -> Claim | None:
        """The next event to start, permission granted; None ends the worker or its turn."""

    # -- from outside ------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until there is no more to do, or ``close``.

        If it is cancelled, what runs goes back to PENDING as interrupted. If a user's code
        raised KeyboardInterrupt or SystemExit, that is raised once all others have ended.
        """
        unsubscribe = self.shop.store.subscribe(Signal.FAILED, self.fail)
        try:
            self._listen()
            self._hire()
            await asyncio.shield(self._over)
        except asyncio.CancelledError:
            self.interrupt()
            await self._wait_out()
            raise
        finally:
            unsubscribe()
            self._unlisten()
        if self.fatal is not None:
            raise self.fatal

    def _listen(self) -> None:
        """Subscribe to READY for the whole run, if that is of use."""

    async def _wait_out(self) -> None:
        """Wait for the last worker, however often one is cancelled meanwhile."""
        while not self._over.done():
            try:
                await asyncio.shield(self._over)
            except asyncio.CancelledError:
                continue

    def close(self) -> None:
        """Start nothing more; what runs, ends."""
        self._stop_asking()
        self._send_home()

    def _stop_asking(self) -> None:
        """If somebody is asking for permission: it may not be answered, or for nothing."""
        if self._looker is not None and self._looker.claim is not None:
            self._looker.guard.end(Cause.INTERRUPT)

    @abstractmethod
    def hold_back(self) -> None:
        """The workshop is paused: give back what is in hand and has not started."""

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
        if cause is Cause.CANCEL:
            self._remember(event)
        return False

    def holder(self, task: asyncio.Task[Any]) -> Any:
        """The event whose code runs in a task of this crew; None if none does."""
        claims = [worker.claim for worker in tuple(self._workers) if worker.task is task]
        return claims[0][0] if claims and claims[0] is not None else None

    def abandon(self) -> None:
        """Send back what was in hand when the loop was closed; called from another loop."""
        self._closing = True
        self._unlisten()
        for worker in tuple(self._workers):
            self._give_back(worker)
        self._promise(-self._owed)

    def _promise(self, n: int) -> None:
        """Note starts to come; fewer, if ``n`` is below 0, unless they were given up already."""
        n = max(n, -self._owed)
        self._owed += n
        self.shop.promised += n

    def _give_back(self, worker: Worker) -> None:
        """Send back what a worker had whose loop is gone; where a store waits, its lease lapses."""
        claim, worker.claim = worker.claim, None
        if claim is None or worker.left:
            return
        event, attempt = claim[:2]
        worker.left = True  # nothing that its code does later counts
        running = event.execution.status is _PROCESSING
        self.shop.running -= running
        if self.shop.now is not None:
            outcome = after_interruption(event.execution.interruptions) if running else RELEASED
            self.shop.now.settle_now(event, attempt, outcome)

    # -- the work ----------------------------------------------------------------------------

    async def _work(self, worker: Worker) -> None:
        """The life of a worker: find an event, run it, and again."""
        worker.begin()
        self._called = False
        try:
            while not self._closing and not self._is_spent(worker):
                claim = None  # while it waits it keeps no event
                if self._take is not None:
                    claim = await self._stretch(worker)
                if claim is None and not self._is_spent(worker):
                    claim = await self._seek(worker)
                if claim is not None:
                    if self._more and not self._called:
                        self._call()
                    if await self._attempt(worker, claim) > self._turn:
                        await self._give_turn()
        except Exception as error:  # the store's, or ours: users' own have been dealt with
            self.fail(error)
        finally:
            self._leave(worker)

    def _is_spent(self, worker: Worker) -> bool:
        """Whether a worker must not go on: its code is running still, or left its context."""
        return worker.left or worker.context != worker.clean

    async def _give_turn(self) -> None:
        """Let the event loop's other tasks run."""
        await asyncio.sleep(0)
        self._turn = self._now() + SLICE

    async def _stretch(self, worker: Worker) -> Claim | None:
        """Run what can be had at once; return a claim that takes more than that, if there is one.

        Only a crew that has something to ``_take`` can.
        """
        return None

    async def _seek(self, worker: Worker) -> Claim | None:
        """Look for the next event, as the only one of the crew; or rest until called."""
        if self._looker is not None:
            await self._rest()
            self._called = False
            return None
        self._looker = worker
        try:
            return await self._next(worker)
        finally:
            if self._looker is worker:
                self._looker = None

    async def _attempt(self, worker: Worker, claim: Claim) -> float:
        """Run a claimed event's code and settle what came of it; the time when it ended."""
        event: Any
        event, _ = claim
        shop, now, observers = self.shop, self._now, self.shop.observers
        began = now()
        if self._formal:
            self._enter(event, began)
        shop.running += 1
        worker.claim = claim  # first, since who is told may cancel it
        step = observers.active and observers.tell(event, _PENDING, _PROCESSING, now=began)
        own = event.__dict__  # pydantic makes `event.timeout` three times as slow
        own["_began"] = began
        worker.enter(event, claim[1])
        outcome: Outcome | None = None
        response: Any = None
        try:
            apart = type(event) not in self._plain and self._look_at(event)
            inside = step if step and observers.wraps else None
            if shop.holds is not None and not shop.holds(event, claim[1]):
                outcome = RELEASED  # this process was stopped: another may run it, or has
            elif own["timeout"] is None and not (own["streaming"] or apart or inside):
                response = await event._invoke()  # `perform`, a frame shorter
            else:
                explained = partial(self._explain, worker)
                doing = perform(
                    event, worker.guard, explained, shop.threads, apart=apart, share=shop.share
                )
                outcome = await (doing if inside is None else observers.around(inside, doing))
            if worker.guard.cause is not None:
                worker.guard.over()
        except BaseException as error:
            outcome = self._explain(worker, event, error)
        ended = now()
        worker.leave()
        await self._conclude(worker, claim, outcome or Completion(response, 0.0), ended - began)
        return ended

    async def _conclude(
        self, worker: Worker, claim: Claim, outcome: Outcome, duration: float
    ) -> None:
        """Settle what came of an attempt."""
        worker.claim = None
        if worker.left:
            return  # settled already
        if worker.task.cancelling():
            await self._recover(worker)
        outcome.duration = duration
        if isinstance(outcome, Ending) and outcome.tries:
            outcome = self.shop.judged(claim[0], outcome)
        waits = self.shop.now is None
        if waits:  # its slot is free while the store takes its time
            self._free_slot()
        try:
            recorded = await self._settle(claim, outcome)
        finally:
            if not waits:
                self._free_slot()
        event, observers = claim[0], self.shop.observers
        if recorded is not None and (observers.active or recorded.status is not _COMPLETED):
            observers.tell(event, _PROCESSING, recorded.status, recorded)

    def _free_slot(self) -> None:
        self.shop.running -= 1
        self.shop.ring_free()

    async def _recover(self, worker: Worker) -> None:
        """Take the marks of a cancellation off a task, before it touches the store."""
        with suppress(asyncio.CancelledError):  # one that user code asked for
            await asyncio.sleep(0)
        while worker.task.cancelling():
            worker.task.uncancel()

    def _is_dismissed(self) -> bool:
        """Whether whoever runs this crew is being cancelled too, as when a loop shuts down."""
        return self._boss is not None and self._boss.cancelling() > self._cancels

    def _enter(self, event: Event, began: float) -> None:
        """Count a start, and show it where permission was asked first."""
        if self.shop.window is not None:
            self.shop.window.stamp(began)
        if not self._starts:
            self.shop.store.start(event)

    def _explain(self, worker: Worker, event: Event, error: BaseException) -> Ending:
        """What an attempt that ended with an exception means."""
        if isinstance(error, GeneratorExit) and not self._loop.is_running():
            self._give_back(worker)
            raise error  # the coroutine is being closed, with its loop
        cause = worker.guard.over()
        if cause is None and isinstance(error, asyncio.CancelledError) and self._is_dismissed():
            cause = Cause.INTERRUPT
        return explain(event, error, cause)

    def _after_trouble(self, outcome: Outcome) -> None:
        """User code that asks the process to exit ends the crews, not the event loop."""
        if isinstance(outcome.error, KeyboardInterrupt | SystemExit):
            self.fail(outcome.error)

    def fail(self, error: BaseException) -> None:
        """Start nothing more, give what runs its grace time, and have ``run`` raise."""
        if self.fatal is None:
            self.fatal = error
            self.shop.halt()
            self.close()
            self._loop.call_later(self.shop.grace, self.interrupt)

    def _look_at(self, event: Event) -> bool:
        """Whether an event's code runs in a thread; raises what ``request`` does.

        So that it is as where permission is asked. What need not be looked at again is noted.
        """
        kind = type(event)
        apart = runs_in_thread(kind)
        if self.shop.asks or kind.request is Event.request:
            if not apart:
                self._plain.add(kind)
        elif not isinstance(event.request, Mapping):
            raise TypeError(f"request must be a mapping, not {event.request!r}")
        return apart

    def _leave_behind(self, worker: Worker) -> None:
        """Settle the event of a worker whose code ignores its cancellation, and go on without."""
        if worker.claim is None or worker.left:
            return
        claim, worker.left = worker.claim[:2], True
        event: Any = claim[0]
        logger.warning(
            "%r ignored %d cancellations: its code was abandoned in task %s, and its slot is free",
            event,
            INSISTENCE,
            worker.task.get_name(),
        )
        outcome = left_behind(event, worker.guard)
        task = self._loop.create_task(self._settle_left(worker, claim, outcome))
        self._orphans.add(task)  # the loop itself keeps a task only weakly
        task.add_done_callback(self._orphans.discard)

    def _forget(self, worker: Worker) -> None:
        """A worker was left behind, and its event is settled."""

    async def _settle_left(self, worker: Worker, claim: Claim, outcome: Outcome) -> None:
        running = claim[0].execution.status is _PROCESSING
        await self._settle_beside(claim, outcome)
        if running:
            self.shop.running -= 1
            self.shop.ring_free()
        if self._looker is worker:
            self._looker = None
        self._forget(worker)
        self._leave(worker)

    async def _settle_beside(self, claim: Claim, outcome: Outcome) -> None:
        """Settle in a task that nobody awaits: if the store fails, the crew does."""
        try:
            await self._settle_unstarted(claim, outcome)
        except Exception as error:
            self.fail(error)
