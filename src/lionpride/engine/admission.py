"""Admission: whether a claimed event may start, by slots, rate limit and ``request_permission``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from ..model.event_data import EventData
from ..model.execution import EventStatus
from ..rules.state_machine import (
    RELEASED,
    Cause,
    Defer,
    Ending,
    Outcome,
    after_denial,
    after_expiry,
    cancelled_while_waiting,
)
from ..stores.contract import Started
from .attempt import Guard
from .batch_end import BatchEnd
from .event import Event
from .runtime import Runtime
from .store_client import StoreClient
from .worker_pool import Worker, WorkerPool

__all__ = ("Admission",)

Explain: TypeAlias = Callable[[Event, BaseException, Guard], Ending]


class Candidate:
    """A claimed event that is being admitted, and what has happened to it meanwhile."""

    __slots__ = ("event", "is_cancelled", "is_held_back", "worker")

    def __init__(self, event: EventData, worker: Worker) -> None:
        self.event = event
        self.worker = worker
        self.is_cancelled = False
        self.is_held_back = False


class Admission:
    """Admits the events of one dispatcher.

    Its coroutines run in the claimer, so at most one event of a dispatcher is being admitted.

    Args:
        runtime: The slots, the rate limit and the admission check of the processor.
        pool: The workers of the dispatcher.
        client: Settles an event that is not admitted.
        explain: Returns the outcome of an admission check that raised an exception.
        respects_rate: False for a round, whose starts count but do not wait for the rate limit.
    """

    def __init__(
        self,
        runtime: Runtime,
        pool: WorkerPool,
        client: StoreClient,
        *,
        explain: Explain,
        respects_rate: bool,
    ) -> None:
        self._runtime = runtime
        self._pool = pool
        self._client = client
        self._explain = explain
        self._now = pool.now
        self._window = runtime.window if respects_rate else None
        self._candidate: Candidate | None = None
        self._reserved = 0  # of the runtime's reserved slots, those of this dispatcher

    # -- slots and rate ----------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True if an event may start now."""
        runtime = self._runtime
        return runtime.running + runtime.reserved < runtime.slots and (
            self._window is None or not self._window.wait(self._now())
        )

    def free_starts(self) -> int:
        """Return the number of events that may start now."""
        runtime = self._runtime
        free = runtime.slots - runtime.running - runtime.reserved
        if free > 0 and self._window is not None:
            free = min(free, self._window.free(self._now()) - runtime.reserved)
        return max(0, free)

    def reserve(self, n: int) -> None:
        """Reserve slots for claims under way; give them back, if ``n`` is negative."""
        n = max(n, -self._reserved)  # they were given back already, if the loop was closed
        self._reserved += n
        self._runtime.reserved += n

    def give_back(self, n: int) -> None:
        """Give reserved slots back that no event of this dispatcher will use."""
        self.reserve(-n)
        if n:
            self._runtime.notify_free()

    def give_back_all(self) -> None:
        """Give all reserved slots back."""
        self.reserve(-self._reserved)

    async def wait_for_slot(self) -> None:
        """Wait until a slot is free, or the dispatcher closes."""
        runtime = self._runtime
        while runtime.running + runtime.reserved >= runtime.slots and self._may_wait():
            await self._sleep_until_free()

    async def wait(self) -> None:
        """Wait until an event may start, or the dispatcher closes."""
        while self._may_wait():
            await self.wait_for_slot()
            if self._window is None or not (seconds := self._window.wait(self._now())):
                return
            await self._pool.sleep(seconds)

    async def wait_for_starts(self) -> int:
        """Wait until events may start; return their number, 0 if the dispatcher closes."""
        runtime, window = self._runtime, self._window
        while self._may_wait():
            if free := self.free_starts():
                return free
            runtime.when_free(self._pool.wake_claimer)  # also if a reservation is given back
            seconds = None
            if window is not None and runtime.running + runtime.reserved < runtime.slots:
                now = self._now()  # all starts that the window allows now are reserved
                seconds = max(window.when(runtime.reserved + 1, now) - now, 1e-9)
            await self._pool.sleep(seconds)
        return 0

    async def _sleep_until_free(self) -> None:
        self._runtime.when_free(self._pool.wake_claimer)
        await self._pool.sleep(None)

    def _may_wait(self) -> bool:
        """Return True if the claimer may go on waiting."""
        candidate = self._candidate
        return not (
            self._pool.closing
            or (candidate is not None and (candidate.is_cancelled or candidate.is_held_back))
        )

    # -- one event ---------------------------------------------------------------------------

    async def admit(self, worker: Worker, claim: Started) -> Outcome | None:
        """Check whether a claimed event may start, and wait until it may.

        Returns:
            None if it may start now. Otherwise the event has been settled with this outcome.
        """
        candidate = self._candidate = Candidate(claim[0], worker)
        try:
            outcome = RELEASED if self._runtime.paused else await self._check(worker, claim)
            if candidate.is_cancelled and outcome is not None and outcome.status == "pending":
                outcome = cancelled_while_waiting()  # a cancel comes before a release or a denial
        except asyncio.CancelledError:
            await self._client.settle_unstarted(claim[:2], RELEASED)
            raise
        finally:
            if self._candidate is candidate:  # it is not, if the worker was abandoned long ago
                self._candidate = None
        if worker.is_abandoned:
            return RELEASED  # the event was settled then
        if outcome is not None:
            self.slot_is_unused()
            await self._client.settle_unstarted(claim[:2], outcome)
        return outcome

    async def _check(self, worker: Worker, claim: Started) -> Outcome | None:
        outcome = None
        candidate = self._candidate
        assert candidate is not None, "it is set by `admit`"
        if self._runtime.checks_permission and not isinstance(claim[0], BatchEnd):
            while self._runtime.asker is not None and self._may_wait():
                await self._sleep_until_free()
            if self._may_wait():
                outcome = await self._ask(worker, claim)
        if outcome is None and not worker.is_abandoned:
            await self.wait()
        if outcome is None and not self._may_wait():
            outcome = cancelled_while_waiting() if candidate.is_cancelled else RELEASED
        return outcome or self._expiry(claim)

    async def _ask(self, worker: Worker, claim: Started) -> Outcome | None:
        """Call ``request_permission``; return None, or the outcome of an event that is refused."""
        event: Any = claim[0]
        runtime, guard = self._runtime, worker.guard
        runtime.asker, worker.claim = worker, claim
        try:
            if event.timeout is not None:
                guard.limit(event.timeout)
            granted = await runtime.ask(event)
        except BaseException as error:
            if not self._pool.loop.is_running():
                raise  # this coroutine is being closed, together with its event loop
            is_interrupted = guard.cause is Cause.INTERRUPT
            outcome = self._explain(event, error, guard)
            return RELEASED if is_interrupted else outcome
        finally:
            if self._pool.loop.is_running():
                worker.claim = None
                worker.is_spent |= worker.context != worker.clean
                if worker.cancelling() and not worker.is_abandoned:
                    await worker.recover()
            self._end_check(worker)
        guard.over()
        if isinstance(granted, Defer):
            return Ending(EventStatus.PENDING, delay=granted.seconds)
        return None if granted else after_denial(event.execution.denials, runtime.backoff)

    def _end_check(self, worker: Worker) -> None:
        """Let the next event be checked, of any dispatcher of the processor."""
        if self._runtime.asker is worker:
            self._runtime.asker = None
            self._runtime.notify_free()

    def _expiry(self, claim: Started) -> Ending | None:
        """Return the outcome of an event whose time to start is over; None if it is not."""
        state = claim[0].execution
        if state.expires is None or self._runtime.store.time() < state.expires:
            return None
        return after_expiry(state)

    def slot_is_unused(self) -> None:
        """Notify others of the slot of a claim that does not start.

        A store in memory claims without suspending, so no worker has seen the reservation.
        """
        if self._runtime.immediate is None:
            self._runtime.notify_free()

    # -- from outside ------------------------------------------------------------------------

    def cancel(self, event: Event) -> bool:
        """Cancel the event that is being admitted; return False if it is another one."""
        if self._candidate is None or self._candidate.event is not event:
            return False
        self._candidate.is_cancelled = True
        self._pool.wake_claimer()
        return True

    def hold_back(self) -> None:
        """Release the event that is being admitted, since the processor is paused."""
        if self._candidate is not None:
            self._candidate.is_held_back = True
            self.stop_check()
            self._pool.wake_claimer()

    def stop_check(self) -> None:
        """End an admission check that is under way: it may take for ever."""
        claimer = self._pool.claimer
        if claimer is not None and claimer.claim is not None:
            claimer.guard.end(Cause.INTERRUPT)

    def forget(self, worker: Worker) -> None:
        """End the admission of an abandoned worker, whose event was settled."""
        if self._candidate is not None and self._candidate.worker is worker:
            self._candidate = None
        self._end_check(worker)
