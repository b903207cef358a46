"""pgqueuer and procrastinate. This module runs in an environment of its own for each.

A process enqueues its share and works. Its producer waits for a second signal after the warm-up.
The jobs of pgqueuer have the three fields as payload, and those of procrastinate as arguments.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from benchmarks.start_signal import StartSignal

WARM_UP = 500
ARGUMENTS: dict[str, Any] = {"url": "https://example.org/page", "depth": 1, "score": 0.5}
PAYLOAD = json.dumps(ARGUMENTS).encode()
MANAGERS = 2
"""Queue managers in each process, with a connection each; this number is the fastest."""


class Counter:
    """Number of jobs of this process that are recorded as finished, or have run."""

    def __init__(self) -> None:
        self.done = 0

    def count(self) -> int:
        return self.done


def main() -> None:
    parameters = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    with asyncio.Runner(loop_factory=quickest_loop()) as runner:
        runner.run(WAYS[parameters.pop("way")](**parameters))


def quickest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's event loop if the environment has it."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop  # type: ignore[no-any-return]


# --- pgqueuer -------------------------------------------------------------------------


async def pgqueuer_install(url: str, durability: str) -> None:
    """Do as ``pgq install`` and ``pgq autovac``, which its guide to performance recommends."""
    import asyncpg
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    os.environ["PGQUEUER_DURABILITY"] = durability
    queries = Queries(AsyncpgDriver(await asyncpg.connect(url)))
    await queries.install()
    await queries.optimize_autovacuum()


async def pgqueuer(
    url: str, n: int, batch: int = 500, enqueue: int = 1_000, managers: int = MANAGERS
) -> None:
    """Run queue managers and a producer on one event loop, as in the project's own benchmark."""
    import asyncpg
    from pgqueuer import PgQueuer
    from pgqueuer.db import AsyncpgDriver
    from pgqueuer.queries import Queries

    counter = Counter()

    class Counting(Queries):
        async def log_jobs(self, job_status: Any) -> None:
            await super().log_jobs(job_status)
            counter.done += len(job_status)

    runs = []
    for _ in range(managers):
        driver = AsyncpgDriver(await asyncpg.connect(url))
        queue = PgQueuer(driver, queries=Counting(driver))

        @queue.entrypoint("no_op")
        async def no_op(_job: Any) -> None:
            return None

        runs.append(queue.run(batch_size=batch, dequeue_timeout=timedelta(seconds=1)))
    producer = Queries(AsyncpgDriver(await asyncpg.connect(url)))

    async def put(count: int) -> None:
        for start in range(0, count, enqueue):
            some = min(enqueue, count - start)
            priorities = [number * 7919 % 100 for number in range(start, start + some)]
            await producer.enqueue(["no_op"] * some, [PAYLOAD] * some, priorities)

    await serve(counter, put, n, *runs)


async def serve(counter: Counter, put: Any, n: int, *runs: Any) -> None:
    signal = StartSignal()
    signal.wait()
    signal.report(counter.count)
    tasks = [asyncio.ensure_future(run) for run in runs]
    await put(WARM_UP)
    await asyncio.to_thread(signal.wait)
    await put(n)
    await asyncio.gather(*tasks)


# --- procrastinate --------------------------------------------------------------------


async def procrastinate_install(url: str) -> None:
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def procrastinate(url: str, n: int, concurrency: int = 30, batch: int = 1_000) -> None:
    """Run a worker, and defer a thousand jobs at a time; finished jobs are deleted."""
    import procrastinate as library

    counter = Counter()
    connector = library.PsycopgConnector(conninfo=url, min_size=4, max_size=concurrency + 4)
    app = library.App(connector=connector)

    @app.task(name="no_op")
    async def no_op(url: str, depth: int, score: float) -> None:
        counter.done += 1

    async def put(count: int) -> None:
        for start in range(0, count, batch):
            await no_op.batch_defer_async(*[ARGUMENTS for _ in range(min(batch, count - start))])

    async with app.open_async():
        run = app.run_worker_async(
            concurrency=concurrency, delete_jobs="always", install_signal_handlers=False
        )
        await serve(counter, put, n, run)


WAYS = {
    "pgqueuer": pgqueuer,
    "pgqueuer_install": pgqueuer_install,
    "procrastinate": procrastinate,
    "procrastinate_install": procrastinate_install,
}
