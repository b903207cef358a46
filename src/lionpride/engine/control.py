"""Run control of an executor: start and stop, pause and drain, and ``async with``."""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from abc import abstractmethod
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, TypeAlias, TypeVar

from ..errors import OperationError, StoreError, ValidationError
from ..model.execution import EventStatus
from ..model.serialization.codec import safe_repr
from ..rules.fleet import fleet_limits
from ..rules.metering import Limits
from ..stores.contract import Store, is_paused
from .background import Background
from .config import arguments, seconds
from .intake import Intake
from .lifespan import Factory, Lifespan, Opening
from .processor import CONCURRENCY, REFRESH, Processor

__all__ = ("Control",)

T = TypeVar("T")

Scope: TypeAlias = Literal["executor", "queue"]
"""What a pause holds for: one executor, or every worker of the queue."""

_LONGEST = 366 * 86400.0

logger = logging.getLogger("lionpride")


class Control(Intake):
    """The part of an Executor that starts, pauses and stops its worker.

    Args:
        store: The store of the events.
        config: Settings for the processor's ``__init__``.
        grace: Seconds that running events have to finish when ``async with`` is left.
        owns_store: True to close the store then.
        lifespan: Returns the async context manager of the executor's resources; None for none.
    """

    processor_type: ClassVar[type[Processor]]

    def __init__(
        self,
        store: Store,
        config: Mapping[str, Any],
        *,
        grace: float,
        owns_store: bool,
        lifespan: Factory | None,
    ) -> None:
        super().__init__(store)
        self.processor_config = config
        self._grace = grace
        self._owns_store = owns_store
        self._room = config.get("max_queue_size")
        self._background: Background | None = None
        self._opening: Opening | None = None  # of `async with`
        self._is_entered = False
        self._lifespan: Lifespan | None = None
        if lifespan is not None:
            executor = weakref.ref(self)
            self._lifespan = Lifespan(lambda: lifespan(executor()))

    @abstractmethod
    def _open_door(self) -> None:
        """Accept events."""

    @abstractmethod
    def _close_door(self) -> None:
        """Refuse events, except those that running events append."""

    async def start(self) -> None:
        """Create the processor, if there is none, and allow it to run. No event is started yet."""
        self._loop = asyncio.get_running_loop()
        if self.processor is None:
            given = {"pile": self.states.items, "executor": self}
            kind = self.processor_type
            processor = kind(**arguments(kind, self.processor_config, given))
            executor = weakref.ref(self)
            processor.attach(self._store, self._observers, self._grace, executor, self._lifespan)
            self._room = processor.max_queue_size
            self._limits = processor.limits_by_name
            self._usual_type = None if self._limits else self._event_type
            self.processor = processor
        self._open_door()
        await self.processor.start()

    async def stop(self) -> None:
        """Start no more events. The method returns at once; running events continue."""
        if self.processor is not None:
            await self.processor.stop()

    async def forward(self) -> None:
        """Run one round of the events that are due now, and return when they have settled.

        See ``Processor.process``. The executor is started if it was not.
        """
        await (await self._ready()).process()

    async def execute(self) -> None:
        """Run events until ``stop()`` is called and the running events have finished.

        It is ``executor.processor.execute()``. Run it in a task, or use ``async with executor:``.

        Raises:
            OperationError: if the executor was not started.
            KeyboardInterrupt, SystemExit: if an event's code raised it. No further event is started
                then, and running events have their grace time first.
        """
        if self.processor is None:  # it is not started here: a stop() before this would be lost
            raise OperationError(
                f"{self.states.name!r} was not started, so it has no processor yet: await "
                "executor.start() before execute(), or use `async with executor:`"
            )
        await self.processor.execute()

    async def join(self) -> None:
        """Wait until no event is pending or running.

        Raises:
            OperationError: if events are pending or running, and no worker is there to finish them.
        """
        await (await self._ready()).join()

    async def _ready(self) -> Processor:
        """Return the processor; create it if there is none yet."""
        if self.processor is None:
            await self.start()
        assert self.processor is not None
        return self.processor

    def _claims_under(self) -> Limits | None:
        """Return the limits that its claims respect, those of a fleet included."""
        if self.processor is not None:
            return self.processor.claims_under
        config, limits = self.processor_config, list(self._limits.values())
        if config.get("scope") == "fleet":
            limits += fleet_limits(
                self._store.queue,
                config.get("queue_capacity"),
                config.get("capacity_refresh_time", REFRESH),
                config.get("concurrency_limit", CONCURRENCY),
            )
        return Limits(limits) or None

    # -- holding and letting go --------------------------------------------------------------

    async def pause(self, scope: Scope = "executor") -> None:
        """Start no more events until ``resume()``; what runs goes on, and events are accepted.

        A pause of the executor holds for this object alone: other executors and processes that
        work on the queue go on, and a restart ends it. ``stop()`` and ``start()`` do not end it.

        A pause of the queue is stored with the queue. It holds for every worker in every process,
        also one that starts later, until ``resume(scope="queue")``. Other queues of the store go
        on. In memory it holds for every executor that uses the store object.

        The two are independent: an event starts if neither holds. It returns at once.

        Args:
            scope: "executor" or "queue".

        Raises:
            ValidationError: for another scope.
        """
        if _is_of_queue(scope):
            await self._store.pause()
        else:
            await (await self._ready()).pause()

    async def resume(self, scope: Scope = "executor") -> None:
        """Start events again, after a ``pause()`` of this scope; without one, nothing happens.

        Args:
            scope: "executor" or "queue". "queue" also ends a pause by `lionpride top` or the page,
                but no wait that a service has asked for (``RateLimited``).

        Raises:
            ValidationError: for another scope.
        """
        if not _is_of_queue(scope):
            await (await self._ready()).resume()
        elif await is_paused(self._store):
            await self._store.pause(0.0)

    @property
    def paused(self) -> bool:
        """Return True if this executor is paused; a pause of the queue does not count."""
        return self.processor is not None and self.processor.paused

    async def drain(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  # its end is no error: see the docstring
    ) -> int:
        """Refuse new events, run the accepted ones to their end, and stop.

        From the call on, ``append`` raises OperationError. Events that run here may still append:
        such events belong to the work. The executor stops when no event is pending or running, or
        when the timeout has passed; pending events stay in the queue. After the timeout, events
        that still run are interrupted: they are pending again, without a failed attempt, when the
        call returns. ``start()`` starts the executor again. If the call is cancelled before the
        timeout has passed, it has no effect.

        Args:
            timeout: Seconds until running events are interrupted. Code that ignores its
                cancellation is abandoned after 3 s more. With None the call waits until all events
                have finished; it does not return if a running event waits for one that cannot
                start.

        Returns:
            The number of events of the queue that are still pending or running.

        Raises:
            OperationError: if no worker runs the events, or the executor is paused.
            ValidationError: if the timeout is not a number of seconds >= 0.
        """
        if timeout is not None:
            low, high = "It must be >= 0 s.", "It must be <= 366 days; None waits for ever."
            seconds("timeout", timeout, 0.0, _LONGEST, low, high)
        processor = await self._ready()
        if processor.paused:
            raise OperationError("the executor is paused: call resume() before drain()")
        self._close_door()
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                await processor.join()
        except BaseException as error:
            if not (isinstance(error, TimeoutError) and limit.expired()):
                self._open_door()
                raise
        await self.stop()
        if limit.expired():
            await processor.interrupt()
        counts = await self._store.counts()
        return counts[EventStatus.PENDING] + counts[EventStatus.PROCESSING]

    # -- from other threads --------------------------------------------------------------------

    def run_threadsafe(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine of this executor in its event loop; for calls from other threads.

        No other method of an executor may be called outside the thread of its event loop.

        >>> executor.run_threadsafe(executor.append(event)).result(timeout=5)

        Args:
            coroutine: A call such as ``executor.append(...)``, ``result``, ``cancel`` or ``join``.

        Returns:
            A future of its result. Cancelling the future ends the wait, but not the event.

        Raises:
            OperationError: if the executor was not started, if its loop no longer runs, or if the
                call comes from that loop; await the coroutine there.
            TypeError: if the argument is not a coroutine.
        """
        if not inspect.iscoroutine(coroutine):
            raise TypeError(
                f"run_threadsafe takes a coroutine, as from executor.append(...), not {coroutine!r}"
            )
        loop = self._loop
        if loop is None:
            problem = (
                "has no event loop yet: make it in a coroutine, or await append() or start() once"
            )
        elif not loop.is_running():
            state = "is closed" if loop.is_closed() else "is not running"
            problem = f"belongs to an event loop that {state}: await start() in a running loop"
        elif _is_running_here(loop):
            problem = "belongs to the loop of this thread: await the coroutine instead"
        else:
            return asyncio.run_coroutine_threadsafe(coroutine, loop)
        coroutine.close()
        raise OperationError(f"run_threadsafe: {type(self).__name__} {problem}")

    # -- in the background -------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start the executor, and run events in the background.

        Raises:
            OperationError: if it runs already.
            Exception: any error of the ``lifespan``; nothing runs then.
        """
        if self._is_entered:
            raise OperationError("the executor runs already: enter `async with` once at a time")
        self._is_entered = True
        try:
            await self.start()
            assert self.processor is not None
            if self._lifespan is not None:
                self._opening = await self._lifespan.enter(_stay)
            self._background = Background(self.processor, self._grace)
            await asyncio.sleep(0)  # the worker has begun when this returns
        except BaseException:  # `__aexit__` is never called then
            await self._leave(grace=0.0)
            raise
        return self

    async def _leave(self, grace: float | None = None) -> Background | None:
        """End the run of `async with`, if it has begun, and leave the lifespan."""
        background, self._background = self._background, None
        opening, self._opening = self._opening, None
        self._is_entered = False
        try:
            if background is not None:
                await background.leave(grace)
        finally:
            if opening is not None:
                await opening.leave(_stay)
        return background

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, let running events finish within the grace time, and return the rest to pending.

        Raises:
            StoreError: if outcomes could not be recorded; the block was cancelled then.
            KeyboardInterrupt, SystemExit: if an event's code raised it; see ``execute``.
        """
        try:
            background = await self._leave()
        finally:
            await self._tell_what_is_left(left_well=kind is None)
            if self._owns_store:
                await self._store.close()
        assert background is not None
        background.conclude(error)

    async def _tell_what_is_left(self, *, left_well: bool) -> None:
        with suppress(StoreError, OperationError):  # whatever is wrong with it, it is closed next
            if left := (await self._store.counts())[EventStatus.PENDING]:
                name, what = self.states.name, "1 event" if left == 1 else f"{left:,} events"
                are = "is" if left == 1 else "are"
                if left_well and not self._store.is_shared and self._owns_store:
                    logger.warning(
                        "%r: %s %s left pending, in memory only: await join() before the "
                        "end of `async with` to run them",
                        *(name, what, are),
                    )
                else:
                    logger.info("%r: %s %s left pending", name, what, are)
        types = self._store.event_types
        if kinds := sorted(types.missing):
            logger.warning(
                "%r: events are left pending since this executor does not run %s: import "
                "the module that defines them, and name them in Executor.of(...); or start "
                "a worker that runs them",
                self.states.name,
                ", ".join(kinds),
            )
        for one in types.unreadable():
            logger.warning(
                "%r: events of %s may be left pending since this process cannot read them, such "
                "as %s (%s): start a worker of the release that appended them",
                *(self.states.name, one.kind, one.example, one.reason),
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


def _stay(_: BaseException) -> None:
    """The lifespan has ended: the worker fails, and the block of `async with` with it."""


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
