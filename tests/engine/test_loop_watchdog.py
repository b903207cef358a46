"""A blocked event loop is noticed, and who blocks it is named."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from engine.kit import AskingExecutor, Hold, Job, JobExecutor, background

from lionpride.core import EventStatus
from lionpride.engine.loop_watchdog import Look
from lionpride.engine.worker_pool import WorkerPool

LIMIT = 20
BLOCKED = {"blocked_after": 0.05}


class Ears(logging.Handler):
    """What is logged, and a bell for each: code that blocks can wait for being noticed."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []
        self.bell = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())
        self.bell.release()


@pytest.fixture
def ears() -> Iterator[Ears]:
    handler = Ears()
    logger = logging.getLogger("lionpride")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def block_until_noticed(ears: Ears) -> None:
    assert ears.bell.acquire(timeout=LIMIT), "nobody noticed"


@pytest.mark.promise("blocking-code-is-named")
async def test_an_event_that_blocks_is_named_with_its_line_and_how_long(ears: Ears) -> None:
    class Blocks(Job):
        async def _invoke(self) -> str:
            block_until_noticed(ears)
            return "done"

    executor = JobExecutor(BLOCKED)
    async with background(executor):
        other = Hold()
        await executor.append(Job(do=other))
        await other.has(1)
        event = await executor.append(Blocks())
        assert await executor.result(event) == "done"
        assert await asyncio.to_thread(ears.bell.acquire, timeout=LIMIT)
        other.let_go()
    during, after = ears.heard
    name = f"Blocks(event number {event.execution.arrival})"
    assert during.startswith(f"{name} blocks the event loop")
    assert f"{__file__}:" in during
    assert "Blocks._invoke" in during
    assert "block_until_noticed" in during or "threading.py" in during
    assert "so far" in during
    assert after.startswith(f"{name} has blocked the event loop for ")


