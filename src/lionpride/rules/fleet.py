"""Settings of one processor that hold for all that work on its queue: as limits of their own."""

from __future__ import annotations

from typing import Final

from ..errors import ValidationError
from .limits import Limit

__all__ = ("CAPACITY", "CONCURRENCY", "Starts", "checked_scope", "fleet_limits")

CAPACITY: Final = "queue_capacity"
CONCURRENCY: Final = "concurrency_limit"


def checked_scope(scope: str) -> str:
    """``"worker"`` or ``"fleet"``.

    Raises:
        ValidationError: for anything else.
    """
    if scope not in ("worker", "fleet"):
        raise ValidationError(f"scope must be 'worker' or 'fleet', not {scope!r}")
    return scope


class Starts(Limit):
    """A limit that every start takes one of, whatever its event costs."""

    __slots__ = ()
    each = 1


def fleet_limits(
    queue: str, capacity: int | None, refresh: float, concurrency: int
) -> tuple[Limit, ...]:
    """What ``scope="fleet"`` means, as limits that the claims of all workers share.

    Args:
        queue: Whose workers.
        capacity: Starts of all of them in any ``refresh`` seconds; None: any number.
        refresh: The length of the window.
        concurrency: How many events may run at once in all of them.
    """
    held = Starts(CONCURRENCY, concurrency, pool=f"{queue}: {CONCURRENCY}")
    if capacity is None:
        return (held,)
    return held, Starts(CAPACITY, capacity, per=refresh, pool=f"{queue}: {CAPACITY}")
