"""Claims under limits in memory: which events may start now, in order, without delaying others.

An event that may not start is *deferred*: it waits in the queue of the account for which it has to
wait longest. So it is considered again when that account may have more, and it does not hold up
events that need nothing of the account. The first event of such a queue is *guarded*: a later event
that would fit may start only if the first one is not delayed by it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Final, TypeAlias

from ...model.event_data import EventData
from ...rules.limits.delay_guard import DelayGuard
from ...rules.limits.limit import Account
from ...rules.limits.limit_set import Limits, Share, excess
from ...rules.limits.meter import Meter, Refused
from ...rules.limits.taking import take_all
from ..clock import time_of_loop
from .priority_queue import PriorityQueue
from .ready_queue import ReadyQueue

__all__ = ("Limiter",)

MOST_CONSIDERED: Final = 50
"""Maximum number of events of one account's queue that a selection considers."""

MOST_DEFERRED: Final = 250
"""Maximum number of ready events that a selection defers."""

_NO_SHARES: Final[Sequence[Share]] = ()

Position: TypeAlias = tuple[float, int]
"""The priority and the number of an event."""


class AccountQueue:
    """Events that wait for one account.

    Attributes:
        account: The account.
        queue: The events.
        is_open: True if the events are considered again.
        wake_at: The time at which it is opened; inf for not before the account has more.
        first: The position of the first event, once it has been considered.
        guard: Keeps other events from delaying the first one.
        considered: The number of its events that this selection has considered.
        timer_at: The time of its entry in the heap of timers; inf if it has none.
        on_change: The listener of the account.
    """

    __slots__ = (
        "account",
        "considered",
        "first",
        "guard",
        "is_open",
        "on_change",
        "queue",
        "timer_at",
        "wake_at",
    )

    def __init__(self, account: Account, on_change: Callable[[AccountQueue], None]) -> None:
        self.account = account
        self.queue = PriorityQueue()
        self.is_open = False
        self.wake_at = inf
        self.first: Position | None = None
        self.guard: DelayGuard | None = None
        self.considered = 0
        self.timer_at = inf
        self.on_change = lambda: on_change(self)

    def open(self) -> None:
        """Have its events considered again, from the first one on."""
        self.is_open, self.wake_at, self.first, self.guard = True, inf, None, None

    def set_first(self, position: Position, at: float, shares: Sequence[Share], now: float) -> None:
        """Set the first event, which may start at a time if no other takes what it needs.

        An event that only waits for its key is not guarded: other keys do not wait for it.
        """
        self.first, self.wake_at = position, at
        self.guard = None if self.account.limit.per_key else DelayGuard(shares, at, now)


class Selection:
    """One selection of the events that may start.

    Attributes:
        now: The time.
        start: True if the selected events start at once.
        found: The events that may start.
        deferred: The number of ready events that were deferred.
        returned: Events that may not start, and the queues that they go to.
        touched: The account queues that an event goes to.
    """

    __slots__ = ("deferred", "found", "now", "returned", "start", "touched")

    def __init__(self, now: float, start: bool) -> None:
        self.now = now
        self.start = start
        self.found: list[int] = []
        self.deferred = 0
        self.returned: list[tuple[PriorityQueue, Position]] = []
        self.touched: set[AccountQueue] = set()


