"""Every store, and an append whose caller is cancelled: it leaves a whole event, or nothing."""

import asyncio
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, ClassVar

import pytest
from stores.asking import check_counts, listed, put
from stores.homes import Home
from stores.makers import Folder, Job, postgres_in, sqlite_in

from lionpride import Event, EventStatus, Executor, Processor
from lionpride.stores.contract import Store
from lionpride.stores.memory import MemoryStore

S = EventStatus
MANY = 120


class Counted(Event):
    """Counts how often each number runs."""

    runs: ClassVar[Counter[int]] = Counter()
    number: int

    async def _invoke(self) -> int:
        self.runs[self.number] += 1
        return self.number


class CountedProcessor(Processor):
    event_type: ClassVar[type[Event]] = Counted


class CountedExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = CountedProcessor


STORES: dict[str, Callable[[], Store]] = {
    "memory": lambda: MemoryStore("counted"),
    "sqlite": lambda: sqlite_in(Folder(), None),
    "postgres": lambda: postgres_in(Home(), None, connections=4),
}

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "on terms": {"ttl": 3600},
    "with space for it": {},
    "waiting for space": {"wait": True},
}
"""Keywords of ``append`` for each way that it can take."""


async def cancel_some(tasks: list[asyncio.Task[Any]], random: Random) -> None:
    """Cancel each at an instant of its own, unless it has ended by then."""

    async def cancel(task: asyncio.Task[Any]) -> None:
        for _ in range(random.randrange(4)):
            await asyncio.sleep(0)
        await asyncio.sleep(random.random() * random.choice((0.0, 0.003, 0.01)))
        task.cancel()

    await asyncio.gather(*map(cancel, tasks))
    await asyncio.wait(tasks)


async def check_all(executor: Executor, events: list[Counted]) -> set[int]:
    """Each is absent, or accepted and to be seen everywhere; the numbers of those accepted."""
    records = await executor.store.get([event.id for event in events])
    accepted = {e.number for e, record in zip(events, records, strict=True) if record is not None}
    assert await listed(executor.store) == {
        event.id: S.PENDING for event in events if event.number in accepted
    }
    assert (await executor.store.counts())[S.PENDING] == len(accepted)
    assert {event.number for event in executor.pending_events} == accepted
    for event in events:
        assert (event in executor) == (event.number in accepted)
        assert (event.execution.arrival is not None) == (event.number in accepted)
    return accepted


@pytest.mark.promise("cancelled-append")
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", STORES)
async def test_a_cancelled_append_leaves_a_whole_event_or_nothing(
    kind: str, way: str, seed: int, opened: list[Store]
) -> None:
    random, events = Random(seed), [Counted(number=number) for number in range(MANY)]
    opened.append(store := STORES[kind]())
    config = {"max_queue_size": 2 * MANY} if "space" in way else {}
    executor, runs = CountedExecutor(config, store=store), Counted.runs
    tasks = [asyncio.create_task(executor.append(event, **WAYS[way])) for event in events]
    await cancel_some(tasks, random)
    await store.close()  # what is under way ends; the next call opens it again
    accepted = await check_all(executor, events)
    answered = {e.number for e, task in zip(events, tasks, strict=True) if not task.cancelled()}
    assert answered <= accepted
    runs.clear()
    async with executor:
        await executor.join()
        assert runs == dict.fromkeys(accepted, 1)
        held = await asyncio.gather(*(executor.append(e, exist_ok=True) for e in events))
        assert all(mine is event for mine, event in zip(held, events, strict=True))
        assert [await executor.result(event) for event in events] == list(range(MANY))
    assert runs == dict.fromkeys(range(MANY), 1)
    await check_counts(store)


@pytest.mark.promise("cancelled-append")
@pytest.mark.parametrize("at_once", [1, 8, MANY])
@pytest.mark.parametrize("kind", STORES)
async def test_a_repeat_settles_an_append_that_was_cancelled_a_moment_ago(
    kind: str, at_once: int, opened: list[Store]
) -> None:
    random, events = Random(at_once), [Counted(number=number) for number in range(MANY)]
    opened.append(store := STORES[kind]())
    executor, runs = CountedExecutor(store=store), Counted.runs
    few = asyncio.Semaphore(at_once)
    runs.clear()

    async def insist(event: Counted) -> Counted:
        async with few:
            task = asyncio.create_task(executor.append(event))
            await cancel_some([task], random)
            return await executor.append(event, exist_ok=True)

    async with executor:
        held = await asyncio.gather(*map(insist, events))
        assert [await executor.result(each) for each in held] == list(range(MANY))
        assert [await executor.result(each) for each in events] == list(range(MANY))
    assert all(mine is event for mine, event in zip(held, events, strict=True))
    assert runs == dict.fromkeys(range(MANY), 1)
    await check_counts(store)


async def test_an_append_that_is_cancelled_before_its_commit_begins_leaves_nothing(
    store: Store,
) -> None:
    await put(store, 1.0)
    job = Job()
    task = asyncio.create_task(store.append([(job, 1.0)]))
    await asyncio.sleep(0)
    if task.done():  # in memory nothing suspends: it was accepted before it could be cancelled
        return
    task.cancel()
    await asyncio.wait([task])
    assert await store.get([job.id]) == [None]
    (held,) = await store.append([(job, 1.0)])
    assert held is job
    await check_counts(store)
