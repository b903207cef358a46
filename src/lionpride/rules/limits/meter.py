"""Reservation of limits by one claim in memory, from the claim to the settlement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from ...errors import OperationError
from ...model.event_data import EventData
from ..state_machine import Pause
from .limit import NEVER, Account, Entry
from .limit_set import Limits, Share

__all__ = ("Meter", "Refused", "end_meter", "refusal_of")


class MeterSource(Protocol):
    """The limits of a meter, and the clock in seconds."""

    limits: Limits
    clock: Callable[[], float]


Part: TypeAlias = tuple[Account, Entry, float]
"""An account, the entry of an amount beyond the reservation, and that amount."""


class Meter:
    """Amounts that one claim has reserved; kept with its event until the settlement.

    An amount of a rate is held from the claim to the start, and stamped at the start. So an event
    that waits for permission counts all the time, and once. Without a start it is returned. An
    amount of a limit on running events is held to the end.

    Args:
        source: The limits and the clock.
        key: The key of the event.
        shares: The accounts, and the amount of each.
        entries: For an event that has started: for each account, the result of its ``take``.

    Attributes:
        accounts, amounts: The same as ``shares``, which may be empty then.
        entries: As above; None before the start.
        spent: The actual amount of each, once ``spend`` was called.
    """

    __slots__ = ("_beyond", "_key", "_shares", "_source", "accounts", "amounts", "entries", "spent")

    def __init__(
        self,
        source: MeterSource,
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
        """The reason why the event must not run; None if it may."""
        return None

    def hold(self) -> None:
        """Hold the amounts until the start."""
        for account, amount in self._shares:
            account.hold(amount)

    def begin(self, at: float | None = None) -> None:
        """Note the start of the event, at a time or now; a second call has no effect."""
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
                    account.notify()  # from now on it is known when the amount leaves the window
        self.entries = entries

    def pause(self, pause: Pause) -> bool:
        """Pause a limit; return False if there is none of that name."""
        limit = None if pause.limit is None else self._source.limits.get(pause.limit)
        if limit is None or (limit.per_key and self._key is None):
            return False
        limit.account(self._key).pause(self._source.clock() + pause.seconds)
        return True

    def end(self) -> None:
        """Release the amounts that are held, after the settlement."""
        if self.spent is not None:
            for account, amount in zip(self.accounts, self.spent, strict=True):
                if account.limit.per is None:
                    account.release(amount)
        elif self.entries is None or self._source.limits.holds:
            for account, amount in self._shares:
                if self.entries is None or account.limit.per is None:
                    account.release(amount)

    def spend(self, costs: Mapping[str, float]) -> None:
        """State the total costs of the attempt so far; other limits keep their amounts.

        A higher reservation is returned in part, unless it has left the window. An excess is taken
        now, also if it is not available.

        Raises:
            OperationError: if the event has not started.
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
        """Return the present account of its key; the former one may have been deleted as unused."""
        account = self.accounts[at].limit.account(self._key)
        self.accounts = [*self.accounts[:at], account, *self.accounts[at + 1 :]]
        return account

    def _begin_with(self, name: str) -> bool:
        """Add a limit with the amount 0; return False if there is none of that name."""
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
        """Take more of an account, or return some; the last amount is returned first."""
        if account.limit.per is None:
            account.release(-more)
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
    """Meter of an event that can never start; it reserves nothing.

    Args:
        source: The limits and the clock.
        refusal: The reason.
    """

    __slots__ = ("_refusal",)

    def __init__(self, source: MeterSource, refusal: BaseException) -> None:
        super().__init__(source, None, (), None)
        self._refusal = refusal

    @property
    def refusal(self) -> BaseException:
        return self._refusal


def refusal_of(event: EventData) -> BaseException | None:
    """Return the reason why a claimed event must not run; None if it may."""
    meter: Meter | None = event.__dict__.get("_meter")
    return None if meter is None else meter.refusal


def end_meter(event: EventData) -> None:
    """Release what an event holds, after its settlement."""
    meter: Meter | None = event.__dict__.pop("_meter", None)
    if meter is not None:
        meter.end()
