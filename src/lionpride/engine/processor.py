"""Processor: the worker. It claims events, checks admission, runs them, and settles them."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID, uuid4

from ..errors import OperationError
from ..model.collections.pile import Pile
from ..model.execution import EventStatus
from ..rules.limits.fleet import checked_scope, fleet_limits
from ..rules.limits.limit import Limit
from ..rules.limits.limit_set import Limits
from ..rules.rate_window import RateWindow
from ..rules.state_machine import Cause, Defer
from ..stores.contract import Store, Stuck, has_live_workers
from ..stores.listeners import Signal
from ..stores.memory import MemoryStore
from .attempt_context import WORKER
from .config import check_settings
from .dispatcher import Dispatcher
from .event import Event
from .lifespan import Lifespan, Opening
from .loop_watchdog import watch_loop
from .observers import Observers
from .pile_queue import PendingQueue, dequeue, enqueue
from .runtime import ContinueWith, Runtime
from .schedule_timer import ScheduleTimer

if TYPE_CHECKING:
    from ..rules.explain import Near
    from ..rules.queue_position import About, Standing

__all__ = ("CONCURRENCY", "GRACE", "REFRESH", "Processor")

CONCURRENCY = 100
"""Default number of events that run at once."""

REFRESH = 1.0
"""Default length of the rate limit's window, in seconds."""

GRACE = 25.0
"""Default time for running events to finish when the worker stops, in seconds.

Kubernetes, Amazon ECS and Heroku kill a process 30 s after SIGTERM. 5 s remain to interrupt the
events that still run, and to record it. Code that ignores its cancellation takes 3 s of these.
"""


