"""pause(scope="queue") holds for every worker of the queue, in every process."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from kept import KEPT, url_of

from lionpride import Event, EventStatus, Executor, Limit, ValidationError, job
from lionpride.stores.memory import MemoryStore

KINDS = ("memory", *KEPT)


class Step(Event):
    started: ClassVar[list[int]] = []
    begun: ClassVar[asyncio.Event | None] = None
    gate: ClassVar[asyncio.Event | None] = None
    number: int = 0

    async def _invoke(self) -> int:
        self.started.append(self.number)
        if self.gate is not None and self.begun is not None and self.number == 0:
            self.begun.set()
            await self.gate.wait()
        return self.number


@job
async def other(number: int) -> int:
    return number


class Beside:
    """Makes executors over one queue, in one store of a kind."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.memory = MemoryStore() if kind == "memory" else None
        self.url = None if kind == "memory" else url_of(kind, folder)

    def __call__(self, **settings: Any) -> Executor:
        if self.memory is not None:
            return Executor.of(Step, store=self.memory, **settings)
        return Executor.of(Step, store=self.url, queue="steps", **settings)


@pytest.fixture(params=KINDS)
def executors(request: pytest.FixtureRequest, tmp_path: Path) -> Beside:
    Step.started.clear()
    return Beside(request.param, tmp_path)


async def passes(executor: Executor) -> None:
    """Let enough happen for an event to start, if it could."""
    for _ in range(20):
        await executor.store.counts()
        await asyncio.sleep(0)


LIMITS = pytest.mark.parametrize("limits", [(), (Limit("requests", 1000, per=1),)], ids=len)


@LIMITS
async def test_nothing_starts_in_any_executor_of_the_queue_until_it_is_resumed(
    executors: Beside, limits: tuple[Limit, ...]
) -> None:
    first, second = executors(limits=limits), executors(limits=limits)
    async with first, second:
        assert await first.run(Step(number=1)) == 1
        await first.pause(scope="queue")
        assert not first.paused
        event = await second.append(Step(number=2))
        mine = await first.append(Step(number=3))
        await passes(first)
        for executor, one in ((first, mine), (second, event)):
            why = await executor.why(one)
            (held,) = [hold for hold in why.holds if hold.kind == "queue paused"]
            assert "paused by hand" in held.text
            assert 'executor.resume(scope="queue")' in held.text
        assert Step.started == [1]
        await second.resume(scope="queue")
        assert await second.result(event) == 2
        assert await first.result(mine) == 3


@LIMITS
async def test_what_runs_goes_on_and_what_waits_does_not_start(
    executors: Beside, limits: tuple[Limit, ...]
) -> None:
    executor = executors(concurrency_limit=1, limits=limits)
    Step.begun, Step.gate = asyncio.Event(), asyncio.Event()
    try:
        async with executor:
            events = await executor.append_many([Step(number=n) for n in range(5)])
            async with asyncio.timeout(10):
                await Step.begun.wait()
            await executor.pause(scope="queue")
            Step.gate.set()
            assert await executor.result(events[0]) == 0
            await passes(executor)
            assert Step.started == [0]
            await executor.resume(scope="queue")
            await executor.join()
            assert Step.started == [0, 1, 2, 3, 4]
    finally:
        Step.gate = None


async def test_it_is_independent_of_a_pause_of_the_executor(executors: Beside) -> None:
    executor = executors()
    async with executor:
        await executor.pause()
        await executor.pause(scope="queue")
        event = await executor.append(Step(number=1))
        await executor.resume()
        assert not executor.paused
        await passes(executor)
        assert Step.started == []
        await executor.pause()
        await executor.resume(scope="queue")
        await passes(executor)
        assert Step.started == []
        await executor.resume(scope="executor")
        assert await executor.result(event) == 1


async def test_a_queue_can_be_paused_before_it_has_events(executors: Beside) -> None:
    executor = executors()
    await executor.pause("queue")
    await executor.append(Step(number=1))
    await executor.forward()
    assert Step.started == []
    await executor.resume("queue")
    await executor.forward()
    assert Step.started == [1]
    await executor.store.close()


async def test_a_resume_without_a_pause_does_nothing(executors: Beside) -> None:
    executor = executors()
    async with executor:
        await executor.resume(scope="queue")
        assert await executor.run(Step(number=1)) == 1


async def test_another_scope_is_refused(executors: Beside) -> None:
    executor = executors()
    for call in (executor.pause, executor.resume):
        with pytest.raises(ValidationError, match=r"scope must be 'executor' or 'queue', got 'fle"):
            await call("fleet")  # type: ignore[arg-type]
        with pytest.raises(ValidationError, match=r"scope must be"):
            await call(scope=None)  # type: ignore[arg-type]
    assert not executor.paused
    await executor.store.close()


@pytest.mark.parametrize("kind", KEPT)
async def test_other_queues_of_the_store_go_on(kind: str, tmp_path: Path) -> None:
    url = url_of(kind, tmp_path)
    steps, others = Executor.of(Step, store=url, queue="a"), Executor.of(other, store=url)
    async with steps, others:
        await steps.pause(scope="queue")
        event = await steps.append(Step(number=4))
        assert await others.run(other(5)) == 5
        assert event.status is EventStatus.PENDING
        await steps.resume(scope="queue")
        assert await steps.result(event) == 4


PROGRAM = """
import asyncio, json, sys
from lionpride import Event, Executor

class Step(Event):
    async def _invoke(self):
        return 1

async def main(url, what):
    executor = Executor.of(Step, store=url, queue="steps")
    if what == "pause":
        await executor.append(Step())
        await executor.pause(scope="queue")
    elif what == "resume":
        await executor.resume(scope="queue")
    else:
        await executor.forward()
    counts = await executor.store.counts()
    print(json.dumps({status.value: count for status, count in counts.items() if count}))
    await executor.store.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("kind", KEPT)
def test_it_survives_the_process_and_holds_in_others(kind: str, tmp_path: Path) -> None:
    url, program = url_of(kind, tmp_path), tmp_path / "program.py"
    program.write_text(PROGRAM)

    def run(what: str) -> Any:
        done = subprocess.run(
            [sys.executable, str(program), url, what],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        return json.loads(done.stdout)

    assert run("pause") == {"pending": 1}
    assert run("work") == {"pending": 1}
    assert run("resume") == {"pending": 1}
    assert run("work") == {"completed": 1}
