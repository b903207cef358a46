"""What a claim under limits has taken of the tables, and the steps that change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ...errors import OperationError
from ...rules.lifecycle import Pause
from ...rules.metering import Limits
from .takings import pool_of

__all__ = ("Begin", "Deed", "Halt", "Part", "Spend", "TableMeter")


class Part(NamedTuple):
    """What an attempt took of a pool: when, or None if its lease holds it."""

    name: str  # the limit's
    at: float | None
    amount: float


@dataclass(slots=True)
class Begin:
    """An event starts, for which its lease has held: that counts as taken from now on."""

    number: int
    attempt: int
    at: float


@dataclass(slots=True)
class Spend:
    """The true cost of an attempt; nothing is changed if its claim was lost.

    Attributes:
        nth: The number of this change among those of the attempt, from 1. A store that may take
            the step twice records it, and ignores a number that is not higher.
        back: What is given back: pool, when it was taken, amount.
        more: What is taken beyond: pool, length of its window, when, amount.
        held: What is held to the end, by pool.
    """

    number: int
    attempt: int
    nth: int
    back: list[tuple[str, float, float]]
    more: list[tuple[str, float, float, float]]
    held: dict[str, float]


@dataclass(slots=True)
class Halt:
    """A service said "too many": nothing is to be had of a pool, or of the queue, for a while.

    Nothing is changed if the claim of who was told so was lost.
    """

    number: int
    attempt: int
    pool: str | None
    until: float


Deed: TypeAlias = Begin | Spend | Halt
"""What is done to the tables before the claim is settled."""


class TableMeter:
    """What one claim has taken, kept with its event until it is settled.

    Args:
        ask: Has a deed done.
        clock: The time.
        limits: Whose.
        claim: The event's number, its attempt, and its key.
        parts: What it took.
        refusal: Why the event is not to be run at all; None if it is.
    """

    __slots__ = (
        "_ask",
        "_attempt",
        "_clock",
        "_key",
        "_limits",
        "_number",
        "_parts",
        "_spends",
        "refusal",
    )

    def __init__(
        self,
        ask: Callable[[Deed], object],
        clock: Callable[[], float],
        limits: Limits,
        claim: tuple[int, int, str | None],
        parts: list[Part],
        refusal: Exception | None = None,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._limits = limits
        self._number, self._attempt, self._key = claim
        self._parts = parts
        self._spends = 0
        self.refusal = refusal

    def begin(self) -> None:
        """The event starts."""
        at, limits = self._clock(), self._limits
        waits = [one.at is None and limits[one.name].per is not None for one in self._parts]
        if any(waits):
            self._parts = [
                one._replace(at=at) if waited else one
                for one, waited in zip(self._parts, waits, strict=True)
            ]
            self._ask(Begin(self._number, self._attempt, at))

    def end(self) -> None:
        """The claim is settled; what it held went with its lease."""

    def pool(self, pause: Pause) -> str | None:
        """The pool that is to pause; None for the whole queue."""
        limit = None if pause.limit is None else self._limits.get(pause.limit)
        if limit is None or (limit.per_key and self._key is None):
            return None
        return pool_of(limit, self._key)

    def spend(self, costs: Mapping[str, float]) -> None:
        """As ``rules.meters.Meter.spend``; it is on record with the next commit."""
        if any(one.at is None and self._limits[one.name].per is not None for one in self._parts):
            raise OperationError(
                "spend() states the costs of a running attempt: call it in _invoke"
            )
        self._spends += 1
        step = Spend(self._number, self._attempt, self._spends, [], [], {})
        for name, total in costs.items():
            limit = self._limits.get(name)
            if limit is None or (limit.per_key and self._key is None):
                continue
            pool = pool_of(limit, self._key)
            taken = sum(one.amount for one in self._parts if one.name == name)
            if limit.per is None:
                step.held[pool] = total
                self._parts = [one for one in self._parts if one.name != name]
                self._parts.append(Part(name, None, total))
            elif total > taken:
                at = self._clock()
                step.more.append((pool, limit.per, at, total - taken))
                self._parts.append(Part(name, at, total - taken))
            elif total < taken:
                step.back += [(pool, at, part) for at, part in self._less(name, taken - total)]
        if step.back or step.more or step.held:
            self._ask(step)

    def give_back(self) -> None:
        """Give back all that was taken for an attempt that is not made; a lease keeps the rest."""
        limits, key = self._limits, self._key
        back = [(pool_of(limits[one.name], key), one.at, one.amount)
                for one in self._parts if one.at is not None]  # fmt: skip
        if back:
            self._spends += 1
            self._ask(Spend(self._number, self._attempt, self._spends, back, [], {}))

    def _less(self, name: str, amount: float) -> list[tuple[float, float]]:
        """Take so much out of what was taken last; when that was, and how much."""
        back = []
        for at in range(len(self._parts) - 1, -1, -1):
            one = self._parts[at]
            if amount > 0 and one.name == name and one.at is not None:
                part = min(amount, one.amount)
                self._parts[at] = one._replace(amount=one.amount - part)
                back.append((one.at, part))
                amount -= part
        return back
