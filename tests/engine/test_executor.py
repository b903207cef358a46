"""The desk takes events in, wholly or not at all, and says why not."""

import asyncio
import copy
from typing import Any, ClassVar, cast

import pytest
from engine.kit import (
    AskingExecutor,
    Hold,
    Job,
    JobExecutor,
    JobProcessor,
    agree,
    desk,
    forward,
    labels,
    statuses,
)

from lionpride.core import Event, EventStatus, Executor, Flow, Processor
from lionpride.errors import (
    ConfigurationError,
    ExistsError,
    OperationError,
    QueueFullError,
    ValidationError,
)
from lionpride.stores.clock import LoopClock

pytestmark = pytest.mark.virtual


class Special(Job):
    pass


class Other(Event):
    pass


def holds_nothing(executor: Executor) -> bool:
    return len(executor.states.items) == 0 and set(executor.status_counts().values()) == {0}


# --- append


async def test_append_returns_the_event_once_it_is_accepted() -> None:
    executor = desk()
    job = Job()
    assert await executor.append(job) is job
    assert job in executor
    assert job.id in executor
    assert str(job.id) in executor
    assert executor.pending_events == [job]
    assert Job() not in executor
    assert "no id" not in executor
    agree(executor)


@pytest.mark.parametrize("thing", [Other(), "an event", None, Job, 5], ids=type)
async def test_what_is_not_of_the_event_type_is_refused(thing: Any) -> None:
    executor = desk()
    with pytest.raises(TypeError, match="JobExecutor takes events of Job"):
        await executor.append(thing)
    with pytest.raises(TypeError, match="JobExecutor takes events of Job"):
        await executor.append_many([Job(), thing])
    assert holds_nothing(executor)


async def test_subclasses_are_taken_unless_the_type_is_strict() -> None:
    executor = desk()
    await executor.append(Special())
    strict = JobExecutor(strict_event_type=True)
    assert strict.strict_event_type is True
    await strict.append(Job())
    with pytest.raises(TypeError, match="strict_event_type"):
        await strict.append(Special())
    assert len(strict.pending_events) == 1


@pytest.mark.parametrize(
    "priority",
    [float("nan"), float("inf"), -float("inf"), True, False, "1", "x", [], object(), 10**400],
)
async def test_a_priority_that_is_no_finite_number_is_refused(priority: Any) -> None:
    executor = desk()
    job = Job()
    with pytest.raises(ValidationError, match="Priority must be finite and not NaN") as raised:
        await executor.append(job, priority)
    assert repr(priority) in str(raised.value)
    with pytest.raises(ValueError, match="Priority"):
        await executor.append_many([Job(), job], [1.0, priority])
    assert holds_nothing(executor)
    assert job.execution.arrival is None
    await executor.append(job, 1)


@pytest.mark.parametrize("priority", [float("nan"), float("inf"), True, "1", 10**400])
async def test_nor_is_one_that_the_event_brings(priority: Any) -> None:
    executor = desk()
    job, ended = Job(), Job(execution={"status": "failed"})
    job.execution.priority = ended.execution.priority = priority
    for take_in in (
        executor.append(job),
        executor.append_many([Job(), job]),
        executor.load(Flow(items=[Job(), job])),
        executor.load(Flow(items=[Job(), ended])),
    ):
        with pytest.raises(ValidationError, match="Priority must be finite"):
            await take_in
    assert holds_nothing(executor)


@pytest.mark.parametrize("named", [False, True])
async def test_a_due_time_that_the_event_brings_is_kept(named: bool) -> None:
    executor = desk()
    job = Job()
    if named:
        _ = job.id
    job.execution.due = LoopClock()() + 5
    await executor.append(job)
    await executor.forward()
    assert job.status is EventStatus.PENDING
    await asyncio.sleep(5.001)
    await executor.forward()
    assert job.status is EventStatus.COMPLETED


