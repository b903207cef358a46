"""Inline: append returns when the event has ended."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from engine.kit import AskingExecutor, Hold, Job, JobExecutor, answers, background, now, raises

from lionpride.core import EventStatus, Executor, Retry, Skip
from lionpride.errors import (
    AccessError,
    DependencyError,
    EventCancelledError,
    OperationError,
    QueueFullError,
)
from lionpride.testing import inline

pytestmark = pytest.mark.virtual


def desk(**config: Any) -> Executor:
    return inline(JobExecutor)(config)


@pytest.mark.promise("testing-tools")
@pytest.mark.parametrize("over_file", [False, True])
async def test_append_returns_when_the_event_has_ended(over_file: bool, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/run.db" if over_file else None
    async with inline(JobExecutor)(store=store) as executor:
        event = await executor.append(Job(label="a"))
        assert (event.status, event.response) == (EventStatus.COMPLETED, "a")
        assert await executor.result(event) == "a"


async def test_its_error_is_raised_and_on_record() -> None:
    executor = desk()
    job = Job(do=raises(ValueError("no")))
    with pytest.raises(ValueError, match="no"):
        await executor.append(job)
    assert executor.failed_events == [job]


async def test_what_was_skipped_is_no_error() -> None:
    event = await desk().append(Job(do=raises(Skip("why"))))
    assert event.status is EventStatus.SKIPPED


async def test_who_is_cancelled_or_denied_is_told() -> None:
    executor = inline(AskingExecutor)()

    async def cancel(event: Job) -> None:
        await executor.cancel(event)
        await asyncio.sleep(1)

    with pytest.raises(EventCancelledError):
        await executor.append(Job(do=cancel))
    with pytest.raises(AccessError):
        await executor.append(Job(ask=answers(False)))
    began = now()
    patient = await executor.append(Job(ask=answers(False, False, True)))
    assert patient.status is EventStatus.COMPLETED
    assert now() == began, "a round does not wait out a denial"


async def test_a_batch_runs_by_priority_and_raises_when_all_have_ended() -> None:
    executor = desk(concurrency_limit=1)
    order = []

    async def do(event: Job) -> None:
        order.append(event.label)
        if event.label == "b":
            raise ValueError("no")

    jobs = [Job(label=label, do=do) for label in "abc"]
    with pytest.raises(ValueError, match="no"):
        await executor.append_many(jobs, [3, 2, 1])
    assert order == ["c", "b", "a"]
    assert [job.status.value for job in jobs] == ["completed", "failed", "completed"]


async def test_what_an_event_appends_runs_before_it_goes_on() -> None:
    executor = desk()
    order = []

    async def parent(event: Job) -> None:
        order.append("parent")
        await executor.append(Job(do=child))
        order.append("parent again")

    async def child(event: Job) -> None:
        order.append("child")

    await executor.append(Job(do=parent))
    assert order == ["parent", "child", "parent again"]


async def test_without_a_slot_for_that_it_says_so_instead_of_hanging() -> None:
    executor = desk(concurrency_limit=1)

    async def parent(event: Job) -> None:
        await executor.append(Job())

    with pytest.raises(OperationError, match="concurrency_limit"):
        await executor.append(Job(do=parent))


async def test_what_is_tried_again_is_waited_for_and_only_its_last_error_is_raised() -> None:
    executor = desk()
    policy = Retry(attempts=3, backoff=3600, ceiling=7200, jitter=False)
    began = now()

    async def do(event: Job) -> str:
        if event.execution.attempt < 3:
            raise ConnectionError("refused")
        return "at last"

    job = await executor.append(Job(do=do), retry=policy)
    assert (job.response, now() - began) == ("at last", 3600 + 7200)
    with pytest.raises(ValueError, match="no"):
        await executor.append(Job(do=raises(ValueError("no"))), retry=policy)


async def test_what_starts_later_stays_pending() -> None:
    executor = desk()
    later = await executor.append(Job(), delay=3600)
    (later_too,) = await executor.append_many([Job()], delay=60)
    assert later.status is later_too.status is EventStatus.PENDING
    await asyncio.sleep(3600)
    await executor.append(Job())
    assert later.status is later_too.status is EventStatus.COMPLETED, "they are due"


async def test_a_known_event_is_not_run_again() -> None:
    executor = desk()
    job = Job(do=raises(ValueError("no")))
    with pytest.raises(ValueError, match="no"):
        await executor.append(job)
    assert await executor.append(job, exist_ok=True) is job, "it had ended: nothing is raised"
    assert job.execution.attempt == 1


async def test_paused_it_only_takes_in() -> None:
    executor = desk(max_queue_size=1)
    await executor.pause()
    job = await executor.append(Job())
    assert job.status is EventStatus.PENDING
    with pytest.raises(QueueFullError):
        await executor.append(Job())
    await executor.resume()
    await executor.forward()
    assert job.status is EventStatus.COMPLETED


async def test_where_somebody_else_runs_it_it_waits() -> None:
    executor = desk()
    hold = Hold()
    async with background(executor):
        appending = asyncio.create_task(executor.append(Job(do=hold)))
        await hold.has(1)
        await asyncio.sleep(5)
        assert not appending.done()
        hold.let_go()
        assert (await appending).response is True


async def test_a_batch_runs_parents_before_their_children() -> None:
    executor = desk()
    last, middle, first = Job(label="last"), Job(label="middle"), Job(label="first")
    after: dict[Any, Any] = {last: [middle, first], middle: first}
    await executor.append_many([last, middle, first], after=after)
    assert executor.completed_events == [first, middle, last]


async def test_a_child_whose_parent_has_failed_raises_its_error() -> None:
    executor = desk()
    parent, child, other = Job(do=raises(ValueError("no"))), Job(), Job()
    with pytest.raises(ValueError, match="no"):
        await executor.append(parent)
    with pytest.raises(DependencyError, match=str(parent.id)):
        await executor.append(child, after=parent)
    with pytest.raises(DependencyError, match=str(parent.id)):
        await executor.append_many([other], after={other: parent})
    await executor.append(Job(), after=parent, when="failed")


async def test_a_child_whose_parent_has_not_finished_stays_pending() -> None:
    executor = desk()
    parent = await executor.append(Job(), delay=60.0)
    child = await executor.append(Job(), after=parent)
    assert (parent.status, child.status) == (EventStatus.PENDING, EventStatus.PENDING)
    assert child.execution.is_blocked


def test_it_is_the_same_class_but_for_that() -> None:
    kind = inline(AskingExecutor)
    assert issubclass(kind, AskingExecutor)
    assert kind.processor_type is AskingExecutor.processor_type
    assert kind.__name__ == "InlineAskingExecutor"
