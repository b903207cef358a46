"""Position of an event in a queue in memory, and the usage of its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Final

from ...model.event_data import EventData
from ...rules.limits.costs import own_bill
from ...rules.limits.limit import Limit
from ...rules.limits.limit_set import Limits
from ...rules.queue_position import About, QueueWorker, Room, limits_at_work
from ..clock import time_of_loop

__all__ = ("count_ahead", "live_workers", "reported_limits", "rooms_of", "usage_of")

_PAGE: Final = 10_000
"""Events that are read before other tasks run."""


def live_workers(about: Mapping[str, Callable[[], About] | None]) -> list[QueueWorker]:
    """Return the workers of this process, as they are now."""
    found = []
    for name, say in about.items():
        said = None if say is None else say()
        running = 0 if said is None else said.running
        found.append(QueueWorker(name, True, running, said))
    return found


def reported_limits(workers: Iterable[QueueWorker], pools: Mapping[str, Limit]) -> Limits | None:
    """Return the limits that the workers report, with the accounts of the store.

    Args:
        workers: The workers.
        pools: The limits of the claims, by account name.
    """
    limits = limits_at_work(workers)
    if limits is not None:
        found = {each.pool: each for each in limits.values()}
        limits.adopt(
            {
                pool: pools[pool]
                for pool in found.keys() & pools.keys()
                if _measure(pools[pool]) == _measure(found[pool])
            }
        )
    return limits


def _measure(limit: Limit) -> tuple[float, float | None, bool]:
    return limit.amount, limit.per, limit.per_key


async def count_ahead(
    pending: Mapping[int, EventData], held: Container[int], place: tuple[float, int], now: float
) -> tuple[int, EventData | None]:
    """Return how many due events come before a place (priority and number), and the first."""
    waiting, ahead = list(pending.items()), 0
    first_place, first_event = place, None
    for first in range(0, len(waiting), _PAGE):
        if first:
            await asyncio.sleep(0)
        for number, event in waiting[first : first + _PAGE]:
            own = event.__dict__
            its = own.get("_priority", 0.0), number
            if its < place and number not in held:
                due = own.get("_due")
                if due is None or due <= now:
                    ahead += 1
                    if its < first_place:
                        first_place, first_event = its, event
    return ahead, first_event


def rooms_of(
    limits: Limits | None, event: EventData, clock: Callable[[], float] | None, now: float
) -> tuple[Room, ...]:
    """Return what an event needs of limits, and the usage of each.

    Args:
        limits: The limits under which it is claimed.
        event: The event.
        clock: Returns the time of the limits; None for the event loop's.
        now: The time of the store.
    """
    if limits is None:
        return ()
    key, costs = own_bill(event)
    ticks = (clock or time_of_loop())()
    amounts = limits.amounts(event.costs if costs is None else costs, key)
    return tuple(_room(limit, key, cost, ticks, now) for limit, cost in amounts)


def usage_of(
    limits: Mapping[str, Limit], clock: Callable[[], float] | None, now: float
) -> list[Room]:
    """Return the usage of limits that are not per key; the arguments are as for ``rooms_of``."""
    ticks = (clock or time_of_loop())()
    shared = [each for each in limits.values() if not each.per_key]
    return [_room(limit, None, 0.0, ticks, now) for limit in shared]


def _room(limit: Limit, key: str | None, cost: float, ticks: float, now: float) -> Room:
    account, whose = limit.account(key), key if limit.per_key else None
    at = now + (account.free_at(cost, ticks) - ticks)
    return Room(limit.name, whose, limit.amount, limit.per, cost, account.used(ticks), at)
