"""Executor: the desk. It takes events in, starts and stops the worker, answers questions."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from ..errors import ConfigurationError, ExistsError, OperationError, ValidationError
from ..model import registry
from ..model.execution import EventStatus
from ..model.flow import Flow
from ..model.work import Work
from ..stores.contract import Entry, Immediate, Prompt, Store
from ..stores.open import open_store
from .control import Control
from .event import Event
from .line import Line
from .processor import CONCURRENCY, GRACE, Processor
from .settings import check_keys, check_settings, checked_priority, seconds

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

        Returns:
            The event; with ``exist_ok`` the one that was here.

        Raises:
            TypeError: if it is not of the event type.
            ValidationError: for a priority that is no finite number.
            OperationError: if it has run; or if the executor drains, or was drained.
            ExistsError: if its id is known here, or another executor holds it.
            QueueFullError: if as many as ``max_queue_size`` wait, without ``wait``.
        """
        if type(event) is not self._event_type:
            self._check_type(event)
        if type(priority) is not float or not _LEAST <= priority <= _MOST:
            priority = checked_priority(event, priority)
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
        if not (exist_ok and event in self):
            _check_pending(event)
        fresh = self._fresh((event,))
        held = await self._take_in(((event, priority),), exist_ok, wait)
        self._tell_taken(fresh, _PENDING)
        return cast("E", held[0])

    async def _take_in(self, entries: Sequence[Entry], exist_ok: bool, wait: bool) -> list[Work]:
        async def append() -> list[Work]:
            self._check_door()
            return await self._store.append(entries, room=self._room, exist_ok=exist_ok)

        return await (self._line.enter(append) if wait and self._room is not None else append())

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

    async def append_many(
        self,
        events: Iterable[E],
        priorities: Iterable[float | None] | None = None,
        *,
        exist_ok: bool = False,
        wait: bool = False,
    ) -> list[E]:
        """Take events in as one batch: all of them or none, in this order of arrival.

        Args:
            events: As for ``append``.
            priorities: One for each event; None for the default.
            exist_ok: As for ``append``.
            wait: As for ``append``: until there is room for all of them.

        Raises:
            ValidationError: if there are more or fewer priorities than events; and as ``append``.
            QueueFullError: with ``wait``, if there are more than ``max_queue_size`` of them.
        """
        if isinstance(events, Work):  # a model can be iterated over: its fields would come
            raise TypeError(f"append_many takes several events, not {events!r}: append() takes one")
        events = list(events)
        given = [None] * len(events) if priorities is None else list(priorities)
        if len(given) != len(events):
            raise ValidationError(
                f"priorities: there are {len(given)} for {len(events)} events: give one for each, "
                "None for the default"
            )
        entries = []
        for event, priority in zip(events, given, strict=True):
            self._check_type(event)
            if "_status" in event.__dict__ and not (exist_ok and event in self):
                _check_pending(event)
            entries.append((event, checked_priority(event, priority)))
        if not entries:
            return []
        fresh = self._fresh(events)
        held = await self._take_in(entries, exist_ok, wait)
        self._tell_taken(fresh, _PENDING)
        return cast("list[E]", held)

    async def load(self, state: Flow[Any, Any] | Mapping[str, Any]) -> int:
        """Take in the events of a Flow, or of one's ``to_dict``, in the status each has.

        One that was running goes back to pending as interrupted. Progressions of the user's own
        come along.

        Returns:
            How many events.

        Raises:
            ExistsError: if an id or a progression's name is known here; nothing is taken in then.
            TypeError: if an event is not of the event type; nothing is taken in then.
            ValidationError: if a priority is no finite number; likewise.
            OperationError: if the executor drains, or was drained; likewise.
        """
        self._check_door()
        flow = state if isinstance(state, Flow) else Flow.from_dict(state)
        events = list(flow.items)
        for event in events:
            self._check_type(event)
            checked_priority(event, None)
        own = [each for each in flow.progressions if each.name not in set(EventStatus)]
        for progression in own:
            if any(each.name == progression.name for each in self.states.progressions):
                raise ExistsError(
                    f"a progression is named {progression.name!r} here: names are unique"
                )
        fresh = self._fresh(events)
        count = await self._store.load(events)
        for progression in own:
            self.states.add_progression(progression)
        self._tell_taken(fresh)
        return count

    def _fresh(self, events: Iterable[Work]) -> list[Work]:
        """Those of the events that nobody holds yet, if anybody is to be told of them."""
        if not self._observers.active:
            return []
        fresh = {id(event): event for event in events if event.execution.arrival is None}
        return list(fresh.values())

    def _tell_taken(self, fresh: Iterable[Work], after: EventStatus | None = None) -> None:
        """Tell observers of the events that have been taken in.

        Args:
            fresh: Those that nobody held before; of two with one id, the store took the first.
            after: The status that each was taken in with; None for the one that it has.
        """
        for event in fresh:
            number = event.execution.arrival
            if number is not None:
                self._observers.tell(event, number, None, after or event.status)

    def _slots(self) -> int:
        if self.processor is not None:
            return self.processor.concurrency_limit
        return int(self.processor_config.get("concurrency_limit", CONCURRENCY))

    def _check_type(self, event: object) -> None:
        kind = self._event_type
        fits = type(event) is kind if self._strict else isinstance(event, kind)
        if not fits:
            only = " itself, no subclass (strict_event_type)" if self._strict else ""
            raise TypeError(
                f"{type(self).__name__} takes events of {kind.__name__}{only}, not {event!r}"
            )


_LEAST, _MOST = -sys.float_info.max, sys.float_info.max


def _check_pending(event: Work) -> None:
    """Refuse what has run by itself; what an executor holds is for the store to judge."""
    state = event.execution
    if state.status is not _PENDING and state.arrival is None:
        raise OperationError(
            f"{event!r} is {state.status.value} and cannot be appended: append "
            "event.as_fresh_event() to do it again, or load() a Flow to keep its status"
        )


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
