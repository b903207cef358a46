"""What the desk answers: live lists, counts, and the texts that show them."""

import asyncio
import copy
from typing import Any

import pytest
from engine.kit import Hold, Job, agree, answers, desk, forward, labels, raises, sleeps

from lionpride.core import EventStatus, Executor, Flow, Progression, Skip
from lionpride.errors import OperationError

pytestmark = pytest.mark.virtual

LISTS = {status: f"{status.value}_events" for status in EventStatus}


async def one_of_each() -> tuple[Executor, Hold, asyncio.Task[Any]]:
    """An executor with an event in each status; the one that runs is named after its own."""
    executor = desk(asks=True, concurrency_limit=1)
    await executor.append_many(
        [
            Job(label="completed"),
            Job(label="failed", do=raises(ValueError("no"))),
            Job(label="cancelled", do=sleeps(9), timeout=1),
            Job(label="skipped", do=raises(Skip("no"))),
            Job(label="aborted", ask=answers(False)),
        ]
    )
    for _ in range(3):
        await executor.forward()
    hold = Hold()
    await executor.append_many([Job(label="processing", do=hold), Job(label="pending")])
    task = asyncio.create_task(forward(executor))
    await hold.has(1)
    return executor, hold, task


async def test_there_is_a_list_for_each_status() -> None:
    executor, hold, task = await one_of_each()
    for status, name in LISTS.items():
        assert labels(getattr(executor, name)) == [status.value]
        for key in (status, status.value):
            assert executor.get_events_by_status(key) == getattr(executor, name)
        assert list(executor.states.get_progression(status.value)) == [
            event.id for event in getattr(executor, name)
        ]
    agree(executor)
    hold.let_go()
    await task


async def test_no_list_for_what_is_no_status() -> None:
    with pytest.raises(ValueError, match="done"):
        desk().get_events_by_status("done")


async def test_a_list_is_live_and_a_copy_is_not() -> None:
    executor = desk()
    live = executor.pending_events
    assert len(live) == 0
    assert not live
    job = await executor.append(Job())
    assert len(live) == 1
    assert live
    assert live[0] is job
    snapshot = list(live)
    await executor.forward()
    assert len(live) == 0
    assert snapshot == [job]
    assert executor.completed_events == snapshot


@pytest.mark.promise("notebook-status-queries")
async def test_a_list_reads_as_a_list() -> None:
    executor = desk()
    jobs = await executor.append_many([Job(label=name) for name in "abcd"])
    live = executor.pending_events
    assert live == jobs
    assert live == tuple(jobs)
    assert jobs == live
    assert live != jobs[:3]
    assert live != "abcd"
    assert live[1] is jobs[1]
    assert live[-1] is jobs[-1]
    assert live[1:3] == jobs[1:3]
    assert jobs[2] in live
    assert Job() not in live
    assert "a" not in live
    assert live.index(jobs[2]) == 2
    assert live.count(jobs[0]) == 1
    assert list(reversed(live)) == jobs[::-1]
    assert repr(live) == repr(jobs)
    with pytest.raises(IndexError):
        live[4]


async def test_a_list_is_read_only() -> None:
    executor = desk()
    job = await executor.append(Job())
    live: Any = executor.pending_events
    for change in (
        lambda: live.append(Job()),
        lambda: live.remove(job),
        lambda: live.clear(),
        lambda: live.__setitem__(0, Job()),
        lambda: live.__delitem__(0),
    ):
        with pytest.raises(AttributeError):
            change()
    with pytest.raises(TypeError):
        hash(live)
    for change in (
        lambda: executor.states.add_item(Job()),
        lambda: executor.states.remove_item(job.id),
        lambda: executor.states.clear(),
        lambda: executor.states.items.remove(job.id),
        lambda: executor.states.items.add(Job()),
        lambda: executor.states.get_progression("pending").append(job.id),
        lambda: executor.states.get_progression("pending").clear(),
        lambda: executor.states.remove_progression("pending"),
    ):
        with pytest.raises(OperationError):
            change()
    assert live == [job]
    agree(executor)


async def test_events_may_move_on_while_a_list_is_walked() -> None:
    executor = desk()
    jobs = await executor.append_many([Job() for _ in range(10)])
    walked = []
    for job in executor.pending_events:
        walked.append(job)
        await executor.cancel(job)
    assert walked == jobs
    assert len(executor.cancelled_events) == 10


