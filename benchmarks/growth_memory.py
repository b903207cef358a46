"""Growth in memory: the time for one append, claim and settlement while N events are pending.

A hundred events are appended, then a hundred are claimed, run and settled, again and again, so the
number of pending events stays. The median of the rounds is reported. The push and pop of a bare
heap are shown for comparison: at a million entries they miss the processor's caches too.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import random
import statistics
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from time import perf_counter_ns
from typing import Any, ClassVar

from benchmarks import bars
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import Answers, Ask, alternate
from benchmarks.run import Run
from benchmarks.table import Section, absent, figure, held
from lionpride import Event, EventStatus, Executor

SMALL = 1_000
ORDERS = {"arrival": "in order of arrival", "random": "random priorities"}
BATCH = 100
ROUNDS = 50
WARM_UP = 10
SEED = 11
STEPS = {"ours": "lionpride, append to settled", "heap": "a bare heap, push and pop"}


def child(pending: int, order: str) -> Figures:
    ours = asyncio.run(time_transitions(pending, priorities(order)))
    return {"ours": ours, "heap": time_heap(pending, priorities(order))}


def priorities(order: str) -> Iterator[float]:
    if order == "arrival":
        return map(float, count())
    chance = random.Random(SEED)
    return (chance.random() for _ in count())


async def time_transitions(pending: int, priority: Iterator[float]) -> float:
    """Return the nanoseconds for one event, while so many are pending."""
    from benchmarks.events import make_executor

    event_type = make_event_type()
    executor = make_executor(event_type)
    event_type.executor = executor
    await executor.start()
    for _ in range(pending):
        await executor.append(event_type(), priority=next(priority))
    gc.collect()
    took = []
    for _ in range(WARM_UP + ROUNDS):
        entries = [(event_type(), next(priority)) for _ in range(BATCH)]
        began = perf_counter_ns()
        for event, at in entries:
            await executor.append(event, priority=at)
        await executor.start()
        await executor.execute()  # until the hundredth event stops it
        took.append((perf_counter_ns() - began) / BATCH)
    counts = executor.status_counts()
    done = (WARM_UP + ROUNDS) * BATCH
    if counts[EventStatus.PENDING] != pending or counts[EventStatus.COMPLETED] != done:
        raise RuntimeError(f"wrong counts: {counts}")
    return statistics.median(took[WARM_UP:])


def make_event_type() -> Any:
    """Return an event class whose every hundredth run stops the executor."""

    class Counted(Event):
        runs: ClassVar[int] = 0
        executor: ClassVar[Executor]

        async def _invoke(self) -> None:
            Counted.runs += 1
            if Counted.runs % BATCH == 0:
                await Counted.executor.stop()

    return Counted


def time_heap(pending: int, priority: Iterator[float]) -> float:
    heap = [(at, number) for number, at in enumerate(islice(priority, pending))]
    heapq.heapify(heap)
    gc.collect()
    took = []
    for _ in range(ROUNDS):
        entries = [(next(priority), number) for number in range(BATCH)]
        began = perf_counter_ns()
        for entry in entries:
            heapq.heappush(heap, entry)
        for _ in range(BATCH):
            heapq.heappop(heap)
        took.append((perf_counter_ns() - began) / BATCH)
    return statistics.median(took)


def report(run: Run) -> Section:
    section = Section(
        "growth_memory",
        f"GROWTH IN MEMORY: ns for each event with N pending; ratio = to {SMALL:,} pending",
    )
    sizes = (SMALL, max(SMALL, run.finished))
    for order, words in ORDERS.items():
        questions: dict[str, Ask] = {
            str(n): partial(measure, "growth_memory", {"pending": n, "order": order}) for n in sizes
        }
        answers = alternate(f"growth in memory, {words}", questions, min(run.rounds, 3))
        add_figures(section, answers, order, sizes)
    return section


def add_figures(section: Section, answers: Answers, order: str, sizes: tuple[int, int]) -> None:
    words = ORDERS[order]
    small, large = (str(n) for n in sizes)
    for key, step in STEPS.items():
        for n in sizes:
            if str(n) in answers:
                row = figure(f"{step}, {words}", answers.samples(str(n), key), "ns", n)
                section.rows.append(row)
            else:
                section.rows.append(absent(f"{step}, {words}", answers.failures[str(n)], n))
    if small in answers and large in answers:
        ratio = answers.samples(large, "ours").least / answers.samples(small, "ours").least
        section.rows.append(held(f"    {words}", ratio, bars.TRANSITION_GROWTH[order], sizes[1]))
