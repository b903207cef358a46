"""TokenBucket: a rate limit under the original package's name, for use by hand or by a processor.

It never yields more than its capacity within the seconds that it takes to refill. A full bucket may
be emptied at once, and taken tokens return after that time. The original's bucket yielded up to
twice as much, since it refilled while it was emptied.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from typing import Any

from ..errors import ConfigurationError
from ..model.finite import is_finite
from ..rules.limits.limit import Entry, Limit
from ..stores.clock import time_of_loop

__all__ = ("RateLimitConfig", "TokenBucket")


@dataclass(frozen=True, slots=True)
class RateLimitConfig:
    """Capacity and refill rate of a bucket.

    Args:
        capacity: Content of a full bucket, > 0.
        refill_rate: Tokens that return per second, > 0.
        initial_tokens: Initial content, from 0 to the capacity; None for a full bucket.

    Raises:
        ValueError: if a field is out of bounds.
    """

    capacity: int
    refill_rate: float
    initial_tokens: int | None = None

    def __post_init__(self) -> None:
        _check("capacity", self.capacity, above=0)
        _check("refill_rate", self.refill_rate, above=0)
        if self.initial_tokens is None:
            object.__setattr__(self, "initial_tokens", self.capacity)
        else:
            _check("initial_tokens", self.initial_tokens, least=0, most=self.capacity)


class TokenBucket:
    """Rate limit: taken tokens return ``capacity / refill_rate`` seconds later.

    Args:
        config: Capacity and refill rate.
    """

    def __init__(self, config: RateLimitConfig) -> None:
        self.capacity = config.capacity
        self.refill_rate = config.refill_rate
        self._limit = Limit("bucket", config.capacity, per=config.capacity / config.refill_rate)
        self._named = False
        self._missing = config.capacity - (config.initial_tokens or 0)
        self._taken: list[tuple[Entry, float]] = []

    def limit(self, name: str) -> Limit:
        """Return the bucket as a limit of a processor.

        Raises:
            ConfigurationError: if it is a limit under another name already.
        """
        if self._named and self._limit.name != name:
            raise ConfigurationError(
                f"the bucket limits {self._limit.name!r} already and not {name!r} too: "
                "make a TokenBucket for each"
            )
        self._named, self._limit.name, self._limit.pool = True, name, name
        return self._limit

    @property
    def tokens(self) -> float:
        """Its content; below 0 if more was spent than available."""
        return self.capacity - self._used(_now())

    def _used(self, now: float) -> float:
        if self._missing:
            self._limit.account(None).stamp(self._missing, now)
            self._missing = 0
        return self._limit.account(None).used(now)

    async def acquire(
        self,
        tokens: int = 1,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the original's name for it
    ) -> bool:
        """Take tokens; wait until they are available.

        Args:
            tokens: Number of tokens.
            timeout: Maximum wait in seconds; None for no limit.

        Returns:
            True if they were taken.

        Raises:
            ValueError: if the number is not > 0, or is more than the capacity.
        """
        _check("tokens", tokens, above=0)
        if tokens > self.capacity:
            raise ValueError(
                f"Cannot acquire {tokens} tokens: exceeds bucket capacity {self.capacity}"
            )
        deadline = inf if timeout is None else _now() + timeout
        while not await self.try_acquire(tokens):
            at, changed = self._limit.account(None).free_at(tokens, _now()), asyncio.Event()
            if at > deadline:
                return False
            self._limit.account(None).on_change(changed.set)
            try:
                await asyncio.wait_for(changed.wait(), None if at == inf else at - _now())
            except TimeoutError:
                continue
            finally:
                self._limit.account(None).off(changed.set)
        return True

    async def try_acquire(self, tokens: int = 1) -> bool:
        """Take tokens if they are available; return True if they were taken.

        Raises:
            ValueError: if the number is not > 0.
        """
        _check("tokens", tokens, above=0)
        now = _now()
        self._used(now)
        entry = self._limit.account(None).take(tokens, now)
        if entry is None:
            return False
        self._taken = [one for one in self._taken[-99:] if one[1]]
        self._taken.append((entry, tokens))
        return True

    async def release(self, tokens: int = 1) -> None:
        """Return the tokens that were taken last; tokens that have returned already do not count.

        Raises:
            ValueError: if the number is not > 0.
        """
        _check("tokens", tokens, above=0)
        self._used(_now())
        left: float = tokens
        while left > 0 and self._taken:
            entry, amount = self._taken.pop()
            part = min(left, amount)
            self._limit.account(None).return_to(entry, part)
            left -= part
            if part < amount:
                self._taken.append((entry, amount - part))

    async def reset(self) -> None:
        """Fill the bucket."""
        self._missing = 0
        self._taken.clear()
        self._limit.account(None).empty()

    def to_dict(self) -> dict[str, float]:
        """Return capacity and refill rate as plain data."""
        return {"capacity": self.capacity, "refill_rate": self.refill_rate}


def _now() -> float:
    return time_of_loop()()


def _check(
    name: str,
    value: Any,
    *,
    above: float = -inf,
    least: float = -inf,
    most: float = inf,
) -> None:
    if not is_finite(value) or value <= above or value < least or value > most:
        bound = f"> {above:g}" if above > -inf else f"from {least:g} to {most:g}"
        raise ValueError(f"{name} must be {bound}, not {value!r}")
