"""Protection of an event with large costs from events with small ones that run before it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from .limit import Account
from .limit_set import Share

__all__ = ("DelayGuard",)


class DelayGuard:
    """Amounts that other events may take without delaying an event that waits for limits.

    When the event may start, the amounts that others took since then still count, so its own
    amounts have to fit beside them. If that time is unknown, it may be now.

    Args:
        shares: The amounts that the event needs.
        at: The time at which it may start if others take nothing; inf if unknown.
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
        """Return True if these amounts may be taken now."""
        spare = self._spare
        return all(
            amount <= spare.get(account, inf) or self._is_over(account, now)
            for account, amount in shares
        )

    def note(self, shares: Sequence[Share], now: float) -> None:
        """Note that these amounts are taken now."""
        for account, amount in shares:
            if account in self._spare and not self._is_over(account, now):
                self._spare[account] -= amount

    def _is_over(self, account: Account, now: float) -> bool:
        """Return True if an amount taken now has left the window when the event may start."""
        per = account.limit.per
        return per is not None and now + per <= self._at < inf
