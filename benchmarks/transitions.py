"""One transition among many pending: an append, and a claim with its settle.

Rounds of a hundred through the public doors: a hundred appends, then one `forward()` of a
hundred events, so the number pending stays and a round's own cost is spread. A round's median
leaves out those in which the collector walked the whole heap. The bare heap is shown beside
it, for its own push and pop grow with the logarithm and with the caches.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import random
import statistics
from functools import partial
from time import perf_counter_ns

from benchmarks import bars
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import alternate
from benchmarks.table import Section, absent, figure, held

SIZES = (1_000, 10_000, 100_000, 1_000_000)
BATCH = 100
ROUNDS = 50
WARM_UP = 10
SEED = 11
LABELS = {
    "append": "append",
    "cycle": "claim, run and settle",
    "heap": "a bare heap's push and pop",
}


# --- the measured side ----------------------------------------------------------------


def child(pending: int) -> Figures:
    figures = asyncio.run(time_transitions(pending))
    figures["heap"] = time_heap(pending)
    return figures


async def time_transitions(pending: int) -> Figures:
    from benchmarks.ours import NoOp, make_executor

    executor = make_executor(queue_capacity=BATCH)
    chance = random.Random(SEED)
    for _ in range(pending):
        await executor.append(NoOp(), priority=chance.random())
    await executor.start()
    gc.collect()
    appends, cycles = [], []
    for _ in range(WARM_UP + ROUNDS):
        priorities = [chance.random() for _ in range(BATCH)]
        began = perf_counter_ns()
        for priority in priorities:
            await executor.append(NoOp(), priority=priority)
        appended = perf_counter_ns()
        await executor.forward()
        appends.append((appended - began) / BATCH)
        cycles.append((perf_counter_ns() - appended) / BATCH)
    counts = executor.status_counts()
    if counts["completed"] != (WARM_UP + ROUNDS) * BATCH or counts["pending"] != pending:
        raise RuntimeError(f"the rounds went wrong: {counts}")
    return {
        "append": statistics.median(appends[WARM_UP:]),
        "cycle": statistics.median(cycles[WARM_UP:]),
    }


def time_heap(pending: int) -> float:
    chance = random.Random(SEED)
    heap = [(chance.random(), number) for number in range(pending)]
    heapq.heapify(heap)
    gc.collect()
    rounds = []
    for _ in range(ROUNDS):
        entries = [(chance.random(), number) for number in range(BATCH)]
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
        notes=["the bar is held by the whole transition: append, claim, run and settle."],
    )
    questions = {str(n): partial(measure, "transitions", {"pending": n}) for n in SIZES}
    answers = alternate("transitions", questions, min(rounds, 3))
    smallest = str(SIZES[0])
    for n in SIZES:
        if str(n) not in answers:
            section.rows.append(absent("(e) ours", answers.failures[str(n)], n))
            continue
        for key, label in LABELS.items():
            row = figure(label, answers.samples(str(n), key), "ns", n)
            if smallest in answers:
                least = answers.samples(str(n), key).least
                row.ratio = least / answers.samples(smallest, key).least
            section.rows.append(row)
    if smallest in answers and str(SIZES[-1]) in answers:
        small, large = (
            answers.samples(str(n), "append").least + answers.samples(str(n), "cycle").least
            for n in (SIZES[0], SIZES[-1])
        )
        section.rows.append(
            held("    one transition, most over fewest", large / small, bars.TRANSITION, SIZES[-1])
        )
    return section
