"""What is counted of an executor as it goes."""

from typing import ClassVar

import pytest

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.view.figures import Figures, Histogram


class Plain(Event):
    fails: bool = False

    async def _invoke(self) -> None:
        if self.fails:
            raise ValueError("no")


class Plains(Processor):
    event_type: ClassVar[type[Event]] = Plain


class Desk(Executor):
    processor_type: ClassVar[type[Processor]] = Plains


async def test_all_that_ends_is_counted_and_times_are_taken_of_some() -> None:
    executor = Desk()
    figures = Figures(executor)
    async with executor:
        await executor.append_many([Plain(fails=number % 10 == 0) for number in range(5000)])
        await executor.join()
    name = f"{__name__}.Plain"
    assert figures.settled() == {
        (name, EventStatus.COMPLETED): 4500,
        (name, EventStatus.FAILED): 500,
    }
    assert 500 <= sum(figures.took.counts) < 5000
    figures.close()
    assert not executor.observers.level


@pytest.mark.parametrize(
    ("seconds", "counts"), [(0.5, [1, 0, 0]), (1.0, [1, 0, 0]), (1.5, [0, 1, 0]), (9, [0, 0, 1])]
)
def test_what_takes_at_most_so_long_is_counted_together(seconds: float, counts: list[int]) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.note(seconds)
    assert (histogram.counts, histogram.sum) == (counts, seconds)
