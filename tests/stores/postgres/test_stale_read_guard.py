"""What is read of an event that moves on meanwhile is read again."""

import asyncio
from collections.abc import Sequence
from typing import Any

from lionpride.stores.postgres.stale_read_guard import StaleReadGuard


async def test_what_moves_on_while_the_server_answers_is_read_again() -> None:
    asked: list[list[int]] = []

    async def read(numbers: Sequence[int]) -> dict[int, Any]:
        asked.append(list(numbers))
        if len(asked) == 1:
            guard.invalidate([2])
        return {number: f"as of {len(asked)}" for number in numbers if number != 3}

    guard = StaleReadGuard(read, read)
    await guard.prefetch([1, 2, 3, 1])
    assert asked == [[1, 2, 3], [2]]
    assert guard.prefetched([1, 2, 3]) == ["as of 1", "as of 2", None]
    guard.invalidate([1])  # nobody is asked now
    await guard.prefetch([])
    assert guard.prefetched([1]) == [None]


async def test_all_who_ask_are_told_what_has_moved_on() -> None:
    asked: list[list[int]] = []
    both, go = asyncio.Event(), asyncio.Event()

    async def read(numbers: Sequence[int]) -> dict[int, Any]:
        asked.append(list(numbers))
        if len(asked) == 2:
            both.set()
        await go.wait()
        return {}

    guard = StaleReadGuard(read, read)
    waiting = [asyncio.create_task(guard.prefetch([1, 2])) for _ in range(2)]
    await both.wait()
    guard.invalidate(number for number in (2, 3))
    go.set()
    await asyncio.gather(*waiting)
    assert asked == [[1, 2], [1, 2], [2], [2]]


async def test_a_read_that_ends_first_does_not_hide_a_change_from_another() -> None:
    asked: list[list[int]] = []
    gates = [asyncio.Event(), asyncio.Event()]

    async def read(numbers: Sequence[int]) -> dict[int, Any]:
        asked.append(list(numbers))
        if len(asked) <= len(gates):
            await gates[len(asked) - 1].wait()
        return {number: f"as of {len(asked)}" for number in numbers}

    guard = StaleReadGuard(read, read)
    first, second = [asyncio.create_task(guard.prefetch([1])) for _ in gates]
    while len(asked) < 2:
        await asyncio.sleep(0)
    gates[1].set()
    await second
    guard.invalidate([1])
    gates[0].set()
    await first
    assert asked == [[1], [1], [1]], "the first read was out of date"
