"""A lane: what is asked for while one batch is under way makes up the next."""

import asyncio
from collections.abc import Sequence

from lionpride.stores.postgres.lanes import Lane


async def test_what_comes_meanwhile_makes_up_the_next_batch_of_so_many_at_most() -> None:
    batches: list[list[int]] = []
    gate = asyncio.Event()

    async def make(some: Sequence[int]) -> bool:
        batches.append(list(some))
        await gate.wait()
        return True

    lane = Lane(make, 3)
    lane.put(1)
    lane.put(2)
    while not batches:
        await asyncio.sleep(0)
    for number in (3, 4, 5, 6):
        lane.put(number)
    passed = asyncio.ensure_future(lane.passed())
    await asyncio.sleep(0)
    assert not passed.done()
    gate.set()
    await passed
    await lane.quiet()
    assert batches == [[1, 2], [3, 4, 5], [6]]
    assert lane.idle


async def test_a_batch_that_is_not_to_go_on_waits_for_the_next_word() -> None:
    batches: list[list[int]] = []

    async def make(some: Sequence[int]) -> bool:
        batches.append(list(some))
        if len(batches) == 1:
            lane.put_back(some)
            return False
        return True

    lane = Lane(make, 10)
    lane.put(1)
    await lane.quiet()
    assert lane.stalled
    assert not lane.idle
    lane.put(2)
    await lane.quiet()
    assert batches == [[1], [1, 2]]
