"""Fractional costs: rounding keeps no event from starting, whoever shares the limit."""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

import pytest
from engine.kit import now
from simulation.unhurried import unhurried

from lionpride.core import Event, EventStatus, Executor, Limit, Processor

pytestmark = pytest.mark.virtual

COSTS = (0.1, 0.2, 0.3, 0.7, 1.1, 1 / 3, 2.0, 3.0)


class Fractional(Event):
    """Costs a fraction of the limit, waits for its permission, and takes its time."""

    tokens: float
    asks: float = 0.0
    denied: bool = False
    lasts: float = 0.0
    spends: float | None = None

    @property
    def request(self) -> dict[str, Any]:
        return {"event": self}

    @property
    def costs(self) -> Mapping[str, float]:
        return {"tokens": self.tokens, "slots": self.tokens}

    async def _invoke(self) -> None:
        if self.spends is not None:
            self.spend(tokens=self.spends, slots=self.spends)
        await asyncio.sleep(self.lasts)


class FractionalProcessor(Processor):
    event_type: ClassVar[type[Event]] = Fractional
    denied: ClassVar[set[Any]] = set()

    async def request_permission(self, *, event: Fractional, **_: Any) -> bool:
        await asyncio.sleep(event.asks)
        if not event.denied or event.id in self.denied:
            return True
        self.denied.add(event.id)
        return False


class FractionalExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = FractionalProcessor


def drawn(rng: Random, tokens: float) -> Fractional:
    return Fractional(
        tokens=tokens,
        asks=rng.choice((0.0, 0.0, 0.3, 1.0)),
        denied=rng.random() < 0.1,
        lasts=rng.choice((0.0, 0.1, 0.7)),
        spends=rng.choice((None, None, None, tokens / 3, tokens / 7)),
    )


async def run(seed: int, store: Any) -> None:
    """Append events whose costs are fractions, and at last one that needs all of the limits."""
    rng, amount = Random(seed), 3.0
    limits = [Limit("tokens", amount, per=rng.choice((0.7, 1.0, 2.5))), Limit("slots", amount)]
    config = {"queue_capacity": rng.choice((None, 1, 4)), "limits": limits}
    stores = (store, store) if store else (None, None)
    executors = [FractionalExecutor(dict(config), store=each) for each in stores]
    for each in executors:
        await each.start()
    running = [asyncio.ensure_future(each.execute()) for each in executors]
    events: list[Fractional] = []
    for _ in range(rng.randint(5, 25)):
        events.append(drawn(rng, rng.choice(COSTS)))
        await rng.choice(executors).append(events[-1])
        await asyncio.sleep(rng.choice((0.0, 0.0, 0.1, 0.5)))
    for each in executors:
        events.append(drawn(rng, amount))
        await each.append(events[-1])
    try:
        for each in executors:
            await asyncio.wait_for(each.join(), 600)
    except TimeoutError:
        waiting = [event for event in events if event.status is EventStatus.PENDING]
        pytest.fail(f"seed {seed}: {waiting} never started")
    finally:
        for each in executors:
            await each.stop()
        await asyncio.gather(*running)
    assert {event.status for event in events} == {EventStatus.COMPLETED}
    accounts = [limit.account(None) for limit in limits]
    await asyncio.sleep(10)
    assert [account.used(now()) for account in accounts] == [0.0, 0.0]


@pytest.mark.parametrize("first", range(0, 200, 50))
async def test_events_with_fractional_costs_all_start_on_one_limit(first: int) -> None:
    for seed in range(first, first + 50):
        await run(seed, None)


async def test_events_with_fractional_costs_all_start_on_one_limit_of_a_file() -> None:
    for seed in range(20):
        store = unhurried(asyncio.get_running_loop().time)
        await run(seed, store)
        await store.close()
