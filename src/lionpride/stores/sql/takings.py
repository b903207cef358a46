"""What a store's tables say of limits, as it is read and written.

A pool is a limit by its name in the store, or one key's share of it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ...rules.limits import Limit
from ..seen import Usage

__all__ = ("AHEAD", "FINE", "Held", "Pool", "instant", "pool_of", "usage_of")

FINE: Final = 4096
"""Parts of a window: what is taken in one of them after another shares an instant."""

AHEAD: Final = 1.0
"""Seconds by which an instant may lie ahead: clocks differ, but if by more, one was set back."""


def pool_of(limit: Limit, key: str | None) -> str:
    """The name in the store."""
    return f"{limit.pool}\x1f{key}" if limit.per_key else limit.pool


def usage_of(name: str, used: float, per: float | None, paused: float) -> Usage:
    """How much is taken of a pool, by its name in the store."""
    pool, has_key, key = name.partition("\x1f")
    return Usage(pool, used, None, per, paused, key if has_key else None)


class Pool(NamedTuple):
    """How much of a pool counts now, and before when nothing more is to be had."""

    used: float
    paused: float
    last: float


class Held(NamedTuple):
    """What a lease holds: so much until it ends, or, with a length of window, until the start."""

    amount: float
    per: float | None


def instant(per: float, at: float, last: float, fine: int = FINE) -> float:
    """When something counts as taken that is taken now.

    In a crowd that is the later edge of a small part of the window, never an earlier instant.

    Args:
        per: The length of the window in seconds.
        at: The time.
        last: The last instant at which something was taken.
        fine: Parts of a window.
    """
    if at <= last:
        return last
    return at + per / fine if at - last < per / fine else at
