"""What waits for later is in the file: it outlives the process that put it there."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import apsw
import pytest
from stores.makers import Clock

from lionpride.core import Event, EventStatus, Executor, Processor, Retry
from lionpride.errors import StoreError
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.terms import Terms

S = EventStatus

PROGRAM = """
import asyncio, os, sys
from typing import ClassVar
from lionpride.core import Event, Executor, Processor, Retry

class Flaky(Event):
    label: str = ""
    retry: ClassVar[Retry | None] = Retry(attempts=3, backoff=float(sys.argv[2]), jitter=False)

    async def _invoke(self):
        if self.execution.attempt < int(sys.argv[3]):
            raise StoreErrorLike("attempt %d" % self.execution.attempt)
        return self.execution.attempt

class StoreErrorLike(Exception):
    pass

class Flakies(Processor):
    event_type = Flaky

class Desk(Executor):
    processor_type = Flakies

async def main():
    desk = Desk(store="sqlite:///" + sys.argv[1], queue="q")
    if sys.argv[4:] == ["append"]:
        event = await desk.append(Flaky(label="x"))
        done = asyncio.Event()
        desk.observe(lambda step: done.set() if step.before == "processing" else None)
        async with desk:
            await done.wait()
            os._exit(9)  # killed while it waits for its next attempt
    elif sys.argv[4:] == ["unique"]:
        for number in range(25):
            await desk.append(Flaky(label=str(os.getpid())), unique=number)
        os._exit(0)
    elif sys.argv[4:] == ["ttl"]:
        await desk.append(Flaky(label="late"), ttl=0.5)
        os._exit(0)
    async with desk:
        await desk.join()

asyncio.run(main())
"""


def begin(path: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start the program over a file."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(path), *arguments], env=env)


def run(path: Path, *arguments: str) -> int:
    """Run the program over a file, and give how it ended."""
    return begin(path, *arguments).wait(timeout=60)


class Probe(Event):
    label: str = ""
    retry: ClassVar[Retry | None] = Retry(attempts=3, backoff=0.2, jitter=False)
    ran: ClassVar[list[str]] = []

    async def _invoke(self) -> str:
        self.ran.append(self.label)
        if self.execution.attempt < 2:
            raise StoreError("no")
        return self.label


class Probes(Processor):
    event_type: ClassVar[type[Event]] = Probe


class Desk(Executor):
    processor_type: ClassVar[type[Processor]] = Probes


def desk(path: Path, **config: Any) -> Desk:
    return Desk(config, store=f"sqlite:///{path}", queue="q")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Probe.ran.clear()
    return tmp_path / "run.db"


@pytest.mark.promise("waits-survive-the-process")
async def test_a_wait_for_the_next_attempt_outlives_a_killed_process(path: Path) -> None:
    assert run(path, "0.4", "2", "append") == 9
    reader = desk(path)
    (before,) = await reader.store.list_records()
    assert (before.status, before.tries) == (S.PENDING, 1)
    assert before.due is not None
    (kept,) = before.payload["execution"]["attempts"]
    assert (kept["number"], kept["error"]) == (1, "StoreErrorLike: attempt 1")
    assert before.due == pytest.approx(kept["started"] + kept["duration"] + 0.4, abs=0.2)
    assert run(path, "0.4", "3") == 0
    (after,) = await reader.store.list_records()
    assert (after.status, after.tries, after.attempt) == (S.COMPLETED, 2, 3)
    first, second = after.payload["execution"]["attempts"]
    assert first == kept
    assert second["started"] >= before.due
    await reader.store.close()


@pytest.mark.promise("waits-survive-the-process")
async def test_a_delay_outlives_the_executor_that_it_was_given_to(path: Path) -> None:
    one = desk(path)
    later = await one.append(Probe(label="later"), delay=0.3, retry=Retry(attempts=1))
    due = later.execution.due
    await one.append(Probe(label="soon"))
    async with one:
        while "soon" not in Probe.ran:
            await asyncio.sleep(0)
    assert later.status is S.PENDING
    other = desk(path)
    async with other:
        await other.join()
    records = {each.payload["label"]: each for each in await other.store.list_records()}
    await other.store.close()
    assert records["soon"].status is S.COMPLETED
    found = records["later"]
    assert (found.status, found.attempt) == (S.FAILED, 1), "its own policy holds, not the class's"
    assert found.payload["execution"]["retry"] == {"attempts": 1}
    assert due is not None
    assert found.payload["execution"]["attempts"][0]["started"] >= due


async def test_retry_failed_sends_back_what_other_processes_left(path: Path) -> None:
    one = desk(path)
    await one.append_many([Probe(label=str(n)) for n in range(1100)], retry=Retry(attempts=1))
    async with one:
        await one.join()  # and left at once: its workers are on their way back from settling
    assert (await one.store.counts())[S.FAILED] == 1100
    await one.store.close()
    other = desk(path)
    assert await other.retry_failed() == 1100
    assert (await other.store.counts())[S.PENDING] == 1100
    async with other:
        await other.join()
    assert (await other.store.counts())[S.COMPLETED] == 1100
    await other.store.close()


@pytest.mark.promise("one-event-per-unique-value")
async def test_processes_that_append_one_value_at_the_same_time_append_it_once(path: Path) -> None:
    writers = [begin(path, "0", "1", "unique") for _ in range(4)]
    assert [each.wait(timeout=60) for each in writers] == [0] * 4
    reader = desk(path)
    records = await reader.store.list_records(limit=1000)
    await reader.store.close()
    values = [each.payload["execution"]["unique"][0] for each in records]
    assert sorted(values, key=int) == [str(number) for number in range(25)]


class Long(Probe):
    async def _invoke(self) -> str:
        await asyncio.sleep(60)
        return ""


@pytest.mark.promise("expired-events-do-not-start")
async def test_what_a_dead_process_left_ends_in_time_though_every_slot_is_taken_here(
    path: Path,
) -> None:
    one = desk(path, concurrency_limit=1)
    async with one:
        job = await one.append(Long())
        await asyncio.to_thread(run, path, "0", "1", "ttl")
        while (await one.store.counts())[S.CANCELLED] == 0:
            await asyncio.sleep(0.02)
        assert job.status is S.PROCESSING
        await one.cancel(job)
    late, _ = sorted(await one.store.list_records(S.CANCELLED), key=lambda each: each.attempt)
    assert late.payload["label"] == "late"
    assert "not started in time" in late.payload["execution"]["error"]["message"]
    assert (late.status, late.attempt) == (S.CANCELLED, 0)
    await one.store.close()


@pytest.mark.promise("expired-events-do-not-start")
@pytest.mark.parametrize("limits", [None, Limits([Limit("requests", 9, per=1.0)])])
async def test_a_claim_that_waits_for_the_file_takes_nothing_that_expires_meanwhile(
    path: Path, limits: Limits | None
) -> None:
    clock = Clock()
    store, other = SqliteStore(path, clock=clock), apsw.Connection(str(path))
    job = Probe()
    await store.append([(job, 1.0)], terms=Terms(expires=clock.now + 5.0))
    other.execute("BEGIN IMMEDIATE")
    claiming = asyncio.create_task(store.claim("worker", start=True, limits=limits))
    await asyncio.sleep(0.1)  # it waits
    clock.advance(6.0)
    other.execute("ROLLBACK")
    claims, _ = await claiming
    assert claims == []
    assert job.status is S.CANCELLED
    assert "not started in time" in str(job.execution.error)
    other.close()
    await store.close()