async def test_a_list_is_in_the_order_in_which_events_came_to_their_status() -> None:
    executor = desk(concurrency_limit=3)
    await executor.append_many(
        [Job(label=name, do=sleeps(seconds)) for name, seconds in (("a", 3), ("b", 1), ("c", 2))]
    )
    assert labels(executor.pending_events) == ["a", "b", "c"]
    await executor.forward()
    assert labels(executor.completed_events) == ["b", "c", "a"]
    assert labels(executor.states.items) == ["a", "b", "c"], "and all of them as they arrived"


async def test_the_counts() -> None:
    executor, hold, task = await one_of_each()
    assert executor.status_counts() == dict.fromkeys((s.value for s in EventStatus), 1)
    assert list(executor.status_counts()) == list(EventStatus.allowed())
    counts = executor.status_counts()
    hold.let_go()
    await task
    assert counts["completed"] == 1, "it is a copy"
    assert executor.status_counts()["completed"] == 3


async def test_the_texts() -> None:
    executor, hold, task = await one_of_each()
    assert repr(executor) == (
        "Executor(total=7, pending=1, processing=1, completed=1, failed=1, cancelled=1, "
        "skipped=1, aborted=1)"
    )
    lines = executor.inspect_state().splitlines()
    assert lines[0] == "Executor State (engine.kit.Job):"
    assert lines[1:] == [f"  {status.value}: 1 events" for status in EventStatus]
    hold.let_go()
    await task


async def test_progressions_of_ones_own_stand_beside_the_seven() -> None:
    executor = desk()
    job, other = await executor.append_many([Job(), Job()])
    mine = Progression(name="mine", order=[job.id, other.id])
    executor.states.add_progression(mine)
    await executor.forward()
    assert list(executor.states.get_progression("mine")) == [job.id, other.id]
    await executor.remove(job)
    assert list(mine) == [other.id], "what is let go of leaves them too"
    agree(executor)
    executor.states.remove_progression("mine")
    assert len(executor.states.progressions) == 7


async def test_the_status_of_a_held_event_is_not_set_by_hand() -> None:
    executor = desk()
    job = await executor.append(Job())
    with pytest.raises(OperationError, match="cancel") as raised:
        job.status = EventStatus.COMPLETED
    assert "retry" in str(raised.value)
    await executor.forward()
    with pytest.raises(OperationError):
        job.status = "pending"
    assert job.status is EventStatus.COMPLETED
    await executor.remove(job)
    job.status = "pending"
    assert job.status is EventStatus.PENDING


@pytest.mark.parametrize("ended", [False, True])
async def test_a_copy_of_a_held_event_is_free(ended: bool) -> None:
    executor = desk()
    job = await executor.append(Job(label="x"), 7)
    if ended:
        await executor.forward()
    for twin in (copy.copy(job), copy.deepcopy(job), job.model_copy()):
        assert twin == job
        assert twin.status is job.status
        assert twin.execution.priority == 7
        twin.status = "failed"
        assert job.status == ("completed" if ended else "pending")
        assert twin not in list(executor.failed_events)
    agree(executor)


class Special(Job):
    """A subclass of the event type."""


@pytest.mark.parametrize("strict", [False, True])
async def test_the_items_tell_the_event_type_and_whether_subclasses_are_refused(
    strict: bool,
) -> None:
    class Work(Executor):
        processor_type = type(desk()).processor_type

    executor = Work(strict_event_type=strict)
    items = executor.states.items
    assert (items.item_type, items.strict_type) == ({executor.event_type}, strict)
    await executor.append(Job(label="one"))
    if not strict:
        await executor.append(Special(label="two"))
    flow = copy.copy(executor.states)
    assert (flow.items.item_type, flow.items.strict_type) == ({Job}, strict)
    assert list(flow.items) == list(items)
    with pytest.raises(TypeError):
        flow.add_item(Flow())
    for data in (executor.states.to_dict(), executor.states.to_dict("json")):
        assert "item_type" not in data  # the specification prints the keys of a dump
        assert list(Flow.from_dict(data).items) == list(items)
    other = Work()
    assert await other.load(executor.states.to_dict("json")) == len(items)
    kinds = items.filter_by_type(Job)
    assert list(kinds) == list(items)
