"""The original package, ``lionpride==1.0.0a12``. This script runs in an environment of its own.

Its limits are set as wide as it allows.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
from time import perf_counter_ns
from typing import Any

from lionpride.core import Event, Executor, Processor

WORKERS = 100
WIDEST_CAPACITY = 10_000
SHORTEST_REFRESH = 0.01


class Page(Event):
    url: str
    depth: int
    score: float

    async def _invoke(self) -> None:
        return None


class PageProcessor(Processor):
    event_type = Page


class PageExecutor(Executor):
    processor_type = PageProcessor


def make_executor(n: int) -> Executor:
    return PageExecutor(
        processor_config={
            "queue_capacity": WIDEST_CAPACITY,
            "capacity_refresh_time": SHORTEST_REFRESH,
            "concurrency_limit": WORKERS,
            "max_queue_size": n,
        }
    )


async def run(priorities: list[float]) -> tuple[int, Executor]:
    """Run ``execute()`` during the appends, which is its fastest way at 10,000."""
    n = len(priorities)
    began = perf_counter_ns()
    executor = make_executor(n)
    await executor.start()  # before the appends: given earlier, priorities are lost
    loop = asyncio.create_task(executor.processor.execute())
    for number, priority in enumerate(priorities):
        page = Page(url="https://example.org/page", depth=number, score=0.5)
        await executor.append(page, priority=priority)
    while executor.status_counts()["completed"] < n:  # noqa: ASYNC110 - it has nothing to wait on
        await asyncio.sleep(0.001)
    took = perf_counter_ns() - began
    await executor.stop()
    await loop
    return took, executor


def throughput(n: int, seed: int) -> dict[str, Any]:
    priorities = [float(i) for i in range(n)]
    random.Random(seed).shuffle(priorities)
    asyncio.run(run(priorities[:100]))
    gc.collect()
    took, _ = asyncio.run(run(priorities))
    return {"ns": took / n}


if __name__ == "__main__":
    assert sys.argv[1] == "throughput"
    print(json.dumps(throughput(**json.loads(sys.argv[2]))))
