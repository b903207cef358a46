"""Claims of the store in memory under limits: who may start now, in order, delaying nobody.

What may not start stands aside in a *line*: that of the account for which it has to wait
longest. So it is looked at again when there may be more on that account, and holds up nobody
who needs nothing of it. The first of a line is *guarded*: who comes behind it, and would fit,
may start only if what is left at the instant when the first may start is enough for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Final, TypeAlias

from ..model.work import Work
from ..rules.guards import Guard
from ..rules.limits import Account
from ..rules.metering import Limits, Share, excess
from ..rules.meters import Meter, Refused
from ..rules.taking import take_all
from .clock import time_of_loop
from .order import Order
from .waiting import Waiting

__all__ = ("Rationing",)

_DEPTH: Final = 50
"""How many of one line are looked at in one look."""

_BREADTH: Final = 250
"""How many are sent to stand aside in one look."""

_NOTHING: Final[Sequence[Share]] = ()

Place: TypeAlias = tuple[float, int]
"""The priority of an event, and its number."""


class Line:
    """Those who wait for one account.

    Attributes:
        order: Who they are.
        is_open: Whether they are to be looked at again.
        wake: When they are; inf for not before there is more on the account.
        first: The first of them, once it has been looked at.
        guard: Keeps others from delaying the first.
        looks: How many of them were looked at in this look.
        queued: When the next alarm rings that was set for it.
    """

    __slots__ = (
        "account",
        "bell",
        "first",
        "guard",
        "is_open",
        "looks",
        "order",
        "queued",
        "wake",
    )

    def __init__(self, account: Account, rung: Callable[[Line], None]) -> None:
        self.account = account
        self.order = Order()
        self.is_open = False
        self.wake = inf
        self.first: Place | None = None
        self.guard: Guard | None = None
        self.looks = 0
        self.queued = inf
        self.bell = lambda: rung(self)

    def open(self) -> None:
        """Look at them again, from the first on."""
        self.is_open, self.wake, self.first, self.guard = True, inf, None, None

    def begin_with(self, place: Place, at: float, shares: Sequence[Share], now: float) -> None:
        """It is the first, and may start at this instant if nobody takes what it needs.

        Who waits for its key alone is not guarded: other keys do not wait for it.
        """
        self.first, self.wake = place, at
        self.guard = None if self.account.limit.per_key else Guard(shares, at, now)


class Look:
    """One look at those who wait.

    Attributes:
        start: Whether who may start, does.
        found: Who may start.
        aside: How many were sent to stand aside.
        back: Where who may not is to be put.
        touched: Lines in which somebody was put.
    """

    __slots__ = ("aside", "back", "found", "now", "start", "touched")

    def __init__(self, now: float, start: bool) -> None:
        self.now = now
        self.start = start
        self.found: list[int] = []
        self.aside = 0
        self.back: list[tuple[Order, Place]] = []
        self.touched: set[Line] = set()


class Rationing:
    """Chooses what is claimed under the limits of one processor.

    Args:
        limits: Those.
        pending: The events that wait, by number; the store's own dict.
        waiting: Their order.
        ring: Called when a claim may find something.

    Attributes:
        clock: The time in seconds, for the limits: one that never goes back in a loop.
        lines: Those who stand aside.
    """

    def __init__(
        self,
        limits: Limits,
        pending: Mapping[int, Work],
        waiting: Waiting,
        ring: Callable[[], None],
    ) -> None:
        self.limits = limits
        self.clock: Callable[[], float] = time_of_loop()
        self._pending = pending
        self._waiting = waiting
        self._ring = ring
        self.lines: dict[Account, Line] = {}
        self._open: list[Line] = []
        self._guarded: list[Line] = []
        self._wakes: list[tuple[float, int, Line]] = []  # a heap, with what is outdated
        self._count = count()
        waiting.on_refill.append(self._forget)

    def next(self) -> int | None:
        """Take out the first number if it may start now, and have its meter take what it costs.

        None says only that it is not as easy as that: ``some`` knows.
        """
        waiting = self._waiting
        if self.lines:
            return None
        ready = waiting.ready
        if waiting.mixed or ready.new or ready.heap:
            number = waiting.next()
        else:
            number = ready.run.popleft() if ready.run else ready.pop()
        if number is None:
            return None
        event, key, shares = self._pending[number], None, _NOTHING
        try:
            key, shares = self.limits.asked(event)
            entries = take_all(shares, self.clock())
        except BaseException:  # the event's own code's, and no matter here
            entries = None
        if entries is None:
            ready.push(event.execution.priority or 0.0, number)
            return None
        event.__dict__["_meter"] = Meter(self, key, shares, entries)
        return number

    def some(
        self, n: int, until: int | None, skip: Collection[int], denied: bool, start: bool
    ) -> tuple[list[int], float | None]:
        """Take out the next numbers that may start now, and have their meters hold what they cost.

        What can never start is among them, with a refusal on its meter.

        Args:
            n, until, skip, denied, start: As for ``Store.claim``.

        Returns:
            The numbers, and the seconds until there may be more.
        """
        waiting, look = self._waiting, Look(self.clock(), start)
        if (paused := waiting.seconds_paused()) is not None:
            return [], paused
        waiting.mature()
        self._open_due(look.now)
        while not (is_full := len(look.found) >= n or look.aside >= _BREADTH):
            lines = [line.order for line in self._open if line.looks < _DEPTH]
            order = waiting.lowest(denied, lines)
            if order is None:
                break
            place = order.first()
            order.pop()
            number = place[1]
            if number in look.found or not waiting.is_free(number):
                continue  # a leftover
            if (until is not None and number > until) or number in skip:
                look.back.append((order, place))
            else:
                self._judge(look, order, place)
        for order, place in look.back:
            order.push(*place)
        self._close_up(look, is_full)
        return look.found, self._seconds(look.now)

    # -- one event ---------------------------------------------------------------------------

    def _judge(self, look: Look, order: Order, place: Place) -> None:
        """Whether an event may start; if not, where it is to wait."""
        event, now = self._pending[place[1]], look.now
        at, account, key, shares = now, None, None, _NOTHING
        try:
            key, shares = self.limits.asked(event)
            for each, amount in shares:
                if amount > each.limit.amount:
                    raise excess(each.limit, amount)  # the limit has been changed since
                if (free_at := each.free_at(amount, now)) > at:
                    at, account = free_at, each
        except BaseException as error:  # the event's own code's, too
            event.__dict__["_meter"] = Refused(self, error)
            look.found.append(place[1])
            return
        line = guard = self._guard_of(shares, place, now)
        if account is not None:
            line = self.lines.get(account) or self._new_line(account)
            if line.first is None or place <= line.first:
                line.begin_with(place, at, shares, now)
                if line.guard is not None and line not in self._guarded:
                    self._guarded.append(line)
            elif guard is None:
                line.wake = min(line.wake, at)
        if line is None:
            self._admit(look, event, Meter(self, key, shares, None), shares)
            look.found.append(place[1])
            return
        line.looks += 1
        look.touched.add(line)
        look.aside += order is self._waiting.ready
        is_denied = event.execution.due is not None
        look.back.append((order if is_denied else line.order, place))

    def _new_line(self, account: Account) -> Line:
        line = self.lines[account] = Line(account, self._rung)
        return line

    def _admit(self, look: Look, event: Work, meter: Meter, shares: Sequence[Share]) -> None:
        meter.hold()
        if look.start:
            meter.begin(look.now)
        event.__dict__["_meter"] = meter
        for line in self._guarded:
            if line.guard is not None:
                line.guard.note(shares, look.now)

    def _guard_of(self, shares: Sequence[Share], place: Place, now: float) -> Line | None:
        """The line whose first would be delayed, if one behind it took these."""
        for line in self._guarded:
            first, guard = line.first, line.guard
            if first is None or guard is None or place < first:
                continue
            if not guard.allows(shares, now):
                return line
        return None

    # -- the lines ---------------------------------------------------------------------------

    def _open_due(self, now: float) -> None:
        while self._wakes and self._wakes[0][0] <= now:
            line = heappop(self._wakes)[2]
            line.queued = inf
            if line.wake <= now:
                self._open_up(line)
            else:
                self._set_alarm(line)
        for line in self._open:
            line.looks = 0

    def _set_alarm(self, line: Line) -> None:
        if line.wake < line.queued:
            line.queued = line.wake
            heappush(self._wakes, (line.wake, next(self._count), line))

    def _open_up(self, line: Line) -> None:
        if not line.is_open and self.lines.get(line.account) is line:
            line.open()
            self._open.append(line)
            if line in self._guarded:
                self._guarded.remove(line)

    def _rung(self, line: Line) -> None:
        """There may be more on the account of a line."""
        self._open_up(line)
        self._ring()

    def _close_up(self, look: Look, is_full: bool) -> None:
        """Have each line wait for what its first waits for, once all were looked at."""
        closing = look.touched
        if not is_full:
            closing = closing.union(self._open)
            self._open = []
        for line in closing:
            line.is_open = line.is_open and is_full
            if line.is_open:
                continue
            if not line.order:
                self._drop(line)
                continue
            self._set_alarm(line)
            line.account.on_change(line.bell)

    def _drop(self, line: Line) -> None:
        if self.lines.get(line.account) is line:
            del self.lines[line.account]
        if line in self._guarded:
            self._guarded.remove(line)
        line.wake = inf

    def _seconds(self, now: float) -> float | None:
        """How long until there may be more: 0.0 for at once, None for not ever."""
        if self._waiting.ready or self._open:
            return 0.0
        wakes = self._wakes
        while wakes and wakes[0][0] < wakes[0][2].wake:
            line = heappop(wakes)[2]
            line.queued = inf
            self._set_alarm(line)
        due = self._waiting.seconds_to_due()
        if not wakes:
            return due
        wake = max(1e-9, wakes[0][0] - now)
        return wake if due is None else min(wake, due)

    def _forget(self) -> None:
        """All that waits is in ``ready`` again."""
        for line in self.lines.values():
            line.wake = inf
            line.account.off(line.bell)
        self.lines.clear()
        self._open, self._guarded, self._wakes = [], [], []

    def disband(self) -> None:
        """Let all who stand aside wait for their turn, for whoever claims next."""
        for line in self.lines.values():
            while (number := line.order.pop()) is not None:
                if self._waiting.is_ready(number):
                    self._waiting.ready.push(
                        self._pending[number].execution.priority or 0.0, number
                    )
        self._forget()
