"""From an append to an idle running executor to the first line of `_invoke`."""

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
from benchmarks.table import Samples, Section, absent, figure, held

PAIRS = 30
"""Of blocks in a round: one of (b)'s and one of ours, in turns the one and the other first."""
SAMPLES = 100
WARM_UP = 20
"""Before the samples of each block, and not among them."""
MOST_ROUNDS = 5
SETTLE = 0.0003
"""Seconds of rest before each sample, so that the loop waits as an idle program's does."""

QUEUE = "(b) queue.put to the job's first line"
OURS = "(e) append to _invoke's first line"

Sample: TypeAlias = Callable[[], Awaitable[int]]
"""Hands one job over, and answers the nanoseconds until its first line."""


# --- the measured side ----------------------------------------------------------------


def child() -> Figures:
    return asyncio.run(measure_in_turns())


async def measure_in_turns() -> Figures:
    """Blocks of the one and the other in one process: both meet the same speed of the machine."""
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
    """Let the loop turn until the job began, and answer when that was."""
    while not reached:  # noqa: ASYNC110 - an Event would cost what is measured
        await asyncio.sleep(0)
    return reached.pop()


@asynccontextmanager
async def queue_sampler() -> AsyncIterator[Sample]:
    from benchmarks.candidates import WORKERS, QueueJob, serve_queue

    reached: list[int] = []

    class StampedJob(QueueJob):
        async def run(self) -> None:
            reached.append(perf_counter_ns())

    queue: asyncio.PriorityQueue[Any] = asyncio.PriorityQueue()
    workers = [asyncio.create_task(serve_queue(queue)) for _ in range(WORKERS)]
    numbers = count()

    async def sample() -> int:
        job, number = StampedJob(), next(numbers)
        began = perf_counter_ns()
        await queue.put((0.0, number, job))
        return await first_line(reached) - began

    yield sample
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)


@asynccontextmanager
async def our_sampler() -> AsyncIterator[Sample]:
    from benchmarks.ours import NoOp, make_executor

    reached: list[int] = []

    class StampedEvent(NoOp):
        async def _invoke(self) -> None:
            reached.append(perf_counter_ns())

    async with make_executor() as executor:

        async def sample() -> int:
            event = StampedEvent()
            began = perf_counter_ns()
            await executor.append(event, priority=0.0)
            return await first_line(reached) - began

        yield sample


# --- the asking side ------------------------------------------------------------------


def report(rounds: int) -> Section:
    section = Section(
        "latency",
        "IDLE LATENCY: ns from the append to the first line of user code",
        notes=[
            f"{PAIRS} pairs of blocks of {SAMPLES}, {SETTLE * 1e3:g} ms of rest before each.",
            "The ratio of p50 is the median over the pairs.",
        ],
    )
    name = "latency"
    answers = alternate(name, {OURS: partial(measure, name, {})}, min(rounds, MOST_ROUNDS))
    if OURS not in answers:
        section.rows.append(absent(OURS, answers.failures[OURS]))
        return section
    by_key = partial(answers.samples, OURS)
    for label, who in ((QUEUE, "queue"), (OURS, "ours")):
        for key in ("p50", "p99"):
            section.rows.append(figure(f"{label}, {key}", by_key(f"{who}, {key}"), "ns"))
    section.rows.append(held("    p50, ours over (b)'s", by_key("ratio").median, bars.IDLE_LATENCY))
    ratio = Samples(
        ours / queue for ours, queue in zip(by_key("ours, p99"), by_key("queue, p99"), strict=True)
    ).median
    row = held("    p99, ours over (b)'s", ratio, bars.IDLE_LATENCY)
    row.bar = row.verdict = ""
    section.rows.append(row)
    return section
