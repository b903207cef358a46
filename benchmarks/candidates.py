"""The peers: four ways to run N jobs by priority, a hundred at a time.

Each candidate makes its jobs (inside the timing unless `premade`), runs all of them and
reads the counts, since a run whose outcome nobody can read is not finished. Every way
keeps its jobs, for that is where the outcome stands, and so the collector has as many
objects to walk as the way itself makes.

The workers' start is inside the timing, their end is not.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

WORKERS = 100
SEED = 20_240_607

Candidate = Callable[[list[float], bool], Awaitable[int]]
"""Takes one priority a job and whether the jobs are made before; answers nanoseconds."""


def shuffled_priorities(n: int) -> list[float]:
    """The numbers below n as floats, in the same random order for every candidate."""
    priorities = [float(i) for i in range(n)]
    random.Random(SEED).shuffle(priorities)
    return priorities


def expect_all_completed(completed: int, n: int) -> None:
    if completed != n:
        raise RuntimeError(f"{completed} of {n} jobs completed: the measurement is void")


# --- (a) bare asyncio -----------------------------------------------------------------


class BareJob:
    """The least that a job can be: something to await and a mark that it ran."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    async def run(self) -> None:
        return None


async def bare(priorities: list[float], premade: bool) -> int:
    """A heap and a pool of workers that pop while there is something: the ceiling."""
    ready = [BareJob() for _ in priorities] if premade else None
    gc.collect()
    began = perf_counter_ns()
    jobs: list[BareJob] = []
    heap: list[tuple[float, int, BareJob]] = []
    for number, priority in enumerate(priorities):
        job = ready[number] if ready else BareJob()
        jobs.append(job)
        heapq.heappush(heap, (priority, number, job))

    async def work() -> None:
        while heap:
            job = heapq.heappop(heap)[2]
            await job.run()
            job.done = True

    await asyncio.gather(*(asyncio.create_task(work()) for _ in range(WORKERS)))
    completed = sum(job.done for job in jobs)
    took = perf_counter_ns() - began
    expect_all_completed(completed, len(priorities))
    return took


# --- (b) asyncio.PriorityQueue --------------------------------------------------------


@dataclass
class QueueJob:
    """A job as one writes it on the first day: what became of it is kept on it."""

    status: str = "pending"
    result: Any = None
    error: BaseException | None = None

    async def run(self) -> Any:
        return None


async def serve_queue(queue: asyncio.PriorityQueue[tuple[float, int, QueueJob]]) -> None:
    while True:
        _, _, job = await queue.get()
        job.status = "processing"
        try:
            job.result = await job.run()
            job.status = "completed"
        except Exception as error:
            job.error = error
            job.status = "failed"
        finally:
            queue.task_done()


async def priority_queue(priorities: list[float], premade: bool) -> int:
    """`asyncio.PriorityQueue` and a hundred workers, as a user would write it."""
    ready = [QueueJob() for _ in priorities] if premade else None
    gc.collect()
    began = perf_counter_ns()
    queue: asyncio.PriorityQueue[tuple[float, int, QueueJob]] = asyncio.PriorityQueue()
    workers = [asyncio.create_task(serve_queue(queue)) for _ in range(WORKERS)]
    jobs: list[QueueJob] = []
    for number, priority in enumerate(priorities):
        job = ready[number] if ready else QueueJob()
        jobs.append(job)
        await queue.put((priority, number, job))
    await queue.join()
    counts = Counter(job.status for job in jobs)
    took = perf_counter_ns() - began
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    expect_all_completed(counts["completed"], len(priorities))
    return took


# --- (c) aiojobs ----------------------------------------------------------------------


AIOJOBS_PENDING = 10
"""Its default of 10,000 costs it eight times as much, for `wait_and_close()` then gathers
every waiting job at each turn; a short queue is the best that was found for it."""


async def record_outcome(job: QueueJob) -> None:
    job.status = "processing"
    try:
        job.result = await job.run()
        job.status = "completed"
    except Exception as error:
        job.error = error
        job.status = "failed"


async def aiojobs(priorities: list[float], premade: bool) -> int:
    """A task a job under `aiojobs.Scheduler(limit=100)`; it knows no priority."""
    from aiojobs import Scheduler

    ready = [QueueJob() for _ in priorities] if premade else None
    gc.collect()
    began = perf_counter_ns()
    scheduler = Scheduler(limit=WORKERS, pending_limit=AIOJOBS_PENDING)
    jobs: list[QueueJob] = []
    for number in range(len(priorities)):
        job = ready[number] if ready else QueueJob()
        jobs.append(job)
        await scheduler.spawn(record_outcome(job))
    await scheduler.wait_and_close()
    counts = Counter(job.status for job in jobs)
    took = perf_counter_ns() - began
    expect_all_completed(counts["completed"], len(priorities))
    return took
