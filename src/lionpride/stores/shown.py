"""What a process shows of a durable store: what it runs, and the newest that it knows of.

The store's rows are the truth; this is the bounded part of it that a program can look at
without waiting. An event that is no longer shown is found again for as long as user code has
it, so that a claim gives the user's own object.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import islice
from typing import Final
from weakref import WeakValueDictionary

from ..model.execution import EventStatus
from ..model.work import Work
from .states import States

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
        self._let_go: WeakValueDictionary[int, Work] = WeakValueDictionary()
        self._pending = states.lane(EventStatus.PENDING)
        self._processing = states.lane(EventStatus.PROCESSING)
        self._completed = states.lane(EventStatus.COMPLETED)

    def find(self, number: int) -> Work | None:
        """The event of a number, if this process has it."""
        return self._all.get(number) or self._let_go.get(number)

    def has(self, number: int) -> bool:
        """Whether this process has the event of a number."""
        return number in self._all or number in self._let_go

    def shows(self, number: int) -> bool:
        """Whether the event of a number is among the States."""
        return number in self._all

    # The way of nearly every event: taken in, started with its claim, completed.

    def enter(self, number: int, event: Work) -> None:
        """Show a PENDING event that is new."""
        self._all[number] = event
        self._states.show(number, event)
        self._resting[number] = None
        if len(self._resting) > self._most:
            self._hide_oldest()

    def enter_all(self, events: Iterable[tuple[int, Work]], count: int) -> None:
        """Show PENDING events that are new: of very many the last."""
        beyond, events = count - self._most, iter(events)
        for number, event in islice(events, max(beyond, 0)):
            self._let_go[number] = event
        for number, event in events:
            self.enter(number, event)

    def begin(self, number: int, event: Work) -> None:
        """Show an event as PROCESSING that was shown as PENDING."""
        self._resting.pop(number, None)
        del self._pending[number]
        self._processing[number] = event

    def complete(self, number: int, event: Work) -> None:
        """Show an event as COMPLETED that was shown as PROCESSING."""
        del self._processing[number]
        self._completed[number] = event
        self._resting[number] = None
        if len(self._resting) > self._most:
            self._hide_oldest()

    # Any other way.

    def take(self, number: int, event: Work) -> None:
        """Show an event that is claimed: it stays until it rests."""
        self._resting.pop(number, None)
        if number not in self._all:
            self._let_go.pop(number, None)
            self._all[number] = event
            self._states.show(number, event)

    def move(self, number: int, event: Work, before: EventStatus, after: EventStatus) -> None:
        """Show an event, which was shown under another status, where it stands now."""
        lanes = self._states.lanes
        lanes[before].pop(number, None)
        lanes[after][number] = event

    def rest(self, number: int, event: Work) -> None:
        """Show an event that nobody here has claimed; the oldest of those give way."""
        if number not in self._all:
            self._let_go.pop(number, None)
            self._all[number] = event
            self._states.show(number, event)
        resting = self._resting
        resting[number] = None
        resting.move_to_end(number)
        if len(resting) > self._most:
            self._hide_oldest()

    def _hide_oldest(self) -> None:
        number, _ = self._resting.popitem(last=False)
        event = self._all.pop(number)
        self._states.hide(number, event)
        self._let_go[number] = event

    def drop(self, numbers: Iterable[int]) -> list[Work]:
        """Forget events that are no longer in the store; those that this process had."""
        gone = []
        for number in numbers:
            self._resting.pop(number, None)
            event = self._all.pop(number, None)
            if event is not None:
                self._states.drop([event])
            else:
                event = self._let_go.pop(number, None)
                if event is not None:
                    state = event.execution
                    state.arrival = state.due = state.expires = None
            if event is not None:
                gone.append(event)
        return gone
