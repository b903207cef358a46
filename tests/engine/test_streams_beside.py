"""Following what another process runs: two stores on one file, and two processes."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from engine.kit import Contract, Job, JobExecutor, Tape

from lionpride.core import Event, EventStatus, Executor
from lionpride.errors import EventCancelledError, RestartedError
from lionpride.stores.memory import MemoryStore
from lionpride.stores.open import open_store

URL = "sqlite:///run.db?synchronous=NORMAL"

WORKER = """
import asyncio, os, sys
from lionpride.core import Event, Executor, Processor

class Count(Event):
    upto: int = 0
    streaming: bool = True
    async def _stream(self):
        for number in range(self.upto):
            yield {"number": number, "attempt": self.execution.attempt}
            if number == 2 and self.execution.attempt == 1:
                await asyncio.sleep(float(os.environ.get("PAUSE", "0")))
            await asyncio.sleep(0)

class Counts(Processor):
    event_type = Count

class Desk(Executor):
    processor_type = Counts

async def work():
    async with Desk(store=sys.argv[1], queue="counts") as desk:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

if __name__ == "__main__":
    asyncio.run(work())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: Any) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def two() -> tuple[Executor, Executor]:
    """One that runs events, and one beside it, on the same file."""
    return (
        JobExecutor({"concurrency_limit": 4}, store=URL, queue="q"),
        JobExecutor(store=URL, queue="q"),
    )


