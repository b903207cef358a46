"""One transition among many pending: an append, and a claim with its settle.

A hundred appends, then a hundred events claimed, run and settled by `execute()`, over and
over, so the number pending stays. The median round is told: it leaves out those in which the
collector walked the whole heap. Claims follow the order of arrival (the default priority) or
priorities at random; beside them stands a bare heap's push and pop, for that is logarithmic
and, at a million, a row of cache misses.
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
from typing import Any

from benchmarks import bars
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import Answers, alternate
from benchmarks.table import Section, absent, figure, held

SIZES = (1_000, 10_000, 100_000, 1_000_000)
ORDERS = {"arrival": "in order of arrival", "random": "priorities at random"}
BATCH = 100
BATCHES = 50
WARM_UP = 10
SEED = 11
STEPS = {"append": "append", "cycle": "claim, run, settle", "heap": "a bare heap's push and pop"}


# --- the measured side ----------------------------------------------------------------


def child(pending: int, order: str) -> Figures:
    appends, cycles = asyncio.run(time_transitions(pending, priorities(order)))
    return {"append": appends, "cycle": cycles, "heap": time_heap(pending, priorities(order))}


def priorities(order: str) -> Iterator[float]:
    if order == "arrival":
        return map(float, count())
    chance = random.Random(SEED)
    return (chance.random() for _ in count())


async def time_transitions(pending: int, priority: Iterator[float]) -> tuple[float, float]:
    """Nanoseconds an append and a claim with its settle take, medians of the rounds."""
    from benchmarks.ours import make_executor, stopping

    executor = make_executor()
    kind = stopping(executor, BATCH)
    await executor.start()
    for _ in range(pending):
        await executor.append(kind(), priority=next(priority))
    gc.collect()
    appends, cycles = [], []
    for _ in range(WARM_UP + BATCHES):
        entries = [(kind(), next(priority)) for _ in range(BATCH)]
        began = perf_counter_ns()
        for event, at in entries:
            await executor.append(event, priority=at)
        appended = perf_counter_ns()
        await executor.start()
        await executor.processor.execute()
        appends.append((appended - began) / BATCH)
        cycles.append((perf_counter_ns() - appended) / BATCH)
    check(executor.status_counts(), pending)
    return statistics.median(appends[WARM_UP:]), statistics.median(cycles[WARM_UP:])


def check(counts: dict[str, int], pending: int) -> None:
    if counts["pending"] != pending or counts["completed"] != (WARM_UP + BATCHES) * BATCH:
        raise RuntimeError(f"the rounds went wrong: {counts}")


def time_heap(pending: int, priority: Iterator[float]) -> float:
    heap = [(at, number) for number, at in enumerate(islice(priority, pending))]
    heapq.heapify(heap)
    gc.collect()
    rounds = []
    for _ in range(BATCHES):
        entries = [(next(priority), number) for number in range(BATCH)]
        began = perf_counter_ns()
        for entry in entries:
            heapq.heappush(heap, entry)
        for _ in range(BATCH):
            heapq.heappop(heap)
        rounds.append((perf_counter_ns() - began) / BATCH)
    return statistics.median(rounds)


# --- the asking side ------------------------------------------------------------------


def report(rounds: int) -> Section:
    section = Section(
        "transitions",
        f"TRANSITIONS: ns an event with N pending; ratio = against {SIZES[0]:,} pending",
        notes=["the bar is held by the whole: append, claim, run and settle, the heap included."],
    )
    for order, words in ORDERS.items():
        questions = {str(n): ask(n, order) for n in SIZES}
        answers = alternate(f"transitions {words}", questions, min(rounds, 3))
        add_figures(section, answers, words)
        add_bar(section, answers, words)
    return section


def ask(pending: int, order: str) -> Any:
    return partial(measure, "transitions", {"pending": pending, "order": order})


def add_figures(section: Section, answers: Answers, words: str) -> None:
    smallest = str(SIZES[0])
    for key, step in STEPS.items():
        for n in SIZES:
            if str(n) not in answers:
                section.rows.append(absent(f"{step}, {words}", answers.failures[str(n)], n))
                continue
            row = figure(f"{step}, {words}", answers.samples(str(n), key), "ns", n)
            if smallest in answers:
                least = answers.samples(smallest, key).least
                row.ratio = answers.samples(str(n), key).least / least
            section.rows.append(row)


def add_bar(section: Section, answers: Answers, words: str) -> None:
    fewest, most = SIZES[0], SIZES[-1]
    if str(fewest) in answers and str(most) in answers:
        small, large = (
            answers.samples(str(n), "append").least + answers.samples(str(n), "cycle").least
            for n in (fewest, most)
        )
        label = f"    one transition, {words}"
        section.rows.append(held(label, large / small, bars.TRANSITION, most))
