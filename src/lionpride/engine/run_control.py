"""Run control: creates the processor of an executor, and starts, pauses, drains and stops it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..errors import OperationError, StoreError, ValidationError
from ..model.execution import EventStatus
from ..model.serialization.codec import safe_repr
from ..rules.limits.fleet import fleet_limits
from ..rules.limits.limit_set import Limits
from ..stores.contract import Store, is_paused
from .bound_loop import BoundLoop
from .config import arguments, seconds
from .declared_schedules import declared_schedules, store_declarations
from .event import Event
from .lifespan import Factory, Lifespan, Opening
from .observers import Observers
from .processor import CONCURRENCY, REFRESH, Processor
from .schedule_firing import ScheduleFiring
from .schedule_timer import ScheduleTimer
from .submission import Submission

if TYPE_CHECKING:
    from ..rules.explain import Near
    from ..rules.queue_position import Standing

__all__ = ("RunControl", "Scope")

Scope: TypeAlias = Literal["executor", "queue"]
"""What a pause applies to: one executor, or every worker of the queue."""

Call: TypeAlias = Callable[[], Awaitable[None]]
"""``start`` or ``stop`` of an executor, which a subclass may override."""

_LONGEST = 366 * 86400.0

logger = logging.getLogger("lionpride")


class RunControl:
    """Runs the events of an executor by a processor, which it creates at the first start.

    Args:
        store: The store of the events.
        observers: The observers of the store.
        submission: Accepts events while the executor does not drain.
        loop: The event loop of the executor.
        processor_type: The class of the processor.
        config: Settings for the processor's ``__init__``.
        limits: Limits on costs by this config.
        grace: Seconds that running events have to finish when ``async with`` is left.
        owns_store: True to close the store then.
        lifespan: Returns the async context manager of the executor's resources; None for none.
        executor: Returns the executor, while it exists, for the processor and the lifespan.
        event_types: The classes whose schedules are declared at the first start.

    Attributes:
        processor: The processor; None before the first start.
        limits: The limits on costs.
        owns_store: See above.
    """

    def __init__(
        self,
        store: Store,
        observers: Observers,
        submission: Submission,
        loop: BoundLoop,
        *,
        processor_type: type[Processor],
        config: Mapping[str, Any],
        limits: Limits,
        grace: float,
        owns_store: bool,
        lifespan: Factory | None,
        executor: Callable[[], Any],
        event_types: Iterable[type[Event]],
    ) -> None:
        self._declared = declared_schedules(event_types)
        self._timer = ScheduleTimer(
            store, ScheduleFiring(store, lambda: submission.max_pending), self._declared
        )
        self._store = store
        self._observers = observers
        self._submission = submission
        self._loop = loop
        self._processor_type = processor_type
        self._config = config
        self._grace = grace
        self._executor = executor
        self._lifespan = None if lifespan is None else Lifespan(lambda: lifespan(executor()))
        self._background: BackgroundRun | None = None
        self._opening: Opening | None = None  # of `async with`
        self._is_entered = False
        self._drains = 0  # calls of drain() under way
        self._opens_after_drain = False
        self.processor: Processor | None = None
        self.limits = limits
        self.owns_store = owns_store

    # -- start and stop ----------------------------------------------------------------------

    async def start(self) -> None:
        """Create the processor, if there is none, and allow it to run; see ``Executor.start``."""
        self._loop.bind()
        if self.processor is None:
            given = {"pile": self._store.states.items, "executor": self._executor()}
            kind = self._processor_type
            processor = kind(**arguments(kind, self._config, given))
            processor.attach(
                self._store,
                self._observers,
                self._grace,
                self._executor,
                self._lifespan,
                self._submission.continue_with,
                self._timer,
            )
            self.limits = processor.limits_by_name
            self._submission.configure(self.limits, processor.max_queue_size)
            if self._declared:
                await store_declarations(self._store, self._declared)
            self.processor = processor
        self._submission.open()
        await self.processor.start()

    async def stop(self) -> None:
        """Start no more events; see ``Executor.stop``."""
        if self.processor is not None:
            await self.processor.stop()

    async def _started(self, start: Call) -> Processor:
        """Return the processor; start the executor if there is none yet."""
        if self.processor is None:
            await start()
        assert self.processor is not None, "start() creates it"
        return self.processor

    async def forward(self, start: Call) -> None:
        """Run one round of the due events; see ``Executor.forward``."""
        await (await self._started(start)).process()

    async def execute(self) -> None:
        """Run events until ``stop``; see ``Executor.execute``."""
        if self.processor is None:  # it is not started here: a stop() before this would be lost
            raise OperationError(
                f"{self._store.states.name!r} was not started, so it has no processor yet: await "
                "executor.start() before execute(), or use `async with executor:`"
            )
        await self.processor.execute()

    async def join(self, start: Call) -> None:
        """Wait until no event is pending or running; see ``Executor.join``."""
        await (await self._started(start)).join()

    # -- pause and drain ---------------------------------------------------------------------

    async def pause(self, scope: Scope, start: Call, by: str | None) -> None:
        """Start no more events until ``resume``; see ``Executor.pause``."""
        if _is_of_queue(scope):
            await self._store.pause(by=by)
            return
        _check_unnamed(by)
        await (await self._started(start)).pause()

    async def resume(self, scope: Scope, start: Call, by: str | None) -> None:
        """Start events again after a pause of this scope; see ``Executor.resume``."""
        if _is_of_queue(scope):
            if await is_paused(self._store):
                await self._store.pause(0.0, by=by)
            return
        _check_unnamed(by)
        await (await self._started(start)).resume()

    async def drain(self, limit: float | None, start: Call, stop: Call) -> int:
        """Refuse new events, finish the accepted ones, and stop; see ``Executor.drain``."""
        if limit is not None:
            low, high = "It must be >= 0 s.", "It must be <= 366 days; None waits for ever."
            seconds("timeout", limit, 0.0, _LONGEST, low, high)
        processor = await self._started(start)
        if processor.paused:
            raise OperationError("the executor is paused: call resume() before drain()")
        if not self._drains:
            self._opens_after_drain = self._submission.is_open
        self._drains += 1
        self._submission.close(is_exempt=processor.is_inside)
        timeout = asyncio.timeout(limit)
        try:
            async with timeout:
                await processor.join()
        except BaseException as error:
            if not (isinstance(error, TimeoutError) and timeout.expired()):
                self._drains -= 1
                if self._opens_after_drain and not self._drains:
                    self._submission.open()
                raise
        self._drains -= 1
        self._opens_after_drain = False
        await stop()
        if timeout.expired():
            await processor.interrupt()
        counts = await self._store.counts()
        return counts[EventStatus.PENDING] + counts[EventStatus.PROCESSING]

    # -- queries -----------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """True if this executor is paused."""
        return self.processor is not None and self.processor.paused

    def is_working(self) -> bool:
        """Return True while the processor runs."""
        return self.processor is not None and self.processor.working

    def slots(self) -> int:
        """Return the number of events that may run at once."""
        if self.processor is not None:
            return self.processor.concurrency_limit
        return int(self._config.get("concurrency_limit", CONCURRENCY))

    def claims_under(self) -> Limits | None:
        """Return the limits that its claims respect, those of a fleet included; None for none."""
        if self.processor is not None:
            return self.processor.claims_under
        config, limits = self._config, list(self.limits.values())
        if config.get("scope") == "fleet":
            limits += fleet_limits(
                self._store.queue,
                config.get("queue_capacity"),
                config.get("capacity_refresh_time", REFRESH),
                config.get("concurrency_limit", CONCURRENCY),
            )
        return Limits(limits) or None

    def near(self, standing: Standing) -> Near | None:
        """Return what only the worker of this process knows about an event's turn, if anything."""
        return None if self.processor is None else self.processor.near(standing)

    # -- async with --------------------------------------------------------------------------

    async def enter(self, start: Call) -> None:
        """Start the executor, and run events in the background; see ``Executor.__aenter__``."""
        if self._is_entered:
            raise OperationError("the executor runs already: enter `async with` once at a time")
        self._is_entered = True
        try:
            await start()
            assert self.processor is not None, "start() creates it"
            if self._lifespan is not None:
                self._opening = await self._lifespan.enter(_ignore)
            self._background = BackgroundRun(self.processor)
            await asyncio.sleep(0)  # the worker has begun when this returns
        except BaseException:  # `__aexit__` is never called then
            try:
                await self._end_run(grace=0.0)
            finally:
                await self._close_store()
            raise

    async def leave(self, error: BaseException | None) -> None:
        """End the run, and close the store; see ``Executor.__aexit__``.

        Args:
            error: The error that the block raised.
        """
        try:
            background = await self._end_run(self._grace)
        finally:
            try:
                await self._log_pending(is_error=error is not None)
            finally:
                await self._close_store()
        assert background is not None, "enter() sets it"
        background.raise_failure(error)

    async def _close_store(self) -> None:
        """Close the store, if the executor has opened it."""
        if self.owns_store:
            await self._store.close()

    async def _end_run(self, grace: float) -> BackgroundRun | None:
        """End the run of `async with`, if it has begun, and leave the lifespan."""
        background, self._background = self._background, None
        opening, self._opening = self._opening, None
        self._is_entered = False
        try:
            if background is not None:
                await background.stop(grace)
        finally:
            if opening is not None:
                await opening.leave(_ignore)
        return background

    async def _log_pending(self, *, is_error: bool) -> None:
        """Log how many events are left pending, and the classes that this executor cannot run."""
        name, types = self._store.states.name, self._store.event_types
        with suppress(StoreError, OperationError):  # the store is closed next, whatever it raises
            if left := (await self._store.counts())[EventStatus.PENDING]:
                what, are = ("1 event", "is") if left == 1 else (f"{left:,} events", "are")
                if not is_error and not self._store.is_shared and self.owns_store:
                    logger.warning(
                        "%r: %s %s left pending, in memory only: await join() before the "
                        "end of `async with` to run them",
                        *(name, what, are),
                    )
                else:
                    logger.info("%r: %s %s left pending", name, what, are)
        if kinds := sorted(types.missing):
            logger.warning(
                "%r: events are left pending since this executor does not run %s: import "
                "the module that defines them, and name them in Executor.of(...); or start "
                "a worker that runs them",
                *(name, ", ".join(kinds)),
            )
        for one in types.unreadable():
            logger.warning(
                "%r: events of %s may be left pending since this process cannot read them, such "
                "as %s (%s): start a worker of the release that appended them",
                *(name, one.kind, one.example, one.reason),
            )


