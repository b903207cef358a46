"""Chunks a second through `executor.stream`, beside a bare `asyncio.Queue` between two tasks.

An event yields N numbers as fast as it can, and one reader sums them up. The queue is unbounded,
which is its fastest: it has no chunk kept, no timeout and no end to tell of. "paced" yields to the
event loop after every chunk, as one that comes over a wire does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import ClassVar

from benchmarks import bars
from benchmarks.isolate import Figures, measure
from benchmarks.rounds import Ask, alternate
from benchmarks.table import Section, absent, figure, held

N = 100_000
PACES = {"at once": False, "paced": True}
NAMES = {"queue": "(b) asyncio.Queue", "stream": "(e) executor.stream"}


# --- the measured side ----------------------------------------------------------------


def child(through: str, paced: bool) -> Figures:
    run = {"queue": through_queue, "stream": through_stream}[through]
    asyncio.run(run(1_000, paced))
    return {"ns": asyncio.run(run(N, paced)) / N}


async def numbers(n: int, paced: bool) -> AsyncIterator[int]:
    for number in range(n):
        yield number
        if paced:
            await asyncio.sleep(0)


async def through_queue(n: int, paced: bool) -> int:
    queue: asyncio.Queue[int | None] = asyncio.Queue()

    async def put() -> None:
        async for number in numbers(n, paced):
            await queue.put(number)
        await queue.put(None)

    began = time.perf_counter_ns()
    putting = asyncio.create_task(put())
    total = 0
    while (number := await queue.get()) is not None:
        total += number
    await putting
    return checked(total, n, began)


async def through_stream(n: int, paced: bool) -> int:
    from lionpride.core import Event, Executor, Processor

    class Numbers(Event):
        streaming: bool = True

        async def _stream(self) -> AsyncIterator[int]:
            async for number in numbers(n, paced):
                yield number

    class NumbersProcessor(Processor):
        event_type: ClassVar[type[Event]] = Numbers

    class NumbersExecutor(Executor):
        processor_type: ClassVar[type[Processor]] = NumbersProcessor

    async with NumbersExecutor() as executor:
        began = time.perf_counter_ns()
        event = await executor.append(Numbers())
        total = 0
        async for number in executor.stream(event):
            total += number
        return checked(total, n, began)


def checked(total: int, n: int, began: int) -> int:
    took = time.perf_counter_ns() - began
    if total != n * (n - 1) // 2:
        raise RuntimeError("not all chunks came: the measurement is void")
    return took


# --- the asking side ------------------------------------------------------------------


def report(rounds: int) -> Section:
    section = Section("stream", "STREAM: an event's chunks to one reader, a chunk")
    questions: dict[str, Ask] = {
        f"{name}, {pace}": partial(measure, "stream", {"through": through, "paced": paced})
        for pace, paced in PACES.items()
        for through, name in NAMES.items()
    }
    answers = alternate("stream", questions, rounds)
    for label in questions:
        if label in answers:
            section.rows.append(figure(label, answers.samples(label, "ns"), "ns", N))
        else:
            section.rows.append(absent(label, answers.failures[label], N))
    for pace in PACES:
        bare, ours = (f"{name}, {pace}" for name in NAMES.values())
        if bare in answers and ours in answers:
            ratio = answers.samples(bare, "ns").least / answers.samples(ours, "ns").least
            section.rows.append(held(f"(e) of (b), {pace}", ratio, bars.OF_QUEUE, N))
    return section