@pytest.mark.parametrize("priority", [0, -5, 2**60, 1e300, -1e-9])
async def test_any_finite_number_is_a_priority(priority: float) -> None:
    job = await desk().append(Job(), priority)
    assert job.execution.priority == float(priority)
    assert type(job.execution.priority) is float


async def test_a_copy_of_what_has_ended_here_exists() -> None:
    executor = desk()
    job = await executor.append(Job())
    await executor.forward()
    assert await executor.append(copy.copy(job), exist_ok=True) is job
    assert await executor.append_many([copy.copy(job)], exist_ok=True) == [job]
    with pytest.raises(OperationError):
        await executor.append(Job(execution={"status": "completed"}), exist_ok=True)
    assert executor.completed_events == [job]


@pytest.mark.parametrize("status", sorted(set(EventStatus) - {EventStatus.PENDING}))
async def test_an_event_that_is_not_pending_is_refused(status: EventStatus) -> None:
    executor = desk()
    job = Job()
    job.status = status
    with pytest.raises(OperationError, match=f"is {status.value} and cannot be appended"):
        await executor.append(job)
    with pytest.raises(OperationError, match="as_fresh_event"):
        await executor.append_many([Job(), job])
    assert holds_nothing(executor)
    await executor.append(job.as_fresh_event())


async def test_a_known_id_is_refused_and_changes_nothing() -> None:
    executor = desk()
    job = await executor.append(Job(label="first"), 5)
    twin = Job(label="second", id=job.id)
    for again in (job, twin):
        with pytest.raises(ExistsError, match="known"):
            await executor.append(again, 1)
    assert executor.pending_events == [job]
    assert executor.pending_events[0] is job
    assert job.execution.priority == 5
    assert twin.execution.arrival is None
    agree(executor)


@pytest.mark.parametrize("status", ["completed", "processing"])
async def test_an_id_is_known_whatever_became_of_its_event(status: str) -> None:
    executor = desk()
    hold = Hold()
    job = await executor.append(Job(do=hold))
    task = asyncio.create_task(forward(executor))
    await hold.has(1)
    if status == "completed":
        hold.let_go()
        await task
    assert job.status == status
    with pytest.raises(ExistsError):
        await executor.append(job)
    assert await executor.append(job, exist_ok=True) is job
    hold.let_go()
    await task
    assert len(executor.states.items) == 1


async def test_exist_ok_gives_the_event_that_was_here() -> None:
    executor = desk(max_queue_size=2)
    job = await executor.append(Job(label="first"), 5)
    twin = Job(label="second", id=job.id)
    assert await executor.append(twin, 1, exist_ok=True) is job
    new = Job()
    held = await executor.append_many([twin, new, new], exist_ok=True)
    assert [each is other for each, other in zip(held, (job, new, new), strict=True)] == [True] * 3
    assert executor.pending_events == [job, new]
    assert job.execution.priority == 5
    # It would add nothing, so a full queue has room for it.
    assert await executor.append(twin, exist_ok=True) is job
    agree(executor)


@pytest.mark.parametrize("exist_ok", [False, True])
async def test_an_event_that_another_executor_holds_is_refused(exist_ok: bool) -> None:
    one, two = desk(), desk()
    job = await one.append(Job())
    with pytest.raises(ExistsError, match="another executor"):
        await two.append(job, exist_ok=exist_ok)
    with pytest.raises(ExistsError, match="another executor"):
        await two.append_many([Job(), job], exist_ok=exist_ok)
    with pytest.raises(ExistsError, match="another executor"):
        await two.load(one.states)
    assert holds_nothing(two)
    await one.remove(job)
    assert await two.append(job) is job
    assert job not in one
    agree(one)
    agree(two)


async def test_a_copy_of_a_held_event_has_the_id_of_another_desk() -> None:
    one, two = desk(), desk()
    job = await one.append(Job(label="x"))
    await two.append(job.model_copy())
    await one.forward()
    assert statuses([*one.states.items, *two.states.items]) == ["completed", "pending"]


