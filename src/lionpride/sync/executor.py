"""The synchronous executor, its batches and schedules: every call without ``await``.

tools/generate_sync.py has written this file. Change that program, or the asynchronous classes.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, Unpack, overload
from uuid import UUID

from ..drawing.notebook import Picture
from ..engine.append_options import AppendOptions, Parents, RunOptions
from ..engine.batch import Batch as AsyncBatch
from ..engine.completion import Returns, ReturnsPlainly
from ..engine.event import Event
from ..engine.executor import Executor as AsyncExecutor
from ..engine.factory import Permission, Settings
from ..engine.job import Job
from ..engine.lifespan import Factory
from ..engine.observers import AppendWrapper, Listener, Observer, Picks, Wrapper
from ..engine.processor import GRACE, Processor
from ..engine.run_control import Scope
from ..model.after import When
from ..model.collections.container import IdLike
from ..model.collections.flow import Flow
from ..model.execution import EventStatus
from ..model.progress import Progress
from ..model.recurrence import Rule
from ..model.retry_policy import Retry
from ..model.schedule import Missed, OverlapPolicy, Schedule
from ..rules.action import Action
from ..rules.explain import Why
from ..stores.contract import Relative, Store
from ..stores.record import Record
from ..stores.schedule_record import ScheduleRecord
from .bridge import Bridge
from .call import Caller, several
from .interrupts import delays_interrupts
from .iteration import Iteration

__all__ = ("Batch", "Executor", "Schedules")

E = TypeVar("E", bound=Event)
R = TypeVar("R")

_delays_interrupts = delays_interrupts(lambda own: own._bridge.interrupt())  # noqa: SLF001


class Executor:
    """The asynchronous ``Executor`` for code without an event loop.

    >>> from lionpride.sync import Executor
    >>> with Executor.of(Square) as executor:
    ...     print(executor.run(Square(number=7), timeout=10))

    Every method makes the call of the same name in an event loop, and waits for it. All executors
    of a process share that loop, which runs in a daemon thread. Any thread may call any method.

    Every call raises OperationError if the calling thread has a running event loop, if gevent has
    replaced the threads, or if the process exits.

    After ``fork``, the child process makes the executor again at its first call, with connections
    of its own. A SQLite file that the parent has open is refused there.

    Args:
        make: A function that returns a new asynchronous executor. ``Executor.of`` is shorter.
    """

    def __init__(self, make: Callable[[], AsyncExecutor]) -> None:
        self._bridge = Bridge(make)

    @property
    def asynchronous(self) -> AsyncExecutor:
        """The asynchronous executor. It may be called in the loop of this module only."""
        return self._bridge.executor

    @_delays_interrupts
    def __enter__(self) -> Self:
        """Start the executor, and run events in the background, in the daemon thread.

        Raises:
            OperationError: if it runs already.
            Exception: any error of the ``lifespan``; nothing runs then.
        """
        self._bridge.enter()
        return self

    @_delays_interrupts
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, let running events finish within the grace time, and return the rest to pending.

        Ctrl-C ends the grace time. There is none if a second Ctrl-C has left the block. In a forked
        child of the process that has entered the block, nothing happens.

        Raises:
            BaseException: the error of the run, if it has failed.
        """
        self._bridge.leave(error)

    def close(self) -> None:
        """Close the store: its connections, or its file. A later call opens it again.

        The exit of the process does it too.

        Raises:
            OperationError: in a ``with`` block of the executor.
        """
        self._bridge.close()

    def __repr__(self) -> str:
        names = ", ".join(each.__name__ for each in self.event_types)
        return f"Executor(of {names})"

    @classmethod
    def of(
        cls,
        *event_types: type[Event] | Job[..., Any],
        store: Store | str | None = None,
        queue: str | None = None,
        name: str | None = None,
        grace: float = GRACE,
        permission: Permission | None = None,
        lifespan: Factory | None = None,
        processor: type[Processor] = Processor,
        processor_config: Mapping[str, Any] | None = None,
        strict_event_type: bool = False,
        **settings: Unpack[Settings],
    ) -> Self:
        """Return an executor for event classes, or for functions decorated with ``@job``.

        >>> with Executor.of(Square, concurrency_limit=8) as executor:
        ...     print(executor.run(Square(number=7)))

        Nothing is opened before the executor is used, so it can be defined at module level. The
        command line accepts it as a target then: ``lionpride work jobs.py:executor``.

        Args:
            *event_types: The event types that it accepts and runs, with their subclasses.
            store: See Executor.
            queue: See Executor; required for several event types.
            name: See Executor.
            grace: See Executor.
            permission: An async function in place of ``Processor.request_permission``; it is called
                with the keywords of the event's ``request``.
            lifespan: See Executor.
            processor: A Processor subclass.
            processor_config: Settings that only this subclass has.
            strict_event_type: See Executor.
            **settings: ``queue_capacity``, ``capacity_refresh_time``, ``concurrency_limit``,
                ``max_queue_size``, ``denial_backoff``, ``blocked_after``, ``limits``, ``scope`` and
                ``fail_unreadable``: see ``Processor``.

        Raises:
            ConfigurationError: for an unknown setting, or one that cannot work.
            ValidationError: if a setting is out of bounds.
        """
        return cls(
            partial(
                AsyncExecutor.of,
                *event_types,
                store=store,
                queue=queue,
                name=name,
                grace=grace,
                permission=permission,
                lifespan=lifespan,
                processor=processor,
                processor_config=processor_config,
                strict_event_type=strict_event_type,
                **settings,
            )
        )

    @property
    def event_type(self) -> type[Event]:
        """The class of its events; Event if there are several classes."""
        return self._bridge.executor.event_type

    @property
    def event_types(self) -> tuple[type[Event], ...]:
        """The classes that it accepts and runs, with their subclasses."""
        return self._bridge.executor.event_types

    @property
    def strict_event_type(self) -> bool:
        """True if subclasses of the event type are refused."""
        return self._bridge.executor.strict_event_type

    def append(
        self,
        event: E,
        priority: float | None = None,
        *,
        exist_ok: bool = False,
        wait: bool = False,
        connection: Any = None,
        timeout: float | None = None,
        **options: Unpack[AppendOptions],
    ) -> E:
        """Append an event. It is accepted when this method returns, and not if it raises an error.

        There are two exceptions: a call that exceeds its timeout, or that raises a
        retryable StoreError, may have appended the event. Append it again with
        ``exist_ok=True`` to be sure.

        Args:
            event: A pending event that belongs to no executor.
            priority: Lower runs first; equal priorities run in order of arrival. The default is the
                time of creation, as a Unix timestamp in seconds.
            exist_ok: True to accept an event whose id is known; the known event stays unchanged.
            wait: True to wait for space if ``max_queue_size`` events are pending. Callers in this
                process are served in order of arrival. If nothing runs the executor, the call does
                not return.
            connection: A connection to the PostgreSQL database of the store: of psycopg,
                psycopg2, SQLAlchemy (Connection or Session over one of them) or Django. The
                calling thread uses it; ``timeout`` does not end its statements. The event is
                appended in the connection's transaction, and exists if that commits. A connection
                that is not in a transaction is refused. The event object itself stays detached:
                query the event by its id. ``max_queue_size`` is not checked, and ``exist_ok`` is
                refused.
            timeout: Seconds to wait; None for no limit.
            **options: ``delay`` or ``at`` (earliest start), ``ttl`` (latest start), ``retry``
                (policy), ``unique`` and ``unique_for`` (deduplication), ``after`` and ``when``
                (events that have to finish before): see ``AppendOptions``.

        Returns:
            The event. With ``exist_ok`` or ``unique``, it can be an event that was already there.

        Raises:
            TypeError: if the event is not of the event type.
            ValidationError: for a priority that is not a finite number, invalid terms, invalid
                costs, or costs that are higher than a limit's amount.
            OperationError: if the event has run, or the executor is draining or was drained.
            ExistsError: if the id is known here, or another executor has the event.
            NotFoundError: if an event in ``after`` is not in the store.
            QueueFullError: if ``max_queue_size`` events are pending, without ``wait``.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "append",
            lambda executor, caller: executor.append(
                event,
                priority,
                exist_ok=exist_ok,
                wait=wait,
                connection=caller.connection(connection),
                **options,
            ),
            timeout,
        )

    def append_many(
        self,
        events: Iterable[E],
        priorities: Iterable[float | None] | None = None,
        *,
        exist_ok: bool = False,
        wait: bool = False,
        delay: float | None = None,
        at: datetime | float | None = None,
        ttl: float | None = None,
        retry: Retry | None = None,
        after: Mapping[Any, Parents] | None = None,
        when: When | None = None,
        connection: Any = None,
        timeout: float | None = None,
    ) -> list[E]:
        """Append events as one batch: all of them or none, in this order of arrival.

        >>> executor.append_many([*pages, book], after={book: pages})

        Args:
            events: The events; see ``append``.
            priorities: One for each event; None for the default.
            exist_ok: See ``append``.
            wait: True to wait until there is space for the whole batch; see ``append``.
            delay: See ``append``. It applies to all events, as do the next three.
            at: See ``append``.
            ttl: See ``append``.
            retry: See ``append``.
            after: The parents of events of this batch, by the child (the event or its id); see
                ``append``. Parents may be in this batch or in the store.
            when: See ``append``. It applies to all of ``after``.
            connection: See ``append``. All events are appended in the connection's transaction.
            timeout: Seconds to wait; None for no limit.

        Returns:
            The events. With ``exist_ok``, some can be events that were already there.

        Raises:
            ValidationError: if ``priorities`` and ``events`` differ in length, if a child is not in
                this batch, or if events wait for each other in a cycle; also see ``append``.
            QueueFullError: with ``wait``, if the batch is larger than ``max_queue_size``.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "append_many",
            lambda executor, caller: executor.append_many(
                several(events),
                None if priorities is None else several(priorities),
                exist_ok=exist_ok,
                wait=wait,
                delay=delay,
                at=at,
                ttl=ttl,
                retry=retry,
                after=after,
                when=when,
                connection=caller.connection(connection),
            ),
            timeout,
        )

    @overload
    def batch(
        self,
        events: Iterable[Returns[R]],
        priorities: Iterable[float | None] | None = None,
        *,
        wait: bool = ...,
        after: Mapping[Any, Parents] | None = ...,
        when: When | None = ...,
        timeout: float | None = ...,
    ) -> Batch[R]: ...

    @overload
    def batch(
        self,
        events: Iterable[ReturnsPlainly[R]],
        priorities: Iterable[float | None] | None = None,
        *,
        wait: bool = ...,
        after: Mapping[Any, Parents] | None = ...,
        when: When | None = ...,
        timeout: float | None = ...,
    ) -> Batch[R]: ...

    def batch(
        self,
        events: Iterable[Any],
        priorities: Iterable[float | None] | None = None,
        *,
        wait: bool = False,
        after: Mapping[Any, Parents] | None = None,
        when: When | None = None,
        timeout: float | None = None,
    ) -> Batch[Any]:
        """Append events as one batch, and return a handle: counts by status, results, cancel.

        >>> batch = executor.batch([Fetch(url=url) for url in urls])
        >>> batch.counts()
        {'pending': 3, 'processing': 1, 'completed': 8, ...}
        >>> texts = batch.result()

        The batch is in the store. ``get_batch(batch.id)`` returns the handle in another process.
        All are appended or none, and one more event with them, the ``BatchEnd``. It counts for
        ``max_queue_size``, and completes when the others have finished.

        Args:
            events: The events; see ``append``. Events whose id is known belong to the batch and
                stay unchanged.
            priorities: One for each event; None for the default.
            wait: See ``append_many``.
            after: See ``append_many``.
            when: See ``append_many``.
            timeout: Seconds to wait; None for no limit.

        Raises:
            ValidationError: if an event is given twice; also see ``append_many``.
            QueueFullError: see ``append_many``.
            TimeoutError: if ``timeout`` seconds have passed.
        """

        async def run(executor: AsyncExecutor, _: Caller) -> Batch[Any]:
            return Batch(
                self._bridge,
                executor,
                await executor.batch(
                    several(events),
                    None if priorities is None else several(priorities),
                    wait=wait,
                    after=after,
                    when=when,
                ),
            )

        return self._bridge.call("batch", run, timeout)

    def get_batch(self, batch: IdLike, *, timeout: float | None = None) -> Batch[Any]:
        """Return the handle of a batch that this or another process has appended.

        Args:
            batch: The ``id`` of the batch.
            timeout: Seconds to wait; None for no limit.

        Raises:
            NotFoundError: if no batch of the queue has this id, or it was removed.
            ValidationError: if the argument is not an id.
            TimeoutError: if ``timeout`` seconds have passed.
        """

        async def run(executor: AsyncExecutor, _: Caller) -> Batch[Any]:
            return Batch(self._bridge, executor, await executor.get_batch(batch))

        return self._bridge.call("get_batch", run, timeout)

    def load(
        self, state: Flow[Any, Any] | Mapping[str, Any], *, timeout: float | None = None
    ) -> int:
        """Append the events of a Flow, or of its ``to_dict`` form, and keep their statuses.

        An event that was running becomes pending, as interrupted. Progressions that the user added
        to the Flow are added to ``states``.

        Args:
            timeout: Seconds to wait; None for no limit.

        Returns:
            The number of events.

        Raises:
            ExistsError: if an id or a progression's name is already in use; nothing is added then.
            TypeError: if an event is not of the event type; nothing is added then.
            ValidationError: if a priority is not a finite number; nothing is added then.
            OperationError: if the executor is draining or was drained; nothing is added then.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call("load", lambda executor, _: executor.load(state), timeout)

    @overload
    def run(
        self,
        event: Returns[R],
        priority: float | None = None,
        *,
        timeout: float | None = ...,
        **options: Unpack[RunOptions],
    ) -> R: ...

    @overload
    def run(
        self,
        event: ReturnsPlainly[R],
        priority: float | None = None,
        *,
        timeout: float | None = ...,
        **options: Unpack[RunOptions],
    ) -> R: ...

    def run(
        self,
        event: Any,
        priority: float | None = None,
        *,
        timeout: float | None = None,
        **options: Unpack[RunOptions],
    ) -> Any:
        """Append an event, wait until it has finished, and return its response.

        If nothing runs the executor, the call does not return: call it in ``with executor:``,
        or while a worker runs elsewhere. If the call is interrupted, the event stays in the queue.

        Args:
            event: See ``append``.
            priority: See ``append``.
            timeout: Seconds to wait; None for no limit.
            **options: Any option of ``append`` except ``connection``. With ``exist_ok`` or
                ``unique``, the result can be that of an event that was already there.

        Raises:
            Exception: any error of ``append`` and ``result``.
            TimeoutError: if ``timeout`` seconds have passed. The event goes on.
        """
        return self._bridge.call(
            "run", lambda executor, _: executor.run(event, priority, **options), timeout
        )

    def schedule(
        self,
        name: str,
        event: Event,
        rule: Rule,
        *,
        missed: Missed = "last",
        missed_limit: int = 100,
        overlap: OverlapPolicy = "allow",
        jitter: float = 0.0,
        ttl: float | None = None,
        priority: float | None = None,
        timeout: float | None = None,
    ) -> ScheduleRecord:
        """Append an event like this one at each instant of a rule, from now on.

        >>> executor.schedule("nightly", Report(), Cron("30 2 * * *", tz="Europe/Berlin"))

        If the queue has a schedule of this name, it is changed, and keeps its id. A changed rule
        counts from now. The same call again has no effect, so a program may make it at each start.

        Args:
            name: The name of the schedule, unique in the queue.
            event: A pattern of its events: each has the fields and the metadata of this one. It is
                not appended.
            rule: An ``Every`` or a ``Cron``.
            missed: What happens to instants while no worker ran: "skip" skips them, "last" uses the
                newest one, "all" all of them.
            missed_limit: The number of instants that "all" uses at most, newest first.
            overlap: What happens at an instant while the event before is unfinished: "allow"
                appends the event, "skip" skips the instant, "queue" appends the event to run after
                that one, at most one, and "replace" cancels that one.
            jitter: Seconds by which an event starts later at most; the id of the event decides.
            ttl: Seconds after its start time at which an event expires; None for never.
            priority: The priority of the events; by default the time of their append.
            timeout: Seconds to wait; None for no limit.

        Returns:
            The schedule.

        Raises:
            OperationError: if a class declares a schedule of this name.
            TypeError: if the event is not of the event type.
            ValidationError: for an invalid value.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "schedule",
            lambda executor, _: executor.schedule(
                name,
                event,
                rule,
                missed=missed,
                missed_limit=missed_limit,
                overlap=overlap,
                jitter=jitter,
                ttl=ttl,
                priority=priority,
            ),
            timeout,
        )

    @property
    def schedules(self) -> Schedules:
        """The schedules of the queue, to list, change, pause, run and remove them."""
        return Schedules(self._bridge)

    def start(self, *, timeout: float | None = None) -> None:
        """Create the processor, if there is none, and allow it to run. No event is started yet.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            TimeoutError: if ``timeout`` seconds have passed.
        """
        self._bridge.call("start", lambda executor, _: executor.start(), timeout)

    def stop(self, *, timeout: float | None = None) -> None:
        """Start no more events. The method returns at once; running events continue.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            TimeoutError: if ``timeout`` seconds have passed.
        """
        self._bridge.call("stop", lambda executor, _: executor.stop(), timeout)

    def forward(self, *, timeout: float | None = None) -> None:
        """Run one round of the events that are due now, and return when they have settled.

        See ``Processor.process``. The executor is started if it was not.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            TimeoutError: if ``timeout`` seconds have passed. The event goes on.
        """
        self._bridge.call("forward", lambda executor, _: executor.forward(), timeout)

    def execute(self, *, timeout: float | None = None) -> None:
        """Run events until ``stop()`` is called and the running events have finished.

        Another thread may call ``stop()``. ``with executor:`` runs events beside the block.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            OperationError: if the executor was not started.
            KeyboardInterrupt, SystemExit: if an event's code raised it. No further event is started
                then, and running events have their grace time first.
            TimeoutError: if ``timeout`` seconds have passed. The event goes on.
        """
        self._bridge.call("execute", lambda executor, _: executor.execute(), timeout)

    def join(self, *, timeout: float | None = None) -> None:
        """Wait until no event is pending or running.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            OperationError: if events are pending or running, and no worker is there to finish them.
            TimeoutError: if ``timeout`` seconds have passed. The event goes on.
        """
        self._bridge.call("join", lambda executor, _: executor.join(), timeout)

    def pause(
        self, scope: Scope = "executor", *, by: str | None = None, timeout: float | None = None
    ) -> None:
        """Start no more events until ``resume()``; what runs goes on, and events are accepted.

        A pause of the executor holds for this object alone: other executors and processes that
        work on the queue go on, and a restart ends it. ``stop()`` and ``start()`` do not end it.

        A pause of the queue is stored with the queue. It holds for every worker in every process,
        also one that starts later, until ``resume(scope="queue")``. Other queues of the store go
        on. In memory it holds for every executor that uses the store object.

        The two are independent: an event starts if neither holds. It returns at once.

        Args:
            scope: "executor" or "queue".
            by: Who asks for it. The store keeps the name until the pause of the queue ends, for
                ``why``, the page and the command line. A pause of the executor takes none.
            timeout: Seconds to wait; None for no limit.

        Raises:
            ValidationError: for another scope, an invalid name, or a name without scope="queue".
            TimeoutError: if ``timeout`` seconds have passed.
        """
        self._bridge.call("pause", lambda executor, _: executor.pause(scope, by=by), timeout)

    def resume(
        self, scope: Scope = "executor", *, by: str | None = None, timeout: float | None = None
    ) -> None:
        """Start events again, after a ``pause()`` of this scope; without one, nothing happens.

        Args:
            scope: "executor" or "queue". "queue" also ends a pause by `lionpride top` or the page,
                but no wait that a service has asked for (``RateLimited``).
            by: Who asks for it. The store keeps the name until the next pause of the queue, for
                the command line. A pause of the executor takes none.
            timeout: Seconds to wait; None for no limit.

        Raises:
            ValidationError: for another scope, an invalid name, or a name without scope="queue".
            TimeoutError: if ``timeout`` seconds have passed.
        """
        self._bridge.call("resume", lambda executor, _: executor.resume(scope, by=by), timeout)

    @property
    def paused(self) -> bool:
        """True if this executor is paused; a pause of the queue does not count."""
        return self._bridge.executor.paused

    def drain(self, timeout: float | None = None) -> int:
        """Refuse new events, run the accepted ones to their end, and stop.

        From the call on, ``append`` raises OperationError. Events that run here may still append:
        such events belong to the work. The executor stops when no event is pending or running, or
        when the timeout has passed; pending events stay in the queue. After the timeout, events
        that still run are interrupted: they are pending again, without a failed attempt, when the
        call returns. ``start()`` starts the executor again. If the call is interrupted before the
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
        return self._bridge.call("drain", lambda executor, _: executor.drain(timeout))

    @overload
    def result(self, event: Returns[R], *, timeout: float | None = ...) -> R: ...

    @overload
    def result(self, event: ReturnsPlainly[R], *, timeout: float | None = ...) -> R: ...

    @overload
    def result(self, event: IdLike, *, timeout: float | None = ...) -> Any: ...

    def result(self, event: Any, *, timeout: float | None = None) -> Any:
        """Wait until an event has finished, and return its response.

        If nothing runs the executor, the call does not return. For a store in memory, which no
        other process can run, a warning is logged after some seconds.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            Exception: the event's own error, if it FAILED; Skip, if it was SKIPPED;
                LionTimeoutError or EventCancelledError, if it was CANCELLED; AccessError, if
                it was ABORTED.
            ExecutionError: in place of an error that would end this process too.
            NotFoundError: if the event is unknown, or was removed.
            TimeoutError: if ``timeout`` seconds have passed. The event goes on.
        """
        return self._bridge.call("result", lambda executor, _: executor.result(event), timeout)

    @overload
    def as_completed(self, events: Iterable[E], *, timeout: float | None = ...) -> Iteration[E]: ...

    @overload
    def as_completed(
        self, events: Iterable[IdLike], *, timeout: float | None = ...
    ) -> Iteration[Event]: ...

    def as_completed(
        self, events: Iterable[Any], *, timeout: float | None = None
    ) -> Iteration[Any]:
        """Yield events as they finish. Events that have already finished come first.

        The failure of an event raises no error here: look at its ``status``. If nothing runs the
        executor, the iteration waits without end.

        Args:
            events: Events of this executor, or their ids. An event that is given twice is yielded
                twice.
            timeout: Seconds from this call to the end of the iteration; None for no limit.

        Raises:
            NotFoundError: if an event is unknown, or was removed before it finished.
            TimeoutError: if ``timeout`` seconds have passed. The event goes on.
        """
        return self._bridge.iterate(
            "as_completed", lambda executor, _: executor.as_completed(several(events)), timeout
        )

    def map(
        self,
        events: Iterable[E],
        *,
        ordered: bool = True,
        buffersize: int | None = None,
        keep: bool | None = None,
        exist_ok: bool = False,
        timeout: float | None = None,
    ) -> Iteration[E]:
        """Append events on demand, and yield each when it has finished.

        The source may be endless: its next event is taken only when fewer than ``buffersize``
        events are in progress. If the source raises an error, or an event is refused, that error is
        raised after all earlier events have been yielded. If the caller stops early, events that
        have been appended stay in the executor.

        The failure of an event raises no error here: look at its ``status``. If nothing runs the
        executor, the iteration waits without end.

        Args:
            events: An iterable of new events. It is advanced in the thread of the
                caller, while that waits for an event.
            ordered: True to yield events in the order of the source; False as they finish.
            buffersize: Number of events in progress at most; by default twice the number that may
                run at once. While ``max_queue_size`` events are pending, no event is taken either.
            keep: False to remove each event from the store some time after the next one has been
                requested, unless it was retried. By default events are kept in a durable store, and
                removed from a store in memory.
            exist_ok: True to accept an event whose id is known. It stays unchanged and is yielded
                when it has finished. An interrupted run can be repeated this way.
            timeout: Seconds from this call to the end of the iteration; None for no limit.

        Raises:
            ValidationError: if ``buffersize`` is not an integer >= 1.
            NotFoundError: if an event was removed before it finished.
            TimeoutError: if ``timeout`` seconds have passed. The event goes on.
        """
        return self._bridge.iterate(
            "map",
            lambda executor, caller: executor.map(
                caller.source(events),
                ordered=ordered,
                buffersize=buffersize,
                keep=keep,
                exist_ok=exist_ok,
            ),
            timeout,
        )

    def stream(
        self,
        event: Event | IdLike,
        *,
        cancel_with_reader: bool = False,
        on_restart: Callable[[], object] | None = None,
        timeout: float | None = None,
    ) -> Iteration[Any]:
        """Yield the chunks of an event: the existing ones at once, later ones as they arrive.

        The iteration ends when the event finishes. Any number of readers can follow one event. Each
        reader receives every chunk, however late it starts and however slow it is. An event that is
        not a stream yields its response once. If nothing runs the executor, the iteration waits
        without end.

        Args:
            event: An event of this executor, or its id: pending, running or finished.
            cancel_with_reader: True to cancel the event if the reader is closed, interrupted or too
                late (``with executor.stream(event) as chunks:`` closes it).
            on_restart: Called when a new attempt begins after chunks were yielded. The chunks of
                the new attempt follow, from its first one. Without it, RestartedError is raised
                then.
            timeout: Seconds from this call to the end of the iteration; None for no limit.

        Raises:
            Exception: the error that ``result`` raises, after the last chunk, unless the event
                completed.
            RestartedError: if a new attempt has begun after chunks were yielded. Call ``stream``
                again for its chunks.
            NotFoundError: if the event is unknown, or was removed.
            TimeoutError: if ``timeout`` seconds have passed. The event goes on.
        """
        return self._bridge.iterate(
            "stream",
            lambda executor, caller: executor.stream(
                event, cancel_with_reader=cancel_with_reader, on_restart=caller.callback(on_restart)
            ),
            timeout,
        )

    def progress(
        self, event: Event | IdLike, *, timeout: float | None = None
    ) -> Iteration[Progress]:
        """Yield the progress that an event reports, from whichever process runs it.

        The last report, if there is one, is yielded first. If reports follow each other quickly,
        some are skipped, but never the last; from another process at most ten a second arrive. The
        iteration ends when the event has finished; a failure raises no error here.

        >>> for progress in executor.progress(event):
        ...     print(progress.fraction, progress.note)

        Args:
            event: An event of this executor, or its id: pending, running or finished.
            timeout: Seconds from this call to the end of the iteration; None for no limit.

        Raises:
            NotFoundError: if the event is unknown.
            TimeoutError: if ``timeout`` seconds have passed. The event goes on.
        """
        return self._bridge.iterate(
            "progress", lambda executor, _: executor.progress(event), timeout
        )

    def get(self, event: Event | IdLike, *, timeout: float | None = None) -> Event | Record:
        """Return an event as it is now, whichever process has it.

        Args:
            timeout: Seconds to wait; None for no limit.

        Returns:
            The event that this process holds, if it is up to date; else one that is made from the
            record, with the status, the progress and the response that another process has
            recorded. If this process has not defined the class, or cannot read the event, the
            Record itself.

        Raises:
            NotFoundError: if the event is unknown, or was removed.
            ValidationError: if the argument is not an id.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call("get", lambda executor, _: executor.get(event), timeout)

    def cancel(
        self, event: Event | IdLike, *, by: str | None = None, timeout: float | None = None
    ) -> bool:
        """Cancel an event: a pending one at once, a running one at its next ``await``.

        If another event continues it, that one is cancelled, and the pending events that were
        appended with it.

        Args:
            event: The event, or its id.
            by: Who asks for it, such as the name of a user. The store keeps the last ten names with
                the event, for ``actions``, the page and the command line; None records nothing.
            timeout: Seconds to wait; None for no limit.

        Returns:
            True if the event had not finished. It finishes then: no further attempt follows, unless
            ``retry`` is called.

        Raises:
            NotFoundError: if the event is unknown.
            ValidationError: for an invalid name.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "cancel", lambda executor, _: executor.cancel(event, by=by), timeout
        )

    def retry(
        self, event: Event | IdLike, *, by: str | None = None, timeout: float | None = None
    ) -> Event:
        """Return a FAILED, CANCELLED or ABORTED event to pending, whatever its parents are.

        It keeps its id, its priority and its arrival. Its failures are counted from 0 again. Events
        that were cancelled because it had not finished as they require wait for it again.

        Args:
            event: The event, or its id.
            by: Who asks for it; see ``cancel``.
            timeout: Seconds to wait; None for no limit.

        Raises:
            NotFoundError: if the event is unknown.
            OperationError: if it has not finished, or has another final status.
            ValidationError: for an invalid name.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call("retry", lambda executor, _: executor.retry(event, by=by), timeout)

    def retry_failed(self, *, by: str | None = None, timeout: float | None = None) -> int:
        """Return all FAILED events of the queue to pending, as ``retry`` does for one.

        In a durable store, these include events that other processes appended.

        Args:
            by: Who asks for it; see ``cancel``.
            timeout: Seconds to wait; None for no limit.

        Returns:
            The number of events.

        Raises:
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "retry_failed", lambda executor, _: executor.retry_failed(by=by), timeout
        )

    def actions(self, event: Event | IdLike, *, timeout: float | None = None) -> tuple[Action, ...]:
        """Return who has cancelled or retried an event with a name (``by``), the oldest first.

        Each action has the attributes ``what`` ("cancel" or "retry"), ``by``, and ``at``, a Unix
        timestamp in seconds. The store keeps the last ten.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            NotFoundError: if the event is unknown.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call("actions", lambda executor, _: executor.actions(event), timeout)

    def remove(self, event: Event | IdLike, *, timeout: float | None = None) -> Event:
        """Remove an event that is not running. The caller may append it again.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            NotFoundError: if the event is unknown.
            OperationError: if it is running, or an event that has not finished was appended
                ``after`` it.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call("remove", lambda executor, _: executor.remove(event), timeout)

    def cleanup_events(
        self,
        statuses: Collection[EventStatus | str] | EventStatus | str | None = None,
        *,
        timeout: float | None = None,
    ) -> int:
        """Remove finished events, except for parents of events that have not finished.

        Args:
            statuses: One status or several; by default COMPLETED, FAILED and ABORTED.
            timeout: Seconds to wait; None for no limit.

        Returns:
            The number of removed events.

        Raises:
            ValueError: for a name that is not a status.
            OperationError: for PENDING or PROCESSING, which are not final.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "cleanup_events", lambda executor, _: executor.cleanup_events(statuses), timeout
        )

    def why(self, event: Event | IdLike, *, timeout: float | None = None) -> Why:
        """Explain why an event waits: its queue position, what blocks it, and its earliest start.

        ``print(executor.why(event))`` prints the explanation in a few lines.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            NotFoundError: if the event is unknown.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call("why", lambda executor, _: executor.why(event), timeout)

    def parents(
        self, event: Event | IdLike, *, timeout: float | None = None
    ) -> Iteration[Relative]:
        """Yield the events that an event was appended ``after``, in the given order.

        ``record`` is the parent, and ``is_met`` tells whether it has finished as required. Parents
        that were removed are missing. They are read in pages.

        Args:
            timeout: Seconds from this call to the end of the iteration; None for no limit.

        Raises:
            NotFoundError: if the event is unknown.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.iterate("parents", lambda executor, _: executor.parents(event), timeout)

    def children(
        self, event: Event | IdLike, *, timeout: float | None = None
    ) -> Iteration[Relative]:
        """Yield the events that were appended ``after`` an event, by arrival; see ``parents``.

        Args:
            timeout: Seconds from this call to the end of the iteration; None for no limit.

        Raises:
            NotFoundError: if the event is unknown.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.iterate(
            "children", lambda executor, _: executor.children(event), timeout
        )

    def get_events_by_status(self, status: EventStatus | str) -> builtins.list[Event]:
        """Return a list of the events of a status, as far as this process knows them.

        Raises:
            ValueError: if the argument is not a status.
        """
        return self._bridge.call_plain(
            "get_events_by_status", lambda executor: list(executor.get_events_by_status(status))
        )

    @property
    def pending_events(self) -> builtins.list[Event]:
        """The events that wait."""
        return self._bridge.call_plain(
            "pending_events", lambda executor: list(executor.pending_events)
        )

    @property
    def processing_events(self) -> builtins.list[Event]:
        """The events that are running."""
        return self._bridge.call_plain(
            "processing_events", lambda executor: list(executor.processing_events)
        )

    @property
    def completed_events(self) -> builtins.list[Event]:
        """The events that finished with a response, in the order in which they finished."""
        return self._bridge.call_plain(
            "completed_events", lambda executor: list(executor.completed_events)
        )

    @property
    def failed_events(self) -> builtins.list[Event]:
        """The events that finished with an error."""
        return self._bridge.call_plain(
            "failed_events", lambda executor: list(executor.failed_events)
        )

    @property
    def cancelled_events(self) -> builtins.list[Event]:
        """The events that were cancelled, or exceeded their timeout."""
        return self._bridge.call_plain(
            "cancelled_events", lambda executor: list(executor.cancelled_events)
        )

    @property
    def skipped_events(self) -> builtins.list[Event]:
        """The events that raised Skip."""
        return self._bridge.call_plain(
            "skipped_events", lambda executor: list(executor.skipped_events)
        )

    @property
    def aborted_events(self) -> builtins.list[Event]:
        """The events that were denied permission too often."""
        return self._bridge.call_plain(
            "aborted_events", lambda executor: list(executor.aborted_events)
        )

    def counts(self, *, timeout: float | None = None) -> dict[str, int]:
        """Return the number of events of the queue in each status, whichever process has them.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call("counts", lambda executor, _: executor.counts(), timeout)

    def status_counts(self) -> dict[str, int]:
        """Return the number of events in each status, in O(1), as far as this process knows them.

        ``counts`` asks the store.
        """
        return self._bridge.call_plain("status_counts", lambda executor: executor.status_counts())

    def inspect_state(self) -> str:
        """Return the counts as text, one line per status."""
        return self._bridge.call_plain("inspect_state", lambda executor: executor.inspect_state())

    def timeline(self, title: str | None = None) -> Picture:
        """Return a chart of the events in this process, with one bar per attempt.

        A notebook displays it; ``save(path)`` writes it as SVG. At most the 10,000 newest events
        are drawn. For an event that another process ran, only the times in its record are known:
        those of failed attempts are drawn too.

        Args:
            title: Title of the chart; by default the name of the executor's class and its own name.
        """
        return self._bridge.call_plain("timeline", lambda executor: executor.timeline(title))

    def __contains__(self, event: object) -> bool:
        return self._bridge.call_plain("__contains__", lambda executor: event in executor)

    def observe(self, observer: Observer, *, light: bool = False) -> Callable[[], None]:
        """Call ``observer(transition)`` at each transition of each event.

        The call is made in the daemon thread, between two steps of the run, so it has to be
        fast. An
        error of the observer is logged once, and has no other effect.

        Args:
            observer: A plain function.
            light: True to leave plain events on the fast path, which does not call the observer
                and takes a tenth of the time. ``executor.observers.quick`` counts these events by
                class. The observer is called for a sample of them, up to about 200 a second, from
                the start of the event on. It is called for every event that fails, streams, is
                denied, or otherwise leaves the fast path.

        Returns:
            A function that removes the observer.
        """
        return self._bridge.observe(
            "observe", lambda executor: executor.observe(observer, light=light)
        )

    def observe_appends(
        self, wrapper: AppendWrapper, *, picks: Picks | None = None
    ) -> Callable[[], None]:
        """Open the context manager ``wrapper(event)`` around each append.

        Values that it sets in ``event.metadata`` on entry are stored with the event, so the worker
        can read them. On exit it receives the error that ``append`` raises, if any.

        Args:
            wrapper: A plain function of the event.
            picks: See ``observe_attempts``.

        Returns:
            A function that removes the wrapper.
        """
        return self._bridge.observe(
            "observe_appends", lambda executor: executor.observe_appends(wrapper, picks=picks)
        )

    def observe_attempts(
        self, wrapper: Wrapper, *, picks: Picks | None = None
    ) -> Callable[[], None]:
        """Open the context manager ``wrapper(start)`` around each attempt.

        ``start`` is the transition to PROCESSING. The attempt's code runs inside, with all that it
        awaits or runs in a thread; context variables that the manager sets are visible there. On
        exit the manager receives the error that is recorded, if any. It can neither change nor
        suppress that error. It has to be fast, like an observer.

        Args:
            wrapper: A plain function of the Transition.
            picks: ``picks(event, starting)`` selects events. It is called when an event is
                appended, and again when it starts. Other events may use the fast path, as with a
                light observer. None selects all events.

        Returns:
            A function that removes the wrapper.
        """
        return self._bridge.observe(
            "observe_attempts", lambda executor: executor.observe_attempts(wrapper, picks=picks)
        )

    def observe_progress(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, progress)`` at each progress report of an event that runs here.

        See ``observe``. ``progress`` has the attributes ``fraction`` and ``note``.

        Returns:
            A function that removes the listener.
        """
        return self._bridge.observe(
            "observe_progress", lambda executor: executor.observe_progress(listener)
        )


class Batch(Generic[R]):
    """Events that were appended together by ``Executor.batch``.

    Attributes:
        id: The id of the batch.
        event_ids: The ids of the events, in the order given.
    """

    __slots__ = ("_batch", "_bridge", "_owner", "event_ids", "id")

    def __init__(self, bridge: Bridge, owner: AsyncExecutor, batch: AsyncBatch[R]) -> None:
        self._bridge = bridge
        self._owner = owner
        self._batch = batch
        self.id: UUID = batch.id
        self.event_ids: tuple[UUID, ...] = batch.event_ids

    async def _of(self, executor: AsyncExecutor) -> AsyncBatch[R]:
        """Return the handle of an executor; a forked child has another one than its parent."""
        if executor is not self._owner:
            self._batch, self._owner = await executor.get_batch(self.id), executor
        return self._batch

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.event_ids)

    def __repr__(self) -> str:
        return f"Batch({str(self.id)!r}, {len(self)} events)"

    def counts(self, *, timeout: float | None = None) -> dict[str, int]:
        """Return the number of events in each status, whichever process runs them.

        An event that returned ``Then`` counts with the status of the event that continues it. An
        event that was removed does not count, so the sum may be less than the length of the batch.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            NotFoundError: if the batch was removed.
            TimeoutError: if ``timeout`` seconds have passed.
        """

        async def run(executor: AsyncExecutor, _: Caller) -> dict[str, int]:
            return await (await self._of(executor)).counts()

        return self._bridge.call("batch.counts", run, timeout)

    @overload
    def result(
        self, *, return_exceptions: Literal[False] = ..., timeout: float | None = ...
    ) -> list[R]: ...

    @overload
    def result(
        self, *, return_exceptions: bool, timeout: float | None = ...
    ) -> list[R | Exception]: ...

    def result(self, *, return_exceptions: bool = False, timeout: float | None = None) -> list[Any]:
        """Wait until the events have finished, and return their responses in the order given.

        If nothing runs the events, the call does not return.

        Args:
            return_exceptions: False to raise the error of the first event, in the order given, that
                has not completed; the other events continue. True to wait for all events, and to
                return such an error in place of the response.
            timeout: Seconds to wait; None for no limit.

        Raises:
            Exception: the error that ``Executor.result`` raises for an event.
            NotFoundError: if an event was removed, or the batch; or if this process has not defined
                the class of an event.
            TimeoutError: if ``timeout`` seconds have passed. The event goes on.
        """

        async def run(executor: AsyncExecutor, _: Caller) -> list[Any]:
            return await (await self._of(executor)).result(return_exceptions=return_exceptions)

        return self._bridge.call("batch.result", run, timeout)

    def cancel(self, *, by: str | None = None, timeout: float | None = None) -> int:
        """Cancel the events that have not finished, as ``Executor.cancel`` does for one.

        Args:
            timeout: Seconds to wait; None for no limit.

        Returns:
            The number of events that had not finished.

        Raises:
            TimeoutError: if ``timeout`` seconds have passed.
        """

        async def run(executor: AsyncExecutor, _: Caller) -> int:
            return await (await self._of(executor)).cancel(by=by)

        return self._bridge.call("batch.cancel", run, timeout)


class Schedules:
    """The schedules of one queue; see ``Executor.schedules``."""

    __slots__ = ("_bridge",)

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def list(self, *, timeout: float | None = None) -> builtins.list[ScheduleRecord]:
        """Return the schedules of the queue, by name.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "schedules.list", lambda executor, _: executor.schedules.list(), timeout
        )

    def get(self, name: str, *, timeout: float | None = None) -> ScheduleRecord:
        """Return a schedule.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            NotFoundError: if the queue has no schedule of this name.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "schedules.get", lambda executor, _: executor.schedules.get(name), timeout
        )

    def set(
        self, name: str, event: Event, schedule: Schedule, *, timeout: float | None = None
    ) -> ScheduleRecord:
        """Make a schedule, or change the one of this name; see ``Executor.schedule``.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "schedules.set",
            lambda executor, _: executor.schedules.set(name, event, schedule),
            timeout,
        )

    def change(
        self,
        name: str,
        rule: Rule | None = None,
        *,
        event: Event | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> ScheduleRecord:
        """Change a schedule.

        A new rule counts from now. Other changes keep the next instant.

        Args:
            name: Its name.
            rule: The new rule; None to keep it.
            event: Its new event; None to keep it.
            timeout: Seconds to wait; None for no limit.
            **options: New values of options: see ``Schedule``.

        Returns:
            The changed schedule.

        Raises:
            NotFoundError: if there is no schedule of this name.
            OperationError: if a class declares the schedule, and ``event`` is given.
            TypeError: for an unknown option.
            ValidationError: for an invalid value.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "schedules.change",
            lambda executor, _: executor.schedules.change(name, rule, event=event, **options),
            timeout,
        )

    def pause(self, name: str, *, timeout: float | None = None) -> ScheduleRecord:
        """Pause a schedule: its instants pass without an event until ``resume``.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            NotFoundError: if there is no schedule of this name.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "schedules.pause", lambda executor, _: executor.schedules.pause(name), timeout
        )

    def resume(self, name: str, *, timeout: float | None = None) -> ScheduleRecord:
        """Resume a paused schedule at its next instant after now.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            NotFoundError: if there is no schedule of this name.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "schedules.resume", lambda executor, _: executor.schedules.resume(name), timeout
        )

    def remove(self, name: str, *, timeout: float | None = None) -> None:
        """Remove a schedule. Its events stay. A schedule of the same name has a new id later.

        A worker that declares the schedule makes it again at its next start.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            NotFoundError: if there is no schedule of this name.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        self._bridge.call(
            "schedules.remove", lambda executor, _: executor.schedules.remove(name), timeout
        )

    def load(self, record: ScheduleRecord, *, timeout: float | None = None) -> None:
        """Add an exported schedule with its id and its next instant.

        Args:
            timeout: Seconds to wait; None for no limit.

        Raises:
            ExistsError: if the queue has a schedule of this name.
            ValidationError: if its rule cannot be evaluated.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        self._bridge.call(
            "schedules.load", lambda executor, _: executor.schedules.load(record), timeout
        )

    def run(self, name: str, *, timeout: float | None = None) -> UUID:
        """Append an event of a schedule now, also while it is paused, and whatever its overlap.

        If the last event of the schedule is unfinished, the overlap of later instants looks at that
        one, and not at the event of this call.

        It may start at once, without jitter, and its ttl counts from now.

        Args:
            timeout: Seconds to wait; None for no limit.

        Returns:
            The id of the event. Its instant is the present time.

        Raises:
            NotFoundError: if there is no schedule of this name.
            QueueFullError: if there is no space for the event.
            TimeoutError: if ``timeout`` seconds have passed. The event goes on.
        """
        return self._bridge.call(
            "schedules.run", lambda executor, _: executor.schedules.run(name), timeout
        )

    def backfill(
        self,
        name: str,
        start: datetime | float,
        end: datetime | float,
        *,
        timeout: float | None = None,
    ) -> tuple[UUID, ...]:
        """Append the events of past instants, whatever the overlap; known events are left out.

        They may start at once, and their ttl counts from now.

        Args:
            name: The name of the schedule.
            start: The first instant: a datetime with a time zone, or a Unix timestamp in seconds.
            end: The last instant, not in the future.
            timeout: Seconds to wait; None for no limit.

        Returns:
            The ids of the appended events, by instant.

        Raises:
            NotFoundError: if there is no schedule of this name.
            QueueFullError: if there is no space for the events; none was appended.
            ValidationError: if an instant is invalid, or there are more than ``MAX_BACKFILL``.
            TimeoutError: if ``timeout`` seconds have passed.
        """
        return self._bridge.call(
            "schedules.backfill",
            lambda executor, _: executor.schedules.backfill(name, start, end),
            timeout,
        )
