"""Time for N no-op jobs in memory, by priority and a hundred at once, until the counts are read."""

from __future__ import annotations

import asyncio
import gc
import statistics
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns

from benchmarks import bars, memory_peers
from benchmarks.environment import Environment
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import Answers, Ask, alternate
from benchmarks.run import Run
from benchmarks.table import Section, absent, figure, held, speed
from benchmarks.workload import SEED, WARM_UP, expect_all_completed, shuffled_priorities

REPEATS = {1_000: 15, 10_000: 7}
"""Measurements in each process, by N: a small run lasts only a few milliseconds."""
ORIGINAL = Environment("original", "original.py", "lionpride==1.0.0a12", "import lionpride.core")


@dataclass(frozen=True)
class Candidate:
    """A way to run the jobs."""

    label: str
    function: str
    has_fields: bool = False
    largest: int = 100_000


OURS_FIELDS = "lionpride, three fields"
QUEUE_FIELDS = "PriorityQueue, three fields"
OURS = "lionpride, no fields"
QUEUE = "PriorityQueue, no fields"
AIOJOBS = "aiojobs, three fields"
THE_ORIGINAL = "the original, three fields"

CANDIDATES = (
    Candidate(QUEUE_FIELDS, "priority_queue", has_fields=True),
    Candidate(AIOJOBS, "aiojobs", has_fields=True),
    Candidate(THE_ORIGINAL, "original", has_fields=True, largest=10_000),
    Candidate(OURS_FIELDS, "ours", has_fields=True),
    Candidate(QUEUE, "priority_queue"),
    Candidate(OURS, "ours"),
)
COMPARISONS = (
    ("    three fields, of PriorityQueue", OURS_FIELDS, QUEUE_FIELDS, bars.OF_PRIORITY_QUEUE),
    ("    three fields, of aiojobs", OURS_FIELDS, AIOJOBS, bars.THAN_AIOJOBS),
    ("    three fields, of the original", OURS_FIELDS, THE_ORIGINAL, bars.THAN_ORIGINAL),
    ("    no fields, of PriorityQueue", OURS, QUEUE, bars.OF_PRIORITY_QUEUE),
)


def child(function: str, n: int, has_fields: bool) -> Figures:
    """Measure one candidate in this process, after a warm-up."""
    run = ours if function == "ours" else getattr(memory_peers, function)
    asyncio.run(run(shuffled_priorities(WARM_UP), has_fields))
    priorities = shuffled_priorities(n)
    took = []
    for _ in range(REPEATS.get(n, 1)):
        gc.collect()
        took.append(asyncio.run(run(priorities, has_fields)) / n)
    return {"ns": statistics.median(took)}


async def ours(priorities: list[float], has_fields: bool) -> int:
    """Append to an executor that runs, then join."""
    from benchmarks.events import NoFields, Page, make_executor, page

    gc.collect()
    began = perf_counter_ns()
    async with make_executor(Page if has_fields else NoFields) as executor:
        for number, priority in enumerate(priorities):
            event = page(number) if has_fields else NoFields()
            await executor.append(event, priority=priority)
        await executor.join()
        counts = executor.status_counts()
        took = perf_counter_ns() - began
    expect_all_completed(counts["completed"], len(priorities))
    return took


def report(run: Run) -> Section:
    section = Section(
        "memory",
        "MEMORY: ns for each event; ratio = speed as a share of PriorityQueue's",
        notes=["aiojobs has no priorities; the original loses those set before start()."],
    )
    for n in run.sizes:
        asked = [each for each in CANDIDATES if n <= each.largest]
        questions = {each.label: question(each, n) for each in asked}
        answers = alternate(f"memory, N = {n:,}", questions, run.rounds)
        for each in asked:
            add_figure(section, answers, each, n)
        section.rows += [
            held(label, speed(answers, one, other), bar, n)
            for label, one, other, bar in COMPARISONS
            if one in answers and other in answers
        ]
    return section


def question(candidate: Candidate, n: int) -> Ask:
    if candidate.function == "original":
        return partial(ORIGINAL.ask, "throughput", n=n, seed=SEED)
    parameters = {"function": candidate.function, "n": n, "has_fields": candidate.has_fields}
    return partial(measure, "memory", parameters)


def add_figure(section: Section, answers: Answers, candidate: Candidate, n: int) -> None:
    label = candidate.label
    if label not in answers:
        section.rows.append(absent(label, answers.failures[label], n))
        return
    row = figure(label, answers.samples(label, "ns"), "ns", n)
    reference = QUEUE_FIELDS if candidate.has_fields else QUEUE
    if reference in answers:
        row.ratio = speed(answers, label, reference)
    section.rows.append(row)
