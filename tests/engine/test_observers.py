"""observe(): every step of every event, in order, told to whoever asks (see test_failing_parts)."""

import asyncio
import gc
import logging
import weakref
from itertools import pairwise
from typing import Any

import pytest
from engine.kit import (
    Contract,
    Hold,
    Job,
    answers,
    background,
    desk,
    execute,
    forward,
    now,
    raises,
    sleeps,
    tape,
)

from lionpride.core import EventStatus, Executor, Retry, Skip, Transition
from lionpride.stores.contract import Settled

pytestmark = pytest.mark.virtual


def recorded(executor: Executor) -> list[tuple[str, str | None, str | None]]:
    """(label, before, after) of each step from now on; each is checked as it comes."""
    steps: list[tuple[str, str | None, str | None]] = []

    def note(step: Transition) -> None:
        assert isinstance(step, Transition)
        event: Any = step.event
        assert step.at == now()
        assert step.attempt == event.execution.attempt
        if step.after is not None:
            assert event.status is step.after, "it is told when the step is done"
            assert event in executor.get_events_by_status(step.after)
        else:
            assert event not in executor
        steps.append((event.label, step.before, step.after))

    executor.observe(note)
    return steps


def of(label: str, steps: list[tuple[str, str | None, str | None]]) -> list[str | None]:
    """The statuses that an event went through; each step begins where the one before ended."""
    own = [(before, after) for name, before, after in steps if name == label]
    for (_, after), (before, _) in pairwise(own):
        assert before == after
    assert own[0][0] is None
    return [after for _, after in own]


STORIES = [
    (lambda: Job(), ["pending", "processing", "completed"]),
    (lambda: tape("a", "b"), ["pending", "processing", "completed"]),
    (lambda: Job(do=raises(ValueError("no"))), ["pending", "processing", "failed"]),
    (lambda: Job(do=raises(Skip("no"))), ["pending", "processing", "skipped"]),
    (lambda: Job(do=sleeps(5), timeout=1), ["pending", "processing", "cancelled"]),
    (lambda: Job(ask=raises(ValueError("no"))), ["pending", "failed"]),
    (
        lambda: Job(ask=answers(False)),
        ["pending", "pending", "pending", "aborted"],
    ),
    (
        lambda: Job(ask=answers(False, True)),
        ["pending", "pending", "processing", "completed"],
    ),
]


@pytest.mark.parametrize(("make", "story"), STORIES)
async def test_every_step_of_an_event_is_told(make: Any, story: list[str]) -> None:
    executor = desk(asks=True)
    steps = recorded(executor)
    job = make()
    job.label = "x"
    await executor.append(job)
    await executor.append(Job(label="other"))
    await execute(executor)
    assert of("x", steps) == story
    assert of("other", steps) == ["pending", "processing", "completed"]


@pytest.mark.parametrize("asks", [False, True])
async def test_the_steps_are_told_in_the_order_they_are_taken(asks: bool) -> None:
    executor = desk(asks=asks, concurrency_limit=2)
    steps = recorded(executor)
    await executor.append_many([Job(label="a", do=sleeps(5)), Job(label="b"), Job(label="c")])
    await executor.forward()
    assert steps == [
        ("a", None, "pending"),
        ("b", None, "pending"),
        ("c", None, "pending"),
        ("a", "pending", "processing"),
        ("b", "pending", "processing"),
        ("b", "processing", "completed"),
        ("c", "pending", "processing"),
        ("c", "processing", "completed"),
        ("a", "processing", "completed"),
    ]


async def test_what_is_done_by_hand_is_told() -> None:
    executor = desk()
    steps = recorded(executor)
    hold = Hold()
    running = await executor.append(Job(label="runs", do=hold))
    waiting = await executor.append(Job(label="waits"))
    task = asyncio.create_task(forward(executor))
    await hold.has(1)
    await executor.cancel(running)
    await task
    await executor.retry(running)
    await executor.remove(running)
    assert of("runs", steps) == ["pending", "processing", "cancelled", "pending", None]
    assert waiting.status is EventStatus.COMPLETED
    await executor.cleanup_events()
    assert of("waits", steps) == ["pending", "processing", "completed", None]


