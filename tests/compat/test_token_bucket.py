"""TokenBucket: the original's interface over an exact window."""

import asyncio
from typing import Any

import pytest
from engine.kit import now

from lionpride.compat import RateLimitConfig, TokenBucket
from lionpride.errors import ConfigurationError

pytestmark = pytest.mark.virtual


def bucket(capacity: int = 10, rate: float = 1.0, **how: Any) -> TokenBucket:
    return TokenBucket(RateLimitConfig(capacity, rate, **how))


def test_a_config_is_checked() -> None:
    assert RateLimitConfig(10, 2.0).initial_tokens == 10
    assert RateLimitConfig(10, 2.0, 3).initial_tokens == 3
    for wrong in ((0, 1), (10, 0), (10, 1, -1), (10, 1, 11), (float("nan"), 1), (10, float("inf"))):
        with pytest.raises(ValueError, match="must be"):
            RateLimitConfig(*wrong)  # type: ignore[arg-type]


async def test_what_is_taken_comes_back_a_window_later() -> None:
    pail = bucket()  # 10 in any 10 seconds
    assert await pail.try_acquire(7)
    await asyncio.sleep(4)
    assert pail.tokens == 3
    assert not await pail.try_acquire(4)
    assert await pail.try_acquire(3)
    await asyncio.sleep(6)
    assert pail.tokens == 7
    await asyncio.sleep(4)
    assert pail.tokens == 10


async def test_acquire_waits_until_there_is_enough() -> None:
    pail, began = bucket(), now()
    assert await pail.acquire(10)
    assert not await pail.acquire(1, timeout=9.5)
    assert now() == began, "it knows at once that it will not be in time"
    assert await pail.acquire(1, timeout=10.5)
    assert now() == began + 10


async def test_what_is_released_is_there_for_who_waits() -> None:
    pail, began = bucket(), now()
    await pail.acquire(10)
    waits = asyncio.create_task(pail.acquire(4))
    await asyncio.sleep(2)
    await pail.release(5)
    assert await waits
    assert now() == began + 2
    assert pail.tokens == 1


async def test_release_mints_nothing() -> None:
    pail = bucket()
    await pail.release(5)
    assert pail.tokens == 10
    await pail.acquire(6)
    await pail.release(100)
    assert pail.tokens == 10


async def test_reset_fills_it() -> None:
    pail = bucket(initial_tokens=2)
    assert pail.tokens == 2
    assert not await pail.try_acquire(3)
    await pail.reset()
    assert await pail.try_acquire(10)
    await pail.reset()
    assert pail.tokens == 10


@pytest.mark.parametrize("wrong", [0, -1, True, float("nan")])
async def test_amounts_are_above_zero(wrong: Any) -> None:
    for method in (bucket().acquire, bucket().try_acquire, bucket().release):
        with pytest.raises(ValueError, match="tokens"):
            await method(wrong)


async def test_more_than_the_capacity_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="exceeds bucket capacity 10"):
        await bucket().acquire(11)
    assert not await bucket().try_acquire(11)


def test_as_data() -> None:
    assert bucket().to_dict() == {"capacity": 10, "refill_rate": 1.0}


def test_a_bucket_is_for_one_thing() -> None:
    pail = bucket()
    assert pail.limit("tokens") is pail.limit("tokens")
    with pytest.raises(ConfigurationError, match="TokenBucket for each"):
        pail.limit("requests")
