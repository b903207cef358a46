"""(e): the same N jobs as events of lionpride, written as the documentation writes them."""

from __future__ import annotations

import gc
from time import perf_counter_ns
from typing import Any, ClassVar

from benchmarks.candidates import WORKERS, expect_all_completed
from lionpride.core import Event, Executor, Processor


class NoOp(Event):
    async def _invoke(self) -> None:
        return None


class Numbered(NoOp):
    number: int


class NoOpProcessor(Processor):
    event_type: ClassVar[type[Event]] = NoOp


class NoOpExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = NoOpProcessor


def make_executor(*, store: str | None = None, **config: Any) -> NoOpExecutor:
    return NoOpExecutor({"concurrency_limit": WORKERS, **config}, store=store)


async def running(priorities: list[float], premade: bool) -> int:
    """Append to an executor that runs, then join: the plain way."""
    ready = [NoOp() for _ in priorities] if premade else None
    gc.collect()
    began = perf_counter_ns()
    executor = make_executor()
    async with executor:
        for number, priority in enumerate(priorities):
            await executor.append(ready[number] if ready else NoOp(), priority=priority)
        await executor.join()
        counts = executor.status_counts()
        took = perf_counter_ns() - began
    expect_all_completed(counts["completed"], len(priorities))
    return took


async def numbered(priorities: list[float], premade: bool) -> int:
    """As `running`, with events that are given a field of their own."""
    ready = [Numbered(number=i) for i in range(len(priorities))] if premade else None
    gc.collect()
    began = perf_counter_ns()
    executor = make_executor()
    async with executor:
        for number, priority in enumerate(priorities):
            event = ready[number] if ready else Numbered(number=number)
            await executor.append(event, priority=priority)
        await executor.join()
        counts = executor.status_counts()
        took = perf_counter_ns() - began
    expect_all_completed(counts["completed"], len(priorities))
    return took


async def appended_first(priorities: list[float], premade: bool) -> int:
    """Append everything, then start the executor."""
    ready = [NoOp() for _ in priorities] if premade else None
    gc.collect()
    began = perf_counter_ns()
    executor = make_executor()
    for number, priority in enumerate(priorities):
        await executor.append(ready[number] if ready else NoOp(), priority=priority)
    async with executor:
        await executor.join()
        counts = executor.status_counts()
        took = perf_counter_ns() - began
    expect_all_completed(counts["completed"], len(priorities))
    return took


async def appended_many(priorities: list[float], premade: bool) -> int:
    """Append everything as one batch to an executor that runs, then join."""
    ready = [NoOp() for _ in priorities] if premade else None
    gc.collect()
    began = perf_counter_ns()
    executor = make_executor()
    async with executor:
        await executor.append_many(ready or [NoOp() for _ in priorities], priorities)
        await executor.join()
        counts = executor.status_counts()
        took = perf_counter_ns() - began
    expect_all_completed(counts["completed"], len(priorities))
    return took


def stopping(executor: NoOpExecutor, count: int) -> type[NoOp]:
    """An event class whose every `count`th run stops the executor, so `execute()` returns."""
    runs = 0

    class Counted(NoOp):
        async def _invoke(self) -> None:
            nonlocal runs
            runs += 1
            if runs % count == 0:
                await executor.stop()

    return Counted
