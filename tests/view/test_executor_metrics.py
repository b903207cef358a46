"""Metrics of a running executor."""

from typing import ClassVar

import pytest

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.view.executor_metrics import ExecutorMetrics, Histogram


class Plain(Event):
    fails: bool = False

    async def _invoke(self) -> None:
        if self.fails:
            raise ValueError("no")


class Plains(Processor):
    event_type: ClassVar[type[Event]] = Plain


class PlainExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = Plains


async def test_every_finished_event_is_counted_and_some_are_timed() -> None:
    executor = PlainExecutor()
    metrics = ExecutorMetrics(executor)
    async with executor:
        await executor.append_many([Plain(fails=number % 10 == 0) for number in range(5000)])
        await executor.join()
    name = f"{__name__}.Plain"
    assert metrics.settled() == {
        (name, EventStatus.COMPLETED): 4500,
        (name, EventStatus.FAILED): 500,
    }
    assert 500 <= sum(metrics.durations.counts) < 5000
    metrics.close()
    assert not executor.observers.level


@pytest.mark.parametrize(
    ("seconds", "counts"), [(0.5, [1, 0, 0]), (1.0, [1, 0, 0]), (1.5, [0, 1, 0]), (9, [0, 0, 1])]
)
def test_a_bucket_includes_its_upper_bound(seconds: float, counts: list[int]) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.add(seconds)
    assert (histogram.counts, histogram.sum) == (counts, seconds)
