"""Workers with schedules are killed: each instant has one event, and none is forgotten.

``campaign`` starts worker processes, and kills one after another.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from crash.workers import TESTS

from lionpride import Event, Every, Executor
from lionpride.stores.record import Record
from lionpride.stores.schedule_record import ScheduleRecord

QUEUE = "ticks"
SCHEDULES = 24
POLICIES = ("allow", "skip", "queue", "replace")
WORKERS = 3

_WORKER = "import asyncio, sys; from crash.ticking import work; asyncio.run(work(sys.argv[1]))"


class Tick(Event):
    """Takes a moment."""

    async def _invoke(self) -> float:
        await asyncio.sleep(0.02)
        return self.execution.scheduled_for or 0.0


def executor_of(url: str) -> Executor:
    return Executor.of(Tick, store=url, queue=QUEUE, concurrency_limit=16)


async def work(url: str) -> None:
    """Run until killed."""
    async with executor_of(url):
        print("ready", flush=True)
        await asyncio.Event().wait()


async def campaign(
    url: str,
    kills: int,
    seed: int,
    crash: Callable[[float], Awaitable[None]] | None = None,
) -> tuple[list[str], int]:
    """Kill workers while schedules are due; return what is wrong, and the number of events.

    Args:
        url: The store.
        kills: How many workers are killed.
        seed: Decides which, and when.
        crash: Stops the server without a shutdown, and starts it again after some seconds; called
            after every second kill. None if the store has no server.
    """
    random, first = Random(seed), dict[str, float]()
    async with asyncio.timeout(60 + kills), executor_of(url) as executor:
        await executor.pause()  # only the workers run events
        for number in range(SCHEDULES):
            policy: Any = POLICIES[number % len(POLICIES)]
            record = await executor.schedule(
                f"{policy}-{number}",
                Tick(),
                Every(1, anchor=number / 32),
                missed="all",
                missed_limit=1_000,
                overlap=policy,
                jitter=0.1 if number % 3 else 0.0,
            )
            assert record.next is not None
            first[record.name] = record.next
        workers = [await _started(url) for _ in range(WORKERS)]
        try:
            for number in range(kills):
                await asyncio.sleep(random.uniform(0.05, 0.5))
                victim = workers.pop(random.randrange(WORKERS))
                victim.kill()
                await victim.wait()
                if crash is not None and number % 2:
                    await crash(random.choice((0.0, 0.5)))
                workers.append(await _started(url))
        finally:
            for worker in workers:
                worker.kill()
                await worker.wait()
        found = [await executor.schedules.pause(name) for name in sorted(first)]
        await executor.resume()
        await executor.join()
        events: list[Record] = []
        while page := await executor.store.list_records(
            after=events[-1].number if events else None, limit=500
        ):
            events += page
        return troubles(first, found, events), len(events)


async def _started(url: str) -> asyncio.subprocess.Process:
    """Start a worker, and wait until it runs."""
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _WORKER, url),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert worker.stdout is not None
    assert await worker.stdout.readline() == b"ready\n"
    return worker


def troubles(
    first: dict[str, float], schedules: list[ScheduleRecord], events: list[Record]
) -> list[str]:
    """Return what is wrong: instants without an event or with two, and events that did not end."""
    found = [f"{each.id} is {each.status}" for each in events if each.status == "pending"]
    by_name: dict[str, list[float]] = {}
    for event in events:
        mark = event.payload["metadata"]["lion_schedule"]
        by_name.setdefault(mark["name"], []).append(mark["at"])
    for schedule in schedules:
        instants = sorted(by_name.get(schedule.name, []))
        if len(set(instants)) != len(instants):
            found.append(f"{schedule.name} has two events for one instant")
        assert schedule.last is not None
        count = round(schedule.last.at - first[schedule.name]) + 1
        expected = [first[schedule.name] + k for k in range(count)]
        if schedule.name.startswith("allow") and instants != expected:
            lost = sorted(set(expected) - set(instants))
            found.append(f"{schedule.name} has no event for {lost}")
        if not set(instants) <= set(expected):
            found.append(f"{schedule.name} has an event at no instant of its rule")
    return found
