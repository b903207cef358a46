"""The door for other threads: real threads, real loops."""

import asyncio
import gc
import threading
from concurrent.futures import CancelledError
from concurrent.futures import Future as Answer
from pathlib import Path
from typing import Any

import pytest
from engine.kit import Hold, Job, desk, raises

from lionpride.core import EventStatus, Executor
from lionpride.errors import ExistsError, OperationError
from lionpride.stores.sqlite import SqliteStore

LIMIT = 10


class Loop:
    """An executor that runs in the event loop of a thread of its own."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.ready = threading.Event()
        self.thread = threading.Thread(target=asyncio.run, args=(self._main(),))

    async def _main(self) -> None:
        self.done = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        async with self.executor:
            self.ready.set()
            await self.done.wait()

    def __enter__(self) -> Executor:
        self.thread.start()
        assert self.ready.wait(LIMIT)
        return self.executor

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.done.set)
        self.thread.join(LIMIT)


@pytest.mark.parametrize("over_file", [False, True])
def test_another_thread_appends_and_has_the_result(over_file: bool, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "run.db", "jobs") if over_file else None
    with Loop(desk(store=store)) as executor:
        event = executor.run_threadsafe(executor.append(Job(label="a"))).result(LIMIT)
        assert executor.run_threadsafe(executor.result(event)).result(LIMIT) == "a"
        counts = executor.run_threadsafe(executor.store.counts()).result(LIMIT)
        assert counts[EventStatus.COMPLETED] == 1
        executor.run_threadsafe(executor.store.close()).result(LIMIT)


def test_an_idle_loop_wakes_up_and_many_threads_lose_nothing() -> None:
    with Loop(desk()) as executor:
        events: list[Any] = []

        def append(name: str) -> None:
            for n in range(50):
                job = Job(label=f"{name}{n}")
                events.append(executor.run_threadsafe(executor.append(job)).result(LIMIT))

        threads = [threading.Thread(target=append, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        executor.run_threadsafe(executor.join()).result(LIMIT)
        assert len(events) == len(executor.completed_events) == 200


def test_errors_come_through() -> None:
    with Loop(desk()) as executor:
        event = executor.run_threadsafe(executor.append(Job(do=raises(ValueError("no"))))).result(
            LIMIT
        )
        answer = executor.run_threadsafe(executor.result(event))
        with pytest.raises(ValueError, match="no"):
            answer.result(LIMIT)
        refused = executor.run_threadsafe(executor.append(event))
        with pytest.raises(ExistsError):
            refused.result(LIMIT)


def test_who_cancels_the_wait_leaves_the_event() -> None:
    hold = Hold()
    with Loop(desk()) as executor:
        event = executor.run_threadsafe(executor.append(Job(do=hold))).result(LIMIT)
        waiting = executor.run_threadsafe(executor.result(event))
        assert waiting.cancel()
        with pytest.raises(CancelledError):
            waiting.result(LIMIT)
        executor.run_threadsafe(release(hold)).result(LIMIT)
        assert executor.run_threadsafe(executor.result(event)).result(LIMIT) is True


async def release(hold: Hold) -> None:
    await hold.has(1)
    hold.let_go()


async def test_the_code_of_an_event_that_runs_in_a_thread_may_use_it() -> None:
    executor = desk()

    class Parent(Job):
        def _invoke(self) -> str:
            child = executor.run_threadsafe(executor.append(Job(label="child"))).result(LIMIT)
            response: str = executor.run_threadsafe(executor.result(child)).result(LIMIT)
            return response

    async with executor:
        parent = await executor.append(Parent())
        assert await executor.drain(LIMIT) == 0
    assert parent.response == "child"


# --- misuse


def unawaited(executor: Executor) -> Any:
    return executor.append(Job())


def refused(executor: Executor, match: str) -> None:
    with pytest.raises(OperationError, match=match):
        executor.run_threadsafe(unawaited(executor))
    gc.collect()  # a coroutine that was never awaited would warn


@pytest.mark.parametrize("made_in_loop", [True, False])
def test_an_executor_that_only_appends_need_not_be_started(
    made_in_loop: bool, tmp_path: Path
) -> None:
    def made() -> Executor:
        return desk(store=SqliteStore(tmp_path / "run.db", "jobs"))

    async def main() -> None:
        executor = made() if made_in_loop else early
        if not made_in_loop:
            await executor.append(Job())
        await asyncio.to_thread(
            lambda: executor.run_threadsafe(executor.append(Job())).result(LIMIT)
        )
        assert executor.processor is None
        assert (await executor.store.counts())[EventStatus.PENDING] == 2 - made_in_loop
        await executor.store.close()

    early = made()
    asyncio.run(main())


def test_an_executor_that_was_never_started_has_no_loop() -> None:
    refused(desk(), r"start\(\)")


def test_a_loop_that_is_closed_is_named() -> None:
    executor = desk()
    with Loop(executor):
        pass
    refused(executor, "closed")


def test_a_loop_that_stands_still_is_named() -> None:
    executor = desk()
    with asyncio.Runner() as runner:
        runner.run(executor.start())
        refused(executor, "is not running")


async def test_in_its_own_loop_it_would_wait_for_itself() -> None:
    async with desk() as executor:
        refused(executor, "await the coroutine")


async def test_what_is_no_coroutine_is_refused() -> None:
    async with desk() as executor:

        def call() -> Answer[Any]:
            return executor.run_threadsafe(executor.append)  # type: ignore[arg-type]

        with pytest.raises(TypeError, match="coroutine"):
            await asyncio.to_thread(call)


def test_it_follows_the_executor_to_its_next_loop() -> None:
    executor = desk()
    for number in range(2):
        with Loop(executor):
            executor.run_threadsafe(executor.append(Job())).result(LIMIT)
            executor.run_threadsafe(executor.join()).result(LIMIT)
        assert len(executor.completed_events) == number + 1
