"""Limits: what may be taken in a time, or at once, and an exact account of what was."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import fsum, inf, nextafter
from typing import Any, ClassVar, Final, TypeAlias

from ..errors import ValidationError
from ..model.codec import safe_repr
from ..model.finite import is_finite
from .texts import check_text

__all__ = ("NEVER", "Account", "Bell", "Entry", "Limit")

Bell: TypeAlias = Callable[[], object]

Entry: TypeAlias = list[float]
"""When something was taken; how much; and how much it may be at most, see ``Account.open``.

All three change, since more may be taken at that instant.
"""

_FEW: Final = 256
"""Instants that an account keeps apart, however close together they are."""

_FINE: Final = 4096
"""Parts of a window: where there are more than few instants, what is in one of them shares one."""

_MANY: Final = 256
"""Accounts of keys that a limit keeps before it looks which it may forget."""

_HELD: Final[Entry] = []
"""The entry of what counts at once, which is on no log."""

NEVER: Final = -inf
"""The instant of an entry that has left the window."""

_NOTHING: Final[Entry] = [NEVER, 0.0, NEVER]
"""Stands for the open entry where there is none."""

_SAFE: Final = 1.0 - 1e-12
"""What is left by this, no rounding makes too much."""


class Limit:
    """So much in so many seconds; or, without seconds, so much at once.

    >>> Limit("requests", 60, per=60)        # in any span of 60 s
    >>> Limit("tokens", 90_000, per=60)
    >>> Limit("host", 2, per_key=True)       # at once, for each ``key`` of an event

    Give it to processors as ``limits``; to several, and together they keep it. The span slides:
    no 60 s, wherever they begin, see more than the limit. ``amount`` and ``per`` may be set at
    any time, and hold for what starts from then on.

    Args:
        name: What events call it in their ``costs``.
        amount: How much there is, above 0.
        per: The length of the span in seconds, above 0; None counts what runs at once.
        per_key: Whether each ``key`` has so much; events without a key take none of it.
        pool: What a store calls it: executors over one store share limits of one pool. By
            default the name.

    Raises:
        ValidationError: names what makes no sense.
    """

    __slots__ = ("_many", "accounts", "amount", "name", "per", "per_key", "pool")

    each: ClassVar[int | None] = None
    """What an event takes that does not name it; None: 1 of what counts at once, else nothing."""

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
        """Set ``amount`` or ``per``, here so that reading them costs no call.

        Raises:
            ValidationError: for what makes no sense; nothing is changed then.
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
            self.ring()

    def __repr__(self) -> str:
        per = "" if self.per is None else f", per={self.per:g}"
        key = ", per_key=True" if self.per_key else ""
        pool = "" if self.pool == self.name else f", pool={self.pool!r}"
        return f"Limit({self.name!r}, {self.amount:g}{per}{key}{pool})"

    def account(self, key: str | None) -> Account:
        """Where it is counted for the events of a key; of one for all unless ``per_key``."""
        key = key if self.per_key else None
        account = self.accounts.get(key)
        if account is None:
            if len(self.accounts) >= self._many:
                self._tidy()
            account = self.accounts[key] = Account(self)
        return account

    def _tidy(self) -> None:
        """Forget the keys that have nothing on their account; when there are twice as many."""
        now = max(account.last for account in self.accounts.values())
        for key, account in tuple(self.accounts.items()):
            if account.is_blank(now):
                del self.accounts[key]
        self._many = max(_MANY, 2 * len(self.accounts))

    def ring(self) -> None:
        """There may be more of it than was thought."""
        for account in tuple(self.accounts.values()):
            account.ring()


