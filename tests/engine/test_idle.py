"""Idle, it uses no CPU: nothing polls. Counted in turns of the loop and in timers, not in time."""

import asyncio
from typing import Any

import pytest
from engine.kit import Hold, Job, Waiting, answers, background, desk, statuses, worker

from lionpride.core import Executor
from lionpride.testing import VirtualLoop


class CountingLoop(VirtualLoop):
    """Counts its turns, and the timers that are set."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self.timers = 0

    def _run_once(self) -> None:
        self.turns += 1
        super()._run_once()  # type: ignore[misc]

    def call_at(self, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*args, **kwargs)


async def cost_of_a_day() -> tuple[int, int]:
    """The turns that the loop takes in a day, and the timers that are set, but for our own."""
    return await cost_of(86_400)


async def cost_of(seconds: float) -> tuple[int, int]:
    """The turns and the timers of this time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    for _ in range(20):
        await asyncio.sleep(0)  # let what was begun settle
    turns, timers = loop.turns, loop.timers
    await asyncio.sleep(seconds)
    return loop.turns - turns, loop.timers - timers - 1


def run(main: Any) -> Any:
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        return runner.run(main)


ONE_WAIT = 3
"""Turns that a sleep of our own takes: to the timer, to its callback, and back to us."""


def test_the_measure_itself() -> None:
    async def busy() -> None:
        while True:
            await asyncio.sleep(3600)

    async def main() -> tuple[int, int]:
        task = asyncio.create_task(busy())
        cost = await cost_of_a_day()
        task.cancel()
        return cost

    assert run(cost_of_a_day()) <= (ONE_WAIT, 0)
    turns, timers = run(main())
    assert turns >= 24
    assert timers >= 23


async def wait_for_work(executor: Executor) -> tuple[int, int]:
    async with background(executor):
        await executor.append(Job())
        await executor.join()
        return await cost_of_a_day()


async def wait_with_many_rested_workers(executor: Executor) -> tuple[int, int]:
    hold = Hold()
    async with background(executor):
        await executor.append_many([Job(do=hold) for _ in range(10)])
        await hold.has(10)
        hold.let_go()
        await executor.join()
        return await cost_of_a_day()


async def wait_for_a_slot(executor: Executor) -> tuple[int, int]:
    hold = Hold()
    async with background(executor):
        await executor.append_many([Job(do=hold) for _ in range(30)])
        await hold.has(10)
        cost = await cost_of_a_day()
        hold.let_go()
        await executor.join()
        return cost


async def wait_for_an_answer(executor: Executor) -> tuple[int, int]:
    gate = Hold()
    async with background(executor):
        await executor.append_many([Job(ask=gate) for _ in range(3)])
        await gate.has(1)
        cost = await cost_of_a_day()
        gate.let_go()
        await executor.join()
        return cost


async def wait_for_the_end(executor: Executor) -> tuple[int, int]:
    """``join()`` and ``result()`` wait as well, and cost nothing while they do."""
    hold = Hold()
    async with background(executor):
        job = await executor.append(Job(do=hold))
        await hold.has(1)
        waiters = [asyncio.create_task(executor.join()) for _ in range(5)]
        waiters += [asyncio.create_task(executor.result(job)) for _ in range(5)]
        cost = await cost_of_a_day()
        assert not any(waiter.done() for waiter in waiters)
        hold.let_go()
        await asyncio.gather(*waiters)
        return cost


async def wait_to_dequeue(executor: Executor) -> tuple[int, int]:
    await executor.start()
    task = asyncio.create_task(worker(executor).dequeue())
    cost = await cost_of_a_day()
    job = await executor.append(Job())
    assert await task is job
    return cost


SITUATIONS = [
    wait_for_work,
    wait_with_many_rested_workers,
    wait_for_a_slot,
    wait_for_the_end,
    wait_to_dequeue,
]


@pytest.mark.promise("notebook-execute")
@pytest.mark.parametrize(
    ("situation", "asks"),
    [*((each, asks) for each in SITUATIONS for asks in (False, True)), (wait_for_an_answer, True)],
)
def test_who_waits_costs_nothing(situation: Any, asks: bool) -> None:
    turns, timers = run(situation(desk(asks=asks, concurrency_limit=10)))
    assert turns <= ONE_WAIT
    assert timers == 0


@pytest.mark.parametrize("loops", [1, 5])
def test_several_idle_loops_cost_no_more(loops: int) -> None:
    async def main() -> tuple[int, int]:
        executor = desk()
        await executor.start()
        tasks = [asyncio.create_task(worker(executor).execute()) for _ in range(loops)]
        cost = await cost_of_a_day()
        await executor.stop()
        await asyncio.gather(*tasks)
        return cost

    turns, timers = run(main())
    assert turns <= ONE_WAIT
    assert timers == 0


def test_a_wait_for_a_time_is_one_timer() -> None:
    """A window, a backoff, or a delay of half a day: woken once, when it is over."""

    async def window() -> tuple[int, int]:
        executor = desk(queue_capacity=1, capacity_refresh_time=3600.0)
        async with background(executor):
            await executor.append_many([Job() for _ in range(3)])
            return await cost_of_a_day()

    async def backoff() -> tuple[int, int]:
        executor = desk(asks=True, denial_backoff=40_000.0)
        async with background(executor):
            await executor.append(Job(ask=answers(False, True)))
            return await cost_of_a_day()

    async def delay() -> tuple[int, int]:
        executor = desk()
        async with background(executor):
            await executor.append_many([Job() for _ in range(9)], delay=40_000.0)
            return await cost_of_a_day()

    for situation, waits in ((window, 2), (backoff, 1), (delay, 1)):
        turns, timers = run(situation())
        assert turns <= ONE_WAIT + 4 * waits
        assert timers <= waits


class SlowClaims(Waiting):
    """A store whose claims take until ``answer`` is set."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.answer = asyncio.Event()

    async def claim(self, *args: Any, **options: Any) -> Any:
        await self.answer.wait()
        return await self.inner.claim(*args, **options)


def test_a_wait_for_starts_that_a_claim_of_another_loop_has_reserved_does_not_poll() -> None:
    async def main() -> tuple[int, int]:
        store = SlowClaims(desk().store)
        executor = desk(store=store, queue_capacity=2, capacity_refresh_time=3600.0)
        await executor.start()
        jobs = await executor.append_many([Job() for _ in range(5)])
        tasks = [asyncio.create_task(worker(executor).execute()) for _ in range(2)]
        cost = await cost_of(60)
        store.answer.set()
        await executor.join()
        assert statuses(jobs) == ["completed"] * 5
        await executor.stop()
        await asyncio.gather(*tasks)
        return cost

    turns, timers = run(main())
    assert turns <= ONE_WAIT
    assert timers == 0
