"""Permission: asked under the claim, one event after another, and never lost (decision 5)."""

import asyncio
import contextlib
from typing import Any

import pytest
from engine.kit import (
    MODES,
    Hold,
    Job,
    Mode,
    agree,
    answers,
    background,
    desk,
    forward,
    jobs,
    labels,
    now,
    statuses,
    worker,
)

from lionpride.core import Defer, Event, EventStatus, Executor, Processor
from lionpride.errors import EventCancelledError, ValidationError

PENDING = EventStatus.PENDING

pytestmark = pytest.mark.virtual


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
async def test_an_event_is_pending_while_it_is_asked_for(mode: Mode) -> None:
    executor = desk(asks=True)
    seen: list[tuple[EventStatus, int, int]] = []

    async def ask(event: Job) -> bool:
        agree(executor)
        await asyncio.sleep(1)
        counts = executor.status_counts()
        seen.append((event.status, counts["pending"], counts["processing"]))
        assert event in executor.pending_events
        assert event.id in executor.states.get_progression("pending")
        return True

    await executor.append_many(jobs("ab", ask=ask))
    assert await mode(executor) is None
    assert seen[0] == (PENDING, 2, 0)
    assert statuses(executor.states.items) == ["completed", "completed"]


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
async def test_one_is_asked_for_at_a_time_in_the_order_of_the_claims(mode: Mode) -> None:
    executor = desk(asks=True, concurrency_limit=4)
    asked: list[str] = []
    inside = 0

    async def ask(event: Job) -> bool:
        nonlocal inside
        assert inside == 0, "one after another"
        inside += 1
        asked.append(event.label)
        await asyncio.sleep(1)
        inside -= 1
        return True

    await executor.append_many(jobs("abcdef", ask=ask), [6, 5, 4, 3, 2, 1])
    assert await mode(executor) is None
    assert asked == list("fedcba")


async def test_those_that_were_granted_run_while_others_are_asked_for() -> None:
    executor = desk(asks=True, concurrency_limit=3)
    hold, gate = Hold(), Hold()
    async with background(executor):
        await executor.append_many([*jobs("ab", do=hold), Job(label="c", ask=gate)])
        await gate.has(1)
        assert labels(executor.processing_events) == ["a", "b"]
        assert labels(executor.pending_events) == ["c"]
        gate.let_go()
        hold.let_go()
        await executor.join()


async def test_several_loops_and_a_round_ask_one_after_another() -> None:
    executor = desk(asks=True, concurrency_limit=6)
    inside = peak = 0

    async def ask(event: Job) -> bool:
        nonlocal inside, peak
        inside += 1
        peak = max(peak, inside)
        await asyncio.sleep(1)
        inside -= 1
        return True

    await executor.append_many(jobs("abcdef", ask=ask))
    async with background(executor), background(executor):
        await executor.forward()
        await executor.join()
    assert peak == 1


async def test_permission_is_asked_with_the_request() -> None:
    asked: list[dict[str, Any]] = []

    class Fetch(Event):
        url: str

        @property
        def request(self) -> dict[str, Any]:
            return {"url": self.url, "cost": 2}

        async def _invoke(self) -> str:
            return self.url

    class Asking(Processor):
        event_type = Fetch

        async def request_permission(self, **request: Any) -> bool:
            asked.append(request)
            return True

    class Fetching(Executor):
        processor_type = Asking

    executor = Fetching()
    await executor.append(Fetch(url="x"))
    await executor.forward()
    assert asked == [{"url": "x", "cost": 2}]


async def test_a_truthy_answer_is_a_yes_and_a_falsy_one_a_no() -> None:
    executor = desk(asks=True, concurrency_limit=1)
    yes, no = await executor.append_many([Job(ask=answers("yes")), Job(ask=answers(0))])  # type: ignore[arg-type]
    await executor.forward()
    assert yes.status is EventStatus.COMPLETED
    assert no.execution.denials == 1


# --- claimed, and not started


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
async def test_what_was_claimed_and_not_asked_is_released(mode: Mode) -> None:
    """Nothing but the number of the attempt tells that an event was claimed for nothing."""
    executor = desk(asks=True, concurrency_limit=4)
    gate = Hold()
    all_jobs = await executor.append_many(jobs("abc", ask=gate))
    task = asyncio.create_task(mode(executor))
    await gate.has(1)
    await executor.stop()
    await task
    assert gate.order == ["a"]
    for job in all_jobs:
        state = job.execution
        assert (job.status, state.tries, state.denials, state.interruptions) == (PENDING, 0, 0, 0)
        assert state.due is None
    agree(executor)
    gate.let_go()
    await executor.start()
    assert await mode(executor) is None
    assert statuses(all_jobs) == ["completed"] * 3


async def test_a_release_keeps_the_backoff_of_a_denied_event() -> None:
    executor = desk(asks=True, denial_backoff=100.0)
    gate = Hold(result=False)
    job = await executor.append(Job(ask=answers(False)))
    await executor.forward()
    job.ask = gate
    due = job.execution.due
    task = asyncio.create_task(forward(executor))
    await gate.has(1)
    await executor.stop()
    await task
    assert (job.status, job.execution.denials) == (PENDING, 1)
    assert job.execution.due == due, "a denied event waits out its backoff"