class Processor:
    """Runs the events of a store by priority, within a concurrency limit and a rate limit.

    A subclass sets ``event_type``, and may override ``request_permission``. An Executor's
    ``start()`` makes the processor. It can also work alone over a Pile; ``enqueue`` then takes ids.

    Args:
        queue_capacity: Rate limit: starts in any ``capacity_refresh_time`` seconds, 1 to 10,000;
            None for no limit. It is also the size of a round of ``process()``.
        capacity_refresh_time: Length of the sliding window in seconds, 0.01 to 3,600.
        pile: The events that ``enqueue`` finds by id, for a processor without an executor.
        executor: Available to subclasses as ``self.executor``; a weak reference.
        concurrency_limit: Number of events that may run at once.
        max_queue_size: Queue limit: number of events that may be pending; None for no limit.
        max_denial_tracking: Accepted for compatibility, without effect.
        denial_backoff: Seconds that an event waits after its first denial. After the second it
            waits twice as long; the third denial aborts it.
        blocked_after: Seconds that code may block the event loop before a warning names it; None
            for no warning.
        limits: Limits on the costs of events, each a ``Limit``; by default those of the class.
        fail_unreadable: True to finish an event as FAILED if its class refuses its stored data. By
            default the event stays pending for a worker that can read it. An event of a class
            that this process has not defined stays pending in any case.
        scope: With ``"worker"``, ``queue_capacity`` and ``concurrency_limit`` hold for this
            processor. With ``"fleet"``, they hold for all workers of the queue together, rounds
            included.

    Raises:
        ValidationError: if a setting is out of bounds.
    """

    event_type: ClassVar[type[Event]]

    limits: ClassVar[Iterable[Limit]] = ()
    """Limits on the costs of its events; ``limits_by_name`` has those of an instance."""

    def __init__(
        self,
        queue_capacity: int | None = None,
        capacity_refresh_time: float = REFRESH,
        pile: Pile[Any] | None = None,
        executor: Any = None,
        concurrency_limit: int = CONCURRENCY,
        max_queue_size: int | None = None,
        max_denial_tracking: int = 10_000,
        denial_backoff: float = 1.0,
        blocked_after: float | None = 1.0,
        limits: Iterable[Limit] | None = None,
        scope: str = "worker",
        fail_unreadable: bool = False,
    ) -> None:
        check_settings(
            {
                "queue_capacity": queue_capacity,
                "capacity_refresh_time": capacity_refresh_time,
                "concurrency_limit": concurrency_limit,
                "max_queue_size": max_queue_size,
                "max_denial_tracking": max_denial_tracking,
                "denial_backoff": denial_backoff,
                "blocked_after": blocked_after,
                "fail_unreadable": fail_unreadable,
            }
        )
        self.queue_capacity = queue_capacity
        self.capacity_refresh_time = capacity_refresh_time
        self.pile = pile
        self.concurrency_limit = concurrency_limit
        self.max_queue_size = max_queue_size
        self.max_denial_tracking = max_denial_tracking
        self.denial_backoff = denial_backoff
        self.blocked_after = blocked_after
        self.fail_unreadable = fail_unreadable
        self.scope = checked_scope(scope)
        self.limits_by_name = Limits(type(self).limits if limits is None else limits)
        self._executor = None if executor is None else weakref.ref(executor)
        self.lifespan: Lifespan | None = None
        self._timer: ScheduleTimer | None = None
        self._attached: Runtime | None = None
        self._dispatchers: set[Dispatcher] = set()
        self._stopped = False

    @classmethod
    async def create(cls, *args: Any, **kwargs: Any) -> Processor:
        """Return a new processor; for compatibility with the original package."""
        return cls(*args, **kwargs)

    def attach(
        self,
        store: Store,
        observers: Observers,
        grace: float = GRACE,
        executor: Callable[[], Any] = lambda: None,
        lifespan: Lifespan | None = None,
        continue_with: ContinueWith | None = None,
        timer: ScheduleTimer | None = None,
    ) -> None:
        """Connect the processor to a store; once, before the first event runs.

        Args:
            store: The store of the events.
            observers: The observers of each transition.
            grace: Seconds that running events have to finish.
            executor: Returns the executor, while it exists.
            lifespan: Resources to keep open while a worker runs.
            continue_with: Returns the outcome of an attempt that returned ``Then``; None without an
                executor.
            timer: Appends scheduled events while a worker runs; None without an executor.

        Raises:
            OperationError: if it is connected to a store already.
        """
        if self._attached is not None:
            raise OperationError("the processor is connected to a store already: make another one")
        if self.fail_unreadable:
            store.event_types.fail_unreadable()
        window, limits = None, self.limits_by_name
        if self.scope == "fleet":
            settings = self.queue_capacity, self.capacity_refresh_time, self.concurrency_limit
            limits = Limits([*limits.values(), *fleet_limits(store.queue, *settings)])
        elif self.queue_capacity is not None:
            window = RateWindow(self.queue_capacity, self.capacity_refresh_time)
        self.lifespan = lifespan
        self._timer = timer
        self._attached = Runtime(
            store,
            observers,
            name=_worker_name(),
            slots=self.concurrency_limit,
            window=window,
            limits=limits or None,
            permission=self.request_permission if self.asks() else None,
            halt=self._halt,
            backoff=self.denial_backoff,
            grace=grace,
            executor=executor,
            continue_with=continue_with,
        )

    @property
    def _runtime(self) -> Runtime:
        """The runtime that its dispatchers share; alone, the processor has its own memory store."""
        if self._attached is None:
            self.attach(MemoryStore(), Observers())
            assert self._attached is not None
        return self._attached

    @classmethod
    def limits_of(cls, config: Mapping[str, Any]) -> Iterable[Limit]:
        """Return the limits of a processor with this config."""
        given = config.get("limits")
        return cls.limits if given is None else given

    @classmethod
    def asks(cls) -> bool:
        """Return True if ``request_permission`` is overridden, so that admission is checked."""
        return cls.request_permission is not Processor.request_permission

    # -- what users override -----------------------------------------------------------------

    async def request_permission(self, *args: Any, **request: Any) -> bool | Defer:
        """Return True if an event may start now; override it for quotas, authorization or gates.

        It is called with the event's ``request``, for one event at a time, in the order in which
        events would start. After False, the event waits ``denial_backoff`` seconds; the third
        denial aborts it. After ``Defer(seconds)``, the event waits that long without a denial. An
        exception becomes the event's error.
        """
        return True

    # -- running -----------------------------------------------------------------------------

    async def process(self) -> None:
        """Run one round of the events that are due now, and return when they have settled.

        The round runs up to ``queue_capacity`` due events (None: all of them), each once, highest
        priority first. A denial ends the round. The caller sets the pace, so the rate limit does
        not delay a round; its starts count, however. A paused processor runs nothing.
        """
        if not self._runtime.paused:
            await self._run(Dispatcher(self._runtime, is_round=True, size=self.queue_capacity))

    async def execute(self) -> None:
        """Run events until ``stop()`` is called and the running events have finished.

        An event starts as soon as it is due, a slot is free and the rate limit allows it. If the
        call is cancelled, running events are interrupted and are pending again.

        Raises:
            KeyboardInterrupt, SystemExit: if an event's code raised it. No further event is started
                then, and running events have their grace time first.
        """
        if not self._stopped:
            await self._run(Dispatcher(self._runtime))

    async def _run(self, dispatcher: Dispatcher) -> None:
        self._forget_lost()
        store = self._runtime.store
        self._runtime.observers.refresh()
        if not self._dispatchers:
            # Each run of the worker has a name of its own. So claims that a run could not settle,
            # since the store had failed, are not renewed by the next run, and lapse.
            self._runtime.name = _worker_name()
            self._register()
        self._dispatchers.add(dispatcher)
        opening: Opening | None = None
        lost = partial(_without_resources, dispatcher)
        try:
            if self.lifespan is not None:
                opening = await self.lifespan.enter(lost)
            if not dispatcher.closing:
                with watch_loop(
                    self.blocked_after,
                    self._runtime.is_busy,
                    dispatcher.holder,
                    dispatcher.when_woken,
                ):
                    await self._run_with_timer(dispatcher)
        finally:
            self._dispatchers.discard(dispatcher)
            dispatcher.ended.set()
            if not self._dispatchers:
                store.unregister_worker(self._runtime.name)
                self._runtime.threads.rest()
            if opening is not None:
                await opening.leave(lost)

    async def _run_with_timer(self, dispatcher: Dispatcher) -> None:
        """Run a dispatcher, and append scheduled events meanwhile; before a round, what is due."""
        timer: asyncio.Task[None] | None = None
        if self._timer is not None and dispatcher.is_round:
            await self._timer.fire()
        elif self._timer is not None:
            timer = self._timer.start(dispatcher.fail)
        try:
            await dispatcher.run()
        finally:
            if timer is not None and timer.get_loop().is_running():  # else the loop was closed
                timer.cancel()
                await asyncio.wait([timer])

    def _register(self) -> None:
        runtime = self._runtime
        runtime.store.register_worker(
            runtime.name, partial(self.end, cause=Cause.CANCEL), self._about
        )

    def _about(self) -> About:
        """Return the worker's description for other processes; other threads call it too."""
        is_beginning = not self._dispatchers
        stopped = not (is_beginning or self._starts_events())
        schedules = () if self._timer is None else self._timer.declared
        return self._runtime.about()._replace(stopped=stopped, schedules=schedules)

    def _starts_events(self) -> bool:
        """Return True if a run is in progress that was not stopped."""
        return any(
            not (dispatcher.is_lost or dispatcher.closing)
            for dispatcher in tuple(self._dispatchers)
        )

    def _forget_lost(self) -> None:
        """Return the claims of runs whose event loop was closed."""
        self._runtime.threads.count()
        lost = [dispatcher for dispatcher in self._dispatchers if dispatcher.is_lost]
        for dispatcher in lost:
            self._dispatchers.discard(dispatcher)
            dispatcher.abandon()
        if lost and not self._dispatchers:
            self._runtime.store.unregister_worker(self._runtime.name)

    async def start(self) -> None:
        """Allow ``execute()`` to run after ``stop()``. No event is started yet."""
        self._stopped = False

    async def stop(self) -> None:
        """Start no more events, and return at once. ``execute()`` ends with the running events."""
        self._halt()

    def _halt(self) -> None:
        self._stopped = True
        for dispatcher in tuple(self._dispatchers):
            if not dispatcher.is_lost:
                dispatcher.close()

    async def interrupt(self) -> None:
        """Start no more events, and return running events to pending as interrupted.

        The method returns when that is recorded. Code that ignores its cancellation is abandoned
        after 3 s. Code in a thread is abandoned at once.
        """
        self._halt()
        dispatchers = [dispatcher for dispatcher in self._dispatchers if not dispatcher.is_lost]
        for dispatcher in dispatchers:
            dispatcher.interrupt()
        for dispatcher in dispatchers:
            await dispatcher.ended.wait()

    async def pause(self) -> None:
        """Start no more events until ``resume()``. Return at once; running events continue.

        A round of ``process()`` ends when its running events have finished. ``execute()`` continues
        and waits. ``stop()`` and ``start()`` do not end the pause.
        """
        self._runtime.pause()
        if self.working:
            self._register()  # once more, so that others see it at once
        for dispatcher in tuple(self._dispatchers):
            if not dispatcher.is_lost:
                dispatcher.hold_back()

    async def resume(self) -> None:
        """Start events again after ``pause()``."""
        self._runtime.resume()
        if self.working:
            self._register()  # once more, so that others see it at once

    @property
    def paused(self) -> bool:
        """True between ``pause()`` and ``resume()``."""
        return self._runtime.paused

    @property
    def claims_under(self) -> Limits | None:
        """The limits that its claims respect, those of its fleet included; None for none."""
        return self._runtime.limits

    def near(self, standing: Standing) -> Near:
        """Return the facts about an event's turn that only this process knows."""
        from ..rules.explain import Near  # late: for questions alone

        if not self.working:
            return Near(works=False, is_paused=self.paused)
        near = self._runtime.near(standing)
        return near._replace(works=self._starts_events(), is_paused=self.paused)

    def is_inside(self) -> bool:
        """Return True if the caller is the code of an event that this processor runs."""
        worker = WORKER.get()
        return (
            self._attached is not None and worker is not None and worker.mark is self._attached.mark
        )

    def is_stopped(self) -> bool:
        """Return True if ``stop()`` was called after the last ``start()``."""
        return self._stopped

    @property
    def working(self) -> bool:
        """True while ``execute()`` or ``process()`` runs."""
        return any(not dispatcher.is_lost for dispatcher in self._dispatchers)

    @property
    def execution_mode(self) -> bool:
        """True while ``execute()`` runs."""
        return any(
            not (dispatcher.is_round or dispatcher.is_lost) for dispatcher in self._dispatchers
        )

    @property
    def available_capacity(self) -> int | None:
        """Starts that the rate limit allows now; None for any number, or with scope "fleet"."""
        if self.queue_capacity is None:
            return None
        window = self._runtime.window
        return None if window is None else window.free(asyncio.get_running_loop().time())

    @property
    def executor(self) -> Any:
        """The executor that made it, while that exists; for subclasses."""
        return None if self._executor is None else self._executor()

    # -- without an executor -----------------------------------------------------------------

    @property
    def queue(self) -> PendingQueue:
        """The pending events, live and read-only, in order of arrival."""
        return PendingQueue(self._runtime.store.states, EventStatus.PENDING)

    async def enqueue(self, event_id: UUID, priority: float | None = None) -> None:
        """Enqueue an event of the pile.

        Args:
            event_id: Its id.
            priority: Lower runs first; by default its time of creation.

        Raises:
            ConfigurationError: if the processor has no pile.
            NotFoundError: if the event is not in the pile.
            ExistsError: if it is pending or has run.
            QueueFullError: if ``max_queue_size`` events are pending.
            ValidationError: for a priority that is not a finite number.
        """
        await enqueue(self._runtime.store, self.pile, event_id, priority, self.max_queue_size)

    async def dequeue(self) -> Event:
        """Wait for the next event, and remove it from the queue without running it."""
        return await dequeue(self._runtime.store, self._runtime.name)

    # -- waiting -----------------------------------------------------------------------------

    async def join(self) -> None:
        """Wait until no event is pending or running.

        Raises:
            OperationError: if events are pending or running, and no worker is there to finish them.
        """
        store, changed = self._runtime.store, asyncio.Event()
        await asyncio.sleep(0)  # a task just made for execute() may not have begun
        while True:
            changed.clear()
            # Before the check, so that no change between the two is missed.
            unsubscribe = store.subscribe(Signal.IDLE, changed.set, once=True)
            try:
                if await self._is_idle(store):
                    return
                await changed.wait()
            finally:
                unsubscribe()

    async def _is_idle(self, store: Store) -> bool:
        """Return True if no event is pending or running; raise if nothing could finish them."""
        self._forget_lost()
        counts = await store.counts()
        waiting = counts[EventStatus.PENDING] + counts[EventStatus.PROCESSING]
        running = counts[EventStatus.PROCESSING]
        if waiting and not await has_live_workers(store):
            what = "pending or claimed" if running else "pending"
            raise OperationError(
                f"{_are(waiting)} {what} and nothing is running them: use `async with "
                "executor:`, run processor.execute() in a task, or call forward()"
            )
        if waiting and not running and (stuck := await store.stuck()):
            raise OperationError(f"{_are(waiting)} pending and none of them can run: {_why(stuck)}")
        return not waiting

    def end(self, event: Event, cause: Cause) -> bool:
        """Cancel the attempt of a running event; return False if this processor does not run it."""
        return any(dispatcher.end(event, cause) for dispatcher in self._dispatchers)


