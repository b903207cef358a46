"""A pipeline: requests that arrive while a batch runs form the next batch."""

import asyncio
from collections.abc import Sequence

from lionpride.stores.postgres.pipelines import Pipeline


def unfailing(items: Sequence[int], error: Exception) -> None:
    raise AssertionError from error


async def test_what_comes_meanwhile_makes_up_the_next_batch_of_so_many_at_most() -> None:
    batches: list[list[int]] = []
    gate = asyncio.Event()

    async def make(some: Sequence[int]) -> bool:
        batches.append(list(some))
        await gate.wait()
        return True

    pipeline = Pipeline(make, 3, unfailing)
    pipeline.put(1)
    pipeline.put(2)
    while not batches:
        await asyncio.sleep(0)
    for number in (3, 4, 5, 6):
        pipeline.put(number)
    passed = asyncio.ensure_future(pipeline.passed())
    await asyncio.sleep(0)
    assert not passed.done()
    gate.set()
    await passed
    await pipeline.quiet()
    assert batches == [[1, 2], [3, 4, 5], [6]]
    assert pipeline.idle


async def test_a_batch_that_is_not_to_go_on_waits_for_the_next_word() -> None:
    batches: list[list[int]] = []

    async def make(some: Sequence[int]) -> bool:
        batches.append(list(some))
        if len(batches) == 1:
            pipeline.put_back(some)
            return False
        return True

    pipeline = Pipeline(make, 10, unfailing)
    pipeline.put(1)
    await pipeline.quiet()
    assert pipeline.stalled
    assert not pipeline.idle
    pipeline.put(2)
    await pipeline.quiet()
    assert batches == [[1], [1, 2]]


async def test_an_error_of_a_batch_fails_its_requests_and_the_next_batch_runs() -> None:
    failed: list[tuple[list[int], Exception]] = []
    error = ValueError("of the first batch")
    batches: list[list[int]] = []

    async def make(some: Sequence[int]) -> bool:
        batches.append(list(some))
        if len(batches) == 1:
            raise error
        return True

    pipeline = Pipeline(make, 2, lambda items, raised: failed.append((list(items), raised)))
    for number in (1, 2, 3):
        pipeline.put(number)
    await pipeline.quiet()
    assert failed == [([1, 2], error)]
    assert batches == [[1, 2], [3]]
    assert pipeline.idle
