"""Other ways to run jobs in memory: ``asyncio.PriorityQueue`` and aiojobs.

Each candidate makes its jobs, runs all of them, and reads the counts. Each keeps its jobs, since
the outcome is read from them. The start of the workers is timed, and their end is not.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from pydantic import BaseModel

from benchmarks.workload import WORKERS, expect_all_completed


class PageFields(BaseModel):
    """The same fields as the event of this library, validated by pydantic too."""

    url: str
    depth: int
    score: float


@dataclass
class QueueJob:
    """A job with its outcome, as a user would write it."""

    fields: PageFields | None = None
    status: str = "pending"
    result: Any = None
    error: BaseException | None = None

    async def run(self) -> Any:
        return None


def make_job(number: int, has_fields: bool) -> QueueJob:
    if not has_fields:
        return QueueJob()
    return QueueJob(PageFields(url="https://example.org/page", depth=number, score=0.5))


async def record_outcome(job: QueueJob) -> None:
    job.status = "processing"
    try:
        job.result = await job.run()
        job.status = "completed"
    except Exception as error:
        job.error = error
        job.status = "failed"


async def serve_queue(queue: asyncio.PriorityQueue[tuple[float, int, QueueJob]]) -> None:
    while True:
        _, _, job = await queue.get()
        await record_outcome(job)
        queue.task_done()


async def priority_queue(priorities: list[float], has_fields: bool) -> int:
    """Run the jobs with ``asyncio.PriorityQueue`` and a hundred workers."""
    gc.collect()
    began = perf_counter_ns()
    queue: asyncio.PriorityQueue[tuple[float, int, QueueJob]] = asyncio.PriorityQueue()
    workers = [asyncio.create_task(serve_queue(queue)) for _ in range(WORKERS)]
    jobs: list[QueueJob] = []
    for number, priority in enumerate(priorities):
        job = make_job(number, has_fields)
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


AIOJOBS_PENDING = 10
"""Its default of 10,000 makes it eight times as slow: ``wait_and_close()`` then gathers every
waiting job at each turn."""


async def aiojobs(priorities: list[float], has_fields: bool) -> int:
    """Run the jobs with ``aiojobs.Scheduler(limit=100)``: a task for each, without priorities."""
    from aiojobs import Scheduler

    gc.collect()
    began = perf_counter_ns()
    scheduler = Scheduler(limit=WORKERS, pending_limit=AIOJOBS_PENDING)
    jobs: list[QueueJob] = []
    for number in range(len(priorities)):
        job = make_job(number, has_fields)
        jobs.append(job)
        await scheduler.spawn(record_outcome(job))
    await scheduler.wait_and_close()
    counts = Counter(job.status for job in jobs)
    took = perf_counter_ns() - began
    expect_all_completed(counts["completed"], len(priorities))
    return took
