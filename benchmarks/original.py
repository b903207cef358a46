"""The measured side of (d): stands alone, for the original has an interpreter of its own.

Run by `original_env.py` in isolated mode, so that nothing of this repository is importable.
Bounds are set as wide as the original allows.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from lionpride.core import Event, Executor, Processor

WORKERS = 100
WIDEST_CAPACITY = 10_000
SHORTEST_REFRESH = 0.01


class NoOp(Event):
    async def _invoke(self) -> None:
        return None


class NoOpProcessor(Processor):
    event_type = NoOp


class NoOpExecutor(Executor):
    processor_type = NoOpProcessor


def make_executor(n: int) -> Executor:
    return NoOpExecutor(
        processor_config={
            "queue_capacity": WIDEST_CAPACITY,
            "capacity_refresh_time": SHORTEST_REFRESH,
            "concurrency_limit": WORKERS,
            "max_queue_size": n,
        }
    )


async def run(priorities: list[float]) -> tuple[int, Executor]:
    """`execute()` beside the appends: of the ways that were tried the fastest at 10,000."""
    n = len(priorities)
    began = perf_counter_ns()
    executor = make_executor(n)
    await executor.start()  # before the appends: given earlier, priorities are lost
    loop = asyncio.create_task(executor.processor.execute())
    for priority in priorities:
        await executor.append(NoOp(), priority=priority)
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


def memory(n: int, method: str) -> dict[str, Any]:
    """Bytes per settled event that the executor still holds; see memory.py."""
    import tracemalloc

    priorities = [float(i) for i in range(n)]
    asyncio.run(run(priorities[:100]))
    if method == "tracemalloc":
        tracemalloc.start()
    gc.collect()
    before = bytes_in_use(method)
    _, executor = asyncio.run(run(priorities))
    gc.collect()
    grown = bytes_in_use(method) - before
    return {"bytes": grown / n, "held": len(executor.states.items)}


def bytes_in_use(method: str) -> int:
    if method == "tracemalloc":
        import tracemalloc

        return tracemalloc.get_traced_memory()[0]
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


if __name__ == "__main__":
    question = {"throughput": throughput, "memory": memory}[sys.argv[1]]
    print(json.dumps(question(**json.loads(sys.argv[2]))))
