"""States: what a process holds of a store, as a live Flow with a progression for each status.

The truth is in dicts keyed by arrival number, which a store writes directly: an id is a uuid,
and made only when somebody asks for it. The pile of items and the seven status progressions
are views over these dicts, read-only; progressions of the user's own may stand beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NoReturn, overload
from uuid import UUID

from ..errors import OperationError
from ..model import registry
from ..model.container import IdLike
from ..model.element import as_id
from ..model.execution import EventStatus
from ..model.flow import Flow
from ..model.lazy import made_on_first_use
from ..model.ordering import Ordering
from ..model.pile import Pile
from ..model.progression import Progression
from ..model.work import Work

__all__ = ("Events", "States")


class States(Flow[Work, Progression]):
    """Every event that a store holds here, each in exactly one status progression.

    Read it as any Flow, and serialize it with ``to_dict()``, which reads back as a plain Flow.
    Change it through the executor, but for progressions of your own: ``add_progression``.
    """

    @made_on_first_use
    def by_number(self) -> dict[int, Work]:
        """Every event by arrival number, in order of arrival. For the store."""
        return {}

    @made_on_first_use
    def lanes(self) -> dict[EventStatus, dict[int, Work]]:
        """The events of each status by arrival number, in order of entry. For the store."""
        return {status: {} for status in EventStatus}

    @made_on_first_use
    def _numbers(self) -> dict[UUID, int]:
        return {}

    @made_on_first_use
    def items(self) -> Pile[Work]:
        """The events."""
        return LivePile(self)

    @made_on_first_use
    def progressions(self) -> Pile[Progression]:
        """The seven status progressions, and those that users added."""
        lanes = [LiveProgression(self, status) for status in EventStatus]
        return Progressions(lanes)

    def lane(self, status: EventStatus) -> dict[int, Work]:
        """The events of a status by arrival number. For the store."""
        return self.lanes[status]

    def knows(self, event: Work) -> bool:
        """Whether this event, or one with its id, is held here, or the event anywhere else."""
        if event.__dict__.get("_arrival") is not None:
            return True
        return "id" in event.__dict__ and self.find(event.id) is not None

    def find(self, uid: UUID) -> Work | None:
        """The event of an id; None if it is not here."""
        numbers, events = self._numbers, self.by_number
        if len(numbers) < len(events):  # events are indexed when the first id is asked for
            for number in reversed(events):
                if numbers.setdefault(events[number].id, number) != number:
                    break  # all before this one are indexed
                if len(numbers) == len(events):
                    break
        number_found = numbers.get(uid)
        return None if number_found is None else events[number_found]

    def drop(self, events: Iterable[Work]) -> None:
        """Let go of events: from the items, and from every progression. For the store."""
        own = [each for each in self.progressions if not isinstance(each, LiveProgression)]
        for event in events:
            state = event.execution
            if state.arrival is None or self.by_number.pop(state.arrival, None) is None:
                continue
            del self.lanes[state.status][state.arrival]
            state.arrival = state.due = None
            if "id" in event.__dict__:
                self._numbers.pop(event.id, None)
                for progression in own:
                    while progression.exclude(event.id):
                        pass

    def hide(self, event: Work) -> None:
        """Show an event no longer, though its store has it. For the store."""
        number = event.execution.arrival
        if number is not None and self.by_number.pop(number, None) is not None:
            del self.lanes[event.execution.status][number]
            if "id" in event.__dict__:
                self._numbers.pop(event.id, None)

    def of(self, status: EventStatus) -> list[Work]:
        """The events of a status, as they are now."""
        return list(_compact(self.lanes[status]).values())

    def remove_progression(self, key: IdLike) -> Progression:
        """Remove a progression of the user's own; its events stay."""
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

    def _data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        data = super()._data(*args, **kwargs)
        if "metadata" in data:
            data["metadata"]["lion_class"] = registry.key_of(Flow)
        return data


class Progressions(Pile[Progression]):
    """A pile that the status progressions stay in; those of the user's own come and go."""

    def __init__(self, lanes: Iterable[Progression]) -> None:
        super().__init__(items=lanes, item_type=Progression)

    def _mutable(self) -> MutableMapping[UUID, Progression]:
        return _Staying(self._items)


class _Staying(MutableMapping[UUID, Progression]):
    """The progressions by id; it refuses to let go of a live one."""

    def __init__(self, items: dict[UUID, Progression]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[UUID]:
        return iter(list(self._items))

    def __getitem__(self, uid: UUID) -> Progression:
        return self._items[uid]

    def __setitem__(self, uid: UUID, progression: Progression) -> None:
        self._items[uid] = progression

    def __delitem__(self, uid: UUID) -> None:
        if isinstance(self._items.get(uid), LiveProgression):
            _refuse(self._items[uid])
        del self._items[uid]

    def clear(self) -> None:
        """Refused while a live one is here, before anything is let go."""
        for progression in self._items.values():
            if isinstance(progression, LiveProgression):
                _refuse(progression)
        self._items.clear()


class LiveProgression(Progression):
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


class LivePile(Pile[Work]):
    """The events by id, in order of arrival."""

    def __init__(self, states: States) -> None:
        super().__init__()
        self.__dict__["_by_id"] = _ById(states)

    def _mapping(self) -> Mapping[UUID, Work]:
        by_id: _ById = self.__dict__["_by_id"]
        return by_id

    def _mutable(self) -> MutableMapping[UUID, Work]:
        _refuse(self)


def _refuse(view: object) -> NoReturn:
    raise OperationError(
        f"{view!r} shows what an executor holds and cannot be changed: use the executor's "
        "append, cancel, retry, remove or cleanup_events"
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


class _ById(Mapping[UUID, Work]):
    """The events by id, read from the States."""

    def __init__(self, states: States) -> None:
        self._states = states

    def __len__(self) -> int:
        return len(self._states.by_number)

    def __iter__(self) -> Iterator[UUID]:
        return iter([event.id for event in _compact(self._states.by_number).values()])

    def __getitem__(self, uid: UUID) -> Work:
        event = self._states.find(uid)
        if event is None:
            raise KeyError(uid)
        return event


class Events(Sequence[Any]):
    """The events of one status, live and read-only.

    Made and measured in O(1). Iterating walks over a copy, so events may move on meanwhile;
    ``list(...)`` is a snapshot. Equal to a list of the same events.
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
        if not isinstance(event, Work):
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


def _compact(lane: dict[int, Work]) -> dict[int, Work]:
    """A dict that was much larger keeps its holes, and is slow to walk: close them."""
    if sys.getsizeof(lane) > 1024 + 512 * len(lane):
        kept = dict(lane)
        lane.clear()
        lane.update(kept)
    return lane
