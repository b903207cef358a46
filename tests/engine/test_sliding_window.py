"""At most ``queue_capacity`` starts in any window, whatever makes them (decision 4)."""

import asyncio
from contextvars import ContextVar
from fractions import Fraction

import pytest
from engine.kit import Job, agree, desk, now, sleeps, statuses, worker
from hypothesis import given, settings
from hypothesis import strategies as st

from lionpride.core import Executor

CALLER: ContextVar[str] = ContextVar("CALLER", default="")

STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 6)),
    st.tuples(st.just("pass"), st.sampled_from([0.1, 0.25, 0.5, 1.0, 1 / 3, 2.5])),
    st.tuples(st.just("round"), st.none()),
    st.tuples(st.just("loop"), st.none()),
    st.tuples(st.just("stop"), st.none()),
    st.tuples(st.just("start"), st.none()),
)


class Run:
    """An executor under a mix of steps, and the true times of the starts."""

    def __init__(self, executor: Executor, length: float) -> None:
        self.executor = executor
        self.length = length
        self.starts: list[tuple[float, str]] = []
        self.inside = 0
        self.peak = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def _work(self, event: Job) -> None:
        self.starts.append((now(), CALLER.get()))
        self.inside += 1
        self.peak = max(self.peak, self.inside)
        await sleeps(self.length)(event)
        self.inside -= 1

    async def _call(self, name: str) -> None:
        CALLER.set(name)
        if name == "round":
            await self.executor.forward()
        else:
            await worker(self.executor).execute()

    async def step(self, name: str, value: float | None) -> None:
        match name:
            case "append":
                assert isinstance(value, int)
                await self.executor.append_many([Job(do=self._work) for _ in range(value)])
            case "pass":
                assert value is not None
                await asyncio.sleep(value)
            case "round" | "loop":
                self.tasks.append(asyncio.create_task(self._call(name)))
            case "stop":
                await self.executor.stop()
            case "start":
                await self.executor.start()

    async def finish(self) -> None:
        """Run what is left, and stop."""
        await self.executor.start()
        await self.step("loop", None)
        await self.executor.join()
        await self.executor.stop()
        await asyncio.gather(*self.tasks)


def check(starts: list[tuple[float, str]], capacity: int, span: float) -> None:
    """No start that ``execute()`` made is one too many in the window that ends with it."""
    for place, (at, caller) in enumerate(starts):
        if caller == "loop":
            opens = Fraction(at) - Fraction(span)
            inside = sum(Fraction(other) > opens for other, _ in starts[: place + 1])
            assert inside <= capacity, f"start {place} at {at} is number {inside} in its window"


@pytest.mark.virtual
@pytest.mark.guard(120)
@settings(max_examples=300, deadline=None)
@pytest.mark.promise("notebook-capacity")
@given(
    steps=st.lists(STEPS, max_size=40),
    capacity=st.integers(1, 4),
    span=st.sampled_from([0.1, 0.3, 1.0, 2.0]),
    limit=st.integers(1, 5),
    length=st.sampled_from([0.0, 0.1, 0.7]),
    asks=st.booleans(),
)
async def test_no_window_has_more_starts_than_the_capacity(
    steps: list[tuple[str, float | None]],
    capacity: int,
    span: float,
    limit: int,
    length: float,
    asks: bool,
) -> None:
    executor = desk(
        asks=asks, queue_capacity=capacity, capacity_refresh_time=span, concurrency_limit=limit
    )
    run = Run(executor, length)
    await executor.start()
    for name, value in steps:
        await run.step(name, value)
        agree(executor)
    await run.finish()
    check(run.starts, capacity, span)
    assert run.peak <= limit
    assert set(statuses(executor.states.items)) <= {"completed"}
    assert len(run.starts) == len(executor.states.items)


@pytest.mark.virtual
@pytest.mark.parametrize("span", [0.1, 1 / 3, 1.0, 3600.0])
@pytest.mark.parametrize("capacity", [1, 3, 10])
async def test_the_whole_rate_is_used(capacity: int, span: float) -> None:
    """Starts come as soon as they may: a run of many takes no longer than it has to."""
    executor = desk(queue_capacity=capacity, capacity_refresh_time=span)
    run = Run(executor, 0.0)
    await run.step("append", capacity * 20)
    began = now()
    await run.finish()
    check(run.starts, capacity, span)
    assert now() - began == pytest.approx(19 * span)


def test_the_check_finds_what_it_looks_for() -> None:
    check([(0.0, "loop"), (1.0, "loop")], 1, 1.0)
    check([(0.0, "round"), (0.0, "round"), (0.0, "round")], 1, 1.0)
    with pytest.raises(AssertionError, match="number 2"):
        check([(0.0, "loop"), (0.999, "loop")], 1, 1.0)
    with pytest.raises(AssertionError, match="number 3"):
        check([(0.0, "round"), (0.5, "round"), (0.6, "loop")], 2, 1.0)