class Gate:
    """Streams that wait for a word after some of their chunks."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def do(self, event: Job) -> AsyncIterator[Any]:
        yield "a"
        yield {"b": b"\x00"}
        event.progress(0.5, "half")
        await self.open.wait()
        yield "c"


CHUNKS = ["a", {"b": b"\x00"}, "c"]


async def running(worker: Executor, gate: Gate, beside: Executor) -> Tape:
    """An event that the worker runs, and that stands still after two chunks; as beside has it."""
    event = await worker.append(Tape(do=gate.do))
    found = await beside.store.find(event.id)
    assert isinstance(found, Tape)
    return found


@pytest.mark.promise("streams-across-processes")
async def test_chunks_are_seen_before_the_end_and_all_of_them_at_the_end(folder: Path) -> None:
    worker, beside = two()
    gate = Gate()
    async with worker:
        event = await running(worker, gate, beside)
        async with aclosing(beside.stream(event)) as chunks:
            assert [await anext(chunks), await anext(chunks)] == CHUNKS[:2]
            (record,) = await beside.store.get([event.id])
            assert record is not None
            assert record.status is EventStatus.PROCESSING
            assert (record.progress, record.chunks) == ((0.5, "half"), 2)
            (listed,) = await beside.store.list_records(EventStatus.PROCESSING)
            assert (listed.progress, listed.chunks) == ((0.5, "half"), 2)
            late = asyncio.create_task(all_of(beside, event.id))
            gate.open.set()
            assert [chunk async for chunk in chunks] == ["c"]
        assert await late == CHUNKS == event.response
        assert await all_of(beside, event) == CHUNKS
    (record,) = await beside.store.get([event.id])
    assert record is not None
    assert (record.progress, record.chunks) == (None, 0)
    await beside.store.close()


async def all_of(executor: Executor, event: Any, **options: Any) -> list[Any]:
    return [chunk async for chunk in executor.stream(event, **options)]


async def test_a_reader_takes_the_event_along_across_stores(folder: Path) -> None:
    worker, beside = two()
    gate = Gate()
    async with worker:
        event = await running(worker, gate, beside)
        async with aclosing(beside.stream(event, cancel_with_reader=True)) as chunks:
            assert await anext(chunks) == "a"
        with pytest.raises(EventCancelledError):
            await worker.result(event.id)
        (mine,) = worker.cancelled_events
        assert mine.response == CHUNKS[:2]
        seen: list[Any] = []
        with pytest.raises(EventCancelledError):  # noqa: PT012 - the chunks come before it
            async for chunk in beside.stream(event):
                seen.append(chunk)  # noqa: PERF401
        assert seen == CHUNKS[:2]
    await beside.store.close()


async def test_another_attempt_elsewhere_is_told_of(folder: Path) -> None:
    worker, beside = two()
    gate = Gate()
    await worker.start()
    assert worker.processor is not None
    running_now = asyncio.create_task(worker.processor.execute())
    event = await running(worker, gate, beside)
    wiped: list[bool] = []
    retelling = asyncio.create_task(all_of(beside, event, on_restart=lambda: wiped.append(True)))
    async with aclosing(beside.stream(event)) as chunks:
        assert await anext(chunks) == "a"
        assert await anext(chunks) == CHUNKS[1]
        running_now.cancel()
        await asyncio.wait([running_now])
        await worker.start()
        running_now = asyncio.create_task(worker.processor.execute())
        with pytest.raises(RestartedError):
            await anext(chunks)
    gate.open.set()
    assert (await retelling)[-3:] == CHUNKS
    assert wiped == [True]
    await worker.stop()
    await running_now
    await worker.store.close()
    await beside.store.close()


async def test_more_than_one_step_writes_comes_in_order(folder: Path) -> None:
    worker, beside = two()
    hold = asyncio.Event()

    async def do(event: Job) -> AsyncIterator[int]:
        for number in range(3000):
            yield number
        await hold.wait()

    async with worker:
        event = await worker.append(Tape(do=do))
        found = await beside.store.find(event.id)
        async with aclosing(beside.stream(found)) as chunks:  # type: ignore[arg-type]
            assert [await anext(chunks) for _ in range(3000)] == list(range(3000))
            assert event.status is EventStatus.PROCESSING
            hold.set()
            with pytest.raises(StopAsyncIteration):
                await anext(chunks)
    await beside.store.close()


class Slow(Contract):
    """A store in memory that says it is shared, and takes its time to be asked."""

    is_shared = True

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.asked, self.answers = asyncio.Event(), asyncio.Event()

    def publish(self, event: Event, attempt: int) -> None:
        """Nobody is told."""

    async def published(self, event: Event, attempt: int, first: int) -> None:
        self.asked.set()
        await self.answers.wait()


@pytest.mark.virtual
async def test_an_end_that_comes_while_the_store_is_asked_is_not_missed() -> None:
    store = Slow()
    executor = JobExecutor(store=store)  # type: ignore[arg-type]
    event = await executor.append(Tape())
    reading = asyncio.create_task(all_of(executor, event))
    await store.asked.wait()
    await executor.cancel(event)
    store.answers.set()
    with pytest.raises(EventCancelledError):
        await reading


# --- processes


class Other:
    """A process that runs the events of the file."""

    def __init__(self, folder: Path, **environment: str) -> None:
        script = folder / "worker.py"
        script.write_text(WORKER)
        self.process = subprocess.Popen(
            [sys.executable, str(script), URL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    async def ready(self) -> None:
        assert self.process.stdout is not None
        assert await asyncio.to_thread(self.process.stdout.readline) == "ready\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> None:
        self.process.communicate("\n", timeout=20)


@pytest.mark.promise("streams-across-processes")
async def test_a_process_dies_another_goes_on_and_the_reader_hears_of_it(folder: Path) -> None:
    first = Other(folder, PAUSE="1000")
    await first.ready()
    space: dict[str, Any] = {"__name__": "worker"}
    exec(WORKER, space)
    desk = space["Desk"](store=URL, queue="counts")
    event = await desk.append(space["Count"](upto=5))
    async with aclosing(desk.stream(event)) as chunks:
        given = [await anext(chunks) for _ in range(3)]
        assert given == [{"number": n, "attempt": 1} for n in range(3)]
        second = Other(folder)
        await second.ready()
        first.kill()
        with pytest.raises(RestartedError):
            await anext(chunks)
    assert await all_of(desk, event) == [{"number": n, "attempt": 2} for n in range(5)]
    second.end()
    async with desk:
        assert await desk.store.published(event, 2, 0) is None
    assert not (folder / "run.db-wal").exists()


class LateAnswers(Contract):
    """A store that answers a reader only once an event has yielded, as a server may."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.asked, self.yielded = asyncio.Event(), asyncio.Event()

    async def published(self, *args: Any) -> Any:
        self.asked.set()
        answer = await self.inner.published(*args)
        await self.yielded.wait()
        return answer


async def test_a_chunk_that_comes_while_the_store_is_asked_is_given_at_once(folder: Path) -> None:
    store = LateAnswers(open_store(URL, queue="q", name="q"))
    gate = asyncio.Event()

    async def do(event: Job) -> AsyncIterator[Any]:
        yield "first"
        store.yielded.set()
        await gate.wait()

    executor = JobExecutor(store=store)
    event = await executor.append(Tape(do=do))
    reader = asyncio.create_task(anext(aiter(executor.stream(event))))
    await store.asked.wait()  # while the event waits
    async with executor:
        assert await reader == "first"
        gate.set()
