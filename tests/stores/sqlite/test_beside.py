"""Several stores on one file, as several processes have them: what holds for all of them."""

import asyncio
import functools
import logging
from pathlib import Path

import apsw
import pytest
from stores.makers import QUEUE, Clock, Job

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.errors import QueueFullError, StoreError
from lionpride.stores.listeners import Signal
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.terms import Terms


@pytest.mark.promise("queue-limit-across-processes")
async def test_the_room_is_that_of_the_file(tmp_path: Path) -> None:
    one, other = (SqliteStore(tmp_path / "run.db", QUEUE) for _ in range(2))
    try:
        await one.append([(Job(), 0.0), (Job(), 0.0)], room=3)
        with pytest.raises(QueueFullError):
            await other.append([(Job(), 0.0), (Job(), 0.0)], room=3)
        await other.append([(Job(), 0.0)], room=3)
        assert (await one.counts())[EventStatus.PENDING] == 3
    finally:
        await one.close()
        await other.close()


async def test_an_event_expires_later_if_another_program_has_locked_the_file(
    tmp_path: Path,
) -> None:
    clock, finished = Clock(), asyncio.Event()
    store = SqliteStore(tmp_path / "run.db", QUEUE, patience=0.05, clock=clock)
    program = apsw.Connection(str(tmp_path / "run.db"))
    job = Job()
    try:
        await store.append([(job, 0.0)], terms=Terms(expires=clock.now + 0.01))
        store.subscribe(Signal.FINISHED, finished.set, event=job)
        program.execute("BEGIN IMMEDIATE")
        clock.now += 1.0  # the event expires
        for _ in range(3):  # the first of these or an earlier transaction was to finish the event
            with pytest.raises(StoreError):
                await store.pause(0.0)
        program.execute("ROLLBACK")
        clock.now += 2.0
        await asyncio.wait_for(finished.wait(), 20)
        assert job.status is EventStatus.CANCELLED
    finally:
        program.close()
        await store.close()


class Task(Event):
    number: int

    async def _invoke(self) -> int:
        if self.number % 10 == 0:
            raise ValueError(f"{self.number} ends in nought")
        return self.number


class Tasks(Processor):
    event_type = Task


class Desk(Executor):
    processor_type = Tasks


async def test_after_join_nobody_shows_as_pending_what_another_has_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk, other = (Desk(store=f"sqlite:///{tmp_path}/run.db", grace=5) for _ in range(2))
    tasks = await desk.append_many([Task(number=number) for number in range(50)])
    await desk.start()
    with caplog.at_level(logging.INFO, "lionpride"):
        async with other:
            await other.join()
            await desk.join()
            assert desk.status_counts() == other.status_counts()
            assert [task.status for task in tasks].count(EventStatus.FAILED) == 5
            assert len(desk.completed_events) == 45
            assert not desk.pending_events
            assert tasks[3].response == 3
            assert str(tasks[10].execution.error) == "10 ends in nought"
        assert not [each for each in caplog.records if each.name == "lionpride"]
        async with desk:
            pass
    assert not [each for each in caplog.records if each.name == "lionpride"]
    await desk.store.close()


async def test_what_is_left_is_counted_in_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk, other = (Desk(store=f"sqlite:///{tmp_path}/run.db", grace=5) for _ in range(2))
    await other.append_many([Task(number=number) for number in range(7)])
    await other.store.close()
    with caplog.at_level(logging.INFO, "lionpride"):
        async with desk:
            await desk.stop()
    assert caplog.messages == [f"{desk.store.queue!r}: 7 events are left pending"]


async def test_only_those_are_woken_for_whom_there_is_something_new(tmp_path: Path) -> None:
    """Thousands may wait, as in a web process, and others write all the time."""
    one, other = (SqliteStore(tmp_path / "run.db", QUEUE) for _ in range(2))
    try:
        jobs = [Job() for _ in range(200)]  # more than one statement asks for
        await one.append([(job, float(number)) for number, job in enumerate(jobs)])
        rung: list[int] = []
        ended = asyncio.Event()
        for number, job in enumerate(jobs):
            one.subscribe(
                Signal.FINISHED, functools.partial(rung.append, number), event=job, once=True
            )
        one.subscribe(Signal.FINISHED, ended.set, event=jobs[150], once=True)
        await other.append([(Job(), 0.0)])
        await other.cancel([jobs[150].id])
        await ended.wait()
        assert rung == [150]
        assert jobs[150].execution.status is EventStatus.CANCELLED
    finally:
        await one.close()
        await other.close()
