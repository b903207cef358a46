"""What waits in a store in memory: what is ready, what is due later, what was denied.

Only numbers are kept here. What stops waiting by hand is not searched for: what the heaps have
of it is a leftover, which is passed over when it comes up, and they are rebuilt when they are
mostly leftovers.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from heapq import heapify, heappop, heappush

from ..model.execution import Execution
from ..model.work import Work
from .order import Order

__all__ = ("Waiting",)


class Waiting:
    """The order of a queue's pending events, but for those that are claimed.

    Args:
        pending: The events that wait, by number; the store's own dict.
        held: Those of them that are claimed, which nobody else may find; likewise.
        clock: The time as a Unix timestamp in seconds.

    Attributes:
        on_refill: Called when ``ready`` is filled anew with all that waits for its turn.
        ready: Those whose turn may come now, and leftovers. What has nothing on record may be
            pushed there directly.
        mixed: Whether ``next`` must be asked, and not ``ready`` alone: something is due later,
            or expires, or there are leftovers.
    """

    __slots__ = (
        "_clock",
        "_denials",
        "_denied",
        "_expiring",
        "_held",
        "_later",
        "_left",
        "_paused",
        "_pending",
        "mixed",
        "on_refill",
        "ready",
    )

    def __init__(
        self, pending: dict[int, Work], held: dict[int, Work], clock: Callable[[], float]
    ) -> None:
        self._pending = pending
        self._held = held
        self._clock = clock
        self.ready = Order()
        self.on_refill: list[Callable[[], None]] = []
        self._later: list[tuple[float, int]] = []  # a heap of (due, number)
        self._expiring: list[tuple[float, int]] = []  # a heap of (expires, number)
        self._denied = Order()  # those of `_later` that wait out a denial
        self._paused: float | None = None  # nothing is taken out before this time
        self.mixed = False
        self._denials = 0  # pushed to `_denied` since it was built
        self._left: dict[int, int] = {}  # leftovers in `_ready`

    def add(self, number: int, delay: float | None = None) -> None:
        """Let an event wait: for its turn, or first until it is due.

        Args:
            number: Its number; it is pending.
            delay: Seconds from now until it is due; None keeps the ``due`` that it has.
        """
        state = self._pending[number].execution
        if delay:
            state.due = self._clock() + delay
        if state.expires is not None:
            heappush(self._expiring, (state.expires, number))
            self.mixed = True
            self._tidy()
        if state.due is None:
            self.ready.push(*self._entry(number))
            return
        heappush(self._later, (state.due, number))
        self.mixed = True
        if state.denials:
            self._denied.push(*self._entry(number))
            self._denials += 1
        self._tidy()

    def leave(self, number: int) -> None:
        """An event stops waiting by hand: cancelled or removed."""
        state = self._pending[number].execution
        if state.due is None:
            self._left[number] = self._left.get(number, 0) + 1
            self.mixed = True
        state.due = None
        if len(self._left) > 64 + len(self._pending):
            waiting = [n for n in self._pending if n != number and self.is_ready(n)]
            self.ready.refill(map(self._entry, waiting))
            self._left.clear()
            for call in self.on_refill:
                call()

    def pause(self, seconds: float) -> None:
        """Let nobody take anything out for so long, or for longer if that is so already."""
        self._paused = max(self._paused or 0.0, self._clock() + seconds)
        self.mixed = True

    def pause_until(self, until: float) -> None:
        """Let nobody take anything out before this time, whatever was asked for before."""
        self._paused = until
        self.mixed = True

    @property
    def paused_until(self) -> float | None:
        """The time before which nothing is to be had; None if something may be."""
        return None if self.seconds_paused() is None else self._paused

    def seconds_paused(self) -> float | None:
        """How long nothing is to be had yet; None if something may be."""
        if self._paused is None:
            return None
        left = self._paused - self._clock()
        if left > 0.0:
            return max(1e-9, left)
        self._paused = None
        return None

    def next(self) -> int | None:
        """Take out the number whose turn it is; None if none is due."""
        if self._paused is not None and self.seconds_paused() is not None:
            return None
        if self._later:
            self.mature()
        number = self.ready.pop()
        while number is not None and self._left and self._is_left(number):
            number = self.ready.pop()
        self.mixed = bool(self._later or self._left or self._expiring)
        return number

    def some(self, n: int, until: int | None, skip: Container[int], denied: bool) -> list[int]:
        """Take out the next numbers up to ``until``, on demand with those that were denied."""
        self.mature()
        found: list[int] = []
        if self.seconds_paused() is not None:
            return found
        aside: list[tuple[Order, float, int]] = []
        while len(found) < n and (order := self.lowest(denied)) is not None:
            priority, number = order.first()
            order.pop()
            if number in found:
                continue  # denied twice: the first entry was a leftover
            if (until is None or number <= until) and number not in skip:
                found.append(number)
            else:
                aside.append((order, priority, number))
        for order, priority, number in aside:
            order.push(priority, number)
        return found

    def late(self) -> Iterator[int]:
        """What was not started in time, one after another; it still waits."""
        expiring = self._expiring
        while expiring and expiring[0][0] <= self._clock():
            entry = heappop(expiring)
            if self._expires(entry):
                yield entry[1]

    def next_expiry(self) -> float | None:
        """When the first may have to be ended; None if none expires."""
        return self._expiring[0][0] if self._expiring else None

    def has_denied(self) -> bool:
        """Whether any event may wait out a denial."""
        return bool(self._denied)

    def seconds(self) -> float | None:
        """How long until ``next`` may find something: 0.0 for at once, None for not ever."""
        if (paused := self.seconds_paused()) is not None:
            return paused
        return 0.0 if self.ready else self.seconds_to_due()

    def seconds_to_due(self) -> float | None:
        """How long until something becomes due; None for not ever."""
        # Not less than a loop's timer can tell from now, or it would fire without end.
        return max(1e-9, self._later[0][0] - self._clock()) if self._later else None

    def is_free(self, number: int) -> bool:
        """Whether an event is pending and nobody has claimed it."""
        return self._state(number) is not None

    def is_ready(self, number: int) -> bool:
        """Whether an event waits for its turn alone."""
        state = self._state(number)
        return state is not None and state.due is None

    def _entry(self, number: int) -> tuple[float, int]:
        return self._pending[number].execution.priority or 0.0, number

    def mature(self) -> None:
        """Move what has become due among what is ready."""
        now, later = self._clock(), self._later
        while later and later[0][0] <= now:
            due, number = heappop(later)
            state = self._state(number)
            if state is not None and state.due == due:
                state.due = None
                self.ready.push(*self._entry(number))

    def lowest(self, denied: bool, beside: Iterable[Order] = ()) -> Order | None:
        """The order whose first entry comes first, of those that still hold good.

        Args:
            denied: Whether those that wait out a denial count.
            beside: Orders of what was taken out of ``ready`` and has not been claimed.
        """
        orders = [self.ready, *beside]
        for order in orders:
            while order and self._left and self._is_left(order.first()[1]):
                order.pop()
        while self._denied and not self._is_denied(self._denied.first()[1]):
            self._denied.pop()
        if denied:
            orders.append(self._denied)
        return min((order for order in orders if order), key=Order.first, default=None)

    def _is_left(self, number: int) -> bool:
        """Whether an entry of ``_ready`` is a leftover; it counts as passed over then."""
        count = self._left.pop(number, 0)
        if count > 1:
            self._left[number] = count - 1
        return count > 0

    def _state(self, number: int) -> Execution | None:
        """The state of an event that is pending and not claimed."""
        event = None if number in self._held else self._pending.get(number)
        return None if event is None else event.execution

    def _is_later(self, number: int) -> bool:
        state = self._state(number)
        return state is not None and state.due is not None

    def _is_denied(self, number: int) -> bool:
        state = self._state(number)
        return state is not None and state.due is not None and state.denials > 0

    def _expires(self, entry: tuple[float, int]) -> bool:
        state = self._state(entry[1])
        return state is not None and state.expires == entry[0]

    def _tidy(self) -> None:
        most = 64 + 2 * len(self._pending)
        if len(self._expiring) > most:
            self._expiring = list(filter(self._expires, self._expiring))
            heapify(self._expiring)
        if len(self._later) > most:
            self._later = [(due, n) for due, n in self._later if self._is_later(n)]
            heapify(self._later)
        if self._denials > most:
            self._denied.refill(map(self._entry, filter(self._is_denied, self._pending)))
            self._denials = 0
