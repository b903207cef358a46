"""Claims of a store over tables under limits: all that an event costs is reserved, or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from typing import Any, Final, Protocol

from ...model.costs import REQUEST
from ...rules.guards import Guard
from ...rules.limits import Account, Limit
from ...rules.metering import Limits, Share, excess
from ..contract import Claim
from .forms import Waits
from .metering import Deed, Part, TableMeter
from .takings import Held, Pool, instant, pool_of

__all__ = ("Ration", "Rationed", "Takings", "put_meters")

_DEPTH: Final = 300
"""How many are looked at that may not start, in one claim, but for those of a key."""

_BREADTH: Final = 50_000
"""How many are looked at in one claim: of a key that has no more, most are passed over."""


_read = lru_cache(maxsize=1024)(json.loads)
"""Costs of their text; many events cost the same."""


class Takings(Protocol):
    """What the tables say of pools, in one transaction.

    Attributes:
        fine: Parts of a window: what is taken in one of them after another shares an instant.
    """

    fine: int

    def pool(self, name: str, per: float | None, now: float) -> Pool:
        """What counts of a pool now."""

    def leaving(self, name: str) -> Iterator[tuple[float, float]]:
        """When so much was taken of a pool, the oldest first."""

    def stamp_at(self, name: str, per: float, at: float, amount: float) -> None:
        """Take so much of a pool at this very instant."""

    def held(self) -> Mapping[str, float]:
        """What all leases hold together, by pool; 0 of those that are not named."""


class TableAccount(Account):
    """What is taken of a pool, in one transaction.

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

    def _taken_at(self) -> Iterator[tuple[float, float]]:
        if self.limit.per is not None:
            yield from self._takings.leaving(self.name)
            if self._taken:
                yield self._at, self._taken

    def reserve(self, amount: float, now: float, start: bool) -> tuple[float | None, Held | None]:
        """Take so much: when it counts as taken, or what the lease has to hold."""
        per = self.limit.per
        if per is None or not start:
            self.held += amount
            return None, Held(amount, per)
        if not self._taken:
            self._at = instant(per, now, self.last_stamp, self._takings.fine)
        self._taken += amount
        self.stamped += amount
        return self._at, None

    def move(self, now: float) -> float:
        """What was taken in this claim counts from this instant on, not from an earlier one."""
        if self._taken and self.limit.per is not None:
            later = instant(self.limit.per, now, self.last_stamp, self._takings.fine)
            self._at = max(self._at, later)
        return self._at

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


def put_meters(
    claims: Sequence[Claim],
    limits: Limits,
    rationed: Rationed,
    ask: Callable[[Deed], object],
    clock: Callable[[], float],
) -> None:
    """Put its meter on each event that was claimed under limits.

    Args:
        claims: What was claimed.
        limits: Those under which.
        rationed: What each took of them.
        ask, clock: As for ``TableMeter``.
    """
    for event, attempt in claims:
        number = event.__dict__["_arrival"]
        event.__dict__["_meter"] = TableMeter(
            ask,
            clock,
            limits,
            (number, attempt, rationed.keys[number]),
            rationed.parts[number],
            rationed.refusals.get(number),
        )


