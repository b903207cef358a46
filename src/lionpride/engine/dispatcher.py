"""Dispatcher: the loop that claims events, runs them, and records their outcomes."""

from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context
from typing import Any
from weakref import ref

from ..errors import OperationError
from ..model.continuation import Then
from ..model.execution import EventStatus
from ..rules.state_machine import (
    RELEASED,
    Cause,
    Completion,
    Continued,
    Ending,
    Outcome,
    after_error,
    after_interruption,
)
from ..stores.contract import BufferedPath, Claim, Started
from ..stores.listeners import Signal
from .admission import Admission
from .attempt import INSISTENCE, AttemptRunner, Guard, abandoned, explain
from .attempt_context import RUNNING, WORKER, WorkerHandle
from .event import Event
from .observers import Level
from .reporting import REPORT, Reporter
from .runtime import Runtime
from .single_round import SingleRound
from .store_client import StoreClient
from .work_source import (
    BatchingSource,
    CheckedSource,
    ClaimedBatch,
    ImmediateSource,
    WorkSource,
)
from .worker_pool import Worker, WorkerPool
from .wrappers import OpenWrappers

__all__ = ("Dispatcher",)

_PENDING, _PROCESSING = EventStatus.PENDING, EventStatus.PROCESSING
_COMPLETED = EventStatus.COMPLETED
_ALL = int(Level.ALL)  # an enum member is slower to compare

logger = logging.getLogger("lionpride")


