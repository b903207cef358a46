"""Executor: the client and facade. It accepts events and starts, stops and queries the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Self, TypeVar, Unpack, cast, overload

from ..errors import ConfigurationError, OperationError
from ..model import registry
from ..model.execution import EventStatus
from ..rules.limits import Limit
from ..rules.metering import Limits
from ..stores.append_checks import are_new
from ..stores.contract import BufferedPath, ImmediatePath, Store
from ..stores.open import open_store
from .append_options import AppendOptions, RunOptions, terms_of
from .backpressure import CapacityWaiters
from .config import check_keys, check_settings, checked_config, checked_priority, seconds
from .control import Control
from .desk import Returns, ReturnsPlainly
from .event import Event
from .factory import Permission, Settings, checked_types, executor_class
from .factory import processor_config as settings_of
from .job import Job
from .lifespan import Factory
from .processor import CONCURRENCY, GRACE, Processor

__all__ = ("Executor",)

E = TypeVar("E", bound=Event)
R = TypeVar("R")

_PENDING = EventStatus.PENDING


class Executor(Control):
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
        opened = open_store(store, queue=queue, name=name or queue)
        self._given_name = name
        owns = store is None or isinstance(store, str)
        super().__init__(opened, config, grace=grace, owns_store=owns, lifespan=lifespan)
        self._event_type = event_type
        self._event_types = type(self).named_types or (event_type,)
        self.states.declare(self._event_types, strict_event_type)
        opened.event_types.run_only(self._event_types)
        self._limits = Limits(self.processor_type.limits_of(config))
        self._usual_type = None
        self._fitting = set()
        with suppress(RuntimeError):  # no loop runs yet: append() or start() sets it
            self._loop = asyncio.get_running_loop()
        self._strict = strict_event_type
        self._waiters = CapacityWaiters(self._store)
        self._open_door()

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
        return self._limits

    # -- taking in ---------------------------------------------------------------------------

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
                (policy), ``unique`` and ``unique_for`` (deduplication): see ``AppendOptions``.

        Returns:
            The event. With ``exist_ok`` or ``unique``, it can be an event that was already there.

        Raises:
            TypeError: if the event is not of the event type.
            ValidationError: for a priority that is not a finite number, invalid terms, invalid
                costs, or costs that are higher than a limit's amount.
            OperationError: if the event has run, or the executor is draining or was drained.
            ExistsError: if the id is known here, or another executor has the event.
            QueueFullError: if ``max_queue_size`` events are pending, without ``wait``.
        """
        now = self._now
        if type(event) is not self._usual_type:
            self._check(event)
        if type(priority) is not float or priority - priority != 0.0:  # infinite, or not a number
            priority = checked_priority(event, priority)
        elif (  # the usual way in: an idle crew feels each question
            now is not None
            and not (options or self._observers.active or connection is not None)
            and now.append_now(event, priority)
        ):
            return event
        observers = self._observers
        if quiet := not observers.active:  # nobody is told of it
            pass
        elif (sample := observers.sample) is not None and sample.left and not sample.maybe():
            sample.left -= 1  # `passes`, written out
            quiet = True
        else:
            quiet = observers.passes(event)
        if (
            options or connection is not None
        ):  # keywords of their own, each with a default, cost more
            terms = terms_of(self._store.time(), **options)
            if connection is None:
                return await self._append_on(terms, event, priority, exist_ok, wait)
            await self._append_within(connection, ((event, priority),), terms, exist_ok)
            return event
        if now is not None:
            if not quiet and are_new((event,)):
                return await self._append_seen(now, event, priority)
            if quiet and now.append_now(event, priority):
                return event
        buffered, is_new = self._buffered, "_status" not in event.__dict__
        room = self._room
        if buffered is not None and is_new and quiet and not (exist_ok or (wait and room)):
            await buffered.append_soon(event, priority, room)
            return event
        return await self._append_on(None, event, priority, exist_ok, wait)

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

    def _open_door(self) -> None:
        now = self._store if isinstance(self._store, ImmediatePath) else None
        self._now = now if self._room is None else None
        self._buffered = self._store if isinstance(self._store, BufferedPath) else None
        self._refusing = False

    def _close_door(self) -> None:
        """Accept only events that running events append; the fast paths do not check this."""
        self._now = self._buffered = None
        self._refusing = True
        self._waiters.ask_again()

    def _check_door(self) -> None:
        if self._refusing and not (self.processor is not None and self.processor.is_inside()):
            raise OperationError(
                f"{self.states.name!r} accepts no more events: it is draining, or was "
                "drained; await executor.start() to accept events again"
            )

    def _slots(self) -> int:
        if self.processor is not None:
            return self.processor.concurrency_limit
        return int(self.processor_config.get("concurrency_limit", CONCURRENCY))


def _event_type(kind: type[Executor]) -> type[Event]:
    """The event type that an executor class stands for."""
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
