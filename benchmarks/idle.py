"""What a running executor with nothing to do costs: processor time over wall time."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from benchmarks import bars
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import alternate
from benchmarks.table import Section, absent, figure

SECONDS = 4.0
OURS = "(e) ours, running and idle"


def child() -> Figures:
    return asyncio.run(idle())


async def idle() -> Figures:
    from benchmarks.ours import NoOp, make_executor

    async with make_executor() as executor:
        await executor.append(NoOp())
        await executor.join()
        await asyncio.sleep(0.1)
        wall, used = time.perf_counter(), time.process_time()
        await asyncio.sleep(SECONDS)
        used, wall = time.process_time() - used, time.perf_counter() - wall
    return {"percent": 100 * used / wall}


def report(rounds: int) -> Section:
    section = Section("idle", f"IDLE CPU: processor time over {SECONDS:g} s of wall time")
    answers = alternate("idle", {OURS: partial(measure, "idle", {})}, min(rounds, 3))
    if OURS not in answers:
        section.rows.append(absent(OURS, answers.failures[OURS]))
        return section
    samples = answers.samples(OURS, "percent")
    row = figure(OURS, samples, "%")
    row.bar, row.verdict = str(bars.IDLE_CPU), bars.IDLE_CPU.verdict(samples.median)
    section.rows.append(row)
    return section
