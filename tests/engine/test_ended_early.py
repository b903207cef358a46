"""Runs, drains and attempts that end before they have begun."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lionpride.core import Event, EventStatus, Executor, Transition
from lionpride.errors import OperationError


class Waits(Event):
    seconds: float = 0.0

    async def _invoke(self) -> str:
        await asyncio.sleep(self.seconds)
        return "done"


class Plain(Event):
    def _invoke(self) -> str:
        return "done"


@pytest.mark.virtual
async def test_a_cancel_in_the_notification_of_a_start_ends_no_later_event() -> None:
    executor = Executor.of(Waits, concurrency_limit=1)
    first, second = Waits(seconds=5, timeout=60), Waits(seconds=3)

    def cancel(step: Transition) -> None:
        if step.event is first and step.after is EventStatus.PROCESSING:
            with pytest.raises(StopIteration):  # it answers without waiting
                executor.cancel(first).send(None)

    executor.observe(cancel)
    async with executor:
        await executor.append_many([first, second])
        await executor.join()
    assert (first.status, second.status) == (EventStatus.CANCELLED, EventStatus.COMPLETED)


@pytest.mark.virtual
async def test_a_drain_that_fails_does_not_open_a_drained_executor() -> None:
    executor = Executor.of(Waits, concurrency_limit=1)
    async with executor:
        await executor.append_many([Waits(seconds=1) for _ in range(3)])
        assert await executor.drain(0.1) == 3
        with pytest.raises(OperationError, match="nothing is running them"):
            await executor.drain(0.1)
        with pytest.raises(OperationError, match="no more events"):
            await executor.append(Waits())


@pytest.mark.virtual
async def test_one_of_two_drains_that_is_cancelled_does_not_open_the_executor() -> None:
    executor = Executor.of(Waits, concurrency_limit=1)
    async with executor:
        await executor.append(Waits(seconds=1))
        drains = [asyncio.create_task(executor.drain()) for _ in range(2)]
        await asyncio.sleep(0.1)
        drains[0].cancel()
        await asyncio.wait(drains[:1])
        with pytest.raises(OperationError, match="no more events"):
            await executor.append(Waits())
        assert await drains[1] == 0


@pytest.mark.virtual
async def test_a_single_drain_that_is_cancelled_opens_the_executor_again() -> None:
    executor = Executor.of(Waits, concurrency_limit=1)
    async with executor:
        await executor.append(Waits(seconds=1))
        drain = asyncio.create_task(executor.drain())
        await asyncio.sleep(0.1)
        drain.cancel()
        await asyncio.wait([drain])
        await executor.run(Waits())


def open_files(folder: Path) -> list[str]:
    names = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.exists()]
    return [name for name in names if name.startswith(str(folder))]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="lists open files by /proc")
async def test_a_lifespan_that_fails_after_it_used_the_store_leaves_no_file_open(
    tmp_path: Path,
) -> None:
    @asynccontextmanager
    async def fails(executor: Any) -> AsyncIterator[None]:
        await executor.append(Waits())
        assert open_files(tmp_path)
        raise OSError("no network")
        yield

    executor = Executor.of(Waits, store=f"sqlite:///{tmp_path / 'run.db'}", lifespan=fails)
    with pytest.raises(OSError, match="no network"):
        async with executor:
            pass
    assert open_files(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="lists open files by /proc")
async def test_a_block_that_is_cancelled_at_its_end_closes_its_store(tmp_path: Path) -> None:
    executor = Executor.of(Waits, store=f"sqlite:///{tmp_path / 'run.db'}")
    counts, asked = executor.store.counts, asyncio.Event()

    async def never() -> Any:
        asked.set()
        await asyncio.Event().wait()

    async def block() -> None:
        async with executor:
            await executor.run(Waits())
            executor.store.counts = never  # type: ignore[method-assign]

    task = asyncio.create_task(block())
    await asked.wait()
    task.cancel()
    await asyncio.wait([task])
    executor.store.counts = counts  # type: ignore[method-assign]
    assert open_files(tmp_path) == []


async def test_a_thread_that_cannot_be_started_fails_its_event_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if not thread.name.startswith("lionpride-"):
            start(thread)
            return
        monkeypatch.setattr(threading.Thread, "start", start)  # it fails once
        raise RuntimeError("can't start new thread")

    first, second = Plain(), Plain()
    async with Executor.of(Plain, concurrency_limit=1) as executor:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        await executor.append(first)
        await executor.join()
        assert await executor.run(second) == "done"
    assert first.status is EventStatus.FAILED