async def test_a_full_queue_leaves_no_orphan() -> None:
    executor = desk(max_queue_size=2)
    await executor.append_many([Job(), Job()])
    job = Job()
    with pytest.raises(QueueFullError, match="max_queue_size") as raised:
        await executor.append(job)
    assert isinstance(raised.value, asyncio.QueueFull)
    assert raised.value.retryable is True
    assert raised.value.details == {"queue_size": 2, "max_size": 2, "events": 1}
    assert job not in executor
    assert job.execution.arrival is None
    assert executor.status_counts()["pending"] == 2
    agree(executor)
    await executor.forward()
    assert await executor.append(job) is job, "what runs or has ended takes no room"


async def test_the_bound_holds_before_and_after_the_start() -> None:
    executor = desk(max_queue_size=1)
    await executor.append(Job())
    for _ in range(2):
        with pytest.raises(QueueFullError):
            await executor.append(Job())
        await executor.start()
    assert len(executor.pending_events) == 1


# --- append_many


async def test_a_batch_keeps_its_order() -> None:
    executor = desk(concurrency_limit=1)
    hold = Hold()
    hold.let_go()
    jobs = [Job(label=name, do=hold) for name in "abc"]
    assert await executor.append_many(iter(jobs), iter([1, 1, 0])) == jobs
    await executor.forward()
    assert hold.order == ["c", "a", "b"]


async def test_a_batch_is_taken_in_wholly_or_not_at_all() -> None:
    executor = desk(max_queue_size=3)
    known = await executor.append(Job())
    double = Job()
    bad_batches: list[tuple[list[Job], type[Exception]]] = [
        ([Job(), known], ExistsError),
        ([double, Job(), double], ExistsError),
        ([Job(), Job(id=known.id)], ExistsError),
        ([Job(), Job(), Job()], QueueFullError),
    ]
    for batch, error in bad_batches:
        with pytest.raises(error):
            await executor.append_many(batch)
        assert executor.pending_events == [known]
        assert all(job.execution.arrival is None for job in batch if job is not known)
        agree(executor)
    assert len(await executor.append_many([Job(), Job()])) == 2


async def test_a_batch_of_nothing_is_nothing_and_one_event_is_no_batch() -> None:
    executor = desk(max_queue_size=1)
    await executor.append(Job())
    assert await executor.append_many([]) == []
    assert await executor.append_many([], []) == []
    with pytest.raises(TypeError, match=r"append\(\) takes one"):
        await executor.append_many(cast("Any", Job()))


@pytest.mark.parametrize("priorities", [[1.0], [1.0, 2.0, 3.0], []])
async def test_there_is_a_priority_for_each_event_or_for_none(priorities: list[float]) -> None:
    executor = desk()
    with pytest.raises(ValidationError, match=f"there are {len(priorities)} for 2 events"):
        await executor.append_many([Job(), Job()], priorities)
    assert holds_nothing(executor)
    first, second = await executor.append_many([Job(), Job()], [None, 3])
    assert first.execution.priority == first.created_timestamp
    assert second.execution.priority == 3.0


# --- load


@pytest.mark.parametrize("mode", ["flow", "python", "json"])
async def test_a_run_goes_on_where_it_was(mode: Any) -> None:
    old = AskingExecutor({"concurrency_limit": 1})
    hold = Hold()
    await old.append_many(
        [Job(label="done"), Job(label="runs", do=hold), Job(label="waits")], [1, 2, 3]
    )
    task = asyncio.create_task(forward(old))
    await hold.has(1)
    data: Any = old.states.to_dict("python" if mode == "flow" else mode)
    new = AskingExecutor()
    assert await new.load(Flow.from_dict(data) if mode == "flow" else data) == 3
    assert labels(new.completed_events) == ["done"]
    assert sorted(labels(new.pending_events)) == ["runs", "waits"]
    interrupted = next(job for job in new.pending_events if job.label == "runs")
    assert interrupted.execution.interruptions == 1
    assert interrupted.execution.attempt == 1, "its attempt is on record"
    agree(new)
    hold.let_go()
    await task

    noted = Hold()
    noted.let_go()
    for job in new.pending_events:
        job.do = noted
    await new.forward()
    assert noted.order == ["runs", "waits"], "with the priorities they had"
    assert len(old.completed_events) == len(new.completed_events) == 3


