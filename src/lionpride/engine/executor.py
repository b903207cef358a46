"""Executor: the desk. It takes events in, starts and stops the worker, answers questions."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, Unpack

from ..errors import ConfigurationError, OperationError
from ..model import registry
from ..model.execution import EventStatus
from ..rules.limits import Limit
from ..rules.metering import Limits
from ..stores.contract import Foreign, Immediate, Prompt, Store
from ..stores.open import open_store
from .background import Background
from .event import Event
from .intake import Intake
from .line import Line
from .processor import CONCURRENCY, GRACE, Processor
from .settings import arguments, check_keys, check_settings, checked_priority, seconds
from .terms import Asked, terms_of

__all__ = ("Executor",)

E = TypeVar("E", bound=Event)

_PENDING = EventStatus.PENDING

logger = logging.getLogger("lionpride")


class Executor(Intake):
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

    processor_type: ClassVar[type[Processor]]

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
        super().__init__(open_store(store, queue=queue, name=name or "executor_states"))
        self.processor_config = config
        self._event_type = event_type
        limits = config.get("limits")
        self._limits = Limits(self.processor_type.limits if limits is None else limits)
        # What append need not look at any closer than this.
        self._usual_type = None if self._limits else event_type
        self._strict = strict_event_type
        self._grace = grace
        self._room: int | None = config.get("max_queue_size")
        self._owns_store = store is None or isinstance(store, str)
        self._now = self._store if isinstance(self._store, Immediate) else None
        self._prompt = self._store if isinstance(self._store, Prompt) else None
        self._line = Line(self._store)
        self._background: Background | None = None

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
        **terms: Unpack[Asked],
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
            terms: Any of the keywords of ``Asked``: ``delay`` or ``at``, not before; ``ttl``, not
                after; ``retry``, a policy; ``unique`` and ``unique_for``, only once.

        Returns:
            The event; with ``exist_ok`` or ``unique`` perhaps the one that was here.

        Raises:
            TypeError: if it is not of the event type.
            ValidationError: for a priority that is no finite number, or terms that cannot be; if
                it costs more than a limit can ever give, or its costs make no sense.
            OperationError: if it has run.
            ExistsError: if its id is known here, or another executor holds it.
            QueueFullError: if as many as ``max_queue_size`` wait, without ``wait``.
        """
        if type(event) is not self._usual_type:
            self._check(event)
        if type(priority) is not float or not _LEAST <= priority <= _MOST:
            priority = checked_priority(event, priority)
        if terms:  # keywords of their own, with a default each, cost four times as much
            asked = terms_of(self._store.time(), **terms)
            return await self._append_on(asked, event, priority, exist_ok, wait)
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

    def _is_plain(self, event: Event) -> bool:
        """Whether an event is new, and nobody is to be told of it, and it needs no room."""
        new = "_status" not in event.__dict__
        return new and self._room is None and not self._observers.active

    def _slots(self) -> int:
        if self.processor is not None:
            return self.processor.concurrency_limit
        return int(self.processor_config.get("concurrency_limit", CONCURRENCY))

    # -- running -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Make the processor, if there is none, and allow it to run. It starts nothing yet."""
        if self.processor is None:
            given = {"pile": self.states.items, "executor": self}
            kind = self.processor_type
            processor = kind(**arguments(kind, self.processor_config, given))
            processor.attach(self._store, self._observers, self._grace)
            self._room = processor.max_queue_size
            self._limits = processor.limits_by_name
            self._usual_type = None if self._limits else self._event_type
            self.processor = processor
        await self.processor.start()

    async def stop(self) -> None:
        """Start no more events. Returns at once; what runs ends by itself."""
        if self.processor is not None:
            await self.processor.stop()

    async def forward(self) -> None:
        """Run one round of what is due, now, and return when it has ended.

        See ``Processor.process``; the executor is started if it was not.
        """
        await (await self._ready()).process()

    async def join(self) -> None:
        """Return at an instant when nothing is pending or running.

        Raises:
            OperationError: if something is, and nothing is working that could end it.
        """
        await (await self._ready()).join()

    async def _ready(self) -> Processor:
        """The processor, made if there is none yet."""
        if self.processor is None:
            await self.start()
        assert self.processor is not None
        return self.processor

    async def __aenter__(self) -> Self:
        """Start, and run events in the background.

        Raises:
            OperationError: if it runs already.
        """
        if self._background is not None:
            raise OperationError("the executor runs already: enter `async with` once at a time")
        await self.start()
        assert self.processor is not None
        self._background = Background(self.processor, self._grace)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Start no more; give what runs its grace time, and send the rest back to pending.

        Raises:
            StoreError: if the run could not be recorded; the block was cancelled then.
            KeyboardInterrupt, SystemExit: if an event has raised it; as above.
        """
        background, self._background = self._background, None
        assert background is not None
        await background.leave()
        self._tell_what_is_left()
        if self._owns_store:
            await self._store.close()
        background.conclude(error)

    def _tell_what_is_left(self) -> None:
        if left := len(self.pending_events):
            logger.info("%r: %d events are left pending", self.states.name, left)
        if isinstance(self._store, Foreign) and (kinds := sorted(self._store.missing)):
            logger.warning(
                "%r: events are left pending since this process has not defined %s: import what "
                "defines them, and run it again",
                self.states.name,
                ", ".join(kinds),
            )


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
