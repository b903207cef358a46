"""Two limits that bind, at random: no window is exceeded, and the tighter one is used up.

`SEEDS=1000 .venv/bin/python -m pytest tests/engine/test_limits_at_scale.py` tries so many seeds,
and `SEED=7` that one.
"""

import asyncio
import os
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from math import fsum
from random import Random
from typing import ClassVar

import pytest
from engine.kit import now

from lionpride.core import Event, EventStatus, Executor, Limit, Processor
from lionpride.testing import run_virtual

SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else range(int(os.getenv("SEEDS", "25")))

SECONDS = 30.0


class Call(Event):
    requests: int = 0
    tokens: int = 0
    lasts: float = 0.0

    @property
    def costs(self) -> Mapping[str, float]:
        return {"requests": self.requests, "tokens": self.tokens}

    async def _invoke(self) -> float:
        began = now()
        if self.lasts:
            await asyncio.sleep(self.lasts)
        return began


class CallProcessor(Processor):
    event_type: ClassVar[type[Event]] = Call


class CallExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = CallProcessor


def amounts(rng: Random, most: int, n: int) -> list[int]:
    """Costs of up to ``most``, spread in one of several ways."""
    least = max(1, most // 50)
    way = rng.choice(("even", "mostly small", "mostly large", "two sizes"))
    if way == "even":
        return [rng.randint(least, most) for _ in range(n)]
    if way == "two sizes":
        return [rng.choice((least, most)) for _ in range(n)]
    skew = 3.0 if way == "mostly small" else 1 / 3
    return [max(least, round(most * rng.random() ** skew)) for _ in range(n)]


def drawn(rng: Random) -> tuple[list[Limit], list[list[int]]]:
    """Two limits, and what each event takes of them: up to a twentieth of each.

    One is the tighter: where both are as tight, each in turn is what binds, and neither can be
    used up without letting events overtake each other. With windows of two lengths, of which one
    may open while the other is shut, the tighter is so by more.
    """
    per = rng.choice((1.0, 2.0, 5.0))
    other, ratio = (per, 1.1) if rng.random() < 0.7 else (rng.choice((1.0, 3.0, 6.0)), 2.0)
    limits = [
        Limit("requests", rng.choice((100, 300, 1_000)), per=per),
        Limit("tokens", rng.choice((2_000, 90_000)), per=other),
    ]
    costs = [amounts(rng, int(limit.amount * rng.choice((0.02, 0.05))), 12_000) for limit in limits]
    needs = [
        sum(each) * (limit.per or 1.0) / limit.amount
        for limit, each in zip(limits, costs, strict=True)
    ]
    looser = needs.index(min(needs))
    if max(needs) < ratio * min(needs):
        limits[looser].amount *= ratio * min(needs) / max(needs)
    return limits, costs


async def walk(rng: Random) -> tuple[list[Call], list[Limit], float]:
    """Run for so many seconds; what has started by then, the limits, and when it all began."""
    limits, (requests, tokens) = drawn(rng)
    lasts = rng.choice((0.0, 0.0, 0.3))
    events = [
        Call(requests=n, tokens=m, lasts=lasts * rng.random(), created_at=1.0)
        for n, m in zip(requests, tokens, strict=True)
    ]
    enough = needed(events, limits)
    executor = CallExecutor({"limits": limits, "concurrency_limit": 10_000})
    await executor.append_many(events[:enough])
    began = now()
    async with executor:
        await asyncio.sleep(SECONDS - 1e-6)
        await executor.pause()
        await asyncio.sleep(1)
    done = [event for event in events[:enough] if event.status is EventStatus.COMPLETED]
    return done, limits, began


def needed(events: list[Call], limits: list[Limit]) -> int:
    """So many events that they cannot be through in time."""
    for number, used in enumerate(
        zip(
            accumulate(event.requests for event in events),
            accumulate(event.tokens for event in events),
            strict=True,
        )
    ):
        if any(
            n > 1.3 * limit.amount * (SECONDS / (limit.per or 1.0) + 1)
            for n, limit in zip(used, limits, strict=True)
        ):
            return number
    return len(events)


@pytest.mark.guard(120)
@pytest.mark.parametrize("seed", SEEDS)
def test_c3_no_window_is_exceeded_and_the_tighter_limit_is_used(seed: int) -> None:
    started, limits, began = run_virtual(walk(Random(seed)))
    shares = []
    for limit in limits:
        per = limit.per or 1.0
        taken = sorted((event.response, event.costs[limit.name]) for event in started)
        times = [at for at, _ in taken]
        sums = [0.0, *accumulate(amount for _, amount in taken)]
        first = 0
        for last, end in enumerate(times):
            while fsum((times[first], per, -end)) <= 0.0:  # type: ignore[operator]
                first += 1
            if last + 1 == len(times) or times[last + 1] > end:  # type: ignore[operator]
                assert sums[last + 1] - sums[first] <= limit.amount, f"{limit!r} at {end - began}"  # type: ignore[operator]
        in_time = bisect_right(times, began + SECONDS - 1e-6)
        shares.append(sums[in_time] / (limit.amount * SECONDS / per))
    assert max(shares) >= 0.95, f"of {limits} {shares} were used"
