"""Events of a class that this process has not defined: they wait, it says so, the others run."""

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stores.asking import check_counts

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.errors import OperationError
from lionpride.model.event_data import EventData
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.stores.sqlite import SqliteStore

ALIEN = """
import asyncio, sys
from lionpride.core import Event
from lionpride.stores.sqlite import SqliteStore

class Alien(Event):
    pass

class Other(Event):
    pass

async def main():
    store = SqliteStore(sys.argv[1], "q")
    await store.append([(kind(), float(n)) for n, kind in enumerate((Alien, Other, Alien))])
    await store.close()

asyncio.run(main())
"""
KINDS = "__main__.Alien, __main__.Other"


class Known(Event):
    async def _invoke(self) -> str:
        return "done"


class KnownProcessor(Processor):
    event_type = Event


class KnownExecutor(Executor):
    processor_type = KnownProcessor


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with three events of two classes that this process does not have."""
    subprocess.run(
        [sys.executable, "-c", ALIEN, str(tmp_path / "run.db")],
        check=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return tmp_path / "run.db"


def executor_of(path: Path) -> Executor:
    return KnownExecutor(store=f"sqlite:///{path}", queue="q")


async def test_a_claim_under_limits_leaves_them_waiting(path: Path) -> None:
    store = SqliteStore(path, "q")
    (known,) = await store.append([(Known(), 9.0)])
    limits = Limits([Limit("requests", 10, per=60)])
    claims, _ = await store.claim("worker", 99, limits=limits, start=True)
    assert [event for event, _ in claims] == [known]
    counts = await store.counts()
    assert (counts[EventStatus.PENDING], counts[EventStatus.PROCESSING]) == (3, 1)
    await check_counts(store)
    await store.close()


@pytest.mark.parametrize("count", [0, 1, 7])
async def test_join_says_so_when_the_others_have_run(
    count: int, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    executor = executor_of(path)
    with caplog.at_level(logging.WARNING, "lionpride"):
        async with executor:
            jobs = await executor.append_many([Known() for _ in range(count)])
            with pytest.raises(OperationError, match=f"3 events are pending.*{KINDS}: import"):
                await executor.join()
            assert all(job.execution.response == "done" for job in jobs)
            late = await executor.append(Known())
            with pytest.raises(OperationError, match="3 events are pending"):
                await executor.join()
            assert late.status is EventStatus.COMPLETED
    warned = [text for text in caplog.messages if "is not defined in this process" in text]
    assert len(warned) == 2, "one for each class"
    (left,) = [text for text in caplog.messages if "are left pending" in text]
    assert KINDS in left


async def test_a_round_runs_the_others_and_ends(path: Path) -> None:
    executor = executor_of(path)
    job = await executor.append(Known())
    await executor.forward()
    assert job.status is EventStatus.COMPLETED
    assert (await executor.store.counts())[EventStatus.PENDING] == 3
    await executor.store.close()


async def test_while_another_works_on_the_queue_there_is_hope(path: Path) -> None:
    executor, other = executor_of(path), SqliteStore(path, "q")
    other.register_worker("other", lambda event: None)
    await other.reap()
    async with executor:
        await executor.append(Known())
        join = asyncio.ensure_future(executor.join())
        while (await other.counts())[EventStatus.COMPLETED] == 0:
            await asyncio.sleep(0)
        assert await executor.store.stuck() == []  # type: ignore[attr-defined]
        assert not join.done()
        await other.cancel([each.id for each in await other.list_records(EventStatus.PENDING)])
        await join
    other.unregister_worker("other")
    await other.close()


async def test_a_class_that_is_defined_later_is_found(path: Path) -> None:
    store = SqliteStore(path, "q")
    store.register_worker("worker", lambda event: None)
    assert await store.claim("worker", 5) == ([], None)
    assert store.event_types.missing == {"__main__.Alien", "__main__.Other"}
    assert [each.kind for each in await store.stuck()] == sorted(store.event_types.missing)

    late = type(EventData)(
        "Alien", (EventData,), {"__module__": "__main__", "__qualname__": "Alien"}
    )
    claims, _ = await store.claim("worker", 5)
    assert [type(event) for event, _ in claims] == [late, late]
    assert store.event_types.missing == {"__main__.Other"}
    store.unregister_worker("worker")
    await store.close()