def _worker_name() -> str:
    """Return a new name for the worker."""
    return f"{os.getpid()}-{uuid4().hex[:8]}"


def _why(stuck: Iterable[Stuck]) -> str:
    """Return why no worker can run the pending events, and the remedy."""
    parts = []
    if missing := [one.kind for one in stuck if one.unreadable is None]:
        parts.append(
            f"no worker runs {', '.join(missing)}: import the modules that define them, "
            "name them in Executor.of(...); or start a worker that runs them"
        )
    if unreadable := [one for one in stuck if one.unreadable is not None]:
        each = ", ".join(_unreadable(one) for one in unreadable)
        parts.append(
            f"this process cannot read {each}: start a worker of the release that appended them, "
            "or cancel them, or have them FAILED (fail_unreadable=True in processor_config, "
            "--fail-unreadable on the command line)"
        )
    return "; and ".join(parts)


def _without_resources(dispatcher: Dispatcher, error: BaseException) -> None:
    """Fail a run whose lifespan has ended by itself; its running events return to pending."""
    dispatcher.fail(error)
    dispatcher.interrupt()


def _unreadable(stuck: Stuck) -> str:
    found = stuck.unreadable
    assert found is not None, "asked of unreadable events only"
    many = "1 event" if stuck.total == 1 else f"{stuck.total} events"
    tried = f" (it tried {found.total})" if found.total < stuck.total else ""
    return f"{many} of class {stuck.kind}{tried}, such as {found.example} ({found.reason})"


def _are(waiting: int) -> str:
    return "1 event is" if waiting == 1 else f"{waiting} events are"
