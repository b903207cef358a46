"""Cache of the events of a durable store that this process shows.

The rows are the truth; the cache is bounded: the running events of this process, and the newest
others. An event that leaves it can still be found by number while user code has a reference, so
that a claim returns the user's own object.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from weakref import ref

from ..model.event_data import EventData
from ..model.execution import EventStatus
from .states import States

__all__ = (
    "CACHE_SIZE",
    "EventCache",
)


_references: Callable[[object], int] = getattr(sys, "getrefcount", lambda _: -1)


CACHE_SIZE: Final = 10_000
"""Maximum number of events that are not running."""


class EventCache:
    """Fills the ``States`` of a durable store.

    Args:
        states: The events that are shown, by status.
        most: The maximum number of events that are not running; the newest remain.
    """

    def __init__(self, states: States, most: int = CACHE_SIZE) -> None:
        self._states = states
        self._all: dict[int, EventData] = {}  # one lookup instead of one per status
        self._most = most
        self._resting: OrderedDict[int, None] = OrderedDict()
        self._evicted = _EvictedEvents()
        self._lanes = {status.value: lane for status, lane in states.lanes.items()}
        self._pending = states.lane(EventStatus.PENDING)
        self._processing = states.lane(EventStatus.PROCESSING)
        self._completed = states.lane(EventStatus.COMPLETED)

    @property
    def events(self) -> Mapping[int, EventData]:
        """The events among the ``States``, by number; a live view."""
        return self._all

    def find(self, number: int) -> EventData | None:
        """Return the event of a number; None if this process does not have it."""
        event = self._all.get(number)
        return self._evicted.get(number) if event is None else event

    def find_all(self, numbers: Sequence[int]) -> list[EventData | None]:
        """Return the result of ``find`` for each number, in less time."""
        found: list[EventData | None] = list(map(self._all.get, numbers))
        if self._evicted.is_empty:
            return found
        evicted = self._evicted.get
        return [
            evicted(number) if event is None else event
            for number, event in zip(numbers, found, strict=True)
        ]

    def has(self, number: int) -> bool:
        """Return True if this process has the event of a number."""
        return number in self._all or self._evicted.get(number) is not None

    def shows(self, number: int) -> bool:
        """Return True if the event of a number is among the ``States``."""
        return number in self._all

    # Nearly every event uses these three: appended, started with its claim, completed.

    def enter(self, numbers: Sequence[int], events: Sequence[EventData]) -> None:
        """Show new PENDING events; if there are more than the maximum, the last of them."""
        beyond = max(len(numbers) - self._most, 0)
        for number, event in zip(numbers[:beyond], events, strict=False):
            self._evicted.put(number, event)  # the caller of the append has a reference
        shown = dict(zip(numbers[beyond:], events[beyond:], strict=True))
        self._all.update(shown)
        self._pending.update(shown)
        self._resting.update(dict.fromkeys(shown))
        self._states.note_shown(shown)
        self._hide_oldest()

    def begin(self, events: Mapping[int, EventData]) -> None:
        """Move events from PENDING to PROCESSING."""
        pending, resting = self._pending, self._resting
        for number in events:
            resting.pop(number, None)
            del pending[number]
        self._processing.update(events)

    def start(self, events: Mapping[int, EventData]) -> None:
        """Show new events as PROCESSING."""
        self._all.update(events)
        self._processing.update(events)
        self._states.note_shown(events)

    def complete(self, events: Mapping[int, EventData]) -> None:
        """Move events from PROCESSING to COMPLETED."""
        processing, resting = self._processing, self._resting
        for number in events:
            del processing[number]
            resting[number] = None
        self._completed.update(events)
        self._hide_oldest()

    # All other changes.

    def take(self, number: int, event: EventData) -> None:
        """Show a claimed event; it is not evicted until ``rest`` is called."""
        self._resting.pop(number, None)
        if number not in self._all:
            self._show(number, event)

    def move(self, number: int, event: EventData, before: EventStatus, after: EventStatus) -> None:
        """Move an event from one status to another."""
        lanes = self._states.lanes
        lanes[before].pop(number, None)
        lanes[after][number] = event

    def rest(self, number: int, event: EventData) -> None:
        """Show an event that this process has not claimed; evict the oldest of these."""
        if number not in self._all:
            self._show(number, event)
        resting = self._resting
        resting[number] = None
        resting.move_to_end(number)
        self._hide_oldest()

    def _show(self, number: int, event: EventData) -> None:
        self._evicted.forget(number)
        self._all[number] = event
        self._lanes[event.execution.status.value][number] = event
        self._states.note_shown({number: event})

    def _hide_oldest(self) -> None:
        beyond = len(self._resting) - self._most
        if beyond <= 0:
            return
        oldest, gone, lanes = self._resting.popitem, self._all.pop, self._lanes
        is_indexed, evicted = self._states.is_indexed, self._evicted
        for _ in range(beyond):
            number, _ = oldest(False)
            event = gone(number)
            del lanes[event.__dict__["_status"]][number]
            if is_indexed:
                self._states.note_hidden((event,))
            if _references(event) != _ALONE:  # other code has a reference
                evicted.put(number, event)
        evicted.reap()

    def drop(self, numbers: Iterable[int]) -> list[EventData]:
        """Forget removed events; return those that this process had."""
        gone = []
        for number in numbers:
            self._resting.pop(number, None)
            event = self._all.pop(number, None)
            if event is not None:
                self._states.drop([event])
            else:
                event = self._evicted.get(number)
                if event is not None:
                    self._evicted.forget(number)
                    state = event.execution
                    state.arrival = state.due = state.expires = None
            if event is not None:
                gone.append(event)
        return gone


class _EvictedEvents:
    """Evicted events by number, while other code has references to them.

    A ``WeakValueDictionary`` does the same and takes four times as long, as each event calls it
    when it is deleted. Here the entries of deleted events are removed now and then.
    """

    def __init__(self) -> None:
        self._refs: dict[int, ref[EventData]] = {}
        self._most = _REAP_SIZE

    @property
    def is_empty(self) -> bool:
        """Return True if there are no entries."""
        return not self._refs

    def get(self, number: int) -> EventData | None:
        """Return the event of a number; None if it was deleted."""
        found = self._refs.get(number)
        return None if found is None else found()

    def put(self, number: int, event: EventData) -> None:
        """Add an event."""
        self._refs[number] = ref(event)

    def reap(self) -> None:
        """Remove the entries of deleted events, if there may be many."""
        if len(self._refs) > self._most:
            self._refs = {n: one for n, one in self._refs.items() if one() is not None}
            self._most = max(_REAP_SIZE, 2 * len(self._refs))

    def forget(self, number: int) -> None:
        """Remove an entry."""
        self._refs.pop(number, None)


def _alone() -> int:
    """Return the reference count of an object that only one variable refers to.

    If references are not counted exactly, return 0, which no object has.
    """
    if not (hasattr(sys, "getrefcount") and getattr(sys, "_is_gil_enabled", lambda: True)()):
        return 0
    event = {0: Exception()}.pop(0)
    return _references(event)


_ALONE: Final = _alone()

_REAP_SIZE: Final = 1024
"""Number of entries from which the entries of deleted events are removed."""