async def test_every_status_is_loaded_as_it_is() -> None:
    flow: Flow[Any, Any] = Flow(items=[Job(label=status.value) for status in EventStatus])
    for job in flow.items:
        job.status = job.label
    executor = desk()
    assert await executor.load(flow) == 7
    counts = executor.status_counts()
    assert counts.pop("pending") == 2
    assert counts.pop("processing") == 0
    assert set(counts.values()) == {1}
    agree(executor)


async def test_what_cannot_be_loaded_loads_nothing() -> None:
    executor = desk()
    known = await executor.append(Job())
    with pytest.raises(ExistsError):
        await executor.load(Flow(items=[Job(), Job(id=known.id)]))
    with pytest.raises(TypeError, match="takes events of Job"):
        await executor.load(Flow(items=[Job(), Other()]))
    with pytest.raises(TypeError, match="from_json"):
        await executor.load(cast("Any", "{}"))
    assert executor.pending_events == [known]
    agree(executor)


# --- set up


def test_a_class_that_cannot_work_says_what_to_set() -> None:
    class NoProcessor(Executor):
        pass

    class NoEvent(Executor):
        processor_type: ClassVar[type[Processor]] = Processor

    class WrongEvent(Executor):
        processor_type: ClassVar[type[Processor]] = type("P", (Processor,), {"event_type": int})

    for kind, text in (
        (NoProcessor, "NoProcessor.processor_type must be a Processor subclass, not None"),
        (NoEvent, "Processor.event_type must be an Event subclass, not None"),
        (WrongEvent, "P.event_type must be an Event subclass, not <class 'int'>"),
        (Executor, "Executor.processor_type must be a Processor subclass"),
    ):
        with pytest.raises(ConfigurationError) as raised:
            kind()
        assert text in str(raised.value)


async def test_a_key_that_the_processor_does_not_take_is_named() -> None:
    with pytest.raises(ConfigurationError) as raised:
        JobExecutor({"queue_capcity": 5})
    text = str(raised.value)
    assert "'queue_capcity'" in text
    assert "JobProcessor" in text
    assert "queue_capacity" in text, "and what it takes"


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), True, "5", None])
def test_a_grace_that_is_no_time_is_refused(grace: Any) -> None:
    with pytest.raises(ValidationError, match="grace"):
        JobExecutor(grace=grace)


def test_a_store_that_this_version_has_not_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///run\.db"):
        JobExecutor(store="mysql:///run.db")
    assert len(JobExecutor(store="memory://").states.items) == 0


def test_what_an_executor_is_made_of() -> None:
    given = {"queue_capacity": 5}
    executor = JobExecutor(given, name="mine")
    assert executor.event_type is Job
    assert executor.processor is None
    assert executor.processor_config == given
    assert executor.processor_config is not given
    assert executor.states.name == "mine"
    assert JobExecutor().states.name == JobExecutor().store.queue == "engine.kit.Job"
    assert executor.strict_event_type is False
    assert [p.name for p in executor.states.progressions] == list(EventStatus)


def test_the_queue_is_named_after_the_event_type() -> None:
    assert desk().store.queue == Job.class_name(full=True)
    assert JobExecutor(queue="own").store.queue == "own"


async def test_two_executors_keep_apart() -> None:
    one, two = desk(), desk()
    await one.append(Job(label="a"))
    await two.append(Job(label="b"))
    await asyncio.gather(one.forward(), two.forward())
    assert labels(one.completed_events) == ["a"]
    assert labels(two.completed_events) == ["b"]
    assert isinstance(one.processor, JobProcessor)
    assert one.processor is not two.processor
