"""Executor: the desk. It takes events in, starts and stops the worker, answers questions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar, Unpack

from ..errors import ConfigurationError, OperationError
from ..model import registry
from ..model.execution import EventStatus
from ..rules.limits import Limit
from ..rules.metering import Limits
from ..stores.contract import Immediate, Prompt, Store
from ..stores.intake import are_new
from ..stores.open import open_store
from .control import Control
from .event import Event
from .line import Line
from .processor import CONCURRENCY, GRACE, Processor
from .settings import check_keys, check_settings, checked_config, checked_priority, seconds
from .terms import Asked, terms_of

__all__ = ("Executor",)

E = TypeVar("E", bound=Event)

_PENDING = EventStatus.PENDING


class Executor(Control):
    """Keeps events by status, and has a processor run them.

    Subclass it to name the ``processor_type``. Simplest is ``async with executor:``, which runs
    events in the background; or call ``start()`` and then ``forward()`` for one round at a
    time, or ``asyncio.create_task(executor.execute())`` to run until ``stop()``.

    Args:
        processor_config: Settings for the processor's ``__init__``.
        strict_event_type: Whether subclasses of the ``event_type`` are refused.
        name: The name of its ``states``; by default that of its queue.
        store: Where events are kept: nothing for memory, the URL of a file such as
            ``"sqlite:///run.db"``, or a Store.
        queue: The name of its queue in the store; by default the event type's registry key.
        grace: Seconds that running events get to end when ``async with`` is left; what still
            runs then is interrupted, and goes back to pending.

    Raises:
        ConfigurationError: if a class attribute, a key of the config or the URL makes no sense.
        ValidationError: if a setting is out of bounds.
    """

    def __init__(
        self,
        processor_config: Mapping[str, Any] | None = None,
        strict_event_type: bool = False,
        name: str | None = None,
        *,
        store: Store | str | None = None,
        queue: str | None = None,
        grace: float = GRACE,
    ) -> None:
        event_type = _event_type(type(self))
        config = checked_config(processor_config)
        check_keys(self.processor_type, config)
        check_settings(config)
        seconds("grace", grace, 0.0, 86400.0, "Grace must be >= 0 s.", "Grace must be <= 86400 s.")
        queue = queue or registry.key_of(event_type)
        opened = open_store(store, queue=queue, name=name or queue)
        self._given_name = name
        owns = store is None or isinstance(store, str)
        super().__init__(opened, config, grace=grace, owns_store=owns)
        self._event_type = event_type
        self.states.declare(event_type, strict_event_type)
        self._limits = Limits(self.processor_type.limits_of(config))
        self._usual_type = None
        self._fitting = set()
        with suppress(RuntimeError):  # no loop runs yet: append() or start() sets it
            self._loop = asyncio.get_running_loop()
        self._strict = strict_event_type
        self._line = Line(self._store)
        self._open_door()

    @property
    def event_type(self) -> type[Event]:
        """The class of its events."""
        return self._event_type

    @property
    def strict_event_type(self) -> bool:
        """Whether subclasses of the event type are refused."""
        return self._strict

    @property
    def limits(self) -> Mapping[str, Limit]:
        """What its events may cost, by name; ``amount`` and ``per`` may be set at any time."""
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
        **terms: Unpack[Asked],
    ) -> E:
        """Append an event: it is accepted when this returns, and not if this raises an error.

        A call that is cancelled, or that raises a retryable StoreError, may have appended the event
        all the same. Append the same event again with ``exist_ok=True`` to be sure.

        Args:
            event: A pending event that nobody holds.
            priority: Lower runs first, equal ones in order of arrival; by default the time of
                creation, as a Unix timestamp in seconds.
            exist_ok: Whether an event whose id is known is left as it stands.
            wait: Whether to wait for room where as many as ``max_queue_size`` wait: first come,
                first served, among those who wait here. It waits for ever if nothing runs the
                executor.
            connection: A connection to the PostgreSQL database of the store, of asyncpg, psycopg
                or SQLAlchemy's async engine: the event is appended in the transaction that it is
                in, and there if that commits. The event itself stays free then: ask for it by its
                id. ``max_queue_size`` is not asked, and ``exist_ok`` is refused.
            terms: Any of the keywords of ``Asked``: ``delay`` or ``at``, not before; ``ttl``, not
                after; ``retry``, a policy; ``unique`` and ``unique_for``, only once.

        Returns:
            The event; with ``exist_ok`` or ``unique`` perhaps the one that was here.

        Raises:
            TypeError: if it is not of the event type.
            ValidationError: for a priority that is no finite number, or terms that cannot be; if
                it costs more than a limit can ever give, or its costs make no sense.
            OperationError: if it has run; or if the executor drains, or was drained.
            ExistsError: if its id is known here, or another executor holds it.
            QueueFullError: if as many as ``max_queue_size`` wait, without ``wait``.
        """
        now = self._now
        if type(event) is not self._usual_type:
            self._check(event)
        if type(priority) is not float or priority - priority != 0.0:  # infinite, or not a number
            priority = checked_priority(event, priority)
        elif (  # the usual way in: an idle crew feels each question
            now is not None
            and not (terms or self._observers.active or connection is not None)
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
        if terms or connection is not None:  # keywords of their own, each with a default, cost more
            asked = terms_of(self._store.time(), **terms)
            if connection is None:
                return await self._append_on(asked, event, priority, exist_ok, wait)
            await self._append_within(connection, ((event, priority),), asked, exist_ok)
            return event
        if now is not None:
            if not quiet and are_new((event,)):
                return await self._append_seen(now, event, priority)
            if quiet and now.append_now(event, priority):
                return event
        prompt, is_new = self._prompt, "_status" not in event.__dict__
        room = self._room
        if prompt is not None and is_new and quiet and not (exist_ok or (wait and room)):
            await prompt.append_soon(event, priority, room)
            return event
        return await self._append_on(None, event, priority, exist_ok, wait)

    def _open_door(self) -> None:
        now = self._store if isinstance(self._store, Immediate) else None
        self._now = now if self._room is None else None
        self._prompt = self._store if isinstance(self._store, Prompt) else None
        self._refusing = False

    def _close_door(self) -> None:
        """Take in only what events append that run here; the short ways in do not ask."""
        self._now = self._prompt = None
        self._refusing = True
        self._line.ask_again()

    def _check_door(self) -> None:
        if self._refusing and not (self.processor is not None and self.processor.is_inside()):
            raise OperationError(
                f"{self.states.name!r} takes in nothing more: it drains, or was drained; "
                "await executor.start() to let it go on"
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
