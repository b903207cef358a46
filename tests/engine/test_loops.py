"""forward(): one round, now (decision 3)."""

import asyncio
import gc
from typing import Any

import pytest
from engine.kit import (
    AskingProcessor,
    Hold,
    Job,
    agree,
    answers,
    background,
    caught,
    desk,
    forward,
    has_all_slots,
    jobs,
    labels,
    now,
    raises,
    sleeps,
    starts,
    statuses,
    worker,
)

from lionpride.core import Event, EventStatus, Executor, Flow
from lionpride.testing import VirtualLoop, run_virtual

pytestmark = pytest.mark.virtual


async def test_a_round_starts_as_many_as_the_capacity_says() -> None:
    executor = desk(queue_capacity=2, capacity_refresh_time=1000.0)
    began = starts(executor)
    await executor.append_many(jobs("abcde"))
    await executor.forward()
    assert labels(executor.completed_events) == ["a", "b"]
    await executor.forward()
    assert [name for name, _ in began] == ["a", "b", "c", "d"]
    assert len({at for _, at in began}) == 1, "the window holds no round back"
    assert worker(executor).available_capacity == 0, "but what it starts is counted"
    await executor.forward()
    assert len(executor.completed_events) == 5
    agree(executor)


async def test_without_a_capacity_a_round_takes_all_that_is_due() -> None:
    executor = desk(concurrency_limit=3)
    hold = Hold()
    await executor.append_many(jobs("abcdefgh", do=hold))
    task = asyncio.create_task(executor.forward())
    await hold.has(3)
    assert len(executor.processing_events) == 3
    hold.let_go()
    await task
    assert hold.order == list("abcdefgh")
    assert hold.peak == 3


async def test_what_is_appended_during_the_round_is_left_for_the_next() -> None:
    executor = desk(concurrency_limit=1)

    async def append_one(event: Job) -> None:
        await executor.append(Job(label="urgent"), -1.0)

    await executor.append_many(jobs("ab", do=append_one), [1, 2])
    await executor.forward()
    assert labels(executor.completed_events) == ["a", "b"]
    assert labels(executor.pending_events) == ["urgent", "urgent"]
    await executor.forward()
    assert len(executor.completed_events) == 4


async def test_a_round_runs_highest_priority_first() -> None:
    executor = desk(concurrency_limit=1)
    hold = Hold()
    hold.let_go()
    await executor.append_many(jobs("abcd", do=hold), [3, 1, 2, 1])
    await executor.forward()
    assert hold.order == ["b", "d", "c", "a"]


@pytest.mark.parametrize("capacity", [None, 10])
async def test_each_event_runs_once_a_round_though_it_comes_back(capacity: int | None) -> None:
    executor = desk(concurrency_limit=1, queue_capacity=capacity)
    tries: list[str] = []

    async def fail(event: Job) -> None:
        tries.append(event.label)
        raise ValueError(event.label)

    async def retry_the_first(event: Job) -> None:
        await executor.retry(first)

    first, _, last = await executor.append_many(
        [Job(label="a", do=fail), Job(do=retry_the_first), Job(label="c")], [1, 2, 3]
    )
    await executor.forward()
    assert tries == ["a"], "it is for the next round"
    assert last.status is EventStatus.COMPLETED, "those behind it are not held back"
    assert first.status is EventStatus.PENDING
    agree(executor)
    await executor.forward()
    assert tries == ["a", "a"]


async def test_what_came_back_in_a_round_can_be_cancelled_meanwhile() -> None:
    executor = desk(concurrency_limit=1)
    hold = Hold()

    async def retry_the_first(event: Job) -> None:
        await executor.retry(first)

    first, _, slow = await executor.append_many(
        [Job(do=raises(ValueError("no"))), Job(do=retry_the_first), Job(do=hold)]
    )
    task = asyncio.create_task(executor.forward())
    await hold.has(1)
    assert first.status is EventStatus.PENDING
    assert await executor.cancel(first) is True
    hold.let_go()
    await task
    assert statuses([first, slow]) == ["cancelled", "completed"]
    agree(executor)


