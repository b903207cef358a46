"""The run beside the block of ``async with``: when it ends by itself, nobody waits for nothing."""

import asyncio
import contextlib
import logging
from typing import Any

import pytest
from engine.kit import Job, Waiting, agree, desk, execute, now, raises, sleeps, statuses

from lionpride.core import Executor
from lionpride.errors import StoreError
from lionpride.testing import run_virtual

pytestmark = pytest.mark.virtual


class Refusing(Waiting):
    """Its disk is full: nothing can be settled."""

    async def settle(self, settlements: Any) -> Any:
        await asyncio.sleep(0)
        raise StoreError("the disk is full: make room, and try again")


def refusing_desk() -> Executor:
    return desk(store=Refusing(desk().store), concurrency_limit=1)


async def wait_for_result(executor: Executor, jobs: list[Job]) -> None:
    await executor.result(jobs[-1])


async def wait_for_all(executor: Executor, jobs: list[Job]) -> None:
    async for _ in executor.as_completed(jobs):
        pass


async def join(executor: Executor, jobs: list[Job]) -> None:
    await executor.join()


async def map_more(executor: Executor, jobs: list[Job]) -> None:
    async for _ in executor.map(Job() for _ in range(3)):
        pass


async def do_something_else(executor: Executor, jobs: list[Job]) -> None:
    await asyncio.Event().wait()


BODIES = [wait_for_result, wait_for_all, join, map_more, do_something_else]


async def block(executor: Executor, jobs: list[Job], body: Any) -> None:
    async with executor:
        await body(executor, await executor.append_many(jobs))


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
async def test_whatever_the_block_waits_for_it_ends_with_the_failure(body: Any) -> None:
    began = now()
    with pytest.raises(StoreError, match="the disk is full"):
        await block(refusing_desk(), [Job(do=sleeps(1)) for _ in range(3)], body)
    assert now() - began == 1
    this = asyncio.current_task()
    assert this is not None
    assert this.cancelling() == 0, "the task goes on as if nothing had been"
    await asyncio.sleep(1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_an_event_that_wants_to_exit_ends_the_block(body: Any, error: type[BaseException]) -> None:
    executor = desk(concurrency_limit=1)
    bad = Job(do=raises(error()))
    raised: list[BaseException] = []

    async def run() -> None:
        try:
            async with executor:
                jobs = await executor.append_many([bad, Job(do=sleeps(5))])
                await body(executor, jobs)
        except BaseException as exit_error:
            raised.append(exit_error)

    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        run_virtual(run())
    assert raised == [bad.execution.error]
    assert isinstance(raised[0], error)
    assert run_virtual(execute(executor)) is None, "the next run does the rest"
    assert set(statuses(executor.states.items)) == {"failed", "completed"}
    agree(executor)


async def test_a_block_that_clears_away_has_the_time_to() -> None:
    steps: list[str] = []

    async def body(executor: Executor, jobs: list[Job]) -> None:
        try:
            await executor.result(jobs[0])
        finally:
            await asyncio.sleep(3)
            steps.append("cleared away")

    with pytest.raises(StoreError):
        await block(refusing_desk(), [Job()], body)
    assert steps == ["cleared away"]


async def test_a_block_that_overhears_its_cancellation_ends_so_all_the_same() -> None:
    async def body(executor: Executor, jobs: list[Job]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await executor.result(jobs[0])

    with pytest.raises(StoreError):
        await block(refusing_desk(), [Job()], body)


async def test_a_timeout_around_the_block_is_not_what_ended_it() -> None:
    with pytest.raises(StoreError):
        async with asyncio.timeout(60):
            await block(refusing_desk(), [Job()], wait_for_result)


async def test_what_the_block_raised_before_goes_first(caplog: pytest.LogCaptureFixture) -> None:
    async def body(executor: Executor, jobs: list[Job]) -> None:
        await asyncio.sleep(0.5)
        raise KeyError("mine")

    with caplog.at_level(logging.ERROR, "lionpride"), pytest.raises(KeyError, match="mine"):
        await block(refusing_desk(), [Job(do=sleeps(1))], body)
    assert [each.getMessage() for each in caplog.records] == [
        "the run has failed: the disk is full: make room, and try again"
    ]


async def test_a_block_that_was_left_is_not_called_off() -> None:
    async def body(executor: Executor, jobs: list[Job]) -> None:
        await asyncio.sleep(0.5)

    with pytest.raises(StoreError):
        await block(refusing_desk(), [Job(do=sleeps(1))], body)
    await asyncio.sleep(1)


async def test_stop_leaves_the_block_alone() -> None:
    async def body(executor: Executor, jobs: list[Job]) -> None:
        await executor.stop()
        await asyncio.sleep(1)

    late = Job(do=sleeps(0.5))
    await block(desk(), [late], body)
    assert statuses([late]) == ["pending"]
