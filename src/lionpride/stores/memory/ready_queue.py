"""Pending events of a store in memory, in the order of their claims.

Only numbers are kept here. The entry of an event that was cancelled or removed is not searched for:
it stays in its heap as a *stale* entry and is skipped when it comes up. A heap that consists mostly
of stale entries is rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from heapq import heapify, heappop, heappush
from math import inf

from ...model.event_data import EventData
from ...model.execution import Execution
from .priority_queue import PriorityQueue

__all__ = ("ReadyQueue",)


class ReadyQueue:
    """Pending events that are not claimed: ready, scheduled, or waiting after a denial.

    Args:
        pending: The pending events by number; the store's own dict.
        held: The claimed events among them; the store's own dict.
        clock: Returns the time as a Unix timestamp in seconds.
        refuse: Returns True if this process does not run the event of a number.

    Attributes:
        may_refuse: True if events may be refused; then ``is_mixed`` is True, too.
        on_refill: Called when ``ready`` was rebuilt from all ready events.
        ready: Numbers of ready events, and stale entries. A new event without a due time may be
            pushed to it directly.
        is_mixed: True if the next event has to be taken by ``pop``, and not from ``ready``
            directly: events are scheduled or expire, the queue is paused, or entries are stale.
    """

    __slots__ = (
        "_clock",
        "_denials",
        "_denied",
        "_expiring",
        "_held",
        "_paused_until",
        "_pending",
        "_refuse",
        "_refused",
        "_scheduled",
        "_stale",
        "is_mixed",
        "may_refuse",
        "on_refill",
        "ready",
    )

    def __init__(
        self,
        pending: dict[int, EventData],
        held: dict[int, EventData],
        clock: Callable[[], float],
        refuse: Callable[[int], bool],
    ) -> None:
        self._refuse = refuse
        self._refused: set[int] = set()  # ready events that were taken from `ready` and refused
        self.may_refuse = False
        self._pending = pending
        self._held = held
        self._clock = clock
        self.ready = PriorityQueue()
        self.on_refill: list[Callable[[], None]] = []
        self._scheduled: list[tuple[float, int]] = []  # a heap of (due, number)
        self._expiring: list[tuple[float, int]] = []  # a heap of (expires, number)
        self._denied = PriorityQueue()  # scheduled events that wait after a denial
        self._paused_until: float | None = None
        self.is_mixed = False
        self._denials = 0  # entries pushed to `_denied` since it was built
        self._stale: dict[int, int] = {}  # the number of stale entries in `ready`, by event

    def add(self, number: int, delay: float | None = None) -> None:
        """Add a pending event, which is ready or scheduled.

        An event that is blocked by its parents (due at infinity) can only expire.

        Args:
            number: Its number.
            delay: Seconds until it is due; None keeps its due time.
        """
        state = self._pending[number].execution
        if delay:
            state.due = self._clock() + delay
        if state.expires is not None:
            heappush(self._expiring, (state.expires, number))
            self.is_mixed = True
            self._drop_stale()
        if state.due is None:
            self.ready.push(*self._entry(number))
            return
        if state.due == inf:
            return
        heappush(self._scheduled, (state.due, number))
        self.is_mixed = True
        if state.denials:
            self._denied.push(*self._entry(number))
            self._denials += 1
        self._drop_stale()

    def remove(self, number: int) -> None:
        """Remove an event that is not claimed: it is cancelled, removed, or has expired."""
        state = self._pending[number].execution
        if state.due is None and number in self._refused:
            self._refused.discard(number)
        elif state.due is None:
            self._stale[number] = self._stale.get(number, 0) + 1
            self.is_mixed = True
        state.due = None
        if len(self._stale) > 64 + len(self._pending):
            ready = [n for n in self._pending if n != number and self.is_ready(n)]
            self.ready.refill(map(self._entry, ready))
            self._stale.clear()
            self._refused.clear()
            for call in self.on_refill:
                call()

    # -- pause -------------------------------------------------------------------------------

    def pause(self, seconds: float) -> None:
        """Pause for a number of seconds; a longer pause stays."""
        self._paused_until = max(self._paused_until or 0.0, self._clock() + seconds)
        self.is_mixed = True

    def pause_until(self, until: float) -> None:
        """Pause until a time, whatever the pause was before."""
        self._paused_until = until
        self.is_mixed = True

    @property
    def paused_until(self) -> float | None:
        """The time at which the pause ends; None without a pause."""
        return None if self.seconds_paused() is None else self._paused_until

    def seconds_paused(self) -> float | None:
        """Return the seconds until the pause ends; None without a pause."""
        if self._paused_until is None:
            return None
        left = self._paused_until - self._clock()
        if left > 0.0:
            return max(1e-9, left)
        self._paused_until = None
        return None

    # -- taking ------------------------------------------------------------------------------

    def pop(self) -> int | None:
        """Remove the next ready event and return its number; None if no event is due."""
        if self._paused_until is not None and self.seconds_paused() is not None:
            return None
        if self._scheduled:
            self.promote()
        number = self.ready.pop()
        while number is not None and self._skips(number):
            number = self.ready.pop()
        self.is_mixed = bool(self._scheduled or self._stale or self._expiring or self.may_refuse)
        return number

    def take(self, n: int, until: int | None, skip: Container[int], denied: bool) -> list[int]:
        """Remove the next events; the arguments are those of ``Store.claim``."""
        self.promote()
        found: list[int] = []
        if self.seconds_paused() is not None:
            return found
        skipped: list[tuple[PriorityQueue, float, int]] = []
        while len(found) < n and (queue := self.first_queue(denied)) is not None:
            priority, number = queue.first()
            queue.pop()
            if number in found:
                continue  # denied twice: the first entry was stale
            if self.may_refuse and self._refuse(number):
                continue  # it waits after a denial, and its other entry stays
            if (until is None or number <= until) and number not in skip:
                found.append(number)
            else:
                skipped.append((queue, priority, number))
        for queue, priority, number in skipped:
            queue.push(priority, number)
        return found

    def promote(self) -> None:
        """Make scheduled events ready that are due."""
        now, scheduled = self._clock(), self._scheduled
        while scheduled and scheduled[0][0] <= now:
            due, number = heappop(scheduled)
            state = self._free_state(number)
            if state is not None and state.due == due:
                state.due = None
                self.ready.push(*self._entry(number))

    def first_queue(
        self, denied: bool, others: Iterable[PriorityQueue] = ()
    ) -> PriorityQueue | None:
        """Return the queue whose first entry comes first; None if all are empty.

        Args:
            denied: True to include events that wait after a denial.
            others: Queues of events that were taken from ``ready`` and not claimed.
        """
        queues = [self.ready, *others]
        for queue in queues:
            while queue and self._skips(queue.first()[1]):
                queue.pop()
        while self._denied and not self._is_denied(self._denied.first()[1]):
            self._denied.pop()
        if denied:
            queues.append(self._denied)
        return min((queue for queue in queues if queue), key=PriorityQueue.first, default=None)

    def expired(self) -> Iterator[int]:
        """Yield the events that were not started in time; the caller removes each."""
        expiring = self._expiring
        while expiring and expiring[0][0] <= self._clock():
            entry = heappop(expiring)
            if self._expires(entry):
                yield entry[1]

    def next_expiry(self) -> float | None:
        """Return the time at which the next event may expire; None if there is none."""
        return self._expiring[0][0] if self._expiring else None

    def has_denied(self) -> bool:
        """Return True if an event may wait after a denial."""
        return bool(self._denied)

    def seconds(self) -> float | None:
        """Return the seconds until ``pop`` may find an event: 0.0 for at once, None for never."""
        if (paused := self.seconds_paused()) is not None:
            return paused
        return 0.0 if self.ready else self.seconds_to_due()

    def seconds_to_due(self) -> float | None:
        """Return the seconds until an event becomes due; None if none is scheduled."""
        if not self._scheduled:
            return None
        # At least what the timer of a loop can tell from now, or it would fire without end.
        return max(1e-9, self._scheduled[0][0] - self._clock())

    # -- entries -----------------------------------------------------------------------------

    def is_free(self, number: int) -> bool:
        """Return True if an event is pending and not claimed."""
        return self._free_state(number) is not None

    def is_ready(self, number: int) -> bool:
        """Return True if an event is pending, not claimed, and not scheduled."""
        state = self._free_state(number)
        return state is not None and state.due is None

    def _entry(self, number: int) -> tuple[float, int]:
        return self._pending[number].execution.priority or 0.0, number

    def _skips(self, number: int) -> bool:
        """Return True if an entry of ``ready``, which the caller removes, is to be skipped.

        It is stale, or the event is refused.
        """
        if self._stale and (count := self._stale.pop(number, 0)):
            if count > 1:
                self._stale[number] = count - 1
            return True
        if self.may_refuse and self.is_free(number) and self._refuse(number):
            self._refused.add(number)
            return True
        return False

    def refuse_again(self, *, may_refuse: bool) -> None:
        """Make the refused events ready, since this process may run others now.

        Args:
            may_refuse: True if a pending event may be refused.
        """
        refused, self._refused = self._refused, set()
        for number in refused:
            self.ready.push(*self._entry(number))
        self.may_refuse = may_refuse
        self.is_mixed = self.is_mixed or may_refuse

    def _free_state(self, number: int) -> Execution | None:
        """Return the state of an event that is pending and not claimed."""
        event = None if number in self._held else self._pending.get(number)
        return None if event is None else event.execution

    def _is_scheduled(self, number: int) -> bool:
        state = self._free_state(number)
        return state is not None and state.due is not None

    def _is_denied(self, number: int) -> bool:
        state = self._free_state(number)
        return state is not None and state.due is not None and state.denials > 0

    def _expires(self, entry: tuple[float, int]) -> bool:
        state = self._free_state(entry[1])
        return state is not None and state.expires == entry[0]

    def _drop_stale(self) -> None:
        """Rebuild each heap that consists mostly of stale entries."""
        most = 64 + 2 * len(self._pending)
        if len(self._expiring) > most:
            self._expiring = list(filter(self._expires, self._expiring))
            heapify(self._expiring)
        if len(self._scheduled) > most:
            self._scheduled = [(due, n) for due, n in self._scheduled if self._is_scheduled(n)]
            heapify(self._scheduled)
        if self._denials > most:
            self._denied.refill(map(self._entry, filter(self._is_denied, self._pending)))
            self._denials = 0
