"""The measured side of (m): arq, taskiq, dramatiq and celery on Redis, as each is fastest.

Each in an interpreter of its own. Results are not kept, which is quickest and less than ours does.
A producer puts in what makes the workers warm, and the rest at the second word.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.gate import Gate

CALLERS = 100
"""Of an async producer, each awaiting its job's intake."""
THREADS = 8

done = 0


def main() -> None:
    parameters = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    WAYS[parameters.pop("peer")](**parameters)


def no_op() -> None:
    global done  # noqa: PLW0603 - what a thread reports may be told by no more than a number
    done += 1


async def async_no_op(*_: Any) -> None:
    no_op()


def run(main: Any) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def open_gate() -> None:
    """What a worker does before it works: from then on it says how much it has done."""
    gate = Gate()
    gate.wait()
    gate.report(lambda: done)


def put(send: Callable[[int], None], warm_up: int, n: int) -> None:
    gate = Gate()
    for count in (warm_up, n):
        gate.wait()
        send(count)
    sys.stdin.readline()


async def put_by_many(send: Callable[[], Any], warm_up: int, n: int) -> None:
    async def call(left: Iterator[int]) -> None:
        for _ in left:
            await send()

    gate = Gate()
    for count in (warm_up, n):
        gate.wait()
        left = iter(range(count))
        await asyncio.gather(*(call(left) for _ in range(CALLERS)))
    sys.stdin.readline()


# --- arq ------------------------------------------------------------------------------


def arq(url: str, produce: tuple[int, int] | None = None) -> None:
    run(arq_producer(url, *produce) if produce else arq_worker(url))


def arq_settings(url: str) -> Any:
    from arq.connections import RedisSettings

    return RedisSettings(unix_socket_path=url.removeprefix("unix://"))


async def arq_producer(url: str, warm_up: int, n: int) -> None:
    from arq import create_pool

    pool = await create_pool(arq_settings(url))
    await put_by_many(lambda: pool.enqueue_job("no_op"), warm_up, n)


async def arq_worker(url: str) -> None:
    """It polls; a short delay, as many jobs as there are callers, and no result kept."""
    from arq.worker import Worker, func

    worker = Worker(
        [func(async_no_op, name="no_op", keep_result=0)],
        redis_settings=arq_settings(url),
        max_jobs=CALLERS,
        queue_read_limit=10 * CALLERS,
        poll_delay=0.01,
        keep_result=0,
        log_results=False,
        handle_signals=False,
    )
    open_gate()
    await worker.async_run()


# --- taskiq ---------------------------------------------------------------------------


def taskiq(url: str, produce: tuple[int, int] | None = None) -> None:
    run(taskiq_producer(url, *produce) if produce else taskiq_worker(url))


def taskiq_task(url: str) -> tuple[Any, Any]:
    """Over a list, which is faster than a stream, and takes no acknowledgements."""
    from taskiq.serializers import ORJSONSerializer
    from taskiq_redis import ListQueueBroker

    broker = ListQueueBroker(url).with_serializer(ORJSONSerializer())
    return broker, broker.register_task(async_no_op, task_name="no_op")


async def taskiq_producer(url: str, warm_up: int, n: int) -> None:
    broker, task = taskiq_task(url)
    await broker.startup()
    await put_by_many(task.kiq, warm_up, n)


async def taskiq_worker(url: str) -> None:
    from taskiq.api import run_receiver_task

    broker, _ = taskiq_task(url)
    broker.is_worker_process = True
    await broker.startup()
    open_gate()
    await run_receiver_task(
        broker, validate_params=False, max_async_tasks=CALLERS, max_prefetch=CALLERS
    )


# --- dramatiq -------------------------------------------------------------------------


def dramatiq(url: str, produce: tuple[int, int] | None = None) -> None:
    """Without the middleware that a no-op does not need; so many threads, as its command has."""
    import dramatiq as library
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=url, middleware=[])
    library.set_broker(broker)
    actor = library.actor(no_op, actor_name="no_op", queue_name="bench")
    if produce:
        put(lambda count: [actor.send() for _ in range(count)] and None, *produce)
        return
    worker = library.Worker(broker, worker_threads=THREADS)
    open_gate()
    worker.start()
    worker.join()
    sys.stdin.readline()


# --- celery ---------------------------------------------------------------------------


def celery(url: str, produce: tuple[int, int] | None = None) -> None:
    """Results ignored, events off, a large prefetch; `solo` spends nothing on a pool."""
    from celery import Celery

    app = Celery("bench", broker=url.replace("unix://", "redis+socket://"))
    app.conf.update(
        task_ignore_result=True,
        worker_prefetch_multiplier=500,
        task_serializer="json",
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
    )
    task = app.task(no_op, name="no_op", ignore_result=True)
    if produce:
        with app.producer_pool.acquire(block=True) as producer:
            send = task.apply_async
            put(lambda count: [send(producer=producer) for _ in range(count)] and None, *produce)
        return
    worker = app.Worker(
        pool="solo", loglevel="CRITICAL", without_gossip=True, without_mingle=True,
        without_heartbeat=True, task_events=False,
    )  # fmt: skip
    open_gate()
    worker.start()


WAYS = {"arq": arq, "taskiq": taskiq, "dramatiq": dramatiq, "celery": celery}
