"""Limits in a file: several processes hold them together, and a crash gives nothing back."""

import asyncio
import subprocess
import sys
from math import fsum
from pathlib import Path

import pytest
from stores.makers import Clock, Folder, Job, sqlite_in

from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.stores.sqlite import SqliteStore

WORKER = """
import asyncio, sys, time
from typing import ClassVar
from lionpride.core import Event, Executor, Limit, Processor

class Call(Event):
    tokens: int = 1
    @property
    def costs(self):
        return {"tokens": self.tokens}
    async def _invoke(self):
        began = time.time()
        if self.tokens == 7:
            import os; os._exit(9)
        return [began, self.tokens]

class CallProcessor(Processor):
    event_type: ClassVar = Call
    limits: ClassVar = [Limit("tokens", 20, per=1.0)]

class CallExecutor(Executor):
    processor_type: ClassVar = CallProcessor

async def main():
    executor = CallExecutor(store=sys.argv[1], queue="calls")
    async with executor:
        await executor.append_many([Call(tokens=1 + n % 3) for n in range(int(sys.argv[2]))])
        await executor.join()

asyncio.run(main())
"""


@pytest.mark.guard(60)
async def test_c3_several_processes_hold_it_together(tmp_path: Path) -> None:
    script, file = tmp_path / "calls.py", tmp_path / "run.db"
    script.write_text(WORKER)
    command = [sys.executable, str(script), f"sqlite:///{file}?synchronous=NORMAL", "25"]
    workers = [subprocess.Popen(command) for _ in range(3)]
    codes = [await asyncio.to_thread(worker.wait) for worker in workers]
    assert codes == [0, 0, 0]
    store = SqliteStore(file, "calls")
    records = await store.list_records(limit=100)
    await store.close()
    starts = [record.payload["execution"]["response"] for record in records]
    assert len(starts) == 75
    for end, _ in starts:  # the code starts some time after it was counted, by milliseconds
        seen = [n for at, n in starts if at <= end and fsum((at, 0.9, -end)) > 0]
        assert sum(seen) <= 20
    used = max(at for at, _ in starts) - min(at for at, _ in starts)
    assert used >= 150 / 20 - 1.1, "it took as long as the limit says"


async def test_what_a_dead_worker_had_taken_counts_as_spent(tmp_path: Path) -> None:
    script, file = tmp_path / "calls.py", tmp_path / "run.db"
    script.write_text(WORKER.replace("1 + n % 3", "7").replace("per=1.0", "per=1000.0"))
    command = [sys.executable, str(script), f"sqlite:///{file}?synchronous=NORMAL", "1"]
    worker = subprocess.Popen(command)
    assert await asyncio.to_thread(worker.wait) == 9
    store = SqliteStore(file, "other")

    class Call(Job):
        tokens: int

        @property
        def costs(self) -> dict[str, float]:
            return {"tokens": self.tokens}

    limits = Limits([Limit("tokens", 20, per=1000.0)])
    await store.append([(Call(tokens=14), 1.0)])
    assert (await store.claim("other", 9, limits=limits))[0] == []
    await store.append([(Call(tokens=13), 0.0)])
    (only,), _ = await store.claim("other", 9, limits=limits)
    assert only[0].costs == {"tokens": 13}, "7 are taken"
    await store.close()


@pytest.mark.parametrize("started", [False, True])
async def test_what_was_held_for_a_start_counts_as_taken_when_the_lease_lapses(
    started: bool,
) -> None:
    clock, folder = Clock(), Folder()
    one, other = (sqlite_in(folder, clock) for _ in range(2))
    limits = Limits([Limit("requests", 1, per=60.0), Limit("slots", 1)])
    await one.append([(Job(), 1.0), (Job(), 1.0)])
    (claim,), _ = await one.claim("one", 1, limits=limits)
    if started:
        one.start(claim[0])
    clock.advance(11.0)  # longer than its lease
    assert await other.reap() == 1
    assert (await other.claim("other", 1, limits=limits))[0] == [], "it may have started"
    clock.advance(60.0)
    assert len((await other.claim("other", 2, limits=limits))[0]) == 1
    await one.close()
    await other.close()


async def test_a_clock_that_was_set_back_blocks_for_one_window_at_most() -> None:
    clock = Clock(10_000.0)
    store = sqlite_in(Folder(), clock)
    limits = Limits([Limit("requests", 1, per=5.0)])
    await store.append([(Job(), 1.0), (Job(), 1.0)])
    assert len((await store.claim("one", 9, start=True, limits=limits))[0]) == 1
    clock.now = 1_000.0
    assert (await store.claim("one", 9, start=True, limits=limits))[0] == []
    clock.advance(5.0)
    assert len((await store.claim("one", 9, start=True, limits=limits))[0]) == 1
    await store.close()


async def test_what_nobody_uses_any_more_is_forgotten() -> None:
    clock = Clock()
    store = sqlite_in(Folder(), clock)

    class Call(Job):
        @property
        def key(self) -> str:
            return self.label

    limits = Limits([Limit("requests", 1, per=2.0, per_key=True)])
    await store.append([(Call(label=str(n)), 1.0) for n in range(50)])
    assert len((await store.claim("one", 99, start=True, limits=limits))[0]) == 50
    clock.advance(4.0)
    await store.reap()
    names = store._backend.file._connection.execute(
        "SELECT count(*) FROM lionpride_limit_account"
    ).get
    assert names == 0
    await store.close()


async def test_a_crowd_shares_its_instants() -> None:
    clock = Clock()
    store = sqlite_in(Folder(), clock)
    limits = Limits([Limit("requests", 10**6, per=8.0)])
    for _ in range(300):
        clock.advance(0.0001)
        await store.append([(Job(), 1.0)])
        assert len((await store.claim("one", 9, start=True, limits=limits))[0]) == 1
    rows = store._backend.file._connection.execute(
        "SELECT count(*), total(amount) FROM lionpride_limit_usage"
    ).fetchone()
    assert rows[1] == 300
    assert rows[0] <= 40
    await store.close()
