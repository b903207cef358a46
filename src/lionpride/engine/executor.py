"""Executor: the client and facade. It accepts events, and starts, stops and queries the worker."""

from __future__ import annotations

import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
)
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, Unpack, cast, overload

from ..errors import ConfigurationError
from ..model import registry
from ..model.after import When
from ..model.collections.container import IdLike
from ..model.collections.flow import Flow
from ..model.execution import EventStatus
from ..model.progress import Progress
from ..model.recurrence import Rule
from ..model.retry_policy import Retry
from ..model.schedule import Missed, OverlapPolicy, Schedule
from ..rules.limits.limit import Limit
from ..rules.limits.limit_set import Limits
from ..stores.contract import Relative, Store
from ..stores.open import open_store
from ..stores.record import Record
from ..stores.schedule_record import ScheduleRecord
from ..stores.states import Events, States
from .admin import Admin
from .append_options import AppendOptions, Parents, RunOptions
from .batch import Batch, find_batch_end
from .batch_end import BatchEnd
from .bound_loop import BoundLoop
from .completion import CompletionService, Returns, ReturnsPlainly
from .config import check_keys, check_settings, checked_config, seconds
from .event import Event
from .event_lookup import is_known
from .factory import Permission, Settings, checked_types, executor_class
from .factory import processor_config as settings_of
from .job import Job
from .lifespan import Factory
from .observers import AppendWrapper, Listener, Observer, Observers, Picks, Wrapper
from .processor import GRACE, Processor
from .run_control import RunControl, Scope
from .schedules import Schedules
from .submission import Submission

if TYPE_CHECKING:
    from ..drawing.notebook import Picture
    from ..rules.action import Action
    from ..rules.explain import Why

__all__ = ("Executor",)

E = TypeVar("E", bound=Event)
R = TypeVar("R")
T = TypeVar("T")


