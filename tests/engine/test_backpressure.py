"""Waiting for room: first come, first served, without a clock, and without a trace if given up."""

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import pytest
from engine.kit import (
    Contract,
    Job,
    JobExecutor,
    Waiting,
    background,
    desk,
    labels,
    sleeps,
    worker,
)

from lionpride.core import EventStatus, Executor
from lionpride.errors import QueueFullError
from lionpride.stores.memory import MemoryStore
from lionpride.stores.sqlite import SqliteStore


def crowd(executor: Executor, *names: str) -> list[asyncio.Task[Job]]:
    """Tasks that wait to append a job each."""
    return [
        asyncio.create_task(executor.append(Job(label=name), float(n), wait=True))
        for n, name in enumerate(names)
    ]


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.mark.virtual
async def test_who_waits_is_let_in_in_order() -> None:
    executor = desk(max_queue_size=1, concurrency_limit=1)
    await executor.append(Job(label="first"), -1.0)
    tasks = crowd(executor, "a", "b", "c")
    await asyncio.sleep(3600)
    assert not any(task.done() for task in tasks)
    async with background(executor):
        await asyncio.gather(*tasks)
        await executor.join()
    assert labels(executor.completed_events) == ["first", "a", "b", "c"]


@pytest.mark.virtual
@pytest.mark.parametrize("how", ["start", "cancel", "remove"])
@pytest.mark.parametrize("asks", [False, True])
async def test_whatever_makes_room_lets_one_in(how: str, asks: bool) -> None:
    executor = desk(asks=asks, max_queue_size=1)
    first = await executor.append(Job(do=sleeps(5)), -1.0)
    one, other = crowd(executor, "a", "b")
    await turns()
    if how == "start":
        await executor.start()
        running = asyncio.create_task(worker(executor).process())
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait([running])
    else:
        await getattr(executor, how)(first)
    assert (await one).label == "a"
    await turns()
    assert not other.done()
    other.cancel()


@pytest.mark.virtual
async def test_who_gives_up_leaves_nothing_and_holds_up_nobody() -> None:
    executor = desk(max_queue_size=1)
    first = await executor.append(Job())
    head, second, third = crowd(executor, "head", "second", "third")
    await turns()
    for task in (head, second):
        task.cancel()
    await asyncio.wait([head, second])
    await executor.remove(first)
    assert (await third).label == "third"
    assert labels(executor.states.items) == ["third"]
    assert isinstance(executor.store, MemoryStore)
    assert not executor.store._listeners.any_hint()


@pytest.mark.virtual
async def test_who_gives_up_in_the_turn_in_which_there_is_room_takes_none() -> None:
    executor = desk(max_queue_size=1)
    first = await executor.append(Job())
    head, second = crowd(executor, "head", "second")
    await turns()
    head.cancel()
    await executor.remove(first)  # in memory nothing suspends: the head has not left yet
    assert (await second).label == "second"
    assert head.cancelled()
    third = asyncio.create_task(executor.append(Job(), wait=True))
    await turns()
    third.cancel()
    await asyncio.wait([third])
    assert isinstance(executor.store, MemoryStore)
    assert not executor.store._listeners.any_hint(), "the last who waited was cancelled"
    await executor.remove(second.result())
    await executor.append(Job(), wait=True)


