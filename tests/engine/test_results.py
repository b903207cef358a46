"""Many events at once: as they complete, mapped over a source, in memory and in a file."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from engine.kit import (
    Hold,
    Job,
    JobExecutor,
    Waiting,
    background,
    caught,
    desk,
    labels,
    now,
    raises,
    sleeps,
)

from lionpride.core import EventStatus, Executor, Transition
from lionpride.errors import ExistsError, NotFoundError, ValidationError
from lionpride.stores.memory import MemoryStore

URLS = (None, "sqlite:///run.db?synchronous=NORMAL")


@pytest.fixture(params=URLS, ids=["memory", "sqlite"])
def executor(request: Any, tmp_path: Path, monkeypatch: Any) -> Executor:
    """One in memory, and one over a file."""
    monkeypatch.chdir(tmp_path)
    return JobExecutor({"concurrency_limit": 4}, store=request.param)


def numbered(start: int = 0) -> Iterator[Job]:
    """Jobs without end."""
    while True:
        yield Job(label=str(start))
        start += 1


# --- as_completed


@pytest.mark.virtual
async def test_as_completed_gives_what_has_ended_at_once_then_the_rest_as_it_ends() -> None:
    executor = desk()
    ended = await executor.append(Job(label="ended"))
    await executor.forward()
    slow, quick = await executor.append_many(
        [Job(label="slow", do=sleeps(9)), Job(label="quick", do=sleeps(1))]
    )
    failed = await executor.append(Job(label="failed", do=raises(ValueError("no"))))
    async with background(executor):
        asked = [slow, quick, str(ended.id), failed.id]
        seen = [job async for job in executor.as_completed(asked)]
    assert seen == [ended, failed, quick, slow]


async def test_as_completed_over_either_store(executor: Executor) -> None:
    async with executor:
        jobs = await executor.append_many([Job(label=str(n)) for n in range(50)])
        seen = [job async for job in executor.as_completed(jobs)]
    assert sorted(labels(seen)) == sorted(labels(jobs))
    assert all(job.status is EventStatus.COMPLETED for job in seen)


@pytest.mark.virtual
async def test_what_is_sent_back_to_wait_has_not_ended() -> None:
    executor = desk(concurrency_limit=1)
    hold = Hold()
    job = await executor.append(Job(do=hold))
    waiting = asyncio.create_task(anext(executor.as_completed([job])))
    await executor.start()
    running = asyncio.create_task(executor.processor.execute())  # type: ignore[union-attr]
    await hold.has(1)
    running.cancel()
    await asyncio.wait([running])
    assert job.status is EventStatus.PENDING
    assert not waiting.done()
    hold.let_go()
    await executor.forward()
    assert await waiting is job


@pytest.mark.virtual
async def test_as_completed_says_what_is_not_here_or_was_removed() -> None:
    executor = desk()
    with pytest.raises(NotFoundError, match="append it first"):
        await anext(executor.as_completed([Job()]))
    job = await executor.append(Job())
    waiting = asyncio.create_task(anext(executor.as_completed([job])))
    await asyncio.sleep(0)
    await executor.remove(job)
    with pytest.raises(NotFoundError, match="removed before it finished"):
        await waiting


@pytest.mark.virtual
@pytest.mark.parametrize("method", ["as_completed", "map"])
async def test_one_event_is_not_several(method: str) -> None:
    with pytest.raises(TypeError, match=rf"{method}\(\) takes several events"):
        await anext(getattr(desk(), method)(Job()))


@pytest.mark.virtual
async def test_who_stops_early_leaves_no_bell() -> None:
    executor = desk()
    jobs = await executor.append_many([Job() for _ in range(3)])
    async with aclosing(executor.as_completed(jobs)) as ends:
        waiting = asyncio.create_task(anext(ends))
        await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
    assert isinstance(executor.store, MemoryStore)
    assert not executor.store._listeners.any_hint()


@pytest.mark.virtual
async def test_an_event_given_twice_comes_twice_and_nothing_ends_nothing() -> None:
    executor = desk()
    job = await executor.append(Job())
    await executor.forward()
    assert [each async for each in executor.as_completed([job, job.id])] == [job, job]
    assert [each async for each in executor.as_completed([])] == []


# --- map


@pytest.fixture(params=["immediate", "waiting"])
def over(request: Any) -> Callable[..., Executor]:
    """Makes an executor in memory: as it comes, and over a store whose verbs wait."""

    def make(**config: Any) -> Executor:
        return desk(
            store=None if request.param == "immediate" else Waiting(MemoryStore()), **config
        )

    return make


async def test_map_gives_all_in_the_order_of_the_source(executor: Executor) -> None:
    async with executor:
        source = [Job(label=str(n)) for n in range(30)]
        assert [job async for job in executor.map(source)] == source


@pytest.mark.virtual
async def test_map_unordered_gives_each_as_it_ends(over: Callable[..., Executor]) -> None:
    executor = over()
    source = [Job(label=str(n), do=sleeps(n)) for n in (3, 1, 2)]
    async with background(executor):
        seen = [job.label async for job in executor.map(source, ordered=False)]
    assert seen == ["1", "2", "3"]


@pytest.mark.virtual
@pytest.mark.parametrize("ordered", [True, False])
async def test_the_source_is_asked_only_while_there_is_room(
    ordered: bool, over: Callable[..., Executor]
) -> None:
    executor = over(concurrency_limit=2)
    taken = 0

    def source() -> Iterator[Job]:
        nonlocal taken
        for job in numbered():
            taken += 1
            yield job

    ends = executor.map(source(), ordered=ordered, buffersize=3)
    async with background(executor), aclosing(ends):
        for given in range(1, 20):
            await anext(ends)
            await asyncio.sleep(60)
            assert taken == given + 3


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_endless_source_runs_in_flat_memory(executor: Executor, ordered: bool) -> None:
    most = 0
    seen: list[str] = []
    async with executor:
        ends = executor.map(numbered(), ordered=ordered, buffersize=10, keep=False)
        async with aclosing(ends):
            async for job in ends:
                seen.append(job.label)
                most = max(most, len(executor.states.items))
                if len(seen) == 300:
                    break
        await executor.join()
        counts = await executor.store.counts()
    assert most <= 10 + 100
    assert sum(counts.values()) <= 10 + 1, "what was given is gone, but for the last"
    assert seen == sorted(seen, key=int) if ordered else True


async def test_what_is_kept_by_default_goes_by_the_store(executor: Executor) -> None:
    async with executor:
        source = [Job(label=str(n)) for n in range(20)]
        seen = [job async for job in executor.map(source)]
        kept = [job async for job in executor.map([Job(), Job()], keep=True)]
        counts = await executor.store.counts()
    in_memory = isinstance(executor.store, MemoryStore)
    assert counts[EventStatus.COMPLETED] == len(kept) + (0 if in_memory else len(seen))
    assert all(job.response == job.label for job in seen), "an event that was let go of is whole"


@pytest.mark.virtual
async def test_what_is_retried_is_not_let_go_of(over: Callable[..., Executor]) -> None:
    executor = over()
    job = Job(label="again", do=raises(ValueError("no")))
    async with background(executor):
        async for each in executor.map([job]):
            await executor.retry(each)
        assert job in executor
        await executor.join()
    assert job.execution.attempt == 2
    assert job in executor


@pytest.mark.virtual
async def test_an_async_source_is_waited_for_while_events_run(
    over: Callable[..., Executor],
) -> None:
    executor = over()

    async def source() -> AsyncIterator[Job]:
        for n in range(3):
            await asyncio.sleep(10)
            yield Job(label=str(n))

    async with background(executor):
        start = now()
        times = [now() - start async for _ in executor.map(source())]
    assert times == [10, 20, 30]


@pytest.mark.virtual
async def test_what_the_source_raises_comes_after_all_before_it(
    over: Callable[..., Executor],
) -> None:
    executor = over()

    def source() -> Iterator[Job]:
        yield Job(label="a", do=sleeps(5))
        yield Job(label="b")
        raise LookupError("no more")

    for ordered in (True, False):
        async with background(executor):
            ends = executor.map(source(), ordered=ordered)
            seen = [(await anext(ends)).label for _ in range(2)]
            with pytest.raises(LookupError, match="no more"):
                await anext(ends)
        assert sorted(seen) == ["a", "b"]


@pytest.mark.virtual
async def test_an_event_that_is_refused_ends_the_map_and_one_that_is_known_may_be_given(
    over: Callable[..., Executor],
) -> None:
    executor = over()
    known = await executor.append(Job(label="known"))
    async with background(executor):
        assert isinstance(await caught(anext(executor.map([known]))), ExistsError)
        assert isinstance(await caught(anext(executor.map(["x"]))), TypeError)  # type: ignore[list-item]
        assert [job async for job in executor.map([known], exist_ok=True)] == [known]


@pytest.mark.virtual
@pytest.mark.parametrize("size", [0, -1, 1.5, True, "3"])
async def test_a_buffer_of_no_size_is_refused(size: Any, over: Callable[..., Executor]) -> None:
    with pytest.raises(ValidationError, match="buffersize must be a whole number from 1 up"):
        await anext(over().map([Job()], buffersize=size))


@pytest.mark.virtual
async def test_map_waits_for_room_in_the_queue(over: Callable[..., Executor]) -> None:
    executor = over(concurrency_limit=1, max_queue_size=2)
    most = 0

    def note(step: Transition) -> None:
        nonlocal most
        most = max(most, len(executor.pending_events))

    executor.observe(note)
    async with background(executor):
        source = [Job(label=str(n), do=sleeps(1)) for n in range(10)]
        assert [job async for job in executor.map(source, buffersize=8)] == source
    assert most == 2


@pytest.mark.virtual
async def test_who_breaks_off_a_map_leaves_what_was_appended_and_no_task(
    over: Callable[..., Executor],
) -> None:
    executor = over(concurrency_limit=1)
    before = asyncio.all_tasks()
    async with background(executor):
        async with aclosing(executor.map(numbered(), buffersize=3)) as ends:
            await anext(ends)
        await executor.join()
    assert asyncio.all_tasks() == before
    assert len(executor.completed_events) == 3


# --- two executors over one store


@pytest.mark.virtual
async def test_what_another_executor_on_the_store_runs_is_known_here() -> None:
    store = MemoryStore("shared")
    asking, working = desk(store=store), desk(store=store)
    steps: list[tuple[Any, Any]] = []
    asking.observe(lambda step: steps.append((step.before, step.after)))
    hold = Hold(result="r")
    job, other = await asking.append_many([Job(do=hold), Job(do=sleeps(99))])
    result = asyncio.create_task(asking.result(job))
    ends = asyncio.create_task(anext(asking.as_completed([job])))
    async with background(working):
        await hold.has(1)
        hold.let_go()
        assert await result == "r"
        assert await ends is job
        assert await asking.cancel(other)
        assert [each async for each in asking.as_completed([other])] == [other]
        assert other.status is EventStatus.CANCELLED
    assert steps.count(("pending", "processing")) == 2
    assert steps[-2:] == [("processing", "completed"), ("processing", "cancelled")]