@pytest.mark.promise("notebook-forward")
async def test_a_round_returns_when_what_it_started_has_settled() -> None:
    executor = desk(concurrency_limit=2)
    began = now()
    await executor.append_many([Job(do=sleeps(5)), Job(do=sleeps(1)), Job(do=sleeps(1))])
    await executor.forward()
    assert statuses(executor.states.items) == ["completed"] * 3
    assert now() - began == 5.0, "and at once then: a slow one holds nobody back"


async def test_a_round_over_nothing_returns_at_once() -> None:
    executor = desk(queue_capacity=1)
    began = now()
    await executor.forward()
    await executor.append(Job())
    await executor.forward()
    await executor.forward()
    assert now() == began


async def test_forward_starts_the_executor() -> None:
    executor = desk()
    assert executor.processor is None
    await executor.forward()
    assert executor.processor is not None


# --- denials


async def test_a_denial_ends_the_round() -> None:
    executor = desk(asks=True, concurrency_limit=2)
    hold = Hold()
    running, denied, behind = await executor.append_many(
        [Job(do=hold, label="a"), Job(ask=answers(False)), Job()]
    )
    task = asyncio.create_task(executor.forward())
    await hold.has(1)
    await asyncio.sleep(100)
    assert denied.execution.denials == 1
    assert denied.status is behind.status is EventStatus.PENDING
    assert not task.done(), "what it started before has to settle"
    hold.let_go()
    await task
    assert statuses([running, denied, behind]) == ["completed", "pending", "pending"]
    assert behind.execution.attempt == 0, "it was not even claimed"
    agree(executor)


async def test_a_round_overrides_the_backoff_of_a_denied_event() -> None:
    executor = desk(asks=True, denial_backoff=1000.0)
    job = await executor.append(Job(ask=answers(False, False, True)))
    began = now()
    await executor.forward()
    await executor.forward()
    assert job.execution.denials == 2
    await executor.forward()
    assert job.status is EventStatus.COMPLETED
    assert now() == began


async def test_the_third_denial_aborts_in_the_third_round() -> None:
    executor = desk(asks=True)
    job = await executor.append(Job(ask=answers(False)))
    for denials in (1, 2):
        await executor.forward()
        assert job.execution.denials == denials
        assert job.status is EventStatus.PENDING
    await executor.forward()
    assert job.status is EventStatus.ABORTED
    assert executor.aborted_events == [job]
    assert executor.status_counts()["aborted"] == 1
    agree(executor)


async def test_a_restored_denial_is_overridden_too() -> None:
    executor = desk(asks=True, denial_backoff=1000.0)
    await executor.append(Job(ask=answers(False, True)))
    await executor.forward()
    again = desk(asks=True)
    await again.load(executor.states.to_dict("json"))
    (job,) = again.pending_events
    assert job.execution.denials == 1
    assert job.execution.due is not None, "its backoff is on record"
    await again.forward()
    assert job.status is EventStatus.COMPLETED


@pytest.mark.parametrize("trouble", ["request", "permission", "cancelled"])
async def test_only_a_denial_ends_a_round(trouble: str) -> None:
    executor = desk(asks=True, concurrency_limit=1)

    async def cancelled(event: Job) -> bool:
        await executor.cancel(event)
        await asyncio.sleep(1)
        return True

    class Broken(Job):
        @property
        def request(self) -> dict[str, Any]:
            raise ValueError("request")

    bad = {
        "request": Broken(),
        "permission": Job(ask=raises(ValueError("permission"))),
        "cancelled": Job(ask=cancelled),
    }[trouble]
    behind = Job()
    await executor.append_many([bad, behind])
    await executor.forward()
    assert behind.status is EventStatus.COMPLETED
    assert bad.status is (EventStatus.CANCELLED if trouble == "cancelled" else EventStatus.FAILED)
    assert bad.execution.denials == 0


async def test_a_denial_uses_no_capacity_of_the_window() -> None:
    executor = desk(asks=True, queue_capacity=3, capacity_refresh_time=1000.0)
    await executor.append_many([Job(), Job(ask=answers(False))])
    await executor.forward()
    assert worker(executor).available_capacity == 2


