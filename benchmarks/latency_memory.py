"""Latency in memory: from an append to an idle executor to the first line of ``_invoke``."""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from time import perf_counter_ns
from typing import Any, TypeAlias

from benchmarks import bars
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import alternate
from benchmarks.run import Run
from benchmarks.table import Section, absent, figure, held

PAIRS = 30
"""Pairs of blocks in a round: one block of each, in changing order."""
SAMPLES = 100
WARM_UP = 20
"""Samples before each block that are not counted."""
SETTLE = 0.0003
"""Seconds of rest before each sample, so that the event loop is idle."""

QUEUE = "PriorityQueue, put to first line"
OURS = "lionpride, append to first line"

Sample: TypeAlias = Callable[[], Awaitable[int]]
"""Starts one job, and returns the nanoseconds until its first line."""


def child() -> Figures:
    return asyncio.run(measure_in_turns())


async def measure_in_turns() -> Figures:
    """Measure both in one process, so that the speed of the machine is the same for both."""
    blocks: dict[str, list[list[int]]] = {"queue": [], "ours": []}
    async with AsyncExitStack() as stack:
        samplers = {
            "queue": await stack.enter_async_context(queue_sampler()),
            "ours": await stack.enter_async_context(our_sampler()),
        }
        for pair in range(PAIRS):
            for name in ("queue", "ours") if pair % 2 else ("ours", "queue"):
                blocks[name].append(await block(samplers[name]))
    medians = {name: [statistics.median(each) for each in blocks[name]] for name in blocks}
    pairs = zip(medians["ours"], medians["queue"], strict=True)
    return {
        "ratio": statistics.median(ours / queue for ours, queue in pairs),
        **{f"{name}, p50": statistics.median(medians[name]) for name in blocks},
        **{f"{name}, p99": late(blocks[name]) for name in blocks},
    }


def late(blocks: list[list[int]]) -> float:
    return statistics.quantiles([sample for block in blocks for sample in block], n=100)[98]


async def block(sample: Sample) -> list[int]:
    gc.collect()
    samples = []
    for _ in range(WARM_UP + SAMPLES):
        await asyncio.sleep(SETTLE)
        samples.append(await sample())
    return samples[WARM_UP:]


async def first_line(reached: list[int]) -> int:
    """Wait until the job has begun, and return the time when it began."""
    while not reached:  # noqa: ASYNC110 - an Event would cost what is measured
        await asyncio.sleep(0)
    return reached.pop()


@asynccontextmanager
async def queue_sampler() -> AsyncIterator[Sample]:
    from benchmarks.memory_peers import QueueJob, make_job, serve_queue
    from benchmarks.workload import WORKERS

    reached: list[int] = []

    class StampedJob(QueueJob):
        async def run(self) -> None:
            reached.append(perf_counter_ns())

    queue: asyncio.PriorityQueue[Any] = asyncio.PriorityQueue()
    workers = [asyncio.create_task(serve_queue(queue)) for _ in range(WORKERS)]
    numbers = count()

    async def sample() -> int:
        number = next(numbers)
        job = StampedJob(make_job(number, has_fields=True).fields)
        began = perf_counter_ns()
        await queue.put((0.0, number, job))
        return await first_line(reached) - began

    yield sample
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


@asynccontextmanager
async def our_sampler() -> AsyncIterator[Sample]:
    from benchmarks.events import Page, make_executor

    reached: list[int] = []

    class StampedPage(Page):
        async def _invoke(self) -> None:
            reached.append(perf_counter_ns())

    async with make_executor(StampedPage) as executor:

        async def sample() -> int:
            event = StampedPage(url="https://example.org/page", depth=1, score=0.5)
            began = perf_counter_ns()
            await executor.append(event, priority=0.0)
            return await first_line(reached) - began

        yield sample


def report(run: Run) -> Section:
    section = Section(
        "latency_memory",
        "LATENCY IN MEMORY: ns from the append to the first line of user code",
        notes=[f"{PAIRS} pairs of blocks of {SAMPLES}; the ratio is the median over the pairs."],
    )
    questions = {OURS: partial(measure, "latency_memory", {})}
    answers = alternate("latency in memory", questions, run.rounds)
    if OURS not in answers:
        section.rows.append(absent(OURS, answers.failures[OURS]))
        return section
    for label, who in ((QUEUE, "queue"), (OURS, "ours")):
        for key in ("p50", "p99"):
            samples = answers.samples(OURS, f"{who}, {key}")
            section.rows.append(figure(f"{label}, {key}", samples, "ns"))
    ratio = answers.samples(OURS, "ratio").median
    section.rows.append(
        held("    p50, over PriorityQueue's", ratio, bars.LATENCY_OF_PRIORITY_QUEUE)
    )
    return section
