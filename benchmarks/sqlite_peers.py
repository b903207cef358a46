"""huey and DBOS over a SQLite file. This script runs in an environment of its own.

Each runs N no-op jobs with three arguments. The clock stops when the last outcome is in the file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

WARM_UP = 50
GLANCE = 0.01
"""Seconds between two counts of the outcomes."""
PRIORITIES = 100
ARGUMENTS = ("https://example.org/page", 1, 0.5)


def huey(n: int, workers: int, folder: str) -> dict[str, Any]:
    """Run huey's consumer with worker threads; one thread enqueues, which is its fastest way.

    ``fsync=True`` is ``synchronous=FULL``. ``store_none`` records the outcome of a no-op. The
    polling delays are the shortest that do not slow it down.
    """
    from huey import SqliteHuey

    logging.disable(logging.CRITICAL)
    path = str(Path(folder, "huey.db"))
    queue = SqliteHuey("bench", filename=path, fsync=True, store_none=True, timeout=60)

    @queue.task()
    def no_op(url: str, depth: int, score: float) -> None:
        return None

    def enqueue(count: int) -> None:
        for number in range(count):
            no_op(*ARGUMENTS, priority=number % PRIORITIES)

    def wait_for(outcomes: int) -> None:
        while queue.storage.result_store_size() < outcomes:
            time.sleep(GLANCE)

    consumer = queue.create_consumer(
        workers=workers,
        periodic=False,
        initial_delay=0.001,
        max_delay=0.01,
        backoff=1.0,
        check_worker_health=False,
    )
    consumer.start()
    enqueue(WARM_UP)
    wait_for(WARM_UP)
    began = time.perf_counter_ns()
    producer = threading.Thread(target=enqueue, args=(n,))
    producer.start()
    wait_for(WARM_UP + n)
    took = time.perf_counter_ns() - began
    producer.join()
    consumer.stop(graceful=True)
    return {"ns": took / n}


def dbos(n: int, workers: int, folder: str) -> dict[str, Any]:
    """Call workflows of DBOS from so many tasks; one caller calls a plain function.

    Direct calls are faster than workflows that are enqueued.
    """
    from dbos import DBOS

    path = Path(folder, "dbos.db")
    DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{path}",
            "log_level": "CRITICAL",
            "run_admin_server": False,
        }
    )

    @DBOS.workflow()
    def plain(url: str, depth: int, score: float) -> None:
        return None

    @DBOS.workflow()
    async def no_op(url: str, depth: int, score: float) -> None:
        return None

    def call_each(count: int) -> int:
        began = time.perf_counter_ns()
        for _ in range(count):
            plain(*ARGUMENTS)
        return time.perf_counter_ns() - began

    async def warm_up_and_call() -> int:
        await call_by_many(no_op, WARM_UP, workers)
        return await call_by_many(no_op, n, workers)

    DBOS.launch()
    if workers == 1:
        call_each(WARM_UP)
        took = call_each(n)
    else:
        took = asyncio.run(warm_up_and_call())
    done = len(DBOS.list_workflows(status="SUCCESS", load_input=False, load_output=False))
    DBOS.destroy()
    if done != WARM_UP + n:
        raise RuntimeError(f"{done} of {WARM_UP + n} workflows are done: the measurement is void")
    return {"ns": took / n}


async def call_by_many(function: Callable[..., Awaitable[None]], n: int, callers: int) -> int:
    left = iter(range(n))

    async def call() -> None:
        for _ in left:
            await function(*ARGUMENTS)

    began = time.perf_counter_ns()
    await asyncio.gather(*(call() for _ in range(callers)))
    return time.perf_counter_ns() - began


if __name__ == "__main__":
    question = {"huey": huey, "dbos": dbos}[sys.argv[1]]
    print(json.dumps(question(**json.loads(sys.argv[2]))))