# --- beside others


async def test_two_rounds_at_once_share_the_events() -> None:
    executor = desk(concurrency_limit=2)
    hold = Hold()
    await executor.append_many(jobs("abcdef", do=hold))
    rounds = [asyncio.create_task(executor.forward()) for _ in range(2)]
    await hold.has(2)
    await asyncio.sleep(1)
    assert hold.inside == 2, "one limit for all of them"
    hold.let_go()
    await asyncio.gather(*rounds)
    assert sorted(hold.order) == list("abcdef")
    agree(executor)


async def test_a_round_beside_execute() -> None:
    executor = desk(concurrency_limit=2, queue_capacity=1, capacity_refresh_time=100.0)
    hold = Hold()
    async with background(executor):
        await executor.append_many(jobs("abc", do=hold))
        await hold.has(1)
        task = asyncio.create_task(executor.forward())
        await hold.has(2)
        assert hold.inside == 2
        hold.let_go()
        await task
        assert labels(executor.completed_events) == ["a", "b"]
        assert labels(executor.pending_events) == ["c"], "the window holds execute() back"
    agree(executor)


async def test_a_round_leaves_its_own_window_to_execute() -> None:
    """Starts of rounds count: execute() waits until they are out of the window."""
    executor = desk(queue_capacity=2, capacity_refresh_time=10.0)
    began = starts(executor)
    await executor.append_many(jobs("abcd"))
    await executor.forward()
    await asyncio.sleep(4)
    first = began[0][1]
    async with background(executor):
        await executor.join()
    assert [at - first for _, at in began] == [0, 0, 10, 10]


async def test_a_round_whose_caller_raises_an_error_in_its_events_goes_on() -> None:
    executor = desk(concurrency_limit=1)
    done = await executor.append_many([Job(do=raises(ValueError("x"))) for _ in range(3)] + [Job()])
    assert await caught(executor.forward()) is None
    assert statuses(done) == ["failed"] * 3 + ["completed"]


async def test_a_delayed_event_is_not_due_in_a_round() -> None:
    """Only a denial's backoff is overridden; a delay on record is kept."""
    executor = desk()
    data = Job(label="later").to_dict("json")
    data["execution"] = {"status": "pending", "due": 4_000_000_000.0}
    await executor.load(Flow(items=[Event.from_dict(data)]))
    await executor.append(Job(label="now"))
    await executor.forward()
    assert labels(executor.completed_events) == ["now"]
    assert labels(executor.pending_events) == ["later"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("turns", range(9))
def test_an_event_loop_that_is_closed_during_a_round_keeps_no_slot(turns: int) -> None:
    executor = desk(concurrency_limit=2)
    loop, round_ = VirtualLoop(), list[asyncio.Task[None]]()

    async def begin() -> None:
        await executor.append_many([Job(do=sleeps(100)) for _ in range(3)])
        round_.append(asyncio.create_task(executor.forward()))
        for _ in range(turns):
            await asyncio.sleep(0)

    loop.run_until_complete(begin())
    loop.close()  # and no caller has cancelled the round

    async def go_on() -> None:
        await executor.forward()
        await has_all_slots(executor, forward)

    run_virtual(go_on())
    assert statuses(executor.states.items) == ["completed"] * 6
    round_.clear()
    gc.collect()


async def test_the_round_of_a_subclass_that_counts_its_questions() -> None:
    """The spec's own pattern: a processor that counts what it grants."""

    class Counting(AskingProcessor):
        granted = 0

        async def request_permission(self, **request: Any) -> bool:
            if self.granted == 2:
                return False
            self.granted += 1
            return True

    class CountingExecutor(Executor):
        processor_type = Counting

    executor = CountingExecutor({"queue_capacity": 10})
    await executor.append_many(jobs("abcd"))
    await executor.forward()
    assert labels(executor.completed_events) == ["a", "b"]
    assert [job.execution.denials for job in executor.pending_events] == [1, 0]