class Counting(Contract):
    """A store that counts those who ask it together."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.asked: list[int] = []
        self._inside = self._together = 0

    async def append(self, *args: Any, **kwargs: Any) -> Any:
        self._inside += 1
        self._together += 1
        await turns(3)
        self._inside -= 1
        if not self._inside:
            self.asked.append(self._together)
            self._together = 0
        return await self.inner.append(*args, **kwargs)


@pytest.mark.virtual
async def test_those_who_wait_ask_together_in_their_order_while_there_is_room() -> None:
    store = Counting(MemoryStore())
    executor = desk(store=store, max_queue_size=1000)
    tasks = crowd(executor, *map(str, range(100)))
    await asyncio.gather(*tasks)
    assert [task.result().execution.arrival for task in tasks] == list(range(1, 101))
    assert store.asked == [1, 2, 4, 8, 16, 32, 37]


@pytest.mark.virtual
async def test_where_it_is_full_few_ask_each_time_that_there_is_room() -> None:
    store = Counting(MemoryStore())
    executor = desk(store=store, max_queue_size=1)
    await executor.append(Job(label="first"))
    tasks = crowd(executor, *map(str, range(100)))
    await asyncio.sleep(100)
    store.asked.clear()
    for task in [None, *tasks[:50]]:
        if task is not None:
            await task
        await executor.remove(executor.pending_events[0])
        await asyncio.sleep(100)
    assert sum(store.asked) <= 51 * 3
    assert [task.done() for task in tasks] == [True] * 51 + [False] * 49
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.mark.virtual
async def test_a_batch_is_overtaken_by_nobody_behind_it() -> None:
    executor = desk(store=Waiting(MemoryStore()), max_queue_size=3)
    held = await executor.append_many([Job(), Job(), Job()])
    batch = asyncio.create_task(executor.append_many([Job(), Job()], wait=True))
    await turns()
    single = asyncio.create_task(executor.append(Job(), wait=True))
    await executor.remove(held[0])
    await turns()
    assert not single.done(), "there is room for it, but not for those before it"
    await executor.remove(held[1])
    await batch
    await executor.remove(held[2])
    await single


@pytest.mark.virtual
@pytest.mark.parametrize("seed", range(40))
async def test_whoever_comes_and_goes_all_who_stay_get_in_in_their_order(seed: int) -> None:
    random = Random(seed)
    store = MemoryStore() if seed % 2 else Waiting(MemoryStore())
    executor = desk(store=store, max_queue_size=5)
    taken: list[Job] = []
    executor.observe(lambda step: taken.append(step.event) if step.before is None else None)
    tasks: list[asyncio.Task[Any]] = []
    for _ in range(200):
        chance = random.random()
        if chance < 0.5:
            tasks.append(asyncio.create_task(executor.append(Job(), wait=True)))
        elif chance < 0.6:
            jobs = [Job() for _ in range(random.randrange(2, 6))]
            tasks.append(asyncio.create_task(executor.append_many(jobs, wait=True)))
        elif chance < 0.7 and tasks:
            random.choice(tasks).cancel()
        elif executor.pending_events:
            await executor.remove(random.choice(executor.pending_events))
        await turns(random.choice([0, 0, 1, 5]))
    while not all(task.done() for task in tasks):
        for job in list(executor.pending_events):
            await executor.remove(job)
        await turns()
    given = [task.result() for task in tasks if not task.cancelled()]
    came = [job for each in given for job in (each if isinstance(each, list) else [each])]
    assert [job for job in taken if job in came] == came
    assert not store._listeners.any_hint()


@pytest.mark.virtual
async def test_without_wait_a_full_queue_refuses() -> None:
    executor = desk(max_queue_size=1)
    await executor.append(Job(), wait=True)
    with pytest.raises(QueueFullError, match="wait=True"):
        await executor.append(Job())


@pytest.mark.virtual
async def test_a_batch_waits_for_room_for_all_and_is_refused_if_there_never_is() -> None:
    executor = desk(max_queue_size=3)
    jobs = await executor.append_many([Job(), Job()])
    batch = asyncio.create_task(executor.append_many([Job(), Job()], wait=True))
    await turns()
    assert not batch.done()
    await executor.remove(jobs[0])
    assert len(await batch) == 2 == len(executor.pending_events) - 1
    with pytest.raises(QueueFullError, match="there is no space for 4 more; append at most 3 in"):
        await executor.append_many([Job() for _ in range(4)], wait=True)


@pytest.mark.virtual
async def test_an_executor_without_a_bound_never_waits() -> None:
    executor = desk()
    await executor.append_many([Job() for _ in range(100)], wait=True)
    await executor.append(Job(), wait=True)
    assert len(executor.pending_events) == 101


def test_a_line_serves_one_loop_after_another() -> None:
    executor = desk(max_queue_size=1)

    async def fill() -> None:
        first = await executor.append(Job(), wait=True)
        tasks = crowd(executor, "a", "b")
        await turns()
        await executor.remove(first)
        await executor.remove(await tasks[0])
        await executor.remove(await tasks[1])

    asyncio.run(fill())
    asyncio.run(fill())


async def test_another_process_makes_room(tmp_path: Path) -> None:
    """Two stores over one file know nothing of each other but what is in it."""

    def over(**config: Any) -> Executor:
        store = SqliteStore(tmp_path / "run.db", "jobs", synchronous="NORMAL")
        return JobExecutor(config, store=store)

    giving, working = over(max_queue_size=2), over(concurrency_limit=1)
    try:
        await giving.append_many([Job(), Job()])
        tasks = crowd(giving, "a", "b", "c", "d")
        async with working:
            await asyncio.gather(*tasks)
            await working.join()
        counts = await giving.store.counts()
    finally:
        await giving.store.close()
        await working.store.close()
    assert counts[EventStatus.COMPLETED] == 6
    assert [task.result().execution.arrival for task in tasks] == [3, 4, 5, 6]


async def test_another_process_makes_room_for_one_that_had_not_opened_the_file(
    tmp_path: Path,
) -> None:
    """As ``lionpride append --wait`` does: the append is the first use of the store."""

    def over(**config: Any) -> Executor:
        store = SqliteStore(tmp_path / "run.db", "jobs", synchronous="NORMAL")
        return JobExecutor(config, store=store)

    first, waiting, working = over(), over(max_queue_size=2), over()
    try:
        await first.append_many([Job(), Job()])
        (task,) = crowd(waiting, "a")
        await turns()
        await waiting.store.counts()  # the append was refused before this is answered
        async with asyncio.timeout(30):
            async with working:
                await task
                await working.join()
    finally:
        for executor in (first, waiting, working):
            await executor.store.close()
    assert task.result().execution.arrival == 3


async def test_a_full_file_lets_in_what_fits(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "run.db", "jobs", synchronous="NORMAL")
    executor = JobExecutor({"max_queue_size": 5, "concurrency_limit": 2}, store=store)
    async with executor:
        await asyncio.gather(*(executor.append(Job(), wait=True) for _ in range(200)))
        await executor.join()
        counts = await store.counts()
    await store.close()
    assert counts[EventStatus.COMPLETED] == 200