class Account:
    """What is taken of a limit, or of one key's share of it.

    What is *held* counts until it is let go, and what is *stamped* until it has left the window:
    at t seconds, what was stamped in (t - per, t] counts. The times themselves are kept, and
    their differences summed without rounding where that may matter.

    Attributes:
        limit: Whose account it is.
        held: What is held now.
        paused: Nothing more is to be had before this instant.
        last: The last instant that was asked for.
        log: What was taken when, the oldest first.
        stamped: The sum of it, but for what is open.
        open: The newest of the log. Until its instant is over, whoever has found that this is
            so may add to it up to its most, without asking, and knows that it is not too much.
    """

    __slots__ = ("_bells", "held", "last", "limit", "log", "open", "paused", "stamped")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.held = 0.0
        self.paused = NEVER
        self.log: deque[Entry] = deque()
        self.open = _NOTHING
        self.stamped = 0.0
        self.last = NEVER
        self._bells: list[Bell] = []

    def __len__(self) -> int:
        """How many instants it keeps."""
        return len(self.log)

    def __bool__(self) -> bool:
        return True

    def is_blank(self, now: float) -> bool:
        """Whether nothing is on it that counts now or later."""
        return not (self._bells or self.used(max(now, self.last)) or self.paused > now)

    def used(self, now: float) -> float:
        """What counts at this instant, which is none before the last that was asked for."""
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
        """Time has gone back: it is another loop's, whose time is not that of the one before."""
        for entry in self.log:
            entry[0] = entry[2] = NEVER
        self.log.clear()
        self.stamped, self.paused, self.open = 0.0, NEVER, _NOTHING

    def shut(self) -> None:
        """Something has changed: whoever adds to what is open has to ask first."""
        self.open[2] = NEVER

    def empty(self) -> None:
        """Forget what was taken."""
        self._begin_anew()
        self.ring()

    def on_change(self, bell: Bell) -> None:
        """Ring once, when there may be more on it than was thought."""
        if bell not in self._bells:
            self._bells.append(bell)

    def off(self, bell: Bell) -> None:
        """Take off a bell, if it hangs."""
        if bell in self._bells:
            self._bells.remove(bell)

    def ring(self) -> None:
        """There may be more on it than was thought."""
        if self._bells:
            bells, self._bells = self._bells, []
            for bell in bells:
                bell()

    def hold(self, amount: float) -> None:
        """Hold so much more, allowed or not."""
        self.held += amount
        self.shut()

    def hold_less(self, amount: float) -> None:
        """Hold so much less, without telling those who wait for it."""
        self.held -= amount
        if abs(self.held) < 1e-9 + 1e-12 * self.limit.amount:  # what rounding has left
            self.held = 0.0

    def let_go(self, amount: float) -> None:
        """Hold so much less."""
        self.hold_less(amount)
        self.ring()

    def pause(self, until: float) -> None:
        """Let nothing more be had before this instant, unless that is so already."""
        self.paused = max(self.paused, until)
        self.shut()

    def fits(self, amount: float, now: float) -> bool:
        """Whether so much may be taken."""
        return self.used(now) + amount <= self.limit.amount and self.paused <= now

    def take(self, amount: float, now: float) -> Entry | None:
        """Take so much at once, if it fits; None if it does not. What counts at once is held."""
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
        """Take so much at this instant, allowed or not."""
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
        """Give back what was stamped, unless it has left the window; whether it had not."""
        if entry[0] == NEVER:
            return False
        entry[1] -= amount
        if entry is not self.open:
            self.stamped -= amount
        if self._bells:
            self.ring()
        return True

    def free_at(self, amount: float, now: float) -> float:
        """The earliest instant at which so much may be taken, if nothing else is; inf: unknown."""
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
        """What will count at a later instant, if nothing more is taken."""
        used, per = self.used(now), self.limit.per
        if per is not None:
            for taken, gone in self._taken_at():
                if taken + per > at:
                    break
                used -= gone
        return used

    def _taken_at(self) -> Iterator[tuple[float, float]]:
        """When so much was taken that counts in the window, the oldest first."""
        for instant, amount, _ in self.log:
            yield instant, amount


def _gone_at(instant: float, per: float) -> float:
    """The first instant at which what was taken at one has left the window."""
    at = instant + per
    return nextafter(at, inf) if _left(instant, per, at) > 0.0 else at  # it was rounded down


def _left(instant: float, per: float, now: float) -> float:
    return fsum((instant, per, -now))


def _positive(what: str, value: Any) -> float:
    """A number above 0, as it was given.

    Raises:
        ValidationError: if it is anything else.
    """
    if not is_finite(value) or value <= 0:
        raise ValidationError(f"{what} must be a finite number above 0, not {safe_repr(value)}")
    return value  # type: ignore[no-any-return]
