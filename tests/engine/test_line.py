"""Waiting for room: first come, first served, without a clock, and without a trace if given up."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from engine.kit import Job, JobExecutor, background, desk, labels, sleeps, worker

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
    assert not executor.store._bells.any()


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
    with pytest.raises(QueueFullError, match="4 more have no room"):
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


async def test_a_full_file_lets_in_what_fits(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "run.db", "jobs", synchronous="NORMAL")
    executor = JobExecutor({"max_queue_size": 5, "concurrency_limit": 2}, store=store)
    async with executor:
        await asyncio.gather(*(executor.append(Job(), wait=True) for _ in range(200)))
        await executor.join()
        counts = await store.counts()
    await store.close()
    assert counts[EventStatus.COMPLETED] == 200
