"""States: the events of a store in this process, as a live Flow with a progression per status.

The data is in one dict for each status, keyed by arrival number, which a store writes directly. Ids
are not the keys, since an id is a UUID that is created only when it is first read. The pile of
items and the seven status progressions are read-only views over these dicts. Users may add their
own progressions.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence
from copy import copy, deepcopy
from itertools import chain
from typing import Any, NoReturn, overload
from uuid import UUID

from ..errors import OperationError
from ..model import registry
from ..model.collections.container import IdLike
from ..model.collections.flow import Flow
from ..model.collections.ordering import Ordering
from ..model.collections.pile import Pile
from ..model.collections.progression import Progression
from ..model.element import as_id, made_on_first_use
from ..model.event_data import EventData
from ..model.execution import EventStatus

__all__ = ("Events", "States")


class States(Flow[EventData, Progression], defer_build=True):
    """The events of a store in this process, each in exactly one status progression.

    It is read like any Flow. ``to_dict()`` serializes it, and the result reads back as a plain
    Flow. Only the executor changes it, except for progressions of the user: ``add_progression``.
    """

    @made_on_first_use
    def by_number(self) -> ByNumber:
        """All events by arrival number, in order of arrival."""
        return ByNumber(self.lanes)

    @made_on_first_use
    def lanes(self) -> dict[EventStatus, dict[int, EventData]]:
        """The events of each status by arrival number, in order of entry. For the store."""
        return {status: {} for status in EventStatus}

    @made_on_first_use
    def _numbers(self) -> dict[UUID, int]:
        """The number of each id, from the first search for an id on."""
        self.by_number.new_since_last_call()
        return {event.id: number for number, event in self.by_number.items()}

    def declare(
        self,
        item_types: Iterable[type[EventData]],
        strict: bool,
        others: Iterable[type[EventData]] = (),
    ) -> None:
        """Set the classes of the items. For the executor, before the items are read.

        Args:
            item_types: The classes that the items state.
            strict: True if subclasses are refused.
            others: Classes of the library that items may have as well. A copy states those that
                occur in it.
        """
        self.__dict__["_types"] = {"item_type": set(item_types), "strict_type": strict}
        self.__dict__["_others"] = tuple(others)
        self.__dict__.pop("items", None)

    @property
    def item_types(self) -> dict[str, Any]:
        """The arguments of a Pile that ``declare`` stated."""
        types: dict[str, Any] = self.__dict__.get("_types", {})
        return types

    @made_on_first_use
    def items(self) -> Pile[EventData]:
        """The events."""
        return LivePile(self)

    @made_on_first_use
    def progressions(self) -> Pile[Progression]:
        """The seven status progressions, and those that users added."""
        lanes = [LiveProgression(self, status) for status in EventStatus]
        return Progressions(lanes)

    def lane(self, status: EventStatus) -> dict[int, EventData]:
        """The events of a status by arrival number. For the store."""
        return self.lanes[status]

    def knows(self, event: EventData) -> bool:
        """Return True if a store has this event, or if this store has one with its id."""
        if event.__dict__.get("_arrival") is not None:
            return True
        return "id" in event.__dict__ and self.find(event.id) is not None

    def find(self, uid: UUID) -> EventData | None:
        """Return the event with an id; None if it is not here."""
        numbers, events = self._numbers, self.by_number
        if len(numbers) < len(events):  # events are indexed at the first search
            for number in events.new_since_last_call():
                numbers[events[number].id] = number
        number_found = numbers.get(uid)
        return None if number_found is None else events[number_found]

    def drop(self, events: Iterable[EventData]) -> None:
        """Remove events from the items and from all progressions. For the store."""
        own = [each for each in self.progressions if not isinstance(each, LiveProgression)]
        for event in events:
            state = event.execution
            if state.arrival is None or state.arrival not in self.by_number:
                continue
            del self.lanes[state.status][state.arrival]
            state.arrival = state.due = state.expires = None
            if "id" in event.__dict__:
                if self.is_indexed:
                    self._numbers.pop(event.id, None)
                for progression in own:
                    while progression.exclude(event.id):
                        pass

    @property
    def is_indexed(self) -> bool:
        """True after the first search for an id: hidden events must be noted from then on."""
        return "_numbers" in self.__dict__

    def note_shown(self, events: Mapping[int, EventData]) -> None:
        """Index events that a durable store has added. For the store."""
        if self.is_indexed:
            self._numbers.update((event.id, number) for number, event in events.items())

    def note_hidden(self, events: Iterable[EventData]) -> None:
        """Remove the ids of events that a durable store has hidden. For the store."""
        if self.is_indexed:
            for event in events:
                self._numbers.pop(event.id, None)

    def of(self, status: EventStatus) -> list[EventData]:
        """The events of a status, as they are now."""
        return list(_compact(self.lanes[status]).values())

    def remove_progression(self, key: IdLike) -> Progression:
        """Remove a progression that a user added; its events stay."""
        progression = self.get_progression(key)
        if isinstance(progression, LiveProgression):
            raise OperationError(
                f"{progression!r} is the list of a status, which an executor keeps: "
                "only progressions that you added can be removed"
            )
        return super().remove_progression(key)

    def clear(self) -> NoReturn:
        """Refused: the events are the executor's."""
        _refuse(self)

    def _asked_for(
        self, include: Collection[str] | None, exclude: Collection[str] | None
    ) -> list[str]:
        """Leave the item types out: section 9 of the specification prints the keys of a dump."""
        names = super()._asked_for(include, exclude)
        return [name for name in names if name not in self.item_types]

    def _data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        data = super()._data(*args, **kwargs)
        if "metadata" in data:
            data["metadata"]["lion_class"] = registry.key_of(Flow)
        return data

    def __copy__(self) -> Any:
        """Return a plain Flow with the current events, as ``to_dict`` reads back."""
        lists = [Progression(**_identity(p), order=p.order) for p in self.progressions]
        items, types = list(self.items), self.item_types
        others = self.__dict__.get("_others", ())
        if occurring := {type(item) for item in items if type(item) in others}:
            types = types | {"item_type": types["item_type"] | occurring}
        return Flow[EventData, Progression](items, lists, **types, **_identity(self))

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        return deepcopy(copy(self), memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return copy, (copy(self),)


class Progressions(Pile[Progression], defer_build=True):
    """The pile of progressions: status progressions cannot be removed, those of users can."""

    def __init__(self, lanes: Iterable[Progression]) -> None:
        super().__init__(items=lanes, item_type=Progression)

    def _mutable(self) -> MutableMapping[UUID, Progression]:
        return _Staying(self._items)


class _Staying(MutableMapping[UUID, Progression]):
    """The progressions by id; a status progression cannot be removed or replaced."""

    def __init__(self, items: dict[UUID, Progression]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[UUID]:
        return iter(list(self._items))

    def __getitem__(self, uid: UUID) -> Progression:
        return self._items[uid]

    def __setitem__(self, uid: UUID, progression: Progression) -> None:
        if isinstance(self._items.get(uid), LiveProgression):
            _refuse(self._items[uid])
        self._items[uid] = progression

    def __delitem__(self, uid: UUID) -> None:
        if isinstance(self._items.get(uid), LiveProgression):
            _refuse(self._items[uid])
        del self._items[uid]

    def clear(self) -> None:
        """Raise an error if there is a status progression; otherwise remove all."""
        for progression in self._items.values():
            if isinstance(progression, LiveProgression):
                _refuse(progression)
        self._items.clear()


class LiveProgression(Progression, defer_build=True):
    """The ids of the events of one status, in order of entry."""

    def __init__(self, states: States, status: EventStatus) -> None:
        super().__init__(name=status.value)
        self.__dict__["_ids_now"] = _Ids(states, status)

    def _ids(self) -> Sequence[UUID]:
        ids: _Ids = self.__dict__["_ids_now"]
        return ids

    def _mutable(self) -> Ordering:
        _refuse(self)

    def _data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        data = super()._data(*args, **kwargs)
        if "metadata" in data:
            data["metadata"]["lion_class"] = registry.key_of(Progression)
        return data

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "name":
            _refuse(self)
        super().__setattr__(name, value)

    def __copy__(self) -> Any:
        """Return a plain Progression with the current ids."""
        return Progression(**_identity(self), order=self.order)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        return deepcopy(copy(self), memo)

    def __reduce__(self) -> tuple[Any, ...]:
        return copy, (copy(self),)


class LivePile(Pile[EventData], defer_build=True):
    """The events by id, in order of arrival."""

    def __init__(self, states: States) -> None:
        super().__init__(**states.item_types)
        self.__dict__["_by_id"] = _ById(states)

    def _mapping(self) -> Mapping[UUID, EventData]:
        by_id: _ById = self.__dict__["_by_id"]
        return by_id

    def _mutable(self) -> MutableMapping[UUID, EventData]:
        _refuse(self)


def _identity(element: Flow[Any, Any] | Progression) -> dict[str, Any]:
    """Return the arguments for a copy of an element."""
    names = ("id", "created_at", "metadata", "name")
    return {name: getattr(element, name) for name in names}


def _refuse(view: object) -> NoReturn:
    raise OperationError(
        f"{view!r} is a read-only view of an executor's events: use the executor's append, "
        "cancel, retry, remove or cleanup_events"
    )


class _Ids(Sequence[UUID]):
    """The ids of one status, read from the States."""

    def __init__(self, states: States, status: EventStatus) -> None:
        self._states = states
        self._status = status

    def __len__(self) -> int:
        return len(self._states.lanes[self._status])

    def __iter__(self) -> Iterator[UUID]:
        return iter([event.id for event in self._states.of(self._status)])

    def __contains__(self, uid: object) -> bool:
        event = self._states.find(as_id(uid))
        return event is not None and event.execution.arrival in self._states.lanes[self._status]

    @overload
    def __getitem__(self, index: int) -> UUID: ...
    @overload
    def __getitem__(self, index: slice) -> list[UUID]: ...
    def __getitem__(self, index: int | slice) -> UUID | list[UUID]:
        return list(self)[index]


class _ById(Mapping[UUID, EventData]):
    """The events by id, read from the States."""

    def __init__(self, states: States) -> None:
        self._states = states

    def __len__(self) -> int:
        return len(self._states.by_number)

    def __iter__(self) -> Iterator[UUID]:
        return iter([event.id for event in self._states.by_number.values()])

    def __getitem__(self, uid: UUID) -> EventData:
        event = self._states.find(uid)
        if event is None:
            raise KeyError(uid)
        return event


class ByNumber(Mapping[int, EventData]):
    """The events of all statuses by arrival number, in order of arrival.

    It is a view over the dicts of the statuses. A dict of its own would cost 50 bytes an event and
    5 % of an append. Iteration sorts the numbers.

    Attributes:
        last: The highest number given so far. For the store.
    """

    __slots__ = ("_lanes", "_last_seen", "last")

    def __init__(self, lanes: Mapping[EventStatus, dict[int, EventData]]) -> None:
        self._lanes = tuple(lanes.values())
        self._last_seen = 0
        self.last = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(chain.from_iterable(self._lanes)))

    def __getitem__(self, number: int) -> EventData:
        for lane in self._lanes:
            if number in lane:
                return lane[number]
        raise KeyError(number)

    def new_since_last_call(self) -> list[int]:
        """Return the numbers here that were given since the last call."""
        since, self._last_seen = range(self._last_seen + 1, self.last + 1), self.last
        if len(since) < len(self):
            return [number for number in since if number in self]
        return [number for number in self if number in since]


class Events(Sequence[Any]):
    """The events of one status, live and read-only.

    Creation and ``len`` take O(1). Iteration goes over a copy, so events may change their status
    during it; ``list(...)`` is a snapshot. It is equal to a list of the same events.
    """

    __slots__ = ("_states", "_status")
    __hash__ = None  # type: ignore[assignment]  # as a list's: it changes

    def __init__(self, states: States, status: EventStatus) -> None:
        self._states = states
        self._status = status

    def __len__(self) -> int:
        return len(self._states.lanes[self._status])

    def __iter__(self) -> Iterator[Any]:
        return iter(self._states.of(self._status))

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._states.of(self._status)[index]

    def __contains__(self, event: object) -> bool:
        if not isinstance(event, EventData):
            return False
        lane = self._states.lanes[self._status]
        number = event.execution.arrival
        return (number is not None and lane.get(number) == event) or event in lane.values()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Events | list | tuple):
            return NotImplemented
        return len(self) == len(other) and list(self) == list(other)

    def __repr__(self) -> str:
        return repr(list(self))


def _compact(lane: dict[int, EventData]) -> dict[int, EventData]:
    """Return a dict that was much larger as a new one: its gaps would slow down iteration."""
    if sys.getsizeof(lane) > 1024 + 512 * len(lane):
        kept = dict(lane)
        lane.clear()
        lane.update(kept)
    return lane
