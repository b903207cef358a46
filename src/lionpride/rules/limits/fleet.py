"""Settings of a processor that hold for all workers of its queue, as limits."""

from __future__ import annotations

from typing import Final

from ...errors import ValidationError
from .limit import Limit

__all__ = ("CAPACITY", "CONCURRENCY", "Starts", "checked_scope", "fleet_limits")

CAPACITY: Final = "queue_capacity"
CONCURRENCY: Final = "concurrency_limit"


def checked_scope(scope: str) -> str:
    """Return ``"worker"`` or ``"fleet"``.

    Raises:
        ValidationError: for any other value.
    """
    if scope not in ("worker", "fleet"):
        raise ValidationError(f"scope must be 'worker' or 'fleet', not {scope!r}")
    return scope


class Starts(Limit):
    """A limit that every start counts against, whatever its event costs."""

    __slots__ = ()
    each = 1


def fleet_limits(
    queue: str, capacity: int | None, refresh: float, concurrency: int
) -> tuple[Limit, ...]:
    """Return the limits of ``scope="fleet"``, which the claims of all workers share.

    Args:
        queue: Name of the queue.
        capacity: Starts of all workers in any ``refresh`` seconds; None for no limit.
        refresh: Length of the window in seconds.
        concurrency: Number of events that all workers may run at once.
    """
    held = Starts(CONCURRENCY, concurrency, pool=f"{queue}: {CONCURRENCY}")
    if capacity is None:
        return (held,)
    return held, Starts(CAPACITY, capacity, per=refresh, pool=f"{queue}: {CAPACITY}")
