"""Guards: who waits for something large is not kept waiting by who needs little of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from .limits import Account
from .metering import Share

__all__ = ("Guard",)


class Guard:
    """What others may take of the accounts that an event waits for, without delaying it.

    At the instant when it may start, what they have taken still counts; it has to fit beside
    them. Where that instant is unknown, since it waits for others to end, it may be now.

    Args:
        shares: What the event needs.
        at: When it may start, if nobody takes any of it; inf: unknown.
        now: The time.
    """

    __slots__ = ("_at", "_spare")

    def __init__(self, shares: Sequence[Share], at: float, now: float) -> None:
        when = now if at == inf else at
        self._at = at
        self._spare: dict[Account, float] = {
            account: account.limit.amount - account.used_at(when, now) - amount
            for account, amount in shares
        }

    def allows(self, shares: Sequence[Share], now: float) -> bool:
        """Whether these may be taken now."""
        spare = self._spare
        return all(
            amount <= spare.get(account, inf) or self._is_over(account, now)
            for account, amount in shares
        )

    def note(self, shares: Sequence[Share], now: float) -> None:
        """These are taken now."""
        for account, amount in shares:
            if account in self._spare and not self._is_over(account, now):
                self._spare[account] -= amount

    def _is_over(self, account: Account, now: float) -> bool:
        """Whether what is taken now counts no more at the instant that matters."""
        per = account.limit.per
        return per is not None and now + per <= self._at < inf
