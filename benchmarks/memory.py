"""Bytes that one settled event keeps, by the system's account and by Python's own.

The difference, after a collection, between before and after N events that the executor still
holds, divided by N. "resident" is VmRSS of /proc/self/status: what the machine gives, with
what the allocator did not hand back. "traced" is tracemalloc: what the objects take.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import bars, original_env
from benchmarks.candidates import shuffled_priorities
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import Ask, alternate
from benchmarks.table import Section, absent, figure

N_OURS = 100_000
N_ORIGINAL = 5_000
METHODS = {"rss": "resident", "tracemalloc": "traced"}


# --- the measured side ----------------------------------------------------------------


def child(n: int, method: str, read_ids: bool) -> Figures:
    asyncio.run(settle_all(100))
    if method == "tracemalloc":
        tracemalloc.start()
    gc.collect()
    before = bytes_in_use(method)
    executor = asyncio.run(settle_all(n))
    if read_ids:
        for event in executor.completed_events:
            _ = event.id, event.created_at
    gc.collect()
    grown = bytes_in_use(method) - before
    if executor.status_counts()["completed"] != n:
        raise RuntimeError("not all events completed: the measurement is void")
    return {"bytes": grown / n}


async def settle_all(n: int) -> Any:
    from benchmarks.ours import NoOp, make_executor

    executor = make_executor()
    async with executor:
        for priority in shuffled_priorities(n):
            await executor.append(NoOp(), priority=priority)
        await executor.join()
    return executor


def bytes_in_use(method: str) -> int:
    if method == "tracemalloc":
        return tracemalloc.get_traced_memory()[0]
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


# --- the asking side ------------------------------------------------------------------


def report(rounds: int) -> Section:
    section = Section("memory", "MEMORY: bytes a settled event keeps")
    questions: dict[str, Ask] = {}
    sizes: dict[str, int] = {}
    for method, word in METHODS.items():
        for label, n, ask in (
            (
                f"(d) the original, {word}",
                N_ORIGINAL,
                partial(original_env.ask, "memory", n=N_ORIGINAL, method=method),
            ),
            (f"(e) ours, {word}", N_OURS, ours(method, read_ids=False)),
            (f"(e) ours, id and created_at read, {word}", N_OURS, ours(method, read_ids=True)),
        ):
            questions[label], sizes[label] = ask, n
    answers = alternate("memory", questions, min(rounds, 3))
    for label, n in sizes.items():
        if label not in answers:
            section.rows.append(absent(label, answers.failures[label], n))
            continue
        samples = answers.samples(label, "bytes")
        row = figure(label, samples, "B", n)
        if label in {f"(e) ours, {word}" for word in METHODS.values()}:
            row.bar, row.verdict = str(bars.MEMORY), bars.MEMORY.verdict(samples.median)
        section.rows.append(row)
    return section


def ours(method: str, read_ids: bool) -> Ask:
    return partial(measure, "memory", {"n": N_OURS, "method": method, "read_ids": read_ids})
