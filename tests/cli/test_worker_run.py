"""The shift of a worker, in this process and in virtual time: what ends it, what it survives."""

import asyncio
import signal

import pytest
from cli.steps import PENDING, PROCESSING, Steps, Thing
from cli.texts import plain

from lionpride.cli import worker_run as shift
from lionpride.cli.interrupts import Interrupts
from lionpride.cli.targets.target import executor_for
from lionpride.cli.worker_run import WorkerRun, WorkerStatistics
from lionpride.core import Event, EventStatus
from lionpride.errors import StoreError
from lionpride.model.registry import key_of
from lionpride.stores.memory import MemoryStore
from lionpride.stores.open import open_store
from lionpride.testing import Faults, fail


class Task(Event):
    how: str = ""

    async def _invoke(self):
        if self.how == "fail":
            raise ValueError("told to")
        if self.how == "exit":
            raise SystemExit(3)
        if self.how == "hang":
            await asyncio.Event().wait()
        if self.how == "signal":
            signal.raise_signal(signal.SIGTERM)
            for _ in range(20):
                await asyncio.sleep(0)
        await asyncio.sleep(1)
        return self.how


async def desk_of(*hows, faults=None, **settings):
    store = MemoryStore("tasks")
    desk = executor_for(Task)(settings, store=faults.around(store) if faults else store)
    await desk.append_many([Task(how=how) for how in hows])
    await desk.start()
    return desk


async def work(*desks, until_empty=True, quiet=False):
    return await run(WorkerRun(desks, "run.db", until_empty=until_empty, quiet=quiet))


async def run(working):
    with Interrupts() as interrupts:
        return await working.run(interrupts)


@pytest.mark.virtual
async def test_it_ends_when_nothing_is_left_in_any_queue(capsys, snapshot):
    first, second = await desk_of("", ""), await desk_of("")
    assert await work(first, second) == 0
    assert [each.status_counts()["completed"] for each in (first, second)] == [2, 1]
    out, err = capsys.readouterr()
    assert out.startswith("3 events in ")
    assert err == snapshot


async def test_a_queue_that_is_paused_by_hand_is_told_of(tmp_path, capsys):
    store = open_store(f"sqlite:///{tmp_path / 'run.db'}", queue="tasks", name="tasks")
    desk = executor_for(Task)(store=store)
    await desk.append(Task(how="fail"))
    await desk.start()
    await store.pause()  # type: ignore[attr-defined]
    working, said = asyncio.create_task(work(desk)), ""
    while "working on tasks (1 pending, paused by hand) of run.db" not in said:
        assert not working.done()
        await asyncio.sleep(0)
        said += capsys.readouterr().err
    await store.pause(0.0)  # type: ignore[attr-defined]
    assert await working == 1
    await store.close()


@pytest.mark.virtual
async def test_what_one_queue_appends_to_another_is_not_left(capsys):
    second = await desk_of("")

    class Sower(Event):
        async def _invoke(self):
            await asyncio.sleep(10)
            await second.append(Task())

    first = executor_for(Sower)(queue="sowers")
    await first.append(Sower())
    await first.start()
    assert await work(first, second) == 0
    assert second.status_counts()["completed"] == 2


@pytest.mark.virtual
async def test_a_failure_is_said_when_it_happens_and_makes_the_status(capsys):
    desk = await desk_of("", "fail")
    assert await work(desk, quiet=True) == 1
    out, err = capsys.readouterr()
    (failed,) = desk.failed_events
    assert out == ""
    assert err == f"failed  {key_of(Task)}  {failed.id}  ValueError: told to\n"


@pytest.mark.virtual
async def test_the_end_does_not_tell_once_more_of_what_failed(capsys):
    desk = await desk_of(*["fail"] * 7, "")
    assert await work(desk) == 1
    out, err = capsys.readouterr()
    assert err.count("ValueError: told to") == 7
    assert "told to" not in out
    assert "more that did not complete" not in out
    head, _, completed, failed, store = out.splitlines()
    assert head.startswith("8 events in ")
    assert completed.split()[:2] == ["completed", "1"]
    assert failed.split()[:2] == ["failed", "7"]
    assert store.split() == ["store", "run.db"]


@pytest.mark.virtual
async def test_a_worker_that_runs_for_long_remembers_the_times_of_the_last(monkeypatch, capsys):
    monkeypatch.setattr(shift, "REMEMBERED", 10)
    desk = await desk_of(*[""] * 95)
    working = WorkerRun([desk], "run.db", until_empty=True, quiet=False)
    assert await run(working) == 0
    assert "95 events in " in capsys.readouterr().out
    assert 10 <= len(working.statistics.durations[EventStatus.COMPLETED]) < 20


@pytest.mark.virtual
async def test_an_event_that_asks_to_exit_ends_the_shift(capsys, snapshot):
    desk = await desk_of("exit", "", concurrency_limit=1)
    assert await work(desk, until_empty=False) == 1
    assert desk.status_counts()["pending"] == 1
    said = capsys.readouterr().err
    assert "SystemExit" in said
    assert plain(said) == snapshot


async def test_a_signal_lets_finish_what_runs_and_is_no_failure(capsys, snapshot):
    desk = await desk_of("signal", "", concurrency_limit=1)
    assert await work(desk, until_empty=False) == 0
    counts = desk.status_counts()
    assert (counts["completed"], counts["pending"]) == (1, 1)
    assert plain(capsys.readouterr().err) == snapshot


@pytest.mark.virtual
async def test_a_broken_store_does_not_let_the_shift_wait_for_ever_for_what_runs(capsys):
    gone = StoreError("the disk is gone", retryable=False)
    broken = await desk_of("", faults=Faults(fail("claim", error=gone)))
    other = await desk_of("hang")
    assert await work(broken, other, until_empty=False) == 1
    assert "the grace time of 25 s is over: 1 running event was" in capsys.readouterr().err
    (event,) = other.pending_events
    assert event.execution.interruptions == 1


@pytest.mark.virtual
async def test_a_store_that_fails_for_a_while_is_tried_again(capsys):
    faults = Faults(*(fail("claim", nth) for nth in (1, 2, 3)))
    desk = await desk_of("", "", faults=faults)
    assert await work(desk) == 0
    assert len(faults.happened) == 3
    assert desk.status_counts()["completed"] == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "injected" in line]
    assert [line.rpartition("trying again in ")[2] for line in said] == [
        "1.00 s",
        "2.00 s",
        "4.00 s",
    ]


@pytest.mark.virtual
async def test_a_store_that_will_not_come_back_ends_the_shift(capsys, snapshot):
    gone = StoreError("the disk is gone", retryable=False)
    desk = await desk_of("", faults=Faults(fail("claim", error=gone)))
    assert await work(desk, until_empty=False) == 1
    said = capsys.readouterr().err
    assert "the disk is gone" in said
    assert plain(said) == snapshot
    assert (await desk.store.counts())[EventStatus.PENDING] == 1


async def test_a_claim_that_is_released_before_its_start_is_not_counted() -> None:
    statistics = WorkerStatistics(lambda text: None, lambda: 0)
    steps = Steps(statistics)
    steps(Thing(), PROCESSING, PENDING)
    steps(Thing(), PENDING, PROCESSING)
    assert {k.value: v for k, v in statistics.counts.items() if v} == {"processing": 1}
    assert statistics.settled == 0
