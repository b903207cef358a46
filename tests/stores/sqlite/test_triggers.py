"""Triggers of the user's own on the tables of the store, such as those of an audit."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import apsw
import pytest
from stores.makers import QUEUE, Job

from lionpride.core import Event, EventStatus, Executor, Limit, Processor, Retry
from lionpride.rules.state_machine import Completion
from lionpride.stores.contract import Settled
from lionpride.stores.sqlite import SqliteStore


async def install(path: Path) -> None:
    """Make the file, and have every change of every table write two rows of an audit."""
    store = SqliteStore(path, QUEUE)
    await store.append([(Job(), 0.0), (Job(), 0.0)])
    await store.close()
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE audit (entry TEXT)")
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    for (table,) in db.execute(f"{tables} AND name <> 'audit'").fetchall():
        for verb in ("INSERT", "UPDATE", "DELETE"):
            db.execute(
                f"CREATE TRIGGER audit_{table}_{verb} AFTER {verb} ON {table} BEGIN "
                f"INSERT INTO audit VALUES ('{verb} {table}'), ('again'); END"
            )
    db.close()


class Task(Event):
    retry: ClassVar[Retry | None] = Retry(attempts=3, backoff=0.0)
    number: int

    async def _invoke(self) -> int:
        if self.number % 10 == 0 and self.execution.attempt == 1:
            raise ValueError("the first attempt fails")
        return self.number


class Tasks(Processor):
    event_type = Task


class Desk(Executor):
    processor_type = Tasks


class Call(Task):
    costs: ClassVar[Mapping[str, float]] = {"service": 1}


class Calls(Processor):
    event_type = Call
    limits = (Limit("service", 100, per=0.05),)


class Switchboard(Executor):
    processor_type = Calls


@pytest.mark.parametrize("kind", [Desk, Switchboard], ids=["plain", "under a limit"])
async def test_a_worker_ends_events_as_without_triggers(
    kind: type[Executor], tmp_path: Path
) -> None:
    path = tmp_path / "run.db"
    await install(path)
    make = kind.processor_type.event_type
    async with kind(store=f"sqlite:///{path}") as desk:
        many = await desk.append_many([make(number=number) for number in range(300)])
        one = [await desk.append(make(number=number)) for number in range(300, 310)]
        together = await asyncio.gather(*(desk.append(make(number=n)) for n in range(310, 400)))
        await desk.join()
        assert [each.response for each in (*many, *one, *together)] == list(range(400))
        counts = await desk.store.counts()
    assert counts[EventStatus.COMPLETED] == 400


async def test_claims_cancels_retries_and_removals(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    await install(path)
    store = SqliteStore(path, QUEUE)
    try:
        jobs = await store.append([(Job(), float(number)) for number in range(1, 5)])
        ids = [job.id for job in jobs]
        await store.cancel(ids[:2])
        await store.retry(ids[:1])
        await store.remove(ids[1:2])
        claims, _ = await store.claim("w", 10)
        for event, _ in claims:
            store.start(event)
        outcome = Completion("done", 0.1)
        assert await store.settle([(*claim, outcome) for claim in claims]) == [Settled.APPLIED] * 5
        assert (await store.counts())[EventStatus.COMPLETED] == 5
    finally:
        await store.close()