async def test_who_blocks_after_the_watch_has_gone_to_rest_is_named_too(
    ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BlocksLate(Job):
        async def _invoke(self) -> None:
            block_until_noticed(ears)

    class BlocksLater(BlocksLate): ...

    rests, usual = asyncio.Event(), WorkerPool.when_woken

    def when_up(pool: WorkerPool, errand: Any) -> bool:
        will_be = usual(pool, errand)
        if will_be:
            rests.set()
        return will_be

    monkeypatch.setattr(WorkerPool, "when_woken", when_up)
    executor = JobExecutor(BLOCKED)
    async with asyncio.timeout(LIMIT), background(executor):
        for kind in (BlocksLate, BlocksLater):
            await rests.wait()
            rests.clear()
            await executor.result(await executor.append(kind()))
            assert await asyncio.to_thread(ears.bell.acquire, timeout=LIMIT)
    assert [words.split("(")[0] for words in ears.heard] == ["BlocksLate"] * 2 + ["BlocksLater"] * 2


async def test_an_id_that_is_there_is_said(ears: Ears) -> None:
    class BlocksAgain(Job):
        async def _invoke(self) -> None:
            block_until_noticed(ears)

    event = BlocksAgain()
    assert event.id
    executor = JobExecutor(BLOCKED)
    await executor.append(event)
    await executor.forward()
    assert f"BlocksAgain(id={event.id})" in ears.heard[0]
    assert f"BlocksAgain(id={event.id}) has blocked" in ears.heard[1], "at the end of the run"


async def test_a_class_is_named_once_in_a_while(ears: Ears) -> None:
    class BlocksOften(Job):
        async def _invoke(self) -> None:
            ears.bell.acquire(timeout=0.3 if ears.heard else LIMIT)

    executor = JobExecutor({**BLOCKED, "concurrency_limit": 1})
    await executor.append_many([BlocksOften() for _ in range(3)])
    await executor.forward()
    assert len([words for words in ears.heard if "so far" in words]) == 1


async def test_a_permission_that_blocks_is_named_too(ears: Ears) -> None:
    class AskedForLong(Job): ...

    async def ask(_: Job) -> bool:
        block_until_noticed(ears)
        return True

    executor = AskingExecutor(BLOCKED)
    await executor.append(AskedForLong(ask=ask))
    await executor.forward()
    assert ears.heard[0].startswith("AskedForLong(")


async def test_what_is_no_event_is_named_for_its_task(ears: Ears) -> None:
    async def intruder() -> None:
        block_until_noticed(ears)

    hold = Hold()
    executor = JobExecutor(BLOCKED)
    async with background(executor):
        await executor.append(Job(do=hold))
        await hold.has(1)
        await asyncio.create_task(intruder(), name="intruder")
        hold.let_go()
    assert "task 'intruder', which is not the task of an event" in ears.heard[0]


async def test_a_loop_of_its_own_thread_is_watched_there(ears: Ears) -> None:
    class BlocksThere(Job):
        async def _invoke(self) -> None:
            block_until_noticed(ears)

    async def there() -> EventStatus:
        executor = JobExecutor(BLOCKED)
        event = await executor.append(BlocksThere())
        await executor.forward()
        return event.status

    assert await asyncio.to_thread(asyncio.run, there()) is EventStatus.COMPLETED
    assert "BlocksThere._invoke" in ears.heard[0]


def test_nobody_is_watched_in_virtual_time_or_without_a_threshold_and_the_thread_ends() -> None:
    program = """
import asyncio, threading, time
from lionpride.core import Event, Executor, Processor
from lionpride.testing import run_virtual

class Job(Event):
    async def _invoke(self):
        return sorted(thread.name for thread in threading.enumerate())

class Jobs(Processor):
    event_type = Job

class Desk(Executor):
    processor_type = Jobs

async def threads(**config):
    desk = Desk(config)
    job = await desk.append(Job())
    await desk.forward()
    return job.response

print(run_virtual(threads()))
print(asyncio.run(threads(blocked_after=None)))
print(asyncio.run(threads()))
thread = next(t for t in threading.enumerate() if t.name == "lionpride-watch")
thread.join(20)
print(thread.is_alive(), asyncio.run(threads()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == [
        "['MainThread']",
        "['MainThread']",
        "['MainThread', 'lionpride-watch']",
        "False ['MainThread', 'lionpride-watch']",
    ]


def test_a_handler_of_the_log_that_raises_ends_no_watch_for_good() -> None:
    program = """
import asyncio, logging, threading
from lionpride.core import Event, Executor, Processor

class Handler(logging.Handler):
    def emit(self, record):
        if threading.current_thread() is watch():
            raise RuntimeError

def watch():
    return next((t for t in threading.enumerate() if t.name == "lionpride-watch"), None)

class Job(Event):
    async def _invoke(self):
        thread = watch()
        thread.join(20)
        return thread.is_alive()

class Again(Job):
    async def _invoke(self):
        return watch() is not None

class Jobs(Processor):
    event_type = Job

class Desk(Executor):
    processor_type = Jobs

async def run(job):
    desk = Desk({"blocked_after": 0.05})
    await desk.append(job)
    await desk.forward()
    return job.response

handler = Handler()
logging.getLogger("lionpride").addHandler(handler)
dead = asyncio.run(run(Job()))
logging.getLogger("lionpride").removeHandler(handler)
print(dead, asyncio.run(run(Again())))
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False True\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_a_forked_child_watches_its_own_loop_and_not_its_parents() -> None:
    program = """
import asyncio, os, threading
from lionpride.core import Event, Executor, Processor
from lionpride.engine.loop_watchdog import _WATCHER

class Job(Event):
    forks: bool = False

    async def _invoke(self):
        if self.forks and not (child := os.fork()):
            asyncio.events._set_running_loop(None)
            asyncio.run(run(Job()))
            os._exit(0)
        if self.forks:
            os.waitpid(child, 0)
        print(len(_WATCHER._looks), len(threading.enumerate()), flush=True)

class Jobs(Processor):
    event_type = Job

class Desk(Executor):
    processor_type = Jobs

async def run(job):
    desk = Desk()
    await desk.append(job)
    await desk.forward()

asyncio.run(run(Job(forks=True)))
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1 2\n" * 2, "the child would blame its parent's event"


def test_a_loop_that_was_closed_with_a_run_in_it_is_watched_no_more() -> None:
    program = """
import asyncio, gc, logging, threading, weakref
from lionpride.core import Event, Executor, Processor

logging.disable()

class Job(Event):
    async def _invoke(self):
        await asyncio.sleep(100)

class Jobs(Processor):
    event_type = Job

class Desk(Executor):
    processor_type = Jobs

async def main(desk):
    await desk.start()
    run = asyncio.create_task(desk.processor.execute())
    await desk.append(Job())
    await asyncio.sleep(0.2)

desk = Desk({"blocked_after": 0.05})
loop = asyncio.new_event_loop()
loop.run_until_complete(main(desk))
loop.close()
(thread,) = (t for t in threading.enumerate() if t.name == "lionpride-watch")
thread.join(20)
processor = weakref.ref(desk.processor)
del desk, loop
gc.collect()
print(thread.is_alive(), processor())
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False None\n"


# --- one look after another


class Calls:
    """In place of a loop: calls are noted, and made when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def call_soon_threadsafe(self, call: Any) -> None:
        self.calls.append(call)


def look(
    *, busy: bool = True, holder: Any = lambda _: None, when_up: Any = lambda _: False
) -> tuple[Look, Calls]:
    loop: Any = Calls()
    return Look(1.0, lambda: busy, holder, when_up, loop), loop


def test_an_idle_executor_wakes_its_loop_once_to_be_let_rest() -> None:
    watch, loop = look(busy=False)
    for now in range(100):
        watch.turn(now, stopped=False)
    (ask,) = loop.calls
    ask()
    assert not watch.rests, "nobody sleeps who could say when there is something to look at"


def test_a_look_rests_until_the_crew_gets_up_and_asks_again_when_it_is_quiet_again() -> None:
    errands: list[Any] = []
    watch, loop = look(busy=False, when_up=lambda errand: errands.append(errand) or True)
    called: list[str] = []
    watch.on_up = lambda: called.append("up")
    for now in range(10):
        watch.turn(now, stopped=False)
    assert not watch.rests
    loop.calls.pop()()
    assert watch.rests
    errands.pop()()
    assert not watch.rests
    assert called == ["up"]
    for now in range(10, 20):
        watch.turn(now, stopped=False)
    loop.calls.pop()()
    assert watch.rests


def test_a_look_does_not_rest_once_something_runs() -> None:
    watch, loop = look(busy=False, when_up=lambda _: True)
    for now in range(10):
        watch.turn(now, stopped=False)
    watch._busy = lambda: True  # since the loop was asked
    loop.calls.pop()()
    assert not watch.rests


def test_a_loop_that_answers_is_asked_again_and_not_told_of(ears: Ears) -> None:
    watch, loop = look()
    for turn in range(10):
        watch.turn(turn / 2, stopped=False)
        assert len(loop.calls) == turn + 1
        loop.calls[-1]()
    assert ears.heard == []


def test_a_loop_that_has_not_answered_is_not_asked_twice() -> None:
    watch, loop = look()
    for now in (0.0, 0.3, 0.6, 0.9):
        watch.turn(now, stopped=False)
    assert len(loop.calls) == 1


def test_a_process_that_was_stopped_is_not_blocked(ears: Ears) -> None:
    watch, _ = look()
    watch.turn(0.0, stopped=False)
    watch.turn(3600.0, stopped=True)
    watch.turn(3600.5, stopped=False)
    assert ears.heard == []


async def test_what_is_watched_no_more_is_kept_by_no_thread() -> None:
    class Owner:
        def busy(self) -> bool:
            return True

        def holder(self, _: asyncio.Task[Any]) -> None:
            return None

        def when_up(self, _: Any) -> bool:
            return False

    owner = Owner()
    look = Look(1.0, owner.busy, owner.holder, owner.when_up, asyncio.get_running_loop())
    gone = weakref.ref(owner)
    look.turn(0.0, stopped=False)
    look.end()
    del owner
    assert gone() is None
    look.turn(1.0, stopped=False)  # the thread has not heard of it yet
