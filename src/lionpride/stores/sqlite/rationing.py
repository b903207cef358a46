"""Claims of the store in a file under limits: all that an event costs is reserved, or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from typing import Any, Final

from ...model.costs import REQUEST
from ...rules.guards import Guard
from ...rules.limits import Account, Limit
from ...rules.metering import Limits, Share, excess
from ..sql.forms import Waits
from .metering import Part
from .rows import Rows
from .takings import Held, Takings, instant, pool_of

__all__ = ("Ration", "Rationed")

_DEPTH: Final = 300
"""How many are looked at that may not start, in one claim, but for those of a key."""

_BREADTH: Final = 50_000
"""How many are looked at in one claim: of a key that has no more, most are passed over."""


_read = lru_cache(maxsize=1024)(json.loads)
"""Costs of their text; many events cost the same."""


class FileAccount(Account):
    """What is taken of a pool of the file, in one transaction.

    Args:
        limit: Whose pool it is.
        name: The pool's.
        takings: The tables.
        held: What leases hold of it.
        now: The time.
    """

    __slots__ = ("_at", "_taken", "_takings", "last_stamp", "name")

    def __init__(self, limit: Limit, name: str, takings: Takings, held: float, now: float) -> None:
        super().__init__(limit)
        pool = takings.pool(name, limit.per, now)
        self.name = name
        self.held = held
        self.paused = pool.paused
        self.last_stamp = pool.last
        self.stamped = pool.used
        self._takings = takings
        self._taken = 0.0  # in this claim, at this instant
        self._at = now

    def used(self, now: float) -> float:
        return self.held if self.limit.per is None else self.stamped + self.held

    def _leaving(self) -> Iterator[tuple[float, float]]:
        per = self.limit.per
        if per is not None:
            for at, amount in self._takings.leaving(self.name):
                yield at + per, amount
            if self._taken:
                yield self._at + per, self._taken

    def reserve(self, amount: float, now: float, start: bool) -> tuple[float | None, Held | None]:
        """Take so much: when it counts as taken, or what the lease has to hold."""
        per = self.limit.per
        if per is None or not start:
            self.held += amount
            return None, Held(amount, per)
        if not self._taken:
            self._at = instant(per, now, self.last_stamp)
        self._taken += amount
        self.stamped += amount
        return self._at, None

    def write(self) -> None:
        """Put on record what was taken."""
        if self._taken and self.limit.per is not None:
            self._takings.stamp_at(self.name, self.limit.per, self._at, self._taken)


@dataclass(slots=True)
class Rationed:
    """What of a claim has to do with limits.

    Attributes:
        parts: What each event took, by number.
        keys: The key of each.
        refusals: Why an event can never start; it took nothing.
        wait: When there may be more for those that were looked at; None: nobody knows.
        is_cut: Whether there may be more at once.
        is_blocked: Whether any may not start yet.
        is_first: Whether those that may are the first of those that were to be looked at.
    """

    parts: dict[int, list[Part]] = field(default_factory=dict)
    keys: dict[int, str | None] = field(default_factory=dict)
    refusals: dict[int, Exception] = field(default_factory=dict)
    wait: float | None = None
    is_cut: bool = False
    is_blocked: bool = False
    is_first: bool = True


@dataclass(slots=True)
class Ration:
    """Chooses among those that wait.

    Attributes:
        limits: Whose.
        clock: The time; asked once the transaction has begun, perhaps in another thread.
        start: Whether they start at once.
        now: What it said.
    """

    limits: Limits
    clock: Callable[[], float]
    start: bool
    now: float = 0.0
    _accounts: dict[str, FileAccount] = field(default_factory=dict)
    _shares: dict[tuple[str | None, str | None], list[Share]] = field(default_factory=dict)
    _guards: list[Guard] = field(default_factory=list)
    _guarded: set[str] = field(default_factory=set)
    _closed: set[str | None] = field(default_factory=set)
    _held: Any = None

    def choose(
        self, rows: Rows, n: int, found: Iterator[Any], is_known: Callable[[str], bool]
    ) -> tuple[list[Waits], dict[int, dict[str, Held]], Rationed]:
        """Of those that wait, in order, who may start now; what its lease is to hold; the rest.

        Args:
            rows: The tables.
            n: How many at most.
            found: Rows of what waits, each with kind, key and costs at its end.
            is_known: Whether this process has the class of a kind.
        """
        self.now = self.clock()
        chosen: list[Waits] = []
        holds: dict[int, dict[str, Held]] = {}
        rationed, blocked, looked, at_best = Rationed(), 0, 0, inf
        for row in found:
            *waits, kind, key, costs = row
            number, looked = waits[0], looked + 1
            if len(chosen) == n or blocked == _DEPTH or looked == _BREADTH:
                rationed.is_cut = len(chosen) == n
                break
            if key in self._closed or not is_known(kind):
                rationed.is_first = False
                continue
            shares = self._shares.get((key, costs))
            if shares is None:
                shares = self._shares[key, costs] = self._shares_of(rows, key, costs)
            over = next((one for one in shares if one[1] > one[0].limit.amount), None)
            if over is not None:
                rationed.refusals[number] = excess(over[0].limit, over[1])
                rationed.parts[number], shares = [], []
            elif (at := self._may_start_at(key, shares)) > self.now:
                at_best = min(at_best, at)
                blocked += 1
                continue
            rationed.is_first = rationed.is_first and not blocked
            chosen.append(tuple(waits))
            rationed.keys[number] = key
            self._take(number, shares, rationed, holds)
        for account in self._accounts.values():
            account.write()
        rationed.is_blocked = blocked > 0
        if at_best < inf:
            rationed.wait = max(1e-9, at_best - self.now)
        return chosen, holds, rationed

    def _may_start_at(self, key: str | None, shares: Sequence[Share]) -> float:
        """When an event may start: now; later; inf where that is unknown, or as who waits."""
        at, account = self.now, None
        for each, amount in shares:
            if (free_at := each.free_at(amount, self.now)) > at:
                at, account = free_at, each
        allowed = all(guard.allows(shares, self.now) for guard in self._guards)
        if account is None:
            return at if allowed else inf
        assert isinstance(account, FileAccount), "every share is of the file"
        if account.limit.per_key:
            self._closed.add(key)
        elif account.name not in self._guarded:
            self._guarded.add(account.name)
            self._guards.append(Guard(shares, at, self.now))
            return at
        return at if allowed else inf

    def _shares_of(self, rows: Rows, key: str | None, costs: str | None) -> list[Share]:
        read = REQUEST if costs is None else _read(costs)
        return [
            (self._account(rows, limit, key), amount)
            for limit, amount in self.limits.amounts(read, key)
        ]

    def _account(self, rows: Rows, limit: Limit, key: str | None) -> FileAccount:
        name = pool_of(limit, key)
        account = self._accounts.get(name)
        if account is None:
            if self._held is None:
                self._held = rows.takings.held()
            account = self._accounts[name] = FileAccount(
                limit, name, rows.takings, self._held[name], self.now
            )
        return account

    def _take(
        self,
        number: int,
        shares: Sequence[Share],
        rationed: Rationed,
        holds: dict[int, dict[str, Held]],
    ) -> None:
        parts = rationed.parts[number] = []
        for account, amount in shares:
            assert isinstance(account, FileAccount), "every share is of the file"
            at, held = account.reserve(amount, self.now, self.start)
            parts.append(Part(account.limit.name, at, amount))
            if held is not None:
                holds.setdefault(number, {})[account.name] = held
        for guard in self._guards:
            guard.note(shares, self.now)
