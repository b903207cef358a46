"""From an append to an idle running executor to the first line of `_invoke`."""

from __future__ import annotations

import asyncio
import gc
import statistics
from functools import partial
from time import perf_counter_ns
from typing import Any

from benchmarks import bars
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import alternate
from benchmarks.table import Section, absent, figure, held

SAMPLES = 3_000
WARM_UP = 300
MOST_ROUNDS = 5
SETTLE = 0.0003
"""Seconds of rest between two samples, so that the loop waits as an idle program's does."""

QUEUE = "(b) queue.put to the job's first line"
OURS = "(e) append to _invoke's first line"


# --- the measured side ----------------------------------------------------------------


def child(candidate: str) -> Figures:
    samples = asyncio.run({"queue": sample_queue, "ours": sample_ours}[candidate]())[WARM_UP:]
    cuts = statistics.quantiles(samples, n=100)
    return {"p50": cuts[49], "p99": cuts[98]}


async def settle(reached: list[int], count: int) -> None:
    """Let the loop turn until the job began, then let it come to rest."""
    while len(reached) < count:  # noqa: ASYNC110 - an Event would cost what is measured
        await asyncio.sleep(0)
    await asyncio.sleep(SETTLE)


async def sample_queue() -> list[int]:
    from benchmarks.candidates import WORKERS, QueueJob, serve_queue

    reached: list[int] = []

    class StampedJob(QueueJob):
        async def run(self) -> None:
            reached.append(perf_counter_ns())

    queue: asyncio.PriorityQueue[Any] = asyncio.PriorityQueue()
    workers = [asyncio.create_task(serve_queue(queue)) for _ in range(WORKERS)]
    await asyncio.sleep(SETTLE)
    gc.collect()
    samples = []
    for number in range(WARM_UP + SAMPLES):
        job = StampedJob()
        began = perf_counter_ns()
        await queue.put((0.0, number, job))
        await settle(reached, number + 1)
        samples.append(reached[-1] - began)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return samples


async def sample_ours() -> list[int]:
    from benchmarks.ours import NoOp, make_executor

    reached: list[int] = []

    class StampedEvent(NoOp):
        async def _invoke(self) -> None:
            reached.append(perf_counter_ns())

    samples = []
    async with make_executor() as executor:
        await asyncio.sleep(SETTLE)
        gc.collect()
        for number in range(WARM_UP + SAMPLES):
            event = StampedEvent()
            began = perf_counter_ns()
            await executor.append(event, priority=0.0)
            await settle(reached, number + 1)
            samples.append(reached[-1] - began)
    return samples


# --- the asking side ------------------------------------------------------------------


def report(rounds: int) -> Section:
    section = Section(
        "latency",
        "IDLE LATENCY: ns from the append to the first line of user code",
        notes=[f"{SAMPLES:,} samples a round, {SETTLE * 1e3:g} ms of rest before each."],
    )
    answers = alternate(
        "latency",
        {
            QUEUE: partial(measure, "latency", {"candidate": "queue"}),
            OURS: partial(measure, "latency", {"candidate": "ours"}),
        },
        min(rounds, MOST_ROUNDS),
    )
    for label in (QUEUE, OURS):
        if label not in answers:
            section.rows.append(absent(label, answers.failures[label]))
            continue
        for key in ("p50", "p99"):
            section.rows.append(figure(f"{label}, {key}", answers.samples(label, key), "ns"))
    if QUEUE in answers and OURS in answers:
        for key in ("p50", "p99"):
            ratio = answers.samples(OURS, key).least / answers.samples(QUEUE, key).least
            row = held(f"    {key}, ours over (b)'s", ratio, bars.IDLE_LATENCY)
            if key == "p99":
                row.bar = row.verdict = ""
            section.rows.append(row)
    return section
