"""A lane: what is asked for while one batch is under way makes up the next."""

import asyncio
from collections.abc import Sequence

import pytest

from lionpride.stores.postgres.lanes import LONG, Lane


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


async def test_what_waits_may_be_lent_to_another_lane_and_is_under_way_until_it_is_done() -> None:
    made: list[int] = []

    async def make(some: Sequence[int]) -> bool:
        made.extend(some)
        return True

    lane = Lane(make, 10)
    for number in (1, 2):
        lane.put(number)
    with lane.lend(lambda number: number < 2) as lent:
        assert not lent, "one of them is not wanted"
    with lane.lend(lambda _: True) as lent:
        assert lent == [1, 2]
        assert lane.behind == 2
        assert not lane.idle
        lane.put(3)
        passed = asyncio.ensure_future(lane.passed())
        quiet = asyncio.ensure_future(lane.quiet())
        while not made:
            await asyncio.sleep(0)
        assert made == [3]
        assert not passed.done()
        assert not quiet.done()
    await passed
    await quiet
    assert lane.idle
    assert made == [3]


async def test_a_stalled_lane_lends_nothing_until_it_has_made_a_batch() -> None:
    made: list[int] = []

    async def make(some: Sequence[int]) -> bool:
        made.extend(some)
        if len(made) == 1:
            lane.put_back(some)
            return False
        return True

    lane = Lane(make, 10)
    lane.put(1)
    await lane.quiet()
    with lane.lend(lambda _: True) as lent:
        assert not lent
    assert lane.behind == 1
    lane.go()
    await asyncio.sleep(0)
    assert lane.begins, "it tries that again"
    with lane.lend(lambda _: True) as lent:
        assert not lent
    await lane.quiet()
    assert made == [1, 1]
    lane.put(2)
    with lane.lend(lambda _: True) as lent:
        assert lent == [2]


@pytest.mark.virtual
async def test_a_lane_lends_nothing_while_a_batch_takes_long() -> None:
    gate = asyncio.Event()

    async def make(some: Sequence[int]) -> bool:
        await gate.wait()
        return True

    lane = Lane(make, 10)
    lane.put(1)
    await asyncio.sleep(LONG / 2)
    lane.put(2)
    with lane.lend(lambda _: True) as lent:
        assert lent == [2]
    lane.put(3)
    await asyncio.sleep(LONG)
    with lane.lend(lambda _: True) as lent:
        assert not lent
    gate.set()
    await lane.quiet()