@pytest.mark.parametrize("where", ["asked", "behind another's question"])
async def test_cancel_reaches_an_event_that_is_claimed_and_not_started(where: str) -> None:
    executor = desk(asks=True, concurrency_limit=2)
    gate = Hold()
    async with background(executor):
        first = await executor.append(Job(ask=gate))
        await gate.has(1)
        job, round_ = first, None
        if where != "asked":
            job = await executor.append(Job())
            round_ = asyncio.create_task(forward(executor))
            await asyncio.sleep(1)
        assert job.status is PENDING
        assert await executor.cancel(job) is True
        await asyncio.sleep(1)
        assert job.status is EventStatus.CANCELLED, "at once, though a question is open"
        assert isinstance(job.execution.error, EventCancelledError)
        gate.let_go()
        await executor.join()
        if round_ is not None:
            await round_
            assert first.status is EventStatus.COMPLETED
        agree(executor)


async def test_cancel_reaches_an_event_that_was_granted_and_waits_for_a_slot() -> None:
    """Two calls wait for the one slot: the first takes it, the other's event is granted too."""
    executor = desk(asks=True, concurrency_limit=1)
    before, gate, hold = Hold(), Hold(), Hold()
    async with background(executor):
        await executor.append(Job(do=before))
        await before.has(1)
        await executor.append_many([Job(ask=gate, do=hold), granted := Job()])
        round_ = asyncio.create_task(forward(executor))
        await asyncio.sleep(1)
        before.let_go()
        await gate.has(1)
        gate.let_go()
        await hold.has(1)
        await asyncio.sleep(1)
        assert await executor.cancel(granted) is True
        await asyncio.sleep(1)
        assert granted.status is EventStatus.CANCELLED, "at once, though there is no slot"
        hold.let_go()
        await round_
        await executor.join()
    agree(executor)


async def test_a_question_that_was_left_behind_does_not_end_the_run() -> None:
    executor = desk(asks=True, concurrency_limit=2)
    release = asyncio.Event()

    async def stubborn(event: Job) -> bool:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        return True

    async with background(executor) as task:
        silent, other = await executor.append_many([Job(ask=stubborn, timeout=1), Job()])
        await executor.join()
        assert statuses([silent, other]) == ["cancelled", "completed"]
        release.set()
        await asyncio.sleep(1)
        assert not task.done()
        assert not worker(executor).is_stopped()
        later = await executor.append_many([Job() for _ in range(3)])
        await executor.join()
    assert statuses([silent, *later]) == ["cancelled", *["completed"] * 3]
    agree(executor)


async def test_a_question_that_was_left_behind_does_not_disturb_the_next() -> None:
    """It ends at last, while the same round has another event granted, which waits for a slot."""
    executor = desk(asks=True, concurrency_limit=1)
    release, gate, hold = asyncio.Event(), Hold(), Hold()

    async def stubborn(event: Job) -> bool:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        return True

    silent, behind = Job(ask=stubborn, timeout=1), Job()
    await executor.append_many([silent, behind], [0, 2])
    round_ = asyncio.create_task(forward(executor))
    await asyncio.sleep(0.5)
    async with background(executor):
        await executor.append(Job(ask=gate, do=hold), 1)
        await gate.has(1)
        assert silent.status is EventStatus.CANCELLED
        gate.let_go()
        await hold.has(1)
        await asyncio.sleep(1)
        release.set()
        await asyncio.sleep(1)
        assert behind.status is PENDING
        assert await executor.cancel(behind) is True
        hold.let_go()
        await round_
        assert behind.status is EventStatus.CANCELLED
        await executor.join()
    assert silent.status is EventStatus.CANCELLED
    agree(executor)


@pytest.mark.parametrize("times", [1, 5])
async def test_a_deferred_event_waits_so_long_and_is_not_denied(times: int) -> None:
    executor = desk(asks=True)
    asked: list[float] = []

    async def ask(event: Job) -> Any:
        asked.append(now())
        return Defer(7.0) if len(asked) <= times else True

    async with background(executor):
        first, second = jobs("ab")
        first.ask = ask
        await executor.append_many([first, second])
        began = now()
        await executor.result(second)
        assert now() == began, "it blocks nobody"
        assert await executor.result(first) == "a"
    assert asked == [began + 7.0 * n for n in range(times + 1)]
    assert (first.execution.denials, first.execution.tries) == (0, 0)


async def test_a_round_goes_on_after_a_deferral() -> None:
    executor = desk(asks=True)
    first, second = jobs("ab")

    async def ask(event: Job) -> Any:
        return Defer(7.0)

    first.ask = ask
    await executor.append_many([first, second])
    await executor.forward()
    assert statuses([first, second]) == ["pending", "completed"]


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), True, "7", None])
def test_a_deferral_takes_seconds_alone(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="Defer"):
        Defer(wrong)
