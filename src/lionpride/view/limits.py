"""Usage of limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..core import Executor
from ..rules.limits.limit import Limit
from ..stores.inspector import LimitUsage, WorkerRecord

__all__ = ["gauges_of", "limits_of", "slots_of"]

MAX_KEYS: Final = 12
"""Maximum number of keys that are shown of one limit: the most used ones."""


def limits_of(workers: Iterable[WorkerRecord], executor: Executor | None) -> Sequence[Limit]:
    """Return the limits that the workers report, and those of the executor, if there is one."""
    found: dict[str, Limit] = {}
    for worker in workers:
        if worker.alive and worker.about is not None:
            for name, amount, per, per_key, pool in worker.about.limits:
                found[pool] = Limit(name, amount, per, per_key=per_key, pool=pool)
    if executor is not None:
        found |= {limit.pool: limit for limit in executor.limits.values()}
    return list(found.values())


def slots_of(workers: Iterable[WorkerRecord]) -> tuple[int, int]:
    """Return the number of running events, and of all slots, over all live workers."""
    known = [one for one in workers if one.alive and one.about is not None]
    running = sum(len(one.held) for one in known)
    return running, sum(one.about.slots for one in known if one.about is not None)


def gauges_of(limits: Iterable[Limit], known: Iterable[LimitUsage]) -> list[LimitUsage]:
    """Return each limit, or its most used keys, with its usage; unknown limits too."""
    gauges, by_pool = [], dict[str, list[LimitUsage]]()
    for one in known:
        by_pool.setdefault(one.pool, []).append(one)
    for limit in limits:
        shares = sorted(by_pool.pop(limit.pool, ()), key=lambda one: -one.used)
        shares = shares[:MAX_KEYS] or [LimitUsage(limit.pool, 0.0, limit.amount, limit.per)]
        gauges += [one._replace(amount=float(limit.amount), per=limit.per) for one in shares]
    return [*gauges, *(one for rest in by_pool.values() for one in rest)]
