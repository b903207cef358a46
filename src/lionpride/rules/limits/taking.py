"""Taking the costs of an event from several accounts: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import getattr_static
from math import inf
from operator import attrgetter, itemgetter
from sys import float_info
from typing import Final, TypeAlias

from ...model.costs import REQUEST
from ...model.event_data import EventData
from .limit import NEVER, Account, Entry, Limit

__all__ = ("Bill", "Pair", "take_all")

Bill: TypeAlias = tuple[float, float]
"""The amounts that an event takes of each limit of a pair."""

Reader: TypeAlias = Callable[[EventData], Mapping[str, float]]
"""Reads the ``costs`` of the events of one class."""

_NUMBERS: Final = (int, float)
"""Usual types of an amount; others are checked by the general way."""


def take_all(shares: Sequence[tuple[Account, float]], now: float) -> list[Entry] | None:
    """Take an amount from each account if all of them fit; else take nothing and return None.

    It is ``Account.take`` for each, without a call where an entry is open.
    """
    entries: list[Entry] = []
    for account, amount in shares:
        entry = account.open
        if account.last <= now <= entry[0] and entry[1] + amount <= entry[2]:
            entry[1] += amount
            entries.append(entry)
        elif (taken := account.take(amount, now)) is not None:
            entries.append(taken)
        else:
            for (other, less), undone in zip(shares, entries, strict=False):
                other.take_back(undone, less)
            return None
    return entries


class Pair:
    """Two limits that are rates without keys: what is usual with them, in one frame for both.

    Requests and tokens are what nearly everybody limits. It is usual that each account has an
    entry that is open, with more than enough left to be added: then there is nothing to look
    up in the accounts, and no list to make. Of one limit alone, the other of the pair is nobody's.

    Args:
        limits: Two of them, or one.

    Attributes:
        accounts: The account of each.
        entries: The open entry of each, as it was at the last ``take``.
    """

    __slots__ = ("_amounts", "_limits", "_readers", "_since", "_until", "accounts", "entries")

    def __init__(self, limits: Sequence[Limit]) -> None:
        one, other = (*limits, Limit("nothing", float_info.max, per=1))[:2]
        self._limits = one, other
        self._readers: dict[type[EventData], Reader] = {}
        self._amounts: Callable[[Mapping[str, float]], Bill] = itemgetter(one.name, other.name)
        self.accounts = one.account(None), other.account(None)
        if len(limits) == 1:
            self.accounts[1].open = [inf, 0.0, inf]
            self._read_others()
        self.entries = self.accounts[0].open, self.accounts[1].open
        self._since, self._until = inf, NEVER

    def note_kind(self, kind: type[EventData]) -> None:
        """Note how to read what the events of a class cost: its property is looked up once."""
        if kind.has_usual_costs():
            usual = {limit.name: REQUEST.get(limit.name, 0) for limit in self._limits}
            self._readers[kind] = lambda _: usual
        elif kind.has_own_costs():
            costs = getattr_static(kind, "costs")
            code = costs.fget if type(costs) is property else None
            self._readers[kind] = code or attrgetter("costs")

    def allows(self, event: EventData) -> bool:
        """Whether an event costs no more than there can be; False: perhaps, or it raises."""
        read = self._readers.get(type(event))
        if read is None:
            return False
        try:
            one, other = self._amounts(read(event))
            first, second = self._limits
            fits = 0 <= one <= first.amount and 0 <= other <= second.amount
            return fits and type(one) in _NUMBERS and type(other) in _NUMBERS
        except KeyError:
            self._read_others()
        except BaseException:
            return False
        return False

    def take(self, event: EventData, now: float) -> Bill | None:
        """Take what an event costs, if it is as usual; what that is, of each.

        What leaves a window just now counts as if it stayed.

        Returns:
            The amounts, taken at ``entries``; None, and nothing is taken, if it is not so easy:
            ``take_all`` knows.
        """
        read = self._readers.get(type(event))
        if read is None:
            return None
        if not self._since <= now <= self._until:
            self._open(now)
        try:
            bill = one, other = self._amounts(read(event))
            entry, second = self.entries
            total, more = entry[1] + one, second[1] + other
            if entry[1] <= total <= entry[2] and second[1] <= more <= second[2]:
                entry[1], second[1] = total, more
                return bill
        except KeyError:
            self._read_others()
        except BaseException:  # the event's own code's, or what it gives is no number
            return None
        return None

    def _open(self, now: float) -> None:
        """Have an entry open on each account, if there may be, and note it."""
        one, other = self.accounts
        for account in self.accounts:
            if not account.last <= now <= account.open[0]:
                account.take(0, now)
        self.entries = entry, second = one.open, other.open
        self._since, self._until = max(one.last, other.last), min(entry[0], second[0])

    def _read_others(self) -> None:
        """There are events that do not name both: from now on what is not named is 0."""
        one, other = (limit.name for limit in self._limits)
        self._amounts = lambda costs: (costs.get(one, 0), costs.get(other, 0))
