"""A clock that reads as Unix time and moves as the loop's does."""

import asyncio
import time

import pytest

from lionpride.stores.clock import LoopClock
from lionpride.testing import run_virtual


async def test_it_reads_as_unix_time() -> None:
    before = time.time()
    assert before - 1 <= LoopClock()() <= time.time() + 1


@pytest.mark.virtual
async def test_it_moves_as_the_loop_does() -> None:
    clock = LoopClock()
    first = clock()
    assert clock() == first, "virtual time stands still"
    await asyncio.sleep(86_400)
    assert clock() - first == pytest.approx(86_400)


@pytest.mark.virtual
async def test_setting_the_wall_clock_does_not_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = LoopClock()
    first = clock()
    monkeypatch.setattr("lionpride.stores.clock.time", lambda: 0.0)
    assert clock() == first


def test_it_goes_on_in_another_loop() -> None:
    clock = LoopClock()

    async def read() -> float:
        return clock()

    first, second = run_virtual(read(), start=10.0), run_virtual(read(), start=5_000.0)
    assert 0 <= second - first < 60, "Unix time, whatever the loop's own time is"
