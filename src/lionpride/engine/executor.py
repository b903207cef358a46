"""Executor: the desk. It takes events in, starts and stops the worker, answers questions."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from ..errors import ConfigurationError, OperationError
from ..model import registry
from ..model.execution import EventStatus
from ..model.policy import Retry
from ..stores.contract import Immediate, Prompt, Store
from ..stores.open import open_store
from .control import Control
from .event import Event
from .line import Line
from .processor import CONCURRENCY, GRACE, Processor
from .settings import check_keys, check_settings, checked_priority, seconds
from .terms import terms_of

__all__ = ("Executor",)

E = TypeVar("E", bound=Event)

_PENDING = EventStatus.PENDING


class Executor(Control):
    """Keeps events by status, and has a processor run them.

    Subclass it to name the ``processor_type``. Simplest is ``async with executor:``, which runs
    events in the background; or call ``start()`` and then ``forward()`` for one round at a
    time, or ``asyncio.create_task(executor.processor.execute())``.

    Args:
        processor_config: Settings for the processor's ``__init__``.
        strict_event_type: Whether subclasses of the ``event_type`` are refused.
        name: The name of its ``states``.
        store: Where events are kept: nothing for memory, the URL of a file such as
            ``"sqlite:///run.db"``, or a Store.
        queue: The name of its queue in the store; by default the event type's registry key.
        grace: Seconds that running events get to end when ``async with`` is left.

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
        config = dict(processor_config or {})
        check_keys(self.processor_type, config)
        check_settings(config)
        seconds("grace", grace, 0.0, 86400.0, "Grace must be >= 0 s.", "Grace must be <= 86400 s.")
        queue = queue or registry.key_of(event_type)
        opened = open_store(store, queue=queue, name=name or "executor_states")
        owns = store is None or isinstance(store, str)
        super().__init__(opened, config, grace=grace, owns_store=owns)
        self._event_type = event_type
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

    # -- taking in ---------------------------------------------------------------------------

    async def append(
        self,
        event: E,
        priority: float | None = None,
        *,
        exist_ok: bool = False,
        wait: bool = False,
        delay: float | None = None,
        at: datetime | float | None = None,
        ttl: float | None = None,
        retry: Retry | None = None,
        unique: str | int | UUID | None = None,
        unique_for: float | None = None,
    ) -> E:
        """Take an event in: it is accepted when this returns, or not at all.

        Args:
            event: A pending event that nobody holds.
            priority: Lower runs first, equal ones in order of arrival; by default the time of
                creation, as a Unix timestamp in seconds.
            exist_ok: Whether an event whose id is known is left as it stands.
            wait: Whether to wait for room where as many as ``max_queue_size`` wait: first come,
                first served, among those who wait here. Nothing is taken in if one is cancelled
                meanwhile. It waits for ever if nothing runs the executor.
            delay: Seconds from now before which it is not run; until then it is pending.
            at: When it may be run, in place of ``delay``: a datetime with a time zone, or a Unix
                timestamp in seconds. Of those whose time has come, priority decides.
            ttl: Seconds from now after which it is not started any more, but CANCELLED; a retry
                of one that was started in time does not count.
            retry: A retry policy of its own, in place of its class's.
            unique: A value that one event of the queue alone may have at a time: while another
                one of this value is pending or running, nothing is appended, and that one is
                returned; whoever appended it, also another process.
            unique_for: Seconds after its append for which that one is returned even if it has
                ended.

        Returns:
            The event; with ``exist_ok`` or ``unique`` perhaps the one that was here.

        Raises:
            TypeError: if it is not of the event type.
            ValidationError: for a priority that is no finite number, or terms that cannot be.
            OperationError: if it has run; or if the executor drains, or was drained.
            ExistsError: if its id is known here, or another executor holds it.
            QueueFullError: if as many as ``max_queue_size`` wait, without ``wait``.
        """
        if type(event) is not self._event_type:
            self._check_type(event)
        if type(priority) is not float or not _LEAST <= priority <= _MOST:
            priority = checked_priority(event, priority)
        if not (
            delay is None
            and at is None
            and ttl is None
            and retry is None
            and unique is None
            and unique_for is None
        ):
            terms = terms_of(
                self._store.time(),
                delay=delay,
                at=at,
                ttl=ttl,
                retry=retry,
                unique=unique,
                unique_for=unique_for,
            )
            return await self._append_on(terms, event, priority, exist_ok, wait)
        now = self._now
        if (
            now is not None
            and self._room is None
            and not self._observers.active
            and now.append_now(event, priority)
        ):
            return event
        if self._prompt is not None and not exist_ok and self._is_plain(event):
            await self._prompt.append_soon(event, priority)
            return event
        return await self._append_on(None, event, priority, exist_ok, wait)

    def _open_door(self) -> None:
        self._now = self._store if isinstance(self._store, Immediate) else None
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

    def _is_plain(self, event: Event) -> bool:
        """Whether an event is new, and nobody is to be told of it, and it needs no room."""
        new = "_status" not in event.__dict__
        return new and self._room is None and not self._observers.active

    def _slots(self) -> int:
        if self.processor is not None:
            return self.processor.concurrency_limit
        return int(self.processor_config.get("concurrency_limit", CONCURRENCY))


_LEAST, _MOST = -sys.float_info.max, sys.float_info.max


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
