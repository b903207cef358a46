"""An alarm rings once at the earliest of its instants, and costs one timer."""

import asyncio

import pytest

from lionpride.stores.alarm import Alarm

pytestmark = pytest.mark.virtual


def alarm() -> tuple[Alarm, list[float]]:
    """An alarm by the loop's clock, and when it has rung."""
    clock, rung = asyncio.get_running_loop().time, list[float]()
    began = clock()
    return Alarm(clock, lambda: rung.append(round(clock() - began, 3))), rung


def at(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_it_rings_once_at_the_earliest_instant() -> None:
    one, rung = alarm()
    for seconds in (5, 3, 9, 3.5):
        one.set(at(seconds))
    await asyncio.sleep(20)
    assert rung == [3.0]


async def test_it_can_be_set_again_when_it_has_rung() -> None:
    one, rung = alarm()
    one.set(at(1))
    await asyncio.sleep(2)
    one.set(at(1))
    await asyncio.sleep(2)
    assert rung == [1.0, 3.0]


async def test_what_is_over_rings_at_once() -> None:
    one, rung = alarm()
    one.set(at(-5))
    await asyncio.sleep(0.001)
    assert rung == [0.0]


async def test_it_does_not_ring_for_nothing_or_when_it_is_off() -> None:
    one, rung = alarm()
    one.off()
    one.set(None)
    one.set(at(1))
    one.off()
    await asyncio.sleep(9)
    assert rung == []


def test_it_is_set_anew_in_another_loop() -> None:
    rung = asyncio.Event()
    one = Alarm(lambda: asyncio.get_running_loop().time(), rung.set)

    async def leave() -> None:
        one.set(at(0.01))

    async def wait() -> None:
        one.set(at(0.02))
        await rung.wait()

    asyncio.run(leave())
    asyncio.run(asyncio.wait_for(wait(), 20))