class BackgroundRun:
    """A run of a processor beside the block of ``async with``.

    If the run fails, or an event has asked this process to exit, the task of the block is
    cancelled, as ``asyncio.TaskGroup`` does: the block may wait for a result that will not come.

    Args:
        processor: The processor, which was started.
    """

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._owner = asyncio.current_task()
        self._in_block = True
        self._cancelled_block = False
        self._task = asyncio.create_task(self._run(), name="lionpride-executor")
        self._task.add_done_callback(self._ended)

    async def _run(self) -> BaseException | None:
        """Run until stopped; return an error that would end the event loop, instead of raising."""
        try:
            await self._processor.execute()
        except (KeyboardInterrupt, SystemExit) as error:
            return error
        return None

    def _ended(self, task: asyncio.Task[BaseException | None]) -> None:
        if self._in_block and self._owner is not None and self._failure() is not None:
            self._cancelled_block = True
            self._owner.cancel()

    def _failure(self) -> BaseException | None:
        """Return the error of the run; None if it was stopped, or cancelled."""
        task = self._task
        if not task.done() or task.cancelled():
            return None
        return task.exception() or task.result()

    async def stop(self, grace: float) -> None:
        """Stop, let running events finish, and return the rest to pending.

        Args:
            grace: Seconds that running events have.
        """
        self._in_block = False
        if self._cancelled_block and self._owner is not None:
            self._owner.uncancel()
        try:
            await self._processor.stop()
            await asyncio.wait([self._task], timeout=grace)
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])

    def raise_failure(self, error: BaseException | None) -> None:
        """Raise the error of the run, unless the block raised an error of its own.

        Args:
            error: The error that the block raised.
        """
        failure = self._failure()
        if failure is None:
            return
        if error is None or self._cancelled_block or not isinstance(failure, Exception):
            raise failure  # it comes first: it is the cause of the block's error
        logger.error("the run has failed: %s", failure, exc_info=failure)


def _check_unnamed(by: object) -> None:
    """Refuse a name with the scope "executor".

    Raises:
        ValidationError: if there is one.
    """
    if by is not None:
        raise ValidationError(
            f"by={safe_repr(by)} needs scope='queue': a pause of this executor alone is not "
            "stored, and has no record"
        )


def _is_of_queue(scope: object) -> bool:
    """Return True for the scope "queue", False for "executor".

    Raises:
        ValidationError: for anything else.
    """
    if scope not in ("executor", "queue"):
        raise ValidationError(
            f"scope must be 'executor' or 'queue', got {safe_repr(scope)}: 'executor' is this "
            "executor alone, 'queue' every worker of its queue in every process"
        )
    return scope == "queue"


def _ignore(_: BaseException) -> None:
    """Do nothing when the lifespan ends: the worker fails then, and ends the block."""