class Executor:
    """Accepts events, runs them by priority within limits, and keeps them by status.

    ``Executor.of(Square)`` makes an executor for one class of events. A subclass with a
    ``processor_type`` does the same with more control. There are three ways to run events:
    ``async with executor:`` runs them in the background. ``start()`` and then ``forward()`` runs
    one round at a time. ``asyncio.create_task(executor.execute())`` runs until ``stop()``.

    Args:
        processor_config: Settings for the processor's ``__init__``.
        strict_event_type: True to refuse subclasses of the ``event_type``.
        name: Name of ``states``; by default the name of the queue.
        store: The place where events are kept: None for memory, a URL such as
            ``"sqlite:///run.db"``, or a Store.
        queue: Name of the queue in the store. By default it is the registry key of the event
            type, or the first of its ``former_names``.
        grace: Seconds that running events have to finish when ``async with`` is left. Events
            that still run are then interrupted and are pending again.
        lifespan: A function that takes the executor and returns an async context manager, as
            ``@asynccontextmanager`` makes it. The manager is open while a worker runs;
            ``current().resources`` is the value that it yields.

    Raises:
        ConfigurationError: if a class attribute, a key of the config or the URL is invalid.
        ValidationError: if a setting is out of bounds.
    """

    processor_type: ClassVar[type[Processor]]
    """The class of the processor; a subclass sets it."""

    named_types: ClassVar[tuple[type[Event], ...]] = ()
    """The event types that were passed to ``of``; empty for the ``event_type`` of the processor."""

    made_with: ClassVar[Mapping[str, Any]] = {}
    """The arguments of ``of``; the command line changes some of them."""

    def __init__(
        self,
        processor_config: Mapping[str, Any] | None = None,
        strict_event_type: bool = False,
        name: str | None = None,
        *,
        store: Store | str | None = None,
        queue: str | None = None,
        grace: float = GRACE,
        lifespan: Factory | None = None,
    ) -> None:
        event_type = _event_type(type(self))
        config = checked_config(processor_config)
        check_keys(self.processor_type, config)
        check_settings(config)
        seconds("grace", grace, 0.0, 86400.0, "Grace must be >= 0 s.", "Grace must be <= 86400 s.")
        queue = queue or registry.first_key_of(event_type)
        self.processor_config: Mapping[str, Any] = config
        self._event_type = event_type
        self._event_types = type(self).named_types or (event_type,)
        self._strict = strict_event_type
        self._store = opened = open_store(store, queue=queue, name=name or queue)
        opened.states.declare(self._event_types, strict_event_type, (BatchEnd,))
        opened.event_types.run_only((*self._event_types, BatchEnd))
        self._observers = Observers.of(opened)
        self._connect(name, grace, store is None or isinstance(store, str), lifespan)

    def _connect(
        self, name: str | None, grace: float, owns_store: bool, lifespan: Factory | None
    ) -> None:
        """Create the parts of the executor."""
        store, observers, config = self._store, self._observers, self.processor_config
        owner = type(self).__name__
        limits = Limits(self.processor_type.limits_of(config))
        self._loop = BoundLoop(owner)
        self._submission = Submission(
            store,
            observers,
            self._loop,
            event_types=self._event_types,
            strict=self._strict,
            limits=limits,
            max_pending=config.get("max_queue_size"),
            owner=owner,
        )
        submission = self._submission
        self._schedules = Schedules(store, lambda: submission.max_pending, submission.check)
        self._control = RunControl(
            store,
            observers,
            self._submission,
            self._loop,
            processor_type=self.processor_type,
            config=config,
            limits=limits,
            grace=grace,
            owns_store=owns_store,
            lifespan=lifespan,
            executor=weakref.ref(self),
            event_types=self._event_types,
        )
        self._completion = CompletionService(store, self._control.is_working, self._control.slots)
        self._admin = Admin(store, observers, self._control, owner=owner, name=name)

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

        >>> async with Executor.of(Square, concurrency_limit=8) as executor:
        ...     print(await executor.run(Square(number=7)))

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
        types = checked_types(event_types)
        if len(types) > 1 and queue is None:
            names = ", ".join(each.__name__ for each in types)
            raise ConfigurationError(
                f"Executor.of({names}) needs queue=: several event types have no common queue name"
            )
        made: dict[str, Any] = {
            "processor_config": settings_of(cls, processor_config, settings),
            "strict_event_type": strict_event_type,
            "name": name,
            "store": store,
            "queue": queue,
            "grace": grace,
            "lifespan": lifespan,
        }
        usual = {"strict_event_type": False, "grace": GRACE, "processor_config": {}}
        given = {key: value for key, value in made.items() if value != usual.get(key)}
        kind = executor_class(cls, types, processor, permission)
        kind.made_with = given
        return cast("type[Self]", kind)(**given)

    # -- properties ------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """The store of the executor's events."""
        return self._store

    @property
    def states(self) -> States:
        """The events in this process, as a live Flow with one progression per status."""
        return self._store.states

    @property
    def processor(self) -> Processor | None:
        """The processor; None before the first ``start()``."""
        return self._control.processor

    @property
    def event_type(self) -> type[Event]:
        """The class of its events; Event if there are several classes."""
        return self._event_type

    @property
    def event_types(self) -> tuple[type[Event], ...]:
        """The classes that it accepts and runs, with their subclasses."""
        return self._event_types

    @property
    def strict_event_type(self) -> bool:
        """True if subclasses of the event type are refused."""
        return self._strict

    @property
    def limits(self) -> Mapping[str, Limit]:
        """Limits on the costs of its events, by name.

        ``amount`` and ``per`` can be set at any time.
        """
        return self._control.limits

    # -- append ----------------------------------------------------------------------------------

    async def append(
        self,
        event: E,
        priority: float | None = None,
        *,
        exist_ok: bool = False,
        wait: bool = False,
        connection: Any = None,
        **options: Unpack[AppendOptions],
    ) -> E:
        """Append an event. It is accepted when this method returns, and not if it raises an error.

        There is one exception: a call that is cancelled, or that raises a retryable StoreError, may
        have appended the event. Append the same event again with ``exist_ok=True`` to be sure.

        Args:
            event: A pending event that belongs to no executor.
            priority: Lower runs first; equal priorities run in order of arrival. The default is the
                time of creation, as a Unix timestamp in seconds.
            exist_ok: True to accept an event whose id is known; the known event stays unchanged.
            wait: True to wait for space if ``max_queue_size`` events are pending. Callers in this
                process are served in order of arrival. If nothing runs the executor, the call does
                not return.
            connection: A connection to the PostgreSQL database of the store: of asyncpg,
                ``psycopg.AsyncConnection``, or SQLAlchemy's AsyncSession or AsyncConnection. The
                event is appended in the connection's transaction, and exists if that commits. The
                event object itself stays detached: query the event by its id. ``max_queue_size`` is
                not checked, and ``exist_ok`` is refused.
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
        """
        if not options and connection is None and self._submission.append_now(event, priority):
            return event  # the shortcut for a store in memory
        return await self._submission.append(event, priority, exist_ok, wait, connection, options)

    async def append_many(
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
    ) -> list[E]:
        """Append events as one batch: all of them or none, in this order of arrival.

        >>> await executor.append_many([*pages, book], after={book: pages})

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

        Returns:
            The events. With ``exist_ok``, some can be events that were already there.

        Raises:
            ValidationError: if ``priorities`` and ``events`` differ in length, if a child is not in
                this batch, or if events wait for each other in a cycle; also see ``append``.
            QueueFullError: with ``wait``, if the batch is larger than ``max_queue_size``.
        """
        return await self._submission.append_many(
            events,
            priorities,
            exist_ok=exist_ok,
            wait=wait,
            delay=delay,
            at=at,
            ttl=ttl,
            retry=retry,
            after=after,
            when=when,
            connection=connection,
        )

    @overload
    async def batch(
        self,
        events: Iterable[Returns[R]],
        priorities: Iterable[float | None] | None = None,
        *,
        wait: bool = ...,
        after: Mapping[Any, Parents] | None = ...,
        when: When | None = ...,
    ) -> Batch[R]: ...
    @overload
    async def batch(
        self,
        events: Iterable[ReturnsPlainly[R]],
        priorities: Iterable[float | None] | None = None,
        *,
        wait: bool = ...,
        after: Mapping[Any, Parents] | None = ...,
        when: When | None = ...,
    ) -> Batch[R]: ...
    async def batch(
        self,
        events: Iterable[Any],
        priorities: Iterable[float | None] | None = None,
        *,
        wait: bool = False,
        after: Mapping[Any, Parents] | None = None,
        when: When | None = None,
    ) -> Batch[Any]:
        """Append events as one batch, and return a handle: counts by status, results, cancel.

        >>> batch = await executor.batch([Fetch(url=url) for url in urls])
        >>> await batch.counts()
        {'pending': 3, 'processing': 1, 'completed': 8, ...}
        >>> texts = await batch.result()

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

        Raises:
            ValidationError: if an event is given twice; also see ``append_many``.
            QueueFullError: see ``append_many``.
        """
        end = await self._submission.append_with_end(
            events, priorities, wait=wait, after=after, when=when
        )
        return Batch(end, self._store, self._completion, self._admin)

    async def get_batch(self, batch: IdLike) -> Batch[Any]:
        """Return the handle of a batch that this or another process has appended.

        Args:
            batch: The ``id`` of the batch.

        Raises:
            NotFoundError: if no batch of the queue has this id, or it was removed.
            ValidationError: if the argument is not an id.
        """
        end = await find_batch_end(self._store, batch)
        return Batch(end, self._store, self._completion, self._admin)

    async def load(self, state: Flow[Any, Any] | Mapping[str, Any]) -> int:
        """Append the events of a Flow, or of its ``to_dict`` form, and keep their statuses.

        An event that was running becomes pending, as interrupted. Progressions that the user added
        to the Flow are added to ``states``.

        Returns:
            The number of events.

        Raises:
            ExistsError: if an id or a progression's name is already in use; nothing is added then.
            TypeError: if an event is not of the event type; nothing is added then.
            ValidationError: if a priority is not a finite number; nothing is added then.
            OperationError: if the executor is draining or was drained; nothing is added then.
        """
        return await self._submission.load(state)

    @overload
    async def run(
        self, event: Returns[R], priority: float | None = None, **options: Unpack[RunOptions]
    ) -> R: ...
    @overload
    async def run(
        self, event: ReturnsPlainly[R], priority: float | None = None, **options: Unpack[RunOptions]
    ) -> R: ...
    async def run(
        self, event: Any, priority: float | None = None, **options: Unpack[RunOptions]
    ) -> Any:
        """Append an event, wait until it has finished, and return its response.

        If nothing runs the executor, the call does not return: call it in ``async with executor:``,
        or while a worker runs elsewhere. If the call is cancelled, the event stays in the queue.

        Args:
            event: See ``append``.
            priority: See ``append``.
            **options: Any option of ``append`` except ``connection``. With ``exist_ok`` or
                ``unique``, the result can be that of an event that was already there.

        Raises:
            Exception: any error of ``append`` and ``result``.
        """
        return await self.result(await self.append(event, priority, **options))

    # -- schedules -------------------------------------------------------------------------------

    async def schedule(
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
    ) -> ScheduleRecord:
        """Append an event like this one at each instant of a rule, from now on.

        >>> await executor.schedule("nightly", Report(), Cron("30 2 * * *", tz="Europe/Berlin"))

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

        Returns:
            The schedule.

        Raises:
            OperationError: if a class declares a schedule of this name.
            TypeError: if the event is not of the event type.
            ValidationError: for an invalid value.
        """
        options = Schedule(
            rule,
            missed=missed,
            missed_limit=missed_limit,
            overlap=overlap,
            jitter=jitter,
            ttl=ttl,
            priority=priority,
        )
        return await self._schedules.set(name, event, options)

    @property
    def schedules(self) -> Schedules:
        """The schedules of the queue, to list, change, pause, run and remove them."""
        return self._schedules

    # -- start and stop --------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start the executor, and run events in the background.

        Raises:
            OperationError: if it runs already.
            Exception: any error of the ``lifespan``; nothing runs then.
        """
        await self._control.enter(self.start)
        return self

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
        await self._control.leave(error)

    async def start(self) -> None:
        """Create the processor, if there is none, and allow it to run. No event is started yet."""
        await self._control.start()

    async def stop(self) -> None:
        """Start no more events. The method returns at once; running events continue."""
        await self._control.stop()

    async def forward(self) -> None:
        """Run one round of the events that are due now, and return when they have settled.

        See ``Processor.process``. The executor is started if it was not.
        """
        await self._control.forward(self.start)

    async def execute(self) -> None:
        """Run events until ``stop()`` is called and the running events have finished.

        It is ``executor.processor.execute()``. Run it in a task, or use ``async with executor:``.

        Raises:
            OperationError: if the executor was not started.
            KeyboardInterrupt, SystemExit: if an event's code raised it. No further event is started
                then, and running events have their grace time first.
        """
        await self._control.execute()

    async def join(self) -> None:
        """Wait until no event is pending or running.

        Raises:
            OperationError: if events are pending or running, and no worker is there to finish them.
        """
        await self._control.join(self.start)

    async def pause(self, scope: Scope = "executor", *, by: str | None = None) -> None:
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

        Raises:
            ValidationError: for another scope, an invalid name, or a name without scope="queue".
        """
        await self._control.pause(scope, self.start, by)

    async def resume(self, scope: Scope = "executor", *, by: str | None = None) -> None:
        """Start events again, after a ``pause()`` of this scope; without one, nothing happens.

        Args:
            scope: "executor" or "queue". "queue" also ends a pause by `lionpride top` or the page,
                but no wait that a service has asked for (``RateLimited``).
            by: Who asks for it. The store keeps the name until the next pause of the queue, for
                the command line. A pause of the executor takes none.

        Raises:
            ValidationError: for another scope, an invalid name, or a name without scope="queue".
        """
        await self._control.resume(scope, self.start, by)

    @property
    def paused(self) -> bool:
        """True if this executor is paused; a pause of the queue does not count."""
        return self._control.paused

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
        return await self._control.drain(timeout, self.start, self.stop)

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
        return self._loop.run_threadsafe(coroutine)

    # -- results ---------------------------------------------------------------------------------

    @overload
    async def result(self, event: Returns[R]) -> R: ...
    @overload
    async def result(self, event: ReturnsPlainly[R]) -> R: ...
    @overload
    async def result(self, event: IdLike) -> Any: ...
    async def result(self, event: Any) -> Any:
        """Wait until an event has finished, and return its response.

        If nothing runs the executor, the call does not return. For a store in memory, which no
        other process can run, a warning is logged after some seconds.

        Raises:
            Exception: the event's own error, if it FAILED; Skip, if it was SKIPPED;
                LionTimeoutError or EventCancelledError, if it was CANCELLED; AccessError, if
                it was ABORTED.
            ExecutionError: in place of an error that would end this process too.
            NotFoundError: if the event is unknown, or was removed.
        """
        return await self._completion.result(event)

    @overload
    def as_completed(self, events: Iterable[E]) -> AsyncGenerator[E, None]: ...
    @overload
    def as_completed(self, events: Iterable[IdLike]) -> AsyncGenerator[Event, None]: ...
    def as_completed(self, events: Iterable[Any]) -> AsyncGenerator[Any, None]:
        """Yield events as they finish. Events that have already finished come first.

        The failure of an event raises no error here: look at its ``status``. If nothing runs the
        executor, the iteration waits without end.

        Args:
            events: Events of this executor, or their ids. An event that is given twice is yielded
                twice.

        Raises:
            NotFoundError: if an event is unknown, or was removed before it finished.
        """
        return self._completion.as_completed(events)

    def map(
        self,
        events: Iterable[E] | AsyncIterable[E],
        *,
        ordered: bool = True,
        buffersize: int | None = None,
        keep: bool | None = None,
        exist_ok: bool = False,
    ) -> AsyncGenerator[E, None]:
        """Append events on demand, and yield each when it has finished.

        The source may be endless: its next event is taken only when fewer than ``buffersize``
        events are in progress. If the source raises an error, or an event is refused, that error is
        raised after all earlier events have been yielded. If the caller stops early, events that
        have been appended stay in the executor.

        The failure of an event raises no error here: look at its ``status``. If nothing runs the
        executor, the iteration waits without end.

        Args:
            events: An iterable or async iterable of new events. A plain iterable is advanced in the
                event loop, so it must not block.
            ordered: True to yield events in the order of the source; False as they finish.
            buffersize: Number of events in progress at most; by default twice the number that may
                run at once. While ``max_queue_size`` events are pending, no event is taken either.
            keep: False to remove each event from the store some time after the next one has been
                requested, unless it was retried. By default events are kept in a durable store, and
                removed from a store in memory.
            exist_ok: True to accept an event whose id is known. It stays unchanged and is yielded
                when it has finished. An interrupted run can be repeated this way.

        Raises:
            ValidationError: if ``buffersize`` is not an integer >= 1.
            NotFoundError: if an event was removed before it finished.
        """
        return self._completion.map(
            events,
            partial(self.append, exist_ok=exist_ok, wait=True),
            self.remove,
            ordered=ordered,
            buffersize=buffersize,
            keep=keep,
        )

    def stream(
        self,
        event: Event | IdLike,
        *,
        cancel_with_reader: bool = False,
        on_restart: Callable[[], object] | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Yield the chunks of an event: the existing ones at once, later ones as they arrive.

        The iteration ends when the event finishes. Any number of readers can follow one event. Each
        reader receives every chunk, however late it starts and however slow it is. An event that is
        not a stream yields its response once. If nothing runs the executor, the iteration waits
        without end.

        Args:
            event: An event of this executor, or its id: pending, running or finished.
            cancel_with_reader: True to cancel the event if the reader is cancelled or closed before
                the end (``async with aclosing(executor.stream(event)) as chunks:``).
            on_restart: Called when a new attempt begins after chunks were yielded. The chunks of
                the new attempt follow, from its first one. Without it, RestartedError is raised
                then.

        Raises:
            Exception: the error that ``result`` raises, after the last chunk, unless the event
                completed.
            RestartedError: if a new attempt has begun after chunks were yielded. Call ``stream``
                again for its chunks.
            NotFoundError: if the event is unknown, or was removed.
        """
        cancel = self.cancel if cancel_with_reader else None
        return self._completion.stream(event, cancel, on_restart)

    def progress(self, event: Event | IdLike) -> AsyncGenerator[Progress, None]:
        """Yield the progress that an event reports, from whichever process runs it.

        The last report, if there is one, is yielded first. If reports follow each other quickly,
        some are skipped, but never the last; from another process at most ten a second arrive. The
        iteration ends when the event has finished; a failure raises no error here.

        >>> async for progress in executor.progress(event):
        ...     print(progress.fraction, progress.note)

        Args:
            event: An event of this executor, or its id: pending, running or finished.

        Raises:
            NotFoundError: if the event is unknown.
        """
        return self._completion.progress(event)

    # -- single events ---------------------------------------------------------------------------

    async def get(self, event: Event | IdLike) -> Event | Record:
        """Return an event as it is now, whichever process has it.

        Returns:
            The event that this process holds, if it is up to date; else one that is made from the
            record, with the status, the progress and the response that another process has
            recorded. If this process has not defined the class, or cannot read the event, the
            Record itself.

        Raises:
            NotFoundError: if the event is unknown, or was removed.
            ValidationError: if the argument is not an id.
        """
        return await self._admin.get(event)

    async def cancel(self, event: Event | IdLike, *, by: str | None = None) -> bool:
        """Cancel an event: a pending one at once, a running one at its next ``await``.

        If another event continues it, that one is cancelled, and the pending events that were
        appended with it.

        Args:
            event: The event, or its id.
            by: Who asks for it, such as the name of a user. The store keeps the last ten names with
                the event, for ``actions``, the page and the command line; None records nothing.

        Returns:
            True if the event had not finished. It finishes then: no further attempt follows, unless
            ``retry`` is called.

        Raises:
            NotFoundError: if the event is unknown.
            ValidationError: for an invalid name.
        """
        return await self._admin.cancel(event, by)

    async def retry(self, event: Event | IdLike, *, by: str | None = None) -> Event:
        """Return a FAILED, CANCELLED or ABORTED event to pending, whatever its parents are.

        It keeps its id, its priority and its arrival. Its failures are counted from 0 again. Events
        that were cancelled because it had not finished as they require wait for it again.

        Args:
            event: The event, or its id.
            by: Who asks for it; see ``cancel``.

        Raises:
            NotFoundError: if the event is unknown.
            OperationError: if it has not finished, or has another final status.
            ValidationError: for an invalid name.
        """
        return await self._admin.retry(event, by)

    async def retry_failed(self, *, by: str | None = None) -> int:
        """Return all FAILED events of the queue to pending, as ``retry`` does for one.

        In a durable store, these include events that other processes appended.

        Args:
            by: Who asks for it; see ``cancel``.

        Returns:
            The number of events.
        """
        return await self._admin.retry_failed(by)

    async def actions(self, event: Event | IdLike) -> tuple[Action, ...]:
        """Return who has cancelled or retried an event with a name (``by``), the oldest first.

        Each action has the attributes ``what`` ("cancel" or "retry"), ``by``, and ``at``, a Unix
        timestamp in seconds. The store keeps the last ten.

        Raises:
            NotFoundError: if the event is unknown.
        """
        return await self._admin.actions(event)

    async def remove(self, event: Event | IdLike) -> Event:
        """Remove an event that is not running. The caller may append it again.

        Raises:
            NotFoundError: if the event is unknown.
            OperationError: if it is running, or an event that has not finished was appended
                ``after`` it.
        """
        return await self._admin.remove(event)

    async def cleanup_events(
        self, statuses: Collection[EventStatus | str] | EventStatus | str | None = None
    ) -> int:
        """Remove finished events, except for parents of events that have not finished.

        Args:
            statuses: One status or several; by default COMPLETED, FAILED and ABORTED.

        Returns:
            The number of removed events.

        Raises:
            ValueError: for a name that is not a status.
            OperationError: for PENDING or PROCESSING, which are not final.
        """
        return await self._admin.cleanup_events(statuses)

    async def why(self, event: Event | IdLike) -> Why:
        """Explain why an event waits: its queue position, what blocks it, and its earliest start.

        ``print(await executor.why(event))`` prints the explanation in a few lines.

        Raises:
            NotFoundError: if the event is unknown.
        """
        return await self._admin.why(event)

    def parents(self, event: Event | IdLike) -> AsyncGenerator[Relative, None]:
        """Yield the events that an event was appended ``after``, in the given order.

        ``record`` is the parent, and ``is_met`` tells whether it has finished as required. Parents
        that were removed are missing. They are read in pages.

        Raises:
            NotFoundError: if the event is unknown.
        """
        return self._admin.parents(event)

    def children(self, event: Event | IdLike) -> AsyncGenerator[Relative, None]:
        """Yield the events that were appended ``after`` an event, by arrival; see ``parents``.

        Raises:
            NotFoundError: if the event is unknown.
        """
        return self._admin.children(event)

    # -- lists and counts ------------------------------------------------------------------------

    def get_events_by_status(self, status: EventStatus | str) -> Events:
        """Return the events of a status as a live, read-only list; making and measuring it is O(1).

        Raises:
            ValueError: if the argument is not a status.
        """
        return self._admin.events(status)

    @property
    def pending_events(self) -> Events:
        """The events that wait."""
        return self._admin.events(EventStatus.PENDING)

    @property
    def processing_events(self) -> Events:
        """The events that are running."""
        return self._admin.events(EventStatus.PROCESSING)

    @property
    def completed_events(self) -> Events:
        """The events that finished with a response, in the order in which they finished."""
        return self._admin.events(EventStatus.COMPLETED)

    @property
    def failed_events(self) -> Events:
        """The events that finished with an error."""
        return self._admin.events(EventStatus.FAILED)

    @property
    def cancelled_events(self) -> Events:
        """The events that were cancelled, or exceeded their timeout."""
        return self._admin.events(EventStatus.CANCELLED)

    @property
    def skipped_events(self) -> Events:
        """The events that raised Skip."""
        return self._admin.events(EventStatus.SKIPPED)

    @property
    def aborted_events(self) -> Events:
        """The events that were denied permission too often."""
        return self._admin.events(EventStatus.ABORTED)

    async def counts(self) -> dict[str, int]:
        """Return the number of events of the queue in each status, whichever process has them."""
        return await self._admin.counts()

    def status_counts(self) -> dict[str, int]:
        """Return the number of events in each status, in O(1), as far as this process knows them.

        ``counts`` asks the store.
        """
        return self._admin.status_counts()

    def inspect_state(self) -> str:
        """Return the counts as text, one line per status."""
        return self._admin.table()

    def timeline(self, title: str | None = None) -> Picture:
        """Return a chart of the events in this process, with one bar per attempt.

        A notebook displays it; ``save(path)`` writes it as SVG. At most the 10,000 newest events
        are drawn. For an event that another process ran, only the times in its record are known:
        those of failed attempts are drawn too.

        Args:
            title: Title of the chart; by default the name of the executor's class and its own name.
        """
        return self._admin.timeline(title)

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook displays: the counts, and a chart of the attempts."""
        return self._admin.html()

    def __contains__(self, event: object) -> bool:
        return is_known(self._store, event)

    def __repr__(self) -> str:
        return f"Executor({self._admin.summary()})"

    # -- observers -------------------------------------------------------------------------------

    @property
    def observers(self) -> Observers:
        """The observers of this executor, with counts of their errors and slow calls."""
        return self._observers

    def observe(self, observer: Observer, *, light: bool = False) -> Callable[[], None]:
        """Call ``observer(transition)`` at each transition of each event.

        The call is made in the event loop, between two steps of the run, so it has to be fast. An
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
        return self._observers.add(observer, light=light)

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
        return self._observers.wrap_appends(wrapper, picks)

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
        return self._observers.wrap(wrapper, picks)

    def observe_progress(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(event, progress)`` at each progress report of an event that runs here.

        See ``observe``. ``progress`` has the attributes ``fraction`` and ``note``.

        Returns:
            A function that removes the listener.
        """
        return self._observers.listen(listener)


def _event_type(kind: type[Executor]) -> type[Event]:
    """Return the event type of an executor class, from its processor class.

    Raises:
        ConfigurationError: if a class is missing.
    """
    processor = getattr(kind, "processor_type", None)
    if not isinstance(processor, type) or not issubclass(processor, Processor):
        raise ConfigurationError(
            f"{kind.__name__}.processor_type must be a Processor subclass, not {processor!r}: "
            "set it in the class"
        )
    event_type = getattr(processor, "event_type", None)
    if not isinstance(event_type, type) or not issubclass(event_type, Event):
        raise ConfigurationError(
            f"{processor.__name__}.event_type must be an Event subclass, not {event_type!r}: "
            "set it in the class"
        )
    return event_type
