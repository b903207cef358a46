"""Over a store that waits, one claim takes as many events as may start, and never one more."""

import asyncio
import gc
from typing import Any

import pytest
from engine.kit import (
    Job,
    Waiting,
    agree,
    answers,
    background,
    desk,
    execute,
    has_all_slots,
    now,
    sleeps,
    statuses,
    worker,
)

from lionpride.core import Executor
from lionpride.stores.contract import Claim
from lionpride.testing import VirtualLoop, run_virtual


class Counted(Waiting):
    """Notes how many each claim asked for."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.asked: list[int] = []

    async def claim(self, worker: str, n: int = 1, **how: Any) -> tuple[list[Claim], float | None]:
        self.asked.append(n)
        await asyncio.sleep(0)
        answer: tuple[list[Claim], float | None] = await self.inner.claim(worker, n, **how)
        return answer


def slow_desk(*, asks: bool = False, **config: Any) -> tuple[Executor, Counted]:
    store = Counted(desk().store)
    return desk(asks=asks, store=store, **config), store


@pytest.mark.virtual
async def test_a_claim_takes_what_may_start_at_once() -> None:
    executor, store = slow_desk(concurrency_limit=3)
    jobs = await executor.append_many([Job(do=sleeps(5)) for _ in range(6)])
    began = now()
    assert await execute(executor) is None
    assert statuses(jobs) == ["completed"] * 6
    assert now() - began == 10, "all slots were used"
    assert store.asked[0] == 3
    assert max(store.asked) == 3
    await has_all_slots(executor, execute, 3)
    agree(executor)


@pytest.mark.virtual
async def test_who_asks_permission_claims_one_at_a_time() -> None:
    executor, store = slow_desk(asks=True, concurrency_limit=3)
    jobs = await executor.append_many([Job(ask=answers(True)) for _ in range(6)])
    assert await execute(executor) is None
    assert statuses(jobs) == ["completed"] * 6
    assert set(store.asked) == {1}


@pytest.mark.virtual
async def test_a_claim_takes_no_more_than_the_window_allows() -> None:
    executor, store = slow_desk(queue_capacity=2, capacity_refresh_time=10, concurrency_limit=5)
    began, started = now(), list[float]()

    async def do(event: Job) -> None:
        started.append(now() - began)

    await executor.append_many([Job(do=do) for _ in range(5)])
    assert await execute(executor) is None
    assert max(store.asked) == 2
    assert all(later - first >= 10 for first, later in zip(started, started[2:], strict=False))


@pytest.mark.virtual
async def test_what_was_dealt_and_not_started_can_be_cancelled_and_given_back() -> None:
    executor, _ = slow_desk(concurrency_limit=4)

    async def do(event: Job) -> None:
        assert await executor.cancel(jobs[1]) is True
        await executor.stop()

    jobs = await executor.append_many([Job(do=do), Job(), Job(), Job()])
    assert await execute(executor) is None
    assert jobs[0].status == "completed"
    assert set(statuses(jobs[1:])) <= {"cancelled", "completed", "pending"}
    agree(executor)
    assert await execute(executor) is None
    await has_all_slots(executor, execute, sum(each == "completed" for each in statuses(jobs)))


@pytest.mark.virtual
async def test_a_slot_is_free_while_the_store_takes_its_time() -> None:
    executor, _ = slow_desk(concurrency_limit=1)
    running = 0

    async def do(event: Job) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(1)
        running -= 1

    async with background(executor):
        await executor.append_many([Job(do=do) for _ in range(4)])
        await executor.join()
    assert len(executor.completed_events) == 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("turns", range(12))
def test_a_loop_that_was_closed_in_the_midst_takes_no_slots_with_it(turns: int) -> None:
    executor, _ = slow_desk(concurrency_limit=2)
    first, run = VirtualLoop(), list[asyncio.Task[None]]()

    async def begin() -> None:
        await executor.append_many([Job(do=sleeps(100)) for _ in range(3)])
        await executor.start()
        run.append(asyncio.create_task(worker(executor).execute()))
        for _ in range(turns):
            await asyncio.sleep(0)

    first.run_until_complete(begin())
    first.close()  # and nobody has cancelled what runs in it
    shop = worker(executor)._runtime

    async def go_on() -> None:
        await executor.forward()
        assert (shop.running, shop.reserved) == (0, 0)

    run_virtual(go_on())
    run.clear()
    gc.collect()  # what is left of the first loop goes here
    assert (shop.running, shop.reserved) == (0, 0)
