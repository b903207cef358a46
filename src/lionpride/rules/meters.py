"""Meters: what one claim has taken of the limits, from then to its end, to the unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from ..errors import OperationError
from ..model.event_data import Work
from .lifecycle import Pause
from .limits import NEVER, Account, Entry
from .metering import Limits, Share

__all__ = ("Meter", "Refused", "end_meter", "refusal_of")


class Source(Protocol):
    """Where a meter belongs: the limits, and the time in seconds."""

    limits: Limits
    clock: Callable[[], float]


Part: TypeAlias = tuple[Account, Entry, float]
"""What was taken of an account beyond what was reserved: its entry, and how much."""


class Meter:
    """What one claim has taken, kept with its event until it is settled.

    A rate is held from the claim to the start and stamped then, so that what waits for its
    permission is counted the whole time, and once; if it never starts, it is given back. What
    counts at once is held to the end.

    Args:
        source: Whose limits, and what time.
        key: The event's.
        shares: Of which accounts it takes, and how much.
        entries: For an event that has started: of each account, what its ``take`` gave.

    Attributes:
        accounts, amounts: The same as ``shares``, which may say nothing then.
        entries: As above; None before the start.
        spent: What it is of each of them, once that was said.
    """

    __slots__ = ("_beyond", "_key", "_shares", "_source", "accounts", "amounts", "entries", "spent")

    def __init__(
        self,
        source: Source,
        key: str | None,
        shares: Sequence[Share],
        entries: Sequence[Entry] | None,
    ) -> None:
        self._source = source
        self._key = key
        self._shares = shares
        self.accounts: Sequence[Account] = ()
        self.amounts: Sequence[float] = ()
        self.entries = entries
        self.spent: list[float] | None = None
        self._beyond: Sequence[Part] = ()  # in the order of time

    @property
    def refusal(self) -> BaseException | None:
        """Why the event is not to be run at all; None if it is."""
        return None

    def hold(self) -> None:
        """Take, for a start that is to come."""
        for account, amount in self._shares:
            account.hold(amount)

    def begin(self, at: float | None = None) -> None:
        """The event starts, for which was held; now, if nothing else is said, and once."""
        if self.entries is not None:
            return
        now, entries = self._source.clock() if at is None else at, list[Entry]()
        for account, amount in self._shares:
            if account.limit.per is None:
                entries.append([])
            else:
                account.hold_less(amount)
                entries.append(account.stamp(amount, now))
                if at is None:
                    account.ring()  # only now it is known when that will leave the window
        self.entries = entries

    def pause(self, pause: Pause) -> bool:
        """Let nothing be had of a limit for a while; False if there is none of that name."""
        limit = None if pause.limit is None else self._source.limits.get(pause.limit)
        if limit is None or (limit.per_key and self._key is None):
            return False
        limit.account(self._key).pause(self._source.clock() + pause.seconds)
        return True

    def end(self) -> None:
        """The claim is settled: let go of what is held."""
        if self.spent is not None:
            for account, amount in zip(self.accounts, self.spent, strict=True):
                if account.limit.per is None:
                    account.let_go(amount)
        elif self.entries is None or self._source.limits.holds:
            for account, amount in self._shares:
                if self.entries is None or account.limit.per is None:
                    account.let_go(amount)

    def spend(self, costs: Mapping[str, float]) -> None:
        """State what the attempt has cost so far in all; limits that are not named stay as is.

        What was taken beyond it is given back, unless it has left its window by now. What goes
        beyond what was taken is taken now, whether there is so much or not.

        Raises:
            OperationError: if it has not started.
        """
        entries = self.entries
        if entries is None:
            raise OperationError(
                "spend() states the costs of a running attempt: call it in _invoke"
            )
        spent = self.spent
        if spent is None:
            if self._shares:
                self.accounts = [account for account, _ in self._shares]
                self.amounts = [amount for _, amount in self._shares]
            spent, self._beyond = list(self.amounts), ()
            self.spent = spent
        for name, total in costs.items():
            at = 0
            for account in self.accounts:
                if account.limit.name == name:
                    break
                at += 1
            else:
                if not self._begin_with(name):
                    continue
                account, entries = self.accounts[at], self.entries or ()
            more, spent[at] = total - spent[at], total
            if more < 0 and not self._beyond and account.limit.per is not None:
                account.return_to(entries[at], -more)
            elif more:
                if account.limit.per_key:
                    account = self._known_now(at)
                self._change(account, entries[at], more)

    def _known_now(self, at: int) -> Account:
        """The account of its key as it is now: one with nothing on it may have been forgotten."""
        account = self.accounts[at].limit.account(self._key)
        self.accounts = [*self.accounts[:at], account, *self.accounts[at + 1 :]]
        return account

    def _begin_with(self, name: str) -> bool:
        """Take of one more limit, nothing yet; False if there is none of that name."""
        limit = self._source.limits.get(name)
        if limit is None or (limit.per_key and self._key is None):
            return False
        assert self.entries is not None, "it has started"
        assert self.spent is not None, "and spends"
        self.accounts = [*self.accounts, limit.account(self._key)]
        self.entries = [*self.entries, [NEVER, 0.0, NEVER]]
        self.spent.append(0)
        return True

    def _change(self, account: Account, entry: Entry, more: float) -> None:
        """Take so much more of an account, or less; last in, first out."""
        if account.limit.per is None:
            account.let_go(-more)
        elif more > 0:
            now = self._source.clock()
            account.used(now)
            self._beyond = [*self._beyond, (account, account.stamp(more, now), more)]
        else:
            less, kept = -more, list[Part]()
            for other, part, amount in reversed(self._beyond):
                back = min(less, amount) if other is account else 0.0
                if back:
                    account.return_to(part, back)
                    less -= back
                if back < amount:
                    kept.append((other, part, amount - back))
            self._beyond = kept[::-1]
            account.return_to(entry, less)


class Refused(Meter):
    """The meter of an event that can never start: it takes nothing.

    Args:
        source: Whose limits, and what time.
        refusal: Why.
    """

    __slots__ = ("_refusal",)

    def __init__(self, source: Source, refusal: BaseException) -> None:
        super().__init__(source, None, (), None)
        self._refusal = refusal

    @property
    def refusal(self) -> BaseException:
        return self._refusal


def refusal_of(event: Work) -> BaseException | None:
    """Why a claimed event is not to be run at all; None if it is."""
    meter: Meter | None = event.__dict__.get("_meter")
    return None if meter is None else meter.refusal


def end_meter(event: Work) -> None:
    """The claim of an event is settled: let go of what it holds."""
    meter: Meter | None = event.__dict__.pop("_meter", None)
    if meter is not None:
        meter.end()
