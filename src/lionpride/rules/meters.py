"""Meters: what a claim takes of the limits, from there to its end, to the unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ..errors import OperationError
from ..model.work import Work
from .lifecycle import Pause
from .limits import Account, Entry

if TYPE_CHECKING:
    from .metering import Bill, Limits, Share

__all__ = ("Meter", "Refused", "RowMeter", "end_meter", "refusal_of")


class Source(Protocol):
    """Where a meter belongs: the limits, and the time in seconds."""

    limits: Limits
    clock: Callable[[], float]


class Meter:
    """What one claim has taken, kept with its event until it is settled.

    A rate is held from the claim to the start and stamped then, so that what waits for its
    permission is counted the whole time, and once; if it never starts, it is given back. What
    counts at once is held to the end.

    Args:
        source: Whose limits, and what time.
        key: The event's.
        shares: The accounts, and what is taken of each.
        entries: For an event that has started: of each account, what its ``take`` gave.
    """

    __slots__ = ("_key", "_shares", "_takes", "entries", "source")

    def __init__(
        self,
        source: Source,
        key: str | None,
        shares: Sequence[Share],
        entries: list[Entry] | None,
    ) -> None:
        self.source = source
        self._key = key
        self._shares = shares
        self.entries = entries
        self._takes: dict[str, Take] | None = None

    @property
    def refusal(self) -> Exception | None:
        """Why the event is not to be run at all; None if it is."""
        return None

    def _each(self) -> Sequence[Share]:
        return self._shares

    def hold(self) -> None:
        """Take, for a start that is to come."""
        for account, amount in self._each():
            account.held += amount

    def begin(self, at: float | None = None) -> None:
        """The event starts, for which was held; now, if nothing else is said, and once."""
        if self.entries is not None:
            return
        now, entries = self.source.clock() if at is None else at, list[Entry]()
        for account, amount in self._each():
            if account.limit.per is None:
                entries.append([])
            else:
                account.held -= amount
                entries.append(account.stamp(amount, now))
                if at is None:
                    account.ring()  # only now it is known when that will leave the window
        self.entries = entries

    def pause(self, pause: Pause) -> bool:
        """Let nothing be had of a limit for a while; False if there is none of that name."""
        limit = None if pause.limit is None else self.source.limits.get(pause.limit)
        if limit is None or (limit.per_key and self._key is None):
            return False
        limit.account(self._key).pause(self.source.clock() + pause.seconds)
        return True

    def end(self) -> None:
        """The claim is settled: let go of what is held."""
        if self._takes is not None:
            for take in self._takes.values():
                if take.account.limit.per is None:
                    take.account.let_go(take.total)
        elif self.entries is None or self.source.limits.holds:
            self._let_go()

    def _let_go(self) -> None:
        for account, amount in self._each():
            if self.entries is None or account.limit.per is None:
                account.let_go(amount)

    def spend(self, costs: Mapping[str, float]) -> None:
        """State what the attempt has cost so far in all; limits that are not named stay as is.

        What was taken beyond it is given back, unless it has left its window by now. What goes
        beyond what was taken is taken now, whether there is so much or not.

        Raises:
            OperationError: if it has not started.
        """
        if self.entries is None:
            raise OperationError("spend() states what a running attempt costs: call it in _invoke")
        if self._takes is None:
            self._takes = {
                account.limit.name: Take(account, amount, [(entry, amount)])
                for (account, amount), entry in zip(self._each(), self.entries, strict=True)
            }
        for name, total in costs.items():
            limit = self.source.limits.get(name)
            if limit is None or (limit.per_key and self._key is None):
                continue
            if name not in self._takes:
                self._takes[name] = Take(limit.account(self._key), 0, [])
            self._takes[name].become(total, self.source.clock())


class RowMeter(Meter):
    """The meter of an event that has started, under limits that are all rates without keys.

    Args:
        source: Whose limits, and what time.
        bill: What it costs of each, in their order.
        entries: As for a meter.
    """

    __slots__ = ("_bill",)

    _key = None

    def __init__(self, source: Source, bill: Bill, entries: list[Entry]) -> None:
        self.source = source
        self._bill = bill
        self.entries = entries
        self._takes = None

    def _each(self) -> Sequence[Share]:
        return self.source.limits.shares_of(self._bill)


class Refused(Meter):
    """The meter of an event that can never start: it takes nothing.

    Args:
        source: Whose limits, and what time.
        refusal: Why.
    """

    __slots__ = ("_refusal",)

    def __init__(self, source: Source, refusal: Exception) -> None:
        super().__init__(source, None, (), None)
        self._refusal = refusal

    @property
    def refusal(self) -> Exception:
        return self._refusal


def refusal_of(event: Work) -> Exception | None:
    """Why a claimed event is not to be run at all; None if it is."""
    meter: Meter | None = event.__dict__.get("_meter")
    return None if meter is None else meter.refusal


def end_meter(event: Work) -> None:
    """The claim of an event is settled: let go of what it holds."""
    meter: Meter | None = event.__dict__.pop("_meter", None)
    if meter is not None:
        meter.end()


class Take:
    """What a running attempt has taken of one account, by and by."""

    __slots__ = ("_parts", "account", "total")

    def __init__(self, account: Account, total: float, parts: list[tuple[Entry, float]]) -> None:
        self.account = account
        self.total = total
        self._parts = parts

    def become(self, total: float, now: float) -> None:
        """Take more, or give back, so that it is so much in all."""
        account, more = self.account, total - self.total
        self.total = total
        if account.limit.per is None:
            account.let_go(-more)
        elif more > 0:
            account.used(now)
            self._parts.append((account.stamp(more, now), more))
        else:
            account.used(now)
            self._give_back(-more)

    def _give_back(self, amount: float) -> None:
        """Give back what was taken last."""
        while amount > 0 and self._parts:
            entry, taken = self._parts.pop()
            part = min(amount, taken)
            self.account.return_to(entry, part)
            amount -= part
            if part < taken:
                self._parts.append((entry, taken - part))
