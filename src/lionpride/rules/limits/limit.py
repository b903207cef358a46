"""Limits on costs per time or at once, with an exact account of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import fsum, inf, nextafter
from typing import Any, ClassVar, Final, TypeAlias

from ...errors import ValidationError
from ...model.finite import is_finite
from ...model.serialization.codec import safe_repr
from ..storable_text import check_text

__all__ = ("NEVER", "Account", "Entry", "Limit")

Entry: TypeAlias = list[float]
"""An instant at which costs were taken, the amount, and its allowed maximum (``Account.open``).

All three change, since more may be taken at that instant.
"""

_FEW: Final = 256
"""Number of instants that an account keeps apart, however close together they are."""

_FINE: Final = 4096
"""Parts of a window: with more than few instants, those in one part share an entry."""

_MANY: Final = 256
"""Accounts of keys that a limit keeps before it deletes unused ones."""

_HELD: Final[Entry] = []
"""The entry of costs that count while running, which are in no log."""

NEVER: Final = -inf
"""The instant of an entry that has left the window."""

_NOTHING: Final[Entry] = [NEVER, 0.0, NEVER]
"""Placeholder if there is no open entry."""

_SAFE: Final = 1.0 - 1e-12
"""Remainder that no rounding error exceeds."""


class Limit:
    """Limit on a cost: an amount per span of seconds; or, without ``per``, an amount at once.

    >>> Limit("requests", 60, per=60)        # in any span of 60 s
    >>> Limit("tokens", 90_000, per=60)
    >>> Limit("host", 2, per_key=True)       # at once, for each ``key`` of an event

    Pass it to a processor as ``limits``. Several processors with one limit share its amount. The
    window slides: the limit holds in every span of ``per`` seconds, wherever it begins. ``amount``
    and ``per`` can be set at any time, and apply to later starts.

    Args:
        name: The name in the ``costs`` of events.
        amount: The available amount, > 0.
        per: Length of the window in seconds, > 0; None to count running events only.
        per_key: True if each ``key`` has its own amount; events without a key are not limited.
        pool: Name of the limit in a store; executors on one store share the limits of one pool.
            By default the name.

    Raises:
        ValidationError: if an argument is invalid; the message names it.
    """

    __slots__ = ("_many", "accounts", "amount", "name", "per", "per_key", "pool")

    each: ClassVar[int | None] = None
    """Cost of an event that does not name the limit; None: 1 without ``per``, else 0."""

    def __init__(
        self,
        name: str,
        amount: float,
        per: float | None = None,
        *,
        per_key: bool = False,
        pool: str | None = None,
    ) -> None:
        for what, text in (("name", name), ("pool", pool)):
            if (text is not None or what == "name") and (not isinstance(text, str) or not text):
                raise ValidationError(f"Limit.{what} must be a text, not {text!r}: give it a word")
            if text is not None:
                check_text(f"Limit.{what}", text)
        if not isinstance(per_key, bool):
            raise ValidationError(f"Limit.per_key must be True or False, not {per_key!r}")
        self.name = name
        self.pool = name if pool is None else pool
        self.per_key = per_key
        self.accounts: dict[str | None, Account] = {}
        self._many = _MANY
        object.__setattr__(self, "per", per)
        self.per = per
        self.amount: float = amount

    def __setattr__(self, name: str, value: Any) -> None:
        """Set ``amount`` or ``per``; it is done here so that reading them costs no call.

        Raises:
            ValidationError: for an invalid value; nothing is changed then.
        """
        if name in ("amount", "per"):
            if name == "per" and (value is None) != (self.per is None):
                raise ValidationError(
                    f"per of limit {self.name!r} can be set to another number, not between a "
                    "number and None: make another Limit"
                )
            if value is not None or name == "amount":
                value = _positive(f"{name} of limit {self.name!r}", value)
        object.__setattr__(self, name, value)
        if name in ("amount", "per"):
            for account in self.accounts.values():
                account.shut()
            self.notify()

    def __repr__(self) -> str:
        per = "" if self.per is None else f", per={self.per:g}"
        key = ", per_key=True" if self.per_key else ""
        pool = "" if self.pool == self.name else f", pool={self.pool!r}"
        return f"Limit({self.name!r}, {self.amount:g}{per}{key}{pool})"

    def account(self, key: str | None) -> Account:
        """Return the account of a key; without ``per_key``, the only account."""
        key = key if self.per_key else None
        account = self.accounts.get(key)
        if account is None:
            if len(self.accounts) >= self._many:
                self._tidy()
            account = self.accounts[key] = Account(self)
        return account

    def _tidy(self) -> None:
        """Delete the accounts of keys that are unused, each time their number has doubled."""
        now = max(account.last for account in self.accounts.values())
        for key, account in tuple(self.accounts.items()):
            if account.is_blank(now):
                del self.accounts[key]
        self._many = max(_MANY, 2 * len(self.accounts))

    def notify(self) -> None:
        """Notify waiters that more may be available."""
        for account in tuple(self.accounts.values()):
            account.notify()


class Account:
    """Usage of a limit, or of one key of it.

    An amount that is *held* counts until it is released. A *stamped* amount counts until it has
    left the window: at t seconds, stamps in (t - per, t] count. The times are kept as they are, and
    differences are summed without rounding where that may matter.

    Attributes:
        limit: The limit.
        held: The amount that is held now.
        paused: Instant before which nothing is available.
        last: The last instant of a query.
        log: Amounts and their instants, oldest first.
        stamped: The sum of the log, without the open entry.
        open: The newest entry of the log. Until its instant is over, a caller that has checked
            this may add to it, up to its maximum, without another check.
    """

    __slots__ = ("_listeners", "held", "last", "limit", "log", "open", "paused", "stamped")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.held = 0.0
        self.paused = NEVER
        self.log: deque[Entry] = deque()
        self.open = _NOTHING
        self.stamped = 0.0
        self.last = NEVER
        self._listeners: list[Callable[[], object]] = []

    def __len__(self) -> int:
        """Return the number of instants that it keeps."""
        return len(self.log)

    def __bool__(self) -> bool:
        return True

    def is_blank(self, now: float) -> bool:
        """Return True if nothing on it counts now or later."""
        return not (self._listeners or self.used(max(now, self.last)) or self.paused > now)

    def used(self, now: float) -> float:
        """Return the amount that counts at an instant, which is not before the last query."""
        per, log = self.limit.per, self.log
        if per is None:
            return self.held
        if now < self.last:
            self._begin_anew()
        self.last = now
        while log and log[0][0] + per - now < 1e-3 and _left(log[0][0], per, now) <= 0.0:
            entry = log.popleft()
            entry[0] = entry[2] = NEVER
            if not log:
                self.open = _NOTHING
            # Where nothing but what is open is left: whatever rounding has left of the others.
            self.stamped = self.stamped - entry[1] if len(log) > 1 else 0.0
        return self.stamped + self.open[1] + self.held

    def _begin_anew(self) -> None:
        """Start again: time went backwards, so it belongs to another event loop."""
        for entry in self.log:
            entry[0] = entry[2] = NEVER
        self.log.clear()
        self.stamped, self.paused, self.open = 0.0, NEVER, _NOTHING

    def shut(self) -> None:
        """Close the open entry: something has changed, and the next caller has to check again."""
        self.open[2] = NEVER

    def empty(self) -> None:
        """Delete the log."""
        self._begin_anew()
        self.notify()

    def on_change(self, listener: Callable[[], object]) -> None:
        """Call a listener once, when more may be available."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def off(self, listener: Callable[[], object]) -> None:
        """Remove a listener, if it is there."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def notify(self) -> None:
        """Notify waiters that more may be available."""
        if self._listeners:
            listeners, self._listeners = self._listeners, []
            for listener in listeners:
                listener()

    def hold(self, amount: float) -> None:
        """Hold an additional amount, without a check."""
        self.held += amount
        self.shut()

    def hold_less(self, amount: float) -> None:
        """Release an amount, without notifying waiters."""
        self.held -= amount
        if abs(self.held) < 1e-9 + 1e-12 * self.limit.amount:  # what rounding has left
            self.held = 0.0

    def release(self, amount: float) -> None:
        """Release an amount."""
        self.hold_less(amount)
        self.notify()

    def pause(self, until: float) -> None:
        """Make nothing available before an instant; an earlier instant is ignored."""
        self.paused = max(self.paused, until)
        self.shut()

    def fits(self, amount: float, now: float) -> bool:
        """Return True if an amount is available."""
        return self.used(now) + amount <= self.limit.amount and self.paused <= now

    def take(self, amount: float, now: float) -> Entry | None:
        """Take an amount if it is available; else return None. Without ``per`` it is held."""
        limit, log = self.limit, self.log
        per = limit.per
        if per is None:
            if self.held + amount > limit.amount or self.paused > now:
                return None
            self.held += amount
            return _HELD
        if now < self.last or (log and log[0][0] + per - now < 1e-3):
            self.used(now)
        total = self.stamped + self.open[1] + amount
        if total + self.held > limit.amount or self.paused > now:
            return None
        entry = self.stamp(amount, now)
        entry[2] = limit.amount * _SAFE - self.held - self.stamped
        return entry

    def stamp(self, amount: float, now: float) -> Entry:
        """Take an amount at this instant, without a check."""
        entry, per = self.open, self.limit.per
        self.last = now
        if now <= entry[0]:
            entry[1] += amount
            return entry
        at = now
        if len(self.log) >= _FEW and per is not None and now - entry[0] < per / _FINE:
            at += per / _FINE  # in a crowd it counts as if it came at the later edge
        self.stamped += entry[1]
        self.open = [at, amount, NEVER]
        self.log.append(self.open)
        entry[2] = NEVER
        return self.open

    def take_back(self, entry: Entry, amount: float) -> None:
        """Undo a ``take``, in the same instant."""
        if self.limit.per is None:
            self.hold_less(amount)
        else:
            self.return_to(entry, amount)

    def return_to(self, entry: Entry, amount: float) -> bool:
        """Return a stamped amount; return False if it has left the window."""
        if entry[0] == NEVER:
            return False
        entry[1] -= amount
        if entry is not self.open:
            self.stamped -= amount
        if self._listeners:
            self.notify()
        return True

    def free_at(self, amount: float, now: float) -> float:
        """Return the earliest instant at which an amount is available; inf if unknown."""
        over, per = self.used(now) + amount - self.limit.amount, self.limit.per
        at = now
        if over > 0.0:
            last = NEVER  # when that was taken which has to leave
            for taken, gone in self._taken_at():
                over -= gone
                last = taken
                if over <= 0.0:
                    break
            else:
                # Only what is held stays; else it is rounding that says that all is not enough.
                if self.held + amount > self.limit.amount:
                    return inf
            if per is not None and last > NEVER:
                at = _gone_at(last, per)
        return max(at, self.paused)

    def used_at(self, at: float, now: float) -> float:
        """Return the amount that will count at a later instant, if nothing more is taken."""
        used, per = self.used(now), self.limit.per
        if per is not None:
            for taken, gone in self._taken_at():
                if taken + per > at:
                    break
                used -= gone
        return used

    def _taken_at(self) -> Iterator[tuple[float, float]]:
        """Yield the instants and amounts that count in the window, oldest first."""
        for instant, amount, _ in self.log:
            yield instant, amount


def _gone_at(instant: float, per: float) -> float:
    """Return the first instant at which an amount taken at another has left the window."""
    at = instant + per
    return nextafter(at, inf) if _left(instant, per, at) > 0.0 else at  # it was rounded down


def _left(instant: float, per: float, now: float) -> float:
    return fsum((instant, per, -now))


def _positive(what: str, value: Any) -> float:
    """Return a number > 0, unchanged.

    Raises:
        ValidationError: if it is anything else.
    """
    if not is_finite(value) or value <= 0:
        raise ValidationError(f"{what} must be a finite number above 0, not {safe_repr(value)}")
    return value  # type: ignore[no-any-return]
