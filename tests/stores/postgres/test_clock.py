"""The server's clock, by the quickest of its answers."""

import asyncio
from time import time

import pytest

from lionpride.stores.postgres.clock import ServerClock


@pytest.mark.virtual
async def test_it_goes_by_the_quickest_answer_and_moves_as_the_loop_does() -> None:
    clock, loop = ServerClock(), asyncio.get_running_loop()
    assert clock() == pytest.approx(time(), abs=5.0), "this machine's own, before the first"
    now = loop.time()
    clock.note(5_000.0, now, now + 0.2)
    clock.note(7_000.0, now, now + 0.4)  # it tells less, and is not asked
    assert clock() == pytest.approx(4_999.9)
    await asyncio.sleep(3.0)
    assert clock() == pytest.approx(5_002.9)
    clock.note(6_000.0, now + 3.0, now + 3.0)
    assert clock() == pytest.approx(6_000.0)
    await asyncio.sleep(90.0)
    clock.note(9_000.0, now + 93.0, now + 93.5)  # the last good one is too old
    assert clock() == pytest.approx(8_999.75)
