"""Work beside a block: what it raises is raised, and it ends with the block."""

import asyncio

import pytest

from lionpride.cli.tasks import background, first_of


async def test_background_work_ends_with_its_block():
    steps = []

    async def work():
        try:
            steps.append("begun")
            await asyncio.Event().wait()
        finally:
            steps.append("cleared away")

    async with background(work()) as ended:
        await asyncio.sleep(0)
        assert steps == ["begun"]
        assert not ended.is_set()
    assert steps == ["begun", "cleared away"]


async def test_what_background_work_raises_is_raised_at_the_end_of_the_block():
    async def work():
        raise KeyError("x")

    with pytest.raises(KeyError):
        async with background(work()) as ended:
            await ended.wait()


async def test_the_end_of_background_work_is_told():
    async with background(asyncio.sleep(0)) as ended:
        await ended.wait()


async def test_the_first_of_several_events_is_enough():
    events = [asyncio.Event() for _ in range(3)]
    waiting = asyncio.create_task(first_of(*events))
    await asyncio.sleep(0)
    assert not waiting.done()
    events[1].set()
    await waiting
    assert asyncio.all_tasks() == {asyncio.current_task()}
