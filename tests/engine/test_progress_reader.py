"""`executor.progress`: the reports of an event, followed here or from another process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from kept import KEPT, url_of
from local_objects import LocalObject

from lionpride import Event, Executor, NotFoundError, Progress, current, job


class Task(Event):
    do: LocalObject = None

    async def _invoke(self) -> object:
        return await self.do(self)


@job
async def steps(n: int) -> int:
    seen: asyncio.Event = current().resources
    for i in range(n):
        current().report_progress(i / n, f"step {i}")
        await seen.wait()
        seen.clear()
    return n


async def test_each_report_of_this_process_is_seen() -> None:
    goes_on = asyncio.Event()

    async def do(event: Event) -> str:
        for i in range(3):
            await goes_on.wait()
            goes_on.clear()
            current().report_progress(i / 3, str(i))
        await goes_on.wait()
        return "done"

    async with Executor.of(Task) as executor:
        event = await executor.append(Task(do=do))
        seen: list[Progress] = []
        goes_on.set()
        async for progress in executor.progress(event):
            seen.append(progress)
            goes_on.set()
        assert seen == [Progress(i / 3, str(i)) for i in range(3)]
        assert await executor.result(event) == "done"
        assert [each async for each in executor.progress(event)] == seen[-1:]


async def test_it_ends_with_the_event_whatever_that_comes_to() -> None:
    async def fail(event: Event) -> None:
        current().report_progress(0.5)
        raise OSError("no")

    async with Executor.of(Task) as executor:
        failing = await executor.append(Task(do=fail))
        assert [each.fraction async for each in executor.progress(failing.id)] == [0.5]
        waiting = await executor.append(Task(do=fail), delay=3600)
        reader = asyncio.create_task(_all(executor, waiting))
        await asyncio.sleep(0)
        await executor.cancel(waiting)
        assert await reader == []
    with pytest.raises(NotFoundError):
        await _all(executor, uuid4())


async def _all(executor: Executor, event: Event | UUID) -> list[Progress]:
    return [each async for each in executor.progress(event)]


async def test_a_reader_that_stops_leaves_nothing_behind() -> None:
    async def do(event: Event) -> None:
        current().report_progress(0.1)
        await asyncio.sleep(3600)

    async with Executor.of(Task, grace=0.0) as executor:
        event = await executor.append(Task(do=do))
        async with aclosing(executor.progress(event)) as reports:
            assert await anext(reports) == Progress(0.1)
        live = event.__dict__["_live"]
        assert live.listeners == []
        waiting = await executor.append(Task(do=do), delay=3600)
        reader = asyncio.create_task(_all(executor, waiting))
        await asyncio.sleep(0)
        assert "_live" in waiting.__dict__
        reader.cancel()
        await asyncio.wait([reader])
        assert "_live" not in waiting.__dict__


@pytest.mark.parametrize("kind", KEPT)
async def test_progress_is_seen_where_the_event_does_not_run(kind: str, tmp_path: Path) -> None:
    """Two executors over one database: the reader's own store does not run the event."""
    url = url_of(kind, tmp_path)
    reader = Executor.of(steps, store=url)
    event = await reader.append(steps(3))
    was_seen, seen = asyncio.Event(), list[Progress]()

    @asynccontextmanager
    async def lifespan(worker: Executor) -> AsyncIterator[asyncio.Event]:
        yield was_seen

    async with Executor.of(steps, store=url, lifespan=lifespan):
        async for progress in reader.progress(event.id):
            found = await reader.get(event.id)
            assert isinstance(found, Event)
            assert (found.status, found.execution.progress) == ("processing", progress)
            seen.append(progress)
            was_seen.set()
        assert await reader.result(event.id) == 3
    assert seen == [Progress(i / 3, f"step {i}") for i in range(3)]
    await reader.store.close()