async def test_a_cancellation_of_what_waits_is_told() -> None:
    executor = desk()
    steps = recorded(executor)
    job = await executor.append(Job(label="x"))
    await executor.cancel(job)
    await executor.cancel(job)
    assert of("x", steps) == ["pending", "cancelled"]


async def test_an_interruption_is_told() -> None:
    executor = desk()
    steps = recorded(executor)
    hold = Hold()
    await executor.append(Job(label="x", do=hold))
    task = asyncio.create_task(executor.forward())
    await hold.has(1)
    task.cancel()
    await asyncio.wait([task])
    assert of("x", steps) == ["pending", "processing", "pending"]


async def test_what_a_batch_did_not_take_in_is_not_told() -> None:
    executor = desk(max_queue_size=2)
    known = await executor.append(Job(label="known"))
    steps = recorded(executor)
    await executor.append_many([known, Job(label="new")], exist_ok=True)
    await executor.append(known, exist_ok=True)
    for bad in ([Job()], [known]):
        with pytest.raises(Exception, match=r"max_queue_size|known"):
            await executor.append_many(bad)
    assert steps == [("new", None, "pending")]


async def test_whoever_asks_later_hears_what_comes_later() -> None:
    executor = desk()
    hold = Hold()
    async with background(executor):
        await executor.append(Job(label="x", do=hold))
        await hold.has(1)
        steps: list[Any] = []
        executor.observe(lambda step: steps.append(step.after))
        hold.let_go()
        await executor.join()
    assert steps == ["completed"]


async def test_whoever_stops_hears_no_more() -> None:
    executor = desk()
    one: list[Transition] = []
    two: list[Transition] = []
    stop = executor.observe(one.append)
    executor.observe(two.append)
    await executor.append(Job())
    stop()
    stop()
    await executor.forward()
    assert len(one) == 1
    assert len(two) == 3


async def coroutine_function(step: Transition) -> None:
    raise AssertionError("it is never called")


@pytest.mark.parametrize("observer", [coroutine_function, 5])
async def test_what_could_hear_nothing_is_refused(observer: Any) -> None:
    executor = desk()
    with pytest.raises(TypeError, match="plain function"):
        executor.observe(observer)
    await executor.append(Job())  # and nothing warns of a coroutine that nobody awaited


async def test_one_observer_may_ask_twice_and_is_told_twice() -> None:
    executor = desk()
    heard: list[Transition] = []
    stop = executor.observe(heard.append)
    executor.observe(heard.append)
    await executor.append(Job())
    assert len(heard) == 2
    stop()
    await executor.forward()
    assert len(heard) == 4


async def test_an_executor_that_is_let_go_lets_its_observers_go() -> None:
    class Listener:
        def __call__(self, step: Transition) -> None:
            raise AssertionError("never told")

    listener = Listener()
    executor = desk()
    executor.observe(listener)
    gone = weakref.ref(listener)
    del executor, listener
    assert gone() is None


async def test_an_observer_that_failed_is_freed_after_its_removal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "lionpride")  # a record would refer to it
    executor = desk()

    def fail(step: Transition) -> None:
        raise ValueError("broken")

    remove = executor.observe(fail)
    await executor.append(Job())
    await executor.forward()
    gone = weakref.ref(fail)
    remove()
    del fail, remove
    gc.collect()
    assert gone() is None


async def test_a_transition_says_when_and_which_attempt() -> None:
    executor = desk()
    heard: list[Transition] = []
    executor.observe(heard.append)
    job = await executor.append(Job(do=sleeps(3)))
    began = now()
    await executor.forward()
    queue = executor.store.queue
    assert heard == [
        Transition(job, None, EventStatus.PENDING, began, 0, queue),
        Transition(job, EventStatus.PENDING, EventStatus.PROCESSING, began, 1, queue, 0.0),
        Transition(
            job, EventStatus.PROCESSING, EventStatus.COMPLETED, began + 3, 1, queue, 0.0, 3.0
        ),
    ]
    with pytest.raises(AttributeError):
        heard[0].after = None  # type: ignore[misc]


