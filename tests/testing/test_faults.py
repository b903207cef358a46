"""Faults: what they do at which call, and that the engine meets them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine.kit import Job, JobExecutor, background, caught, now, statuses, worker

from lionpride.core import EventStatus, Executor
from lionpride.errors import StoreError, ValidationError
from lionpride.stores.contract import BufferedPath, ImmediatePath
from lionpride.stores.memory import MemoryStore
from lionpride.stores.sqlite import SqliteStore
from lionpride.testing import VERBS, Fault, Faults, delay, fail, lose

virtual = pytest.mark.virtual


def desk(faults: Faults) -> Executor:
    return JobExecutor(store=faults.around(MemoryStore("jobs")))


@virtual
async def test_the_nth_call_fails_and_nothing_is_done() -> None:
    faults = Faults(fail("append", nth=2))
    executor = desk(faults)
    first, second = Job(), Job()
    await executor.append(first)
    with pytest.raises(StoreError, match="call 2 of append"):
        await executor.append(second)
    assert len(executor.states.items) == 1
    await executor.append(second)
    assert faults.happened == [Fault("append", 2, "fail")]
    assert faults.calls["append"] == 3


@virtual
async def test_a_lost_answer_is_of_something_that_was_done() -> None:
    executor = desk(Faults(lose("append")))
    job = Job()
    with pytest.raises(StoreError, match="lose"):
        await executor.append(job)
    assert await executor.append(job, exist_ok=True) is job
    assert executor.pending_events == [job]


@virtual
async def test_a_delay_is_by_the_loops_clock() -> None:
    executor = desk(Faults(delay("claim", 5), delay("settle", 7)))
    began = now()
    job = await executor.append(Job())
    await executor.forward()
    assert (job.status, now() - began) == (EventStatus.COMPLETED, 12)


@virtual
async def test_an_error_of_ones_own() -> None:
    with pytest.raises(OSError, match="no disk"):
        await desk(Faults(fail("append", error=OSError("no disk")))).append(Job())


@pytest.mark.parametrize("make", [fail, lose])
async def test_a_settlement_that_fails_ends_the_run_and_the_next_goes_on(
    make: Callable[..., Fault], tmp_path: Path
) -> None:
    inner = SqliteStore(tmp_path / "run.db", "jobs", lease=0.2)
    faults = Faults(make("settle", nth=2))
    executor = JobExecutor({"concurrency_limit": 1}, store=faults.around(inner))
    jobs = await executor.append_many([Job() for _ in range(3)])
    await executor.start()
    assert isinstance(await caught(worker(executor).execute()), StoreError)
    assert [fault.verb for fault in faults.happened] == ["settle"]
    assert statuses(jobs) == ["completed", "completed" if make is lose else "processing", "pending"]
    async with background(executor):
        await executor.join()
    assert statuses(jobs) == ["completed"] * 3
    assert jobs[1].execution.interruptions == (make is fail), "its lease has lapsed"
    await inner.close()


def test_a_faulty_store_has_no_short_ways() -> None:
    for store in (MemoryStore("jobs"), SqliteStore("never_opened.db", "jobs")):
        around = Faults().around(store)
        assert isinstance(store, ImmediatePath | BufferedPath)
        assert not isinstance(around, ImmediatePath | BufferedPath)
        assert around.queue == "jobs"


# --- by chance


async def asked(faults: Faults, verb: str, times: int) -> list[Fault]:
    async def nothing() -> None: ...

    for _ in range(times):
        await caught(faults.call(verb, nothing))
    return faults.happened


@virtual
async def test_the_same_seed_gives_the_same_faults_whatever_comes_between() -> None:
    one, two = Faults.at_random(7, 0.3), Faults.at_random(7, 0.3)
    alone = list(await asked(one, "settle", 200))
    for _ in range(200):
        await asked(two, "claim", 1)
        await asked(two, "settle", 1)
    assert [fault for fault in two.happened if fault.verb == "settle"] == alone
    assert {fault.kind for fault in alone} == {"fail", "lose", "delay"}
    assert 30 < len(alone) < 90
    assert await asked(Faults.at_random(8, 0.3), "settle", 200) != alone


@virtual
async def test_only_the_verbs_and_kinds_that_are_named() -> None:
    faults = Faults.at_random(1, 1.0, verbs=["append"], kinds=["fail"])
    await asked(faults, "claim", 10)
    assert faults.happened == []
    await asked(faults, "append", 10)
    assert {fault.kind for fault in faults.happened} == {"fail"}


@pytest.mark.promise("testing-tools")
@pytest.mark.parametrize("seed", range(10))
async def test_whatever_happens_each_event_ends_once(seed: int, tmp_path: Path) -> None:
    inner = SqliteStore(tmp_path / "run.db", "jobs", lease=0.05, synchronous="NORMAL")
    faults = Faults.at_random(seed, 0.15, verbs=["append", "settle"], kinds=["fail", "lose"])
    executor = JobExecutor(store=faults.around(inner))
    jobs = [Job(label=str(n)) for n in range(10)]
    for job in jobs:
        while isinstance(await caught(executor.append(job, exist_ok=True)), StoreError):
            pass
    while (await inner.counts())[EventStatus.COMPLETED] < len(jobs):
        await executor.start()
        run = asyncio.create_task(caught(worker(executor).execute()))
        joined = asyncio.create_task(caught(executor.join()))
        await asyncio.wait({run, joined}, return_when=asyncio.FIRST_COMPLETED)
        await executor.stop()
        await asyncio.wait({run, joined})
    assert sorted(job.label for job in executor.completed_events) == sorted(j.label for j in jobs)
    await inner.close()


# --- misuse


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: fail("clam"),
        lambda: fail("start"),
        lambda: fail("claim", nth=0),
        lambda: fail("claim", nth=True),
        lambda: delay("claim", -1),
        lambda: delay("claim", float("nan")),
        lambda: Faults.at_random(1, 1.5),
        lambda: Faults.at_random(1, 0.5, verbs=["clam"]),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: Callable[[], Any]) -> None:
    with pytest.raises(ValidationError):
        wrong()


def test_the_verbs_are_those_that_are_awaited() -> None:
    assert {"append", "claim", "settle", "cancel", "counts", "close"} <= set(VERBS)
    assert "start" not in VERBS