class Dispatcher:
    """Runs the events of a store in workers, until it is closed or its round is over.

    Args:
        runtime: What the dispatchers of one processor share.
        is_round: True for one round of the events that are due.
        size: The maximum number of events of a round; None for no maximum.

    Attributes:
        is_round: See above.
        ended: Set when the run is over, and its claims are settled.
        fatal: The error that ``run`` raises.
    """

    def __init__(
        self, runtime: Runtime, *, is_round: bool = False, size: int | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.is_round = is_round
        self.ended = asyncio.Event()
        self.fatal: BaseException | None = None
        self._runtime = runtime
        self._caller = asyncio.current_task()
        self._cancels = 0 if self._caller is None else self._caller.cancelling()
        self._abandoning: set[asyncio.Task[None]] = set()
        self._runner = AttemptRunner(
            runtime.threads,
            publish=runtime.publish,
            holds=runtime.holds,
            checks_request=not runtime.checks_permission,
        )
        context = copy_context()
        context.run(WORKER.set, WorkerHandle(runtime.mark, loop, runtime.executor))
        context.run(RUNNING.set, None)  # the caller may be the code of another event
        context.run(REPORT.set, Reporter(runtime, loop))
        # If claims take time, one more worker claims while all slots are in use.
        has_spare_worker = not is_round and runtime.immediate is None
        size_of_pool = runtime.concurrency + has_spare_worker
        self._pool = pool = WorkerPool(size_of_pool, self._work, self._abandon, context)
        self._client = StoreClient(runtime, self.fail)
        self._admission = Admission(
            runtime, pool, self._client, explain=self._explain, respects_rate=not is_round
        )
        store = runtime.store
        self._complete: Any = None
        if runtime.immediate is not None:
            self._complete = runtime.immediate.complete_now
        elif isinstance(store, BufferedPath) and not is_round:
            self._complete = store.complete_soon
        self._batch = ClaimedBatch(runtime, pool, self._admission, self._client)
        self._source = self._make_source(size)

    def _make_source(self, size: int | None) -> WorkSource:
        runtime, parts = self._runtime, (self._pool, self._admission, self._client)
        if self.is_round:
            return SingleRound(runtime, *parts, size)
        if runtime.checks_permission:
            return CheckedSource(runtime, *parts)
        if runtime.immediate is not None:
            return ImmediateSource(runtime, runtime.immediate, *parts)
        return BatchingSource(runtime, *parts, self._batch)

    # -- from outside ------------------------------------------------------------------------

    @property
    def closing(self) -> bool:
        """True if no event is started any more."""
        return self._pool.closing

    @property
    def is_lost(self) -> bool:
        """True if the event loop was closed before the run was over."""
        return self._pool.is_lost

    async def run(self) -> None:
        """Run events until there are no more, or until ``close``.

        If the call is cancelled, running events are interrupted and return to pending.

        Raises:
            KeyboardInterrupt, SystemExit: if user code raised it, once all other events have ended.
            StoreError: if the store has failed.
        """
        unsubscribe = self._runtime.store.subscribe(Signal.FAILED, self.fail)
        try:
            await self._source.begin()
            self._pool.wake_one()
            await asyncio.shield(self._pool.over)
        except asyncio.CancelledError:
            self.interrupt()
            await self._wait_until_over()
            raise
        finally:
            unsubscribe()
            await self._finish()
        if self.fatal is not None:
            raise self.fatal

    async def _wait_until_over(self) -> None:
        """Wait for the last worker, however often the caller is cancelled meanwhile."""
        while not self._pool.over.done():
            try:
                await asyncio.shield(self._pool.over)
            except asyncio.CancelledError:
                continue

    async def _finish(self) -> None:
        """Wait until claims that did not start, and completions, are recorded."""
        self._source.close()
        self._batch.release()
        self._admission.give_back_all()
        store = self._runtime.store
        if self._pool.loop.is_running():
            await self._client.close()
            if isinstance(store, BufferedPath):
                await store.settled()

    def close(self) -> None:
        """Start no more events; running events continue."""
        self._admission.stop_check()
        self._pool.close()
        self._batch.release()

    def hold_back(self) -> None:
        """Return claims that have not started, since the processor is paused; end a round."""
        self._admission.hold_back()
        self._batch.release()
        if self.is_round:
            self._pool.close()

    def interrupt(self) -> None:
        """Start no more events, and return running ones to pending."""
        self.close()
        for worker in tuple(self._pool.workers):
            if worker.claim is not None:
                worker.guard.end(Cause.INTERRUPT)

    def end(self, event: Event, cause: Cause) -> bool:
        """End the attempt of an event; return False if this dispatcher has not claimed it."""
        for worker in self._pool.workers:
            if worker.claim is not None and worker.claim[0] is event:
                worker.guard.end(cause)
                return True
        if self._batch.withdraw(event, cause):
            return True
        if cause is Cause.CANCEL:
            self._client.cancel(event)
        return self._admission.cancel(event)

    def fail(self, error: BaseException) -> None:
        """Start no more events, give running ones their grace time, and have ``run`` raise."""
        if self.fatal is None:
            self.fatal = error
            self._runtime.halt()
            self.close()
            self._pool.loop.call_later(self._runtime.grace, self.interrupt)

    def holder(self, task: asyncio.Task[Any]) -> Event | None:
        """Return the event whose code runs in a task; None if there is none."""
        return self._pool.holder(task)

    def when_woken(self, callback: Any) -> bool:
        """See ``WorkerPool.when_woken``."""
        return self._pool.when_woken(callback)

    def abandon(self) -> None:
        """Return the claims of a run whose event loop was closed; called from another loop."""
        self._pool.closing = True
        self._source.close()
        self._batch.release()
        for worker in tuple(self._pool.workers):
            self._give_back(worker)
        self._admission.give_back_all()

    # -- the loop ----------------------------------------------------------------------------

    async def _work(self, worker: Worker) -> None:  # noqa: C901, PLR0912, PLR0915 - the loop
        """Run one event after another."""
        pool, source, runtime, guard = self._pool, self._source, self._runtime, worker.guard
        window, observers = runtime.window, runtime.observers
        now, start, complete = pool.now, self._runner.start, self._complete
        event: Any
        wrappers: OpenWrappers | None = None
        worker.begin()
        pool.may_wake = True
        time = now()
        try:
            while not (pool.closing or worker.is_spent or worker.context != worker.clean):
                claim = source.take()
                if claim is None:
                    claim = await self._next(worker)
                    time = now()
                    if claim is None:
                        continue
                if pool.may_wake and source.has_more:
                    pool.wake_one()  # in case this event waits
                event, attempt, own = claim
                own["_began"] = began = time  # an event begins when the one before it has ended
                if window is not None or own["_status"] == "pending":
                    self._show_start(event, own)
                runtime.running += 1
                worker.claim = claim  # before the notification: an observer may cancel the event
                if observers.level and (
                    began >= observers.next or "_picked" in own or observers.asks or not complete
                ):
                    wrappers = self._notify_start(event, own, began)
                RUNNING.set((ref(event), attempt))
                worker.clean = worker.context.copy()  # equal at once, until the code changes one
                ending = response = None
                try:
                    response = await start(event, own, attempt, guard)
                    if guard.is_used:
                        guard.over()
                except BaseException as error:
                    ending = self._explain(event, error, guard)
                time = now()
                is_plain = ending is None and wrappers is None and observers.level < _ALL
                is_plain = is_plain and type(response) is not Then
                if is_plain and complete and not (worker.is_abandoned or worker.cancelling()):
                    worker.claim = None
                    complete(event, attempt, response, time - began)
                    if observers.counts:
                        observers.quick[type(event)] += 1
                    runtime.running -= 1
                    if runtime.on_free:
                        self._notify_free()
                else:
                    outcome = ending or self._completion(event, response)
                    await self._settle(worker, claim, outcome, time - began, wrappers)
                    time = now()
                    del outcome
                wrappers = None
                del claim, event, own, ending, response  # a worker that waits keeps no event
                if time > pool.turn_ends:
                    await pool.give_turn()
                    time = now()
        except GeneratorExit:  # the task is destroyed, together with its event loop
            self._give_back(worker, wrappers)
            raise
        except Exception as error:  # of the store: user code has been dealt with
            self.fail(error)
        finally:
            pool.leave(worker)

    async def _next(self, worker: Worker) -> Started | None:
        """Wait for the next event as the claimer; if there is one, wait until woken."""
        pool = self._pool
        worker.clear_current()
        if pool.claimer is not None:
            await pool.idle()
            return None
        pool.claimer = worker
        try:
            return await self._source.next(worker)
        finally:
            if pool.claimer is worker:
                pool.claimer = None

    def _show_start(self, event: Event, own: dict[str, Any]) -> None:
        """Count a start for the rate limit; show the event as PROCESSING, if its claim did not."""
        if self._runtime.window is not None:
            self._runtime.window.stamp(self._pool.now())
        if own["_status"] == "pending":
            self._runtime.store.start(event)

    def _notify_start(self, event: Event, own: dict[str, Any], now: float) -> OpenWrappers | None:
        """Notify observers of a start, and enter the wrappers of the attempt.

        Light observers see a sample of the attempts, and those that do not complete. The others are
        counted.

        Returns:
            The wrappers, to be left at the end; None if no observer sees this attempt.
        """
        observers = self._runtime.observers
        if (
            observers.level >= _ALL
            or "_picked" in own
            or now >= observers.next
            or self._complete is None
            or (observers.asks and observers.picks(event))
        ):
            step = observers.notify(event, _PENDING, _PROCESSING, now=now)
            assert step is not None, "a start is always returned"
            return observers.enter_attempt(step)
        return None

    async def _settle(
        self,
        worker: Worker,
        claim: Started,
        outcome: Outcome,
        duration: float,
        wrappers: OpenWrappers | None,
    ) -> None:
        """Record the outcome of an attempt, and notify the observers."""
        worker.claim = None
        if wrappers is not None:
            error = outcome.error
            wrappers.leave(error if isinstance(error, BaseException) else None)
        if worker.is_abandoned:
            return  # the event has been settled
        event, runtime, observers = claim[0], self._runtime, self._runtime.observers
        worker.clear_current()
        if worker.cancelling():
            await worker.recover()
        if outcome is not RELEASED:
            outcome.duration = duration
        if isinstance(outcome, Ending) and outcome.tries:
            outcome = runtime.retry_or_fail(event, outcome)
        waits = runtime.immediate is None
        if waits:  # the slot is free while the store takes its time
            self._free_slot()
        try:
            recorded = await self._client.settle(claim[:2], outcome)
        finally:
            if not waits:
                self._free_slot()
        if recorded is not None and (observers.level or recorded.status is not _COMPLETED):
            observers.notify(event, _PROCESSING, recorded.status, recorded)
        if isinstance(recorded, Continued) and observers.level:
            for appended, _ in recorded.entries:
                observers.notify(appended, None, _PENDING)

    def _completion(self, event: Event, response: Any) -> Outcome:
        """Return the outcome of an attempt that has returned a response."""
        if type(response) is not Then:
            return Completion(response, 0.0)
        try:
            if self._runtime.continue_with is None:
                raise OperationError(
                    f"{event!r} returned {response!r}, and there is no executor that can append "
                    "its continuation: append the event to an executor"
                )
            return self._runtime.continue_with(response)
        except Exception as error:
            return after_error(event, error, None, cancelled=False)

    def _free_slot(self) -> None:
        self._runtime.running -= 1
        self._notify_free()

    def _notify_free(self) -> None:
        """Notify of a free slot; if another dispatcher waits for it, give that one a turn."""
        if self._runtime.on_free and self._pool.claimer is None:
            self._pool.turn_ends = 0.0
        self._runtime.notify_free()

    def _explain(self, event: Event, error: BaseException, guard: Guard) -> Ending:
        """Return the outcome of user code that ended with an exception."""
        if isinstance(error, GeneratorExit) and not self._pool.loop.is_running():
            raise error
        return explain(event, error, guard, interrupted=self._is_cancelled())

    def _is_cancelled(self) -> bool:
        """Return True if the caller of ``run`` is being cancelled, too: the loop shuts down."""
        return self._caller is not None and self._caller.cancelling() > self._cancels

    # -- code that does not end --------------------------------------------------------------

    def _abandon(self, worker: Worker) -> None:
        """Settle the event of a worker whose code ignores its cancellation, and replace it."""
        if worker.claim is None or worker.is_abandoned:
            return
        event: Any
        event, attempt = worker.claim[:2]
        worker.is_abandoned = worker.is_spent = True
        logger.warning(
            "%r ignored %d cancellations: its code was abandoned in task %s, and its slot is free",
            event,
            INSISTENCE,
            worker.task.get_name(),
        )
        outcome = abandoned(event, worker.guard)
        task = self._pool.loop.create_task(
            self._settle_abandoned(worker, (event, attempt), outcome)
        )
        self._abandoning.add(task)  # the event loop itself keeps a task only weakly
        task.add_done_callback(self._abandoning.discard)

    async def _settle_abandoned(self, worker: Worker, claim: Claim, outcome: Outcome) -> None:
        is_running = claim[0].execution.status is _PROCESSING
        try:
            await self._client.settle_unstarted(claim, outcome)
        except Exception as error:
            self.fail(error)
        if is_running:
            self._runtime.free_slot()
        if self._pool.claimer is worker:
            self._pool.claimer = None
        self._admission.forget(worker)
        self._pool.leave(worker)

    def _give_back(self, worker: Worker, wrappers: OpenWrappers | None = None) -> None:
        """Return the claim of a worker whose event loop is gone; in other stores it lapses."""
        if wrappers is not None:
            wrappers.leave(None)
        claim, worker.claim = worker.claim, None
        if claim is None or worker.is_abandoned:
            return
        event, attempt = claim[:2]
        worker.is_abandoned = worker.is_spent = True  # no result of its code counts any more
        is_running = event.execution.status is _PROCESSING
        self._runtime.running -= is_running
        store = self._runtime.immediate
        if store is not None:
            interruptions = event.execution.interruptions
            outcome = after_interruption(interruptions) if is_running else RELEASED
            store.settle_now(event, attempt, outcome)
