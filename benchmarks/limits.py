"""What limits, costs and retries take of the plain path's events a second, while no limit binds.

The same events that do nothing, appended to an executor that runs, then joined. Those in use state
costs of two limits and have a retry policy; the bar is held by that. What it takes to say at the
end what the event has really cost is shown beside it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from benchmarks import bars
from benchmarks.candidates import WORKERS, expect_all_completed
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import Ask, alternate
from benchmarks.table import Section, absent, figure, held

N = 20_000
MANY = 1e9
PLAIN = "(e) plain"
USED = {
    "limits": "two limits, costs and a retry policy",
    "spend": "the same, with the true cost said",
}


# --- the measured side ----------------------------------------------------------------


def child(way: str) -> Figures:
    asyncio.run(run(500, way))
    return {"ns": asyncio.run(run(N, way)) / N}


async def run(n: int, way: str) -> int:
    from lionpride.core import Event, Executor, Limit, Processor, Retry

    class Plain(Event):
        async def _invoke(self) -> None:
            return None

    class Limited(Plain):
        retry: ClassVar[Retry | None] = Retry(max_attempts=4)

        @property
        def costs(self) -> Mapping[str, float]:
            return {"requests": 1, "tokens": 500}

    class Spending(Limited):
        async def _invoke(self) -> None:
            self.spend(tokens=7)

    class Runner(Processor):
        event_type: ClassVar[type[Event]] = Plain

    class Desk(Executor):
        processor_type: ClassVar[type[Processor]] = Runner

    kind = {"plain": Plain, "limits": Limited, "spend": Spending}[way]
    limits = [Limit("requests", MANY, per=60), Limit("tokens", MANY, per=60)]
    config = {"concurrency_limit": WORKERS, **({} if way == "plain" else {"limits": limits})}
    gc.collect()
    began = time.perf_counter_ns()
    async with Desk(config) as desk:
        for number in range(n):
            await desk.append(kind(), priority=float(number))
        await desk.join()
        counts = desk.status_counts()
        took = time.perf_counter_ns() - began
    expect_all_completed(counts["completed"], n)
    return took


# --- the asking side ------------------------------------------------------------------


def report(rounds: int) -> Section:
    section = Section("limits", "LIMITS: an event under limits of which none binds")
    questions: dict[str, Ask] = {PLAIN: partial(measure, "limits", {"way": "plain"})}
    for way, label in USED.items():
        questions[label] = partial(measure, "limits", {"way": way})
    answers = alternate("limits", questions, rounds)
    for label in questions:
        if label in answers:
            section.rows.append(figure(label, answers.samples(label, "ns"), "ns", N))
        else:
            section.rows.append(absent(label, answers.failures[label], N))
    label = USED["limits"]
    if PLAIN in answers and label in answers:
        ratio = answers.samples(PLAIN, "ns").least / answers.samples(label, "ns").least
        section.rows.append(held(f"    of the plain rate: {label}", ratio, bars.LIMITED, N))
    return section
