"""Limits, retries, "too many", spending, streams, cancels and pauses, all at once, at random.

Whatever meets, each event ends, each reader and each waiter hears of it, no window and no key has
more than its limit, and nothing stays reserved. `SEEDS=1000` before the call tries so many seeds.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from math import fsum
from random import Random
from typing import Any, ClassVar

import pytest
from engine.kit import now
from simulation.unhurried import unhurried

from lionpride.core import Event, Executor, Limit, Processor, RateLimited, Retry
from lionpride.errors import LionprideError
from lionpride.testing import run_virtual

SEEDS = range(int(os.getenv("SEEDS", "12")))

RUNS: list[dict[str, Any]] = []

EXPECTED = (LionprideError, ConnectionError)


class Call(Event):
    tenant: str | None = None
    requests: int = 1
    tokens: int = 0
    seed: int = 0

    @property
    def key(self) -> str | None:
        return self.tenant

    @property
    def costs(self) -> Mapping[str, float]:
        return {"requests": self.requests, "tokens": self.tokens}

    def begin(self) -> tuple[Random, dict[str, Any]]:
        run = {"at": now(), "end": None, "key": self.tenant, "cost": dict(self.costs)}
        RUNS.append(run)
        return Random(self.seed + self.execution.attempt), run

    def fail(self, rng: Random) -> None:
        chance = rng.random()
        if chance < 0.2:
            raise ConnectionError("refused")
        if chance < 0.35:
            raise RateLimited(retry_after=rng.choice((0, 1, 7)), limit=rng.choice(("tokens", None)))

    async def _invoke(self) -> int:
        rng, run = self.begin()
        try:
            for _ in range(rng.randint(0, 2)):
                await asyncio.sleep(rng.choice((0, 0.1, 1, 5)))
                run["cost"]["tokens"] = rng.random() * run["cost"]["tokens"]
                self.spend(tokens=run["cost"]["tokens"])
            self.fail(rng)
        finally:
            run["end"] = now()
        return 1


class Streamed(Call):
    streaming: bool = True

    async def _stream(self) -> AsyncIterator[int]:
        rng, run = self.begin()
        try:
            for number in range(rng.randint(0, 4)):
                yield number
                await asyncio.sleep(rng.choice((0, 0.1, 1)))
            self.fail(rng)
        finally:
            run["end"] = now()


class CallProcessor(Processor):
    event_type: ClassVar[type[Event]] = Call


class CallExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = CallProcessor


def drawn(rng: Random) -> list[Limit]:
    per = rng.choice((1, 10))
    return [
        Limit("requests", rng.choice((1, 3, 10)), per=per),
        Limit("tokens", 100, per=per * rng.choice((1, 2))),
        Limit("tenant", rng.choice((1, 2)), per_key=True),
        Limit("at once", rng.choice((2, 5))),
    ]


async def appended(desk: Executor, rng: Random) -> Event:
    call = rng.choice((Call, Call, Streamed))(
        tenant=rng.choice((None, "a", "b")),
        requests=rng.choice((0, 1, 1, int(desk.limits["requests"].amount))),
        tokens=rng.choice((0, 1, 10, 60, 100)),
        seed=rng.randrange(10**6),
        timeout=rng.choice((None, None, 3)),
    )
    terms: dict[str, Any] = {}
    if rng.random() < 0.3:
        terms["delay"] = rng.uniform(0, 20)
    if rng.random() < 0.2:
        terms["ttl"] = terms.get("delay", 0) + rng.uniform(1, 30)
    if rng.random() < 0.2:
        terms["unique"] = rng.randrange(3)
    if rng.random() < 0.6:
        deadline = rng.choice((None, 20, 100))
        terms["retry"] = Retry(attempts=rng.randint(1, 5), backoff=0.5, deadline=deadline)
    return await desk.append(call, priority=rng.choice((None, 1.0, 2.0)), **terms)


async def wait(desk: Executor, event: Event) -> None:
    with suppress(*EXPECTED):
        await desk.result(event)


async def follow(desk: Executor, event: Event) -> None:
    with suppress(*EXPECTED):
        async for _ in desk.stream(event, on_restart=lambda: None):
            pass


async def walk(seed: int, on_disk: bool) -> list[Limit]:
    rng, limits, events = Random(seed), [], list[Event]()
    store = unhurried(asyncio.get_running_loop().time) if on_disk else None
    limits = drawn(rng)
    config = {"limits": limits, "concurrency_limit": rng.choice((1, 4, 50))}
    async with CallExecutor(config, store=store) as desk, asyncio.TaskGroup() as readers:
        for _ in range(40):
            chance = rng.random()
            if chance < 0.6 or not events:
                events.append(await appended(desk, rng))
                readers.create_task(wait(desk, events[-1]))
                readers.create_task(follow(desk, events[-1]))
            elif chance < 0.75:
                await desk.cancel(rng.choice(events))
            elif chance < 0.8:
                await desk.pause()
                await asyncio.sleep(rng.uniform(0, 3))
                await desk.resume()
            elif chance < 0.85:
                await desk.retry_failed()
            else:
                await asyncio.sleep(rng.uniform(0, 5))
        async with asyncio.timeout(100_000):
            await desk.join()
    await desk.store.close()
    assert not [event for event in events if event.status in ("pending", "processing")]
    return limits


def check_windows(limit: Limit) -> None:
    per = limit.per or 0.0
    taken = sorted((run["at"], run["cost"][limit.name]) for run in RUNS)
    for at, _ in taken:
        # Over a file times are Unix timestamps, of which a double tells a microsecond apart.
        seen = [n for begun, n in taken if at <= begun and fsum((begun, -at, -per)) < -1e-6]
        assert fsum(seen) <= limit.amount + 1e-6, f"{limit!r} from {at} on"


def check_at_once(limit: Limit) -> None:
    runs = [run for run in RUNS if run["end"] > run["at"]]
    for at, key in {(run["at"], run["key"]) for run in runs}:
        beside = [run for run in runs if run["at"] <= at < run["end"]]
        if limit.per_key:
            beside = [run for run in beside if run["key"] == key is not None]
        assert len(beside) <= limit.amount, f"{limit!r} at {at}"


@pytest.mark.guard(120)
@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "sqlite"])
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_meets_all_ends_and_no_limit_is_exceeded(seed: int, on_disk: bool) -> None:
    RUNS.clear()
    requests, tokens, tenant, at_once = run_virtual(walk(seed, on_disk))
    check_windows(requests)
    check_windows(tokens)
    check_at_once(tenant)
    check_at_once(at_once)
    held = [account.held for each in (tenant, at_once) for account in each.accounts.values()]
    assert not any(held)
