"""arq, taskiq and Celery on Redis, each with its fastest settings and in an environment of its own.

No results are kept. A producer enqueues the warm-up, and the rest at the second signal. The jobs
have three arguments.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.start_signal import StartSignal

CALLERS = 100
"""Callers of an async producer; each awaits the enqueueing of its job."""
ARGUMENTS = ("https://example.org/page", 1, 0.5)

done = 0


def main() -> None:
    parameters = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    WAYS[parameters.pop("peer")](**parameters)


def no_op(*_: Any) -> None:
    global done  # noqa: PLW0603 - a thread reports it
    done += 1


async def async_no_op(*_: Any) -> None:
    no_op()


def run(main: Any) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def wait_and_report() -> None:
    """Wait for the signal, and from then on report the number of finished jobs."""
    signal = StartSignal()
    signal.wait()
    signal.report(lambda: done)


def put(send: Callable[[int], None], warm_up: int, n: int) -> None:
    signal = StartSignal()
    for count in (warm_up, n):
        signal.wait()
        send(count)
    sys.stdin.readline()


async def put_by_many(send: Callable[[], Any], warm_up: int, n: int) -> None:
    async def call(left: Iterator[int]) -> None:
        for _ in left:
            await send()

    signal = StartSignal()
    for count in (warm_up, n):
        signal.wait()
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
    await put_by_many(lambda: pool.enqueue_job("no_op", *ARGUMENTS), warm_up, n)


async def arq_worker(url: str) -> None:
    """Run a worker that polls with a short delay, and keeps no results."""
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
    wait_and_report()
    await worker.async_run()


# --- taskiq ---------------------------------------------------------------------------


def taskiq(url: str, produce: tuple[int, int] | None = None) -> None:
    run(taskiq_producer(url, *produce) if produce else taskiq_worker(url))


def taskiq_task(url: str) -> tuple[Any, Any]:
    """Use a list, which is faster than a stream and has no acknowledgements."""
    from taskiq.serializers import ORJSONSerializer
    from taskiq_redis import ListQueueBroker

    broker = ListQueueBroker(url).with_serializer(ORJSONSerializer())
    return broker, broker.register_task(async_no_op, task_name="no_op")


async def taskiq_producer(url: str, warm_up: int, n: int) -> None:
    broker, task = taskiq_task(url)
    await broker.startup()
    await put_by_many(lambda: task.kiq(*ARGUMENTS), warm_up, n)


async def taskiq_worker(url: str) -> None:
    from taskiq.api import run_receiver_task

    broker, _ = taskiq_task(url)
    broker.is_worker_process = True
    await broker.startup()
    wait_and_report()
    await run_receiver_task(
        broker, validate_params=False, max_async_tasks=CALLERS, max_prefetch=CALLERS
    )


# --- celery ---------------------------------------------------------------------------


def celery(url: str, produce: tuple[int, int] | None = None) -> None:
    """Ignore results and events, prefetch many, and run tasks in the worker itself (``solo``)."""
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
            put(
                lambda count: [send(ARGUMENTS, producer=producer) for _ in range(count)] and None,
                *produce,
            )
        return
    worker = app.Worker(
        pool="solo", loglevel="CRITICAL", without_gossip=True, without_mingle=True,
        without_heartbeat=True, task_events=False,
    )  # fmt: skip
    wait_and_report()
    worker.start()


WAYS = {"arq": arq, "taskiq": taskiq, "celery": celery}