class Limiter:
    """Selects the events that are claimed under the limits of one processor.

    Args:
        limits: The limits.
        pending: The pending events by number; the store's own dict.
        ready: The order of the pending events.
        notify: Called when a claim may find an event.

    Attributes:
        clock: Returns the time in seconds for the limits; it never goes back within a loop.
        deferred: The queues of deferred events, by account.
    """

    def __init__(
        self,
        limits: Limits,
        pending: Mapping[int, EventData],
        ready: ReadyQueue,
        notify: Callable[[], None],
    ) -> None:
        self.limits = limits
        self.clock: Callable[[], float] = time_of_loop()
        self._pending = pending
        self._ready = ready
        self._notify = notify
        self.deferred: dict[Account, AccountQueue] = {}
        self._open: list[AccountQueue] = []
        self._guarded: list[AccountQueue] = []
        self._timers: list[tuple[float, int, AccountQueue]] = []  # a heap with stale entries
        self._count = count()
        ready.on_refill.append(self._forget)

    def pop(self) -> int | None:
        """Remove the next event if it may start now, and take its costs for a start.

        None does not say that no event may start: ``select`` tells.
        """
        waiting = self._ready
        if self.deferred:
            return None
        ready = waiting.ready
        if waiting.is_mixed or ready.new or ready.heap:
            number = waiting.pop()
        else:
            number = ready.run.popleft() if ready.run else ready.pop()
        if number is None:
            return None
        event, key, shares = self._pending[number], None, _NO_SHARES
        try:
            key, shares = self.limits.asked(event)
            entries = take_all(shares, self.clock())
        except BaseException:  # of the event's own code: `select` refuses the event
            entries = None
        if entries is None:
            ready.push(event.execution.priority or 0.0, number)
            return None
        event.__dict__["_meter"] = Meter(self, key, shares, entries)
        return number

    def select(
        self, n: int, until: int | None, skip: Collection[int], denied: bool, start: bool
    ) -> tuple[list[int], float | None]:
        """Remove the next events that may start now, and reserve their costs.

        Events that can never start are among them, with a refusal.

        Args:
            n, until, skip, denied, start: See ``Store.claim``.

        Returns:
            The numbers, and the seconds until there may be more.
        """
        waiting, selection = self._ready, Selection(self.clock(), start)
        if (paused := waiting.seconds_paused()) is not None:
            return [], paused
        waiting.promote()
        self._open_due(selection.now)
        while not (is_full := len(selection.found) >= n or selection.deferred >= MOST_DEFERRED):
            queues = [each.queue for each in self._open if each.considered < MOST_CONSIDERED]
            queue = waiting.first_queue(denied, queues)
            if queue is None:
                break
            position = queue.first()
            queue.pop()
            number = position[1]
            if number in selection.found or not waiting.is_free(number):
                continue  # a stale entry
            if (until is not None and number > until) or number in skip:
                selection.returned.append((queue, position))
            else:
                self._consider(selection, queue, position)
        for queue, position in selection.returned:
            queue.push(*position)
        self._close(selection, is_full)
        return selection.found, self._seconds(selection.now)

    # -- one event ---------------------------------------------------------------------------

    def _consider(self, selection: Selection, queue: PriorityQueue, position: Position) -> None:
        """Select an event that may start; defer any other."""
        event, now = self._pending[position[1]], selection.now
        at, account, key, shares = now, None, None, _NO_SHARES
        try:
            key, shares = self.limits.asked(event)
            for each, amount in shares:
                if amount > each.limit.amount:
                    raise excess(each.limit, amount)  # the limit has been changed since
                if (free_at := each.free_at(amount, now)) > at:
                    at, account = free_at, each
        except BaseException as error:  # also of the event's own code
            event.__dict__["_meter"] = Refused(self, error)
            selection.found.append(position[1])
            return
        wait_in = guarded = self._delayed_by(shares, position, now)
        if account is not None:
            wait_in = self.deferred.get(account) or self._new_queue(account)
            if wait_in.first is None or position <= wait_in.first:
                wait_in.set_first(position, at, shares, now)
                if wait_in.guard is not None and wait_in not in self._guarded:
                    self._guarded.append(wait_in)
            elif guarded is None:
                wait_in.wake_at = min(wait_in.wake_at, at)
        if wait_in is None:
            self._reserve(selection, event, Meter(self, key, shares, None), shares)
            selection.found.append(position[1])
            return
        wait_in.considered += 1
        selection.touched.add(wait_in)
        selection.deferred += queue is self._ready.ready
        is_denied = event.execution.due is not None
        selection.returned.append((queue if is_denied else wait_in.queue, position))

    def _new_queue(self, account: Account) -> AccountQueue:
        queue = self.deferred[account] = AccountQueue(account, self._account_changed)
        return queue

    def _reserve(
        self, selection: Selection, event: EventData, meter: Meter, shares: Sequence[Share]
    ) -> None:
        meter.hold()
        if selection.start:
            meter.begin(selection.now)
        event.__dict__["_meter"] = meter
        for queue in self._guarded:
            if queue.guard is not None:
                queue.guard.note(shares, selection.now)

    def _delayed_by(
        self, shares: Sequence[Share], position: Position, now: float
    ) -> AccountQueue | None:
        """Return the queue whose first event a later event with these costs would delay."""
        for queue in self._guarded:
            first, guard = queue.first, queue.guard
            if first is None or guard is None or position < first:
                continue
            if not guard.allows(shares, now):
                return queue
        return None

    # -- the queues of the accounts ----------------------------------------------------------

    def _open_due(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            queue = heappop(self._timers)[2]
            queue.timer_at = inf
            if queue.wake_at <= now:
                self._open_queue(queue)
            else:
                self._set_timer(queue)
        for queue in self._open:
            queue.considered = 0

    def _set_timer(self, queue: AccountQueue) -> None:
        if queue.wake_at < queue.timer_at:
            queue.timer_at = queue.wake_at
            heappush(self._timers, (queue.wake_at, next(self._count), queue))

    def _open_queue(self, queue: AccountQueue) -> None:
        if not queue.is_open and self.deferred.get(queue.account) is queue:
            queue.open()
            self._open.append(queue)
            if queue in self._guarded:
                self._guarded.remove(queue)

    def _account_changed(self, queue: AccountQueue) -> None:
        """Open a queue, since its account may have more."""
        self._open_queue(queue)
        self._notify()

    def _close(self, selection: Selection, is_full: bool) -> None:
        """Have each considered queue wait until its first event may start."""
        closing = selection.touched
        if not is_full:
            closing = closing.union(self._open)
            self._open = []
        for queue in closing:
            queue.is_open = queue.is_open and is_full
            if queue.is_open:
                continue
            if not queue.queue:
                self._drop(queue)
                continue
            self._set_timer(queue)
            queue.account.on_change(queue.on_change)

    def _drop(self, queue: AccountQueue) -> None:
        if self.deferred.get(queue.account) is queue:
            del self.deferred[queue.account]
        if queue in self._guarded:
            self._guarded.remove(queue)
        queue.wake_at = inf

    def _seconds(self, now: float) -> float | None:
        """Return the seconds until there may be more: 0.0 for at once, None for never."""
        if self._ready.ready or self._open:
            return 0.0
        timers = self._timers
        while timers and timers[0][0] < timers[0][2].wake_at:
            queue = heappop(timers)[2]
            queue.timer_at = inf
            self._set_timer(queue)
        due = self._ready.seconds_to_due()
        if not timers:
            return due
        wake = max(1e-9, timers[0][0] - now)
        return wake if due is None else min(wake, due)

    def _forget(self) -> None:
        """Forget the deferred events, which are all in ``ready`` again."""
        for queue in self.deferred.values():
            queue.wake_at = inf
            queue.account.off(queue.on_change)
        self.deferred.clear()
        self._open, self._guarded, self._timers = [], [], []

    def release(self) -> None:
        """Return the deferred events to ``ready``, for claims under other limits."""
        for queue in self.deferred.values():
            while (number := queue.queue.pop()) is not None:
                if self._ready.is_ready(number):
                    self._ready.ready.push(self._pending[number].execution.priority or 0.0, number)
        self._forget()