@dataclass(slots=True)
class Ration:
    """Chooses among those that wait.

    Attributes:
        limits: Whose.
        clock: The time; asked once the transaction has begun, perhaps in another thread.
        start: Whether they start at once.
        now: What it said.
        chosen: Those that may start, each as it waited.
        holds: What the leases of some are to hold, by number.
        rationed: The rest of what came of it.
    """

    limits: Limits
    clock: Callable[[], float]
    start: bool
    now: float = 0.0
    chosen: list[Waits] = field(default_factory=list)
    holds: dict[int, dict[str, Held]] = field(default_factory=dict)
    rationed: Rationed = field(default_factory=Rationed)
    _accounts: dict[str, TableAccount] = field(default_factory=dict)
    _shares: dict[tuple[str | None, str | None], list[Share]] = field(default_factory=dict)
    _guards: list[Guard] = field(default_factory=list)
    _guarded: set[str] = field(default_factory=set)
    _closed: set[str | None] = field(default_factory=set)
    _takings: Any = None
    _held: Any = None
    _n: int = 0
    _looked: int = 0
    _blocked: int = 0
    _at_best: float = inf

    def begin(self, takings: Takings, n: int, now: float | None = None) -> None:
        """Choose so many at most; the transaction has begun."""
        self.now = self.clock() if now is None else now
        self._takings, self._n = takings, n

    def choose(
        self, takings: Takings, n: int, found: Iterator[Any], is_known: Callable[[str], bool]
    ) -> None:
        """Of those that wait, in order, choose who may start now.

        Args:
            takings: What the tables say of pools.
            n: How many at most.
            found: Rows of what waits, each with kind, key and costs at its end.
            is_known: Whether this process has the class of a kind.
        """
        self.begin(takings, n)
        for row in found:
            if not self.consider(row, is_known):
                break
        self.end()

    def consider(self, row: Sequence[Any], is_known: Callable[[str], bool]) -> bool:
        """Choose the next of those that wait, if it may start now; whether to go on."""
        *waits, kind, key, costs = row
        number, self._looked = waits[0], self._looked + 1
        full = len(self.chosen) == self._n
        if full or self._blocked == _DEPTH or self._looked == _BREADTH:
            self.rationed.is_cut = full
            return False
        if key in self._closed or not is_known(kind):
            self.rationed.is_first = False
            return True
        shares = self._shares.get((key, costs))
        if shares is None:
            shares = self._shares[key, costs] = self._shares_of(key, costs)
        over = next((one for one in shares if one[1] > one[0].limit.amount), None)
        if over is not None:
            self.rationed.refusals[number] = excess(over[0].limit, over[1])
            shares = []
        elif (at := self._may_start_at(key, shares)) > self.now:
            self._at_best = min(self._at_best, at)
            self._blocked += 1
            return True
        self.rationed.is_first = self.rationed.is_first and not self._blocked
        self.chosen.append(tuple(waits))
        self.rationed.keys[number] = key
        self._take(number, shares)
        return True

    def end(self, now: float | None = None) -> None:
        """No more are considered.

        Args:
            now: From when it counts, if that is later than when it was decided: who decides by
                an instant before the starts, and has them count from one after, never lets more
                start in any window than he may.
        """
        if now is not None:
            self._count_from(now)
        for account in self._accounts.values():
            account.write()
        self.rationed.is_blocked = self._blocked > 0
        if self._at_best < inf:
            self.rationed.wait = max(1e-9, self._at_best - self.now)

    def _count_from(self, now: float) -> None:
        at = {name: account.move(now) for name, account in self._accounts.items()}
        for number, parts in self.rationed.parts.items():
            key = self.rationed.keys[number]
            self.rationed.parts[number] = [
                part
                if part.at is None
                else part._replace(at=at[pool_of(self.limits[part.name], key)])
                for part in parts
            ]

    def _may_start_at(self, key: str | None, shares: Sequence[Share]) -> float:
        """When an event may start: now; later; inf where that is unknown, or as who waits."""
        at, account = self.now, None
        for each, amount in shares:
            if (free_at := each.free_at(amount, self.now)) > at:
                at, account = free_at, each
        allowed = all(guard.allows(shares, self.now) for guard in self._guards)
        if account is None:
            return at if allowed else inf
        assert isinstance(account, TableAccount), "every share is of the tables"
        if account.limit.per_key:
            self._closed.add(key)
        elif account.name not in self._guarded:
            self._guarded.add(account.name)
            self._guards.append(Guard(shares, at, self.now))
            return at
        return at if allowed else inf

    def _shares_of(self, key: str | None, costs: str | None) -> list[Share]:
        read = REQUEST if costs is None else _read(costs)
        return [
            (self._account(limit, key), amount) for limit, amount in self.limits.amounts(read, key)
        ]

    def _account(self, limit: Limit, key: str | None) -> TableAccount:
        name = pool_of(limit, key)
        account = self._accounts.get(name)
        if account is None:
            if self._held is None:
                self._held = self._takings.held()
            account = self._accounts[name] = TableAccount(
                limit, name, self._takings, self._held.get(name, 0.0), self.now
            )
        return account

    def _take(self, number: int, shares: Sequence[Share]) -> None:
        parts = self.rationed.parts[number] = []
        for account, amount in shares:
            assert isinstance(account, TableAccount), "every share is of the tables"
            at, held = account.reserve(amount, self.now, self.start)
            parts.append(Part(account.limit.name, at, amount))
            if held is not None:
                self.holds.setdefault(number, {})[account.name] = held
        for guard in self._guards:
            guard.note(shares, self.now)
