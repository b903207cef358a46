"""What a process shows of a durable store: what it runs, and the newest that it knows of.

The store's rows are the truth; this is the bounded part of it that a program can look at
without waiting. An event that is no longer shown is found again for as long as user code has
it, so that a claim gives the user's own object.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from weakref import ref

from ..model.execution import EventStatus
from ..model.work import Work
from .states import States

_references: Callable[[object], int] = getattr(sys, "getrefcount", lambda _: -1)

__all__ = ("MOST", "Shown")

MOST: Final = 10_000
"""Events shown at rest; those that run come on top."""


class Shown:
    """Keeps the States of a durable store.

    Args:
        states: What is shown.
        most: How many events at rest are shown: the newest that were taken in or settled here.
    """

    def __init__(self, states: States, most: int = MOST) -> None:
        self._states = states
        self._all: dict[int, Work] = {}  # quicker by number than the lanes
        self._most = most
        self._resting: OrderedDict[int, None] = OrderedDict()
        self._let_go = _LetGo()
        self._lanes = {status.value: lane for status, lane in states.lanes.items()}
        self._pending = states.lane(EventStatus.PENDING)
        self._processing = states.lane(EventStatus.PROCESSING)
        self._completed = states.lane(EventStatus.COMPLETED)

    @property
    def events(self) -> Mapping[int, Work]:
        """Those that are among the States, by number; live."""
        return self._all

    def find(self, number: int) -> Work | None:
        """The event of a number, if this process has it."""
        event = self._all.get(number)
        return self._let_go.get(number) if event is None else event

    def find_all(self, numbers: Sequence[int]) -> list[Work | None]:
        """The events of numbers, those of them that this process has; as ``find``, but quicker."""
        found: list[Work | None] = list(map(self._all.get, numbers))
        if self._let_go.is_empty:
            return found
        let_go = self._let_go.get
        return [
            let_go(number) if event is None else event
            for number, event in zip(numbers, found, strict=True)
        ]

    def has(self, number: int) -> bool:
        """Whether this process has the event of a number."""
        return number in self._all or self._let_go.get(number) is not None

    def shows(self, number: int) -> bool:
        """Whether the event of a number is among the States."""
        return number in self._all

    # The way of nearly every event: taken in, started with its claim, completed.

    def enter(self, numbers: Sequence[int], events: Sequence[Work]) -> None:
        """Show PENDING events that are new: of very many the last."""
        beyond = max(len(numbers) - self._most, 0)
        for number, event in zip(numbers[:beyond], events, strict=False):
            self._let_go.put(number, event)  # who appended them has them
        shown = dict(zip(numbers[beyond:], events[beyond:], strict=True))
        self._all.update(shown)
        self._pending.update(shown)
        self._resting.update(dict.fromkeys(shown))
        self._states.note_shown(shown)
        self._hide_oldest()

    def begin(self, number: int, event: Work) -> None:
        """Show an event as PROCESSING that was shown as PENDING."""
        self._resting.pop(number, None)
        del self._pending[number]
        self._processing[number] = event

    def start(self, events: Mapping[int, Work]) -> None:
        """Show events as PROCESSING that are new."""
        self._all.update(events)
        self._processing.update(events)
        self._states.note_shown(events)

    def complete(self, events: Mapping[int, Work]) -> None:
        """Show events as COMPLETED that were shown as PROCESSING."""
        processing, resting = self._processing, self._resting
        for number in events:
            del processing[number]
            resting[number] = None
        self._completed.update(events)
        self._hide_oldest()

    # Any other way.

    def take(self, number: int, event: Work) -> None:
        """Show an event that is claimed: it stays until it rests."""
        self._resting.pop(number, None)
        if number not in self._all:
            self._show(number, event)

    def move(self, number: int, event: Work, before: EventStatus, after: EventStatus) -> None:
        """Show an event, which was shown under another status, where it stands now."""
        lanes = self._states.lanes
        lanes[before].pop(number, None)
        lanes[after][number] = event

    def rest(self, number: int, event: Work) -> None:
        """Show an event that nobody here has claimed; the oldest of those give way."""
        if number not in self._all:
            self._show(number, event)
        resting = self._resting
        resting[number] = None
        resting.move_to_end(number)
        self._hide_oldest()

    def _show(self, number: int, event: Work) -> None:
        self._let_go.forget(number)
        self._all[number] = event
        self._lanes[event.execution.status.value][number] = event
        self._states.note_shown({number: event})

    def _hide_oldest(self) -> None:
        beyond = len(self._resting) - self._most
        if beyond <= 0:
            return
        oldest, gone, lanes = self._resting.popitem, self._all.pop, self._lanes
        is_indexed, let_go = self._states.is_indexed, self._let_go
        for _ in range(beyond):
            number, _ = oldest(False)
            event = gone(number)
            del lanes[event.__dict__["_status"]][number]
            if is_indexed:
                self._states.note_hidden((event,))
            if _references(event) != _ALONE:  # somebody else has it
                let_go.put(number, event)
        let_go.sweep()

    def drop(self, numbers: Iterable[int]) -> list[Work]:
        """Forget events that are no longer in the store; those that this process had."""
        gone = []
        for number in numbers:
            self._resting.pop(number, None)
            event = self._all.pop(number, None)
            if event is not None:
                self._states.drop([event])
            else:
                event = self._let_go.get(number)
                if event is not None:
                    self._let_go.forget(number)
                    state = event.execution
                    state.arrival = state.due = state.expires = None
            if event is not None:
                gone.append(event)
        return gone


class _LetGo:
    """Events by number for as long as others have them.

    A ``WeakValueDictionary`` does the same, at four times the price: it is called by each event
    as it goes. Here those that are gone are swept out now and then.
    """

    def __init__(self) -> None:
        self._refs: dict[int, ref[Work]] = {}
        self._most = _SWEPT

    @property
    def is_empty(self) -> bool:
        """Whether nothing is remembered."""
        return not self._refs

    def get(self, number: int) -> Work | None:
        """The event of a number, if anybody has it."""
        found = self._refs.get(number)
        return None if found is None else found()

    def put(self, number: int, event: Work) -> None:
        """Remember an event while others have it."""
        self._refs[number] = ref(event)

    def sweep(self) -> None:
        """Forget those that are gone, if there may be many."""
        if len(self._refs) > self._most:
            self._refs = {n: one for n, one in self._refs.items() if one() is not None}
            self._most = max(_SWEPT, 2 * len(self._refs))

    def forget(self, number: int) -> None:
        """Remember an event no longer."""
        self._refs.pop(number, None)


def _alone() -> int:
    """The references to what nobody else has, as they are counted above.

    0, which nothing has, where they are not counted, or not exactly.
    """
    if not (hasattr(sys, "getrefcount") and getattr(sys, "_is_gil_enabled", lambda: True)()):
        return 0
    event = {0: Exception()}.pop(0)
    return _references(event)


_ALONE: Final = _alone()

_SWEPT: Final = 1024
"""Numbers that are remembered before those that are gone are looked for."""
