"""Two executors share a queue: each runs the event types that it names, and leaves the others."""

import asyncio
from pathlib import Path

import pytest
from kept import KEPT, url_of

from lionpride import Event, EventStatus, Executor, Limit, OperationError


class Square(Event):
    number: int

    async def _invoke(self) -> int:
        return self.number**2


class Larger(Square):
    pass


class Cube(Event):
    number: int

    async def _invoke(self) -> int:
        return self.number**3


@pytest.fixture(params=KEPT)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request.param, tmp_path)


LIMITS = pytest.mark.parametrize("limits", [(), (Limit("requests", 1000, per=1),)])


@LIMITS
async def test_a_worker_leaves_events_of_other_types_pending(
    url: str, limits: tuple[Limit, ...]
) -> None:
    squares = Executor.of(Square, store=url, queue="shared", limits=limits)
    cubes = Executor.of(Cube, store=url, queue="shared", limits=limits)
    left = await cubes.append_many([Cube(number=n) for n in range(3)], [0.0, 1.0, 2.0])
    async with squares:
        assert await squares.run(Square(number=3)) == 9
        assert await squares.run(Larger(number=4), priority=9) == 16  # subclasses belong to it
        counts = await squares.store.counts()
        assert counts[EventStatus.PENDING] == 3
        with pytest.raises(OperationError, match=r"3 events are pending.*no worker runs.*Cube"):
            await squares.join()
        why = str(await squares.why(left[0].id))
        assert "this executor does not run engine.test_named_types.Cube" in why.replace(
            "tests.", ""
        )
    async with cubes:
        assert await asyncio.gather(*map(cubes.result, left)) == [0, 1, 8]
        await cubes.join()


@LIMITS
async def test_workers_of_one_queue_run_what_each_names(
    url: str, limits: tuple[Limit, ...]
) -> None:
    """Both work at once; a third executor names both types and only appends."""
    both = Executor.of(Square, Cube, store=url, queue="shared")
    squares = Executor.of(Square, store=url, queue="shared", limits=limits)
    cubes = Executor.of(Cube, store=url, queue="shared", limits=limits)
    events = [kind(number=n) for n in range(10) for kind in (Square, Cube)]
    await both.append_many(events)
    async with squares, cubes:
        results = await asyncio.gather(*map(both.result, events))
    assert results == [n**power for n in range(10) for power in (2, 3)]
    for executor, kind in ((squares, Square), (cubes, Cube)):
        assert {type(event) for event in executor.completed_events} == {kind}
    await both.store.close()


async def test_an_executor_of_all_events_runs_every_class(url: str) -> None:
    cubes = Executor.of(Cube, store=url, queue="shared")
    await cubes.append(Cube(number=2))
    async with Executor.of(Event, store=url, queue="shared") as everything:
        await everything.join()
    assert (await cubes.store.counts())[EventStatus.COMPLETED] == 1
    await cubes.store.close()