def waits(heard: list[Transition], event: Job) -> list[float | None]:
    """How long an event waited, as each start of an attempt says, and each end."""
    own = [step for step in heard if step.event is event and step.waited is not None]
    assert all(
        EventStatus.PROCESSING in (step.before, step.after) and step.before is not step.after
        for step in own
    )
    return [step.waited for step in own]


async def test_a_transition_says_how_long_the_event_could_have_started() -> None:
    executor = desk(concurrency_limit=1)
    heard: list[Transition] = []
    executor.observe(heard.append)
    await executor.append(Job(do=sleeps(5)))
    behind = await executor.append(Job(do=raises(ValueError("no"))), retry=Retry(2, backoff=2))
    later = await executor.append(Job(do=sleeps(4)), delay=3)
    async with executor:
        await executor.join()
    assert waits(heard, behind)[:2] == [5, 5]
    assert waits(heard, later) == [2, 2], "since it was due"
    again = waits(heard, behind)[2]
    assert again is not None
    assert 2 <= again <= 4, "since its backoff was over, which is 2 s at most"
    assert not any("_since" in step.event.__dict__ for step in heard)


async def test_what_is_denied_waits_until_it_may_ask_again() -> None:
    executor = desk(asks=True)
    heard: list[Transition] = []
    executor.observe(heard.append)
    job = await executor.append(Job(ask=answers(False, True)))
    async with executor:
        await executor.join()
    assert [step.reason for step in heard] == ["", "denied", "", ""]
    assert waits(heard, job) == [0, 0]


async def test_where_nobody_saw_it_begin_the_wait_counts_from_its_creation() -> None:
    executor = desk()
    job = await executor.append(Job())
    await asyncio.sleep(7)
    heard: list[Transition] = []
    executor.observe(heard.append)
    await executor.forward()
    assert waits(heard, job)[0] == pytest.approx(executor.store.time() - job.created_timestamp)


async def test_one_that_is_slow_is_warned_of_once_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lionpride.engine.safe_callbacks.SLOW", -1.0)
    executor = desk()
    executor.observe(lambda step: None)
    await executor.append(Job())
    await executor.forward()
    said = [each for each in caplog.records if "blocked the event loop" in each.getMessage()]
    assert len(said) == 1
    assert executor.observers.delays == 3


async def test_one_that_takes_its_time_knowingly_is_only_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lionpride.engine.safe_callbacks.SLOW", -1.0)

    class Patient:
        takes_its_time = True

        def __call__(self, step: Transition) -> None:
            pass

    executor = desk()
    executor.observe(Patient())
    await executor.append(Job())
    await executor.forward()
    assert not caplog.records
    assert executor.observers.delays == 3


class Refusing(Contract):
    """A store that has given every event to another worker meanwhile."""

    async def settle(self, settlements: Any) -> list[Settled]:
        return [Settled.FENCED for _ in settlements]


async def test_an_outcome_that_is_refused_is_counted_as_lost_and_told_to_nobody() -> None:
    executor = desk(store=Refusing(desk().store))
    told: list[Transition] = []
    executor.observe(told.append)
    await executor.append(Job(do=raises(ValueError("no"))))
    await executor.forward()
    assert executor.observers.lost == 1
    assert [step.after for step in told] == ["pending", "processing"]


async def test_an_observer_may_have_an_event_cancelled_as_it_starts() -> None:
    executor = desk()
    job, other = await executor.append_many([Job(do=sleeps(1)), Job(do=sleeps(1))])
    answers: list[bool] = []

    def cancel(step: Transition) -> None:
        if step.event is job and step.after is EventStatus.PROCESSING:
            try:
                executor.cancel(job).send(None)  # in memory nothing waits: it is one step
            except StopIteration as done:
                answers.append(done.value)

    executor.observe(cancel)
    await executor.forward()
    assert answers == [True]
    assert (job.status, other.status) == (EventStatus.CANCELLED, EventStatus.COMPLETED)


async def test_an_observer_that_is_added_twice_is_removed_once_by_each_function() -> None:
    executor = desk()
    steps: list[Transition] = []
    remove_first, _ = executor.observe(steps.append), executor.observe(steps.append)
    remove_first()
    remove_first()
    await executor.append(Job())
    assert len(steps) == 1
