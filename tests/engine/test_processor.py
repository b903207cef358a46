"""The worker: alone over a pile, or made by an executor."""

import asyncio
import gc
from typing import Any
from uuid import uuid4

import pytest
from engine.kit import (
    AskingProcessor,
    Hold,
    Job,
    JobProcessor,
    answers,
    caught,
    desk,
    labels,
    now,
    raises,
    sleeps,
    statuses,
    worker,
)

from lionpride.core import EventStatus, Pile, Processor
from lionpride.errors import (
    ConfigurationError,
    ExistsError,
    NotFoundError,
    OperationError,
    QueueFullError,
    ValidationError,
)
from lionpride.stores.listeners import Listener, Signal, Unsubscribe
from lionpride.stores.memory import MemoryStore

pytestmark = pytest.mark.virtual


def pile_of(*jobs: Job) -> Pile[Job]:
    return Pile(items=list(jobs), item_type=Job)


async def enqueued(processor: Processor, *priorities: float | None) -> list[Job]:
    """Jobs of the processor's pile, enqueued in its order."""
    assert processor.pile is not None
    jobs = list(processor.pile)
    for job, priority in zip(jobs, priorities or [None] * len(jobs), strict=True):
        await processor.enqueue(job.id, priority)
    return jobs


# --- alone


async def test_it_runs_the_events_of_its_pile() -> None:
    processor = JobProcessor(
        queue_capacity=2,
        capacity_refresh_time=10.0,
        pile=pile_of(*(Job(label=name) for name in "abc")),
    )
    a, b, c = await enqueued(processor, 2, 1, 3)
    assert processor.queue.qsize() == len(processor.queue) == 3
    assert processor.queue.empty() is False
    assert processor.executor is None
    await processor.process()
    assert statuses([a, b, c]) == ["completed", "completed", "pending"]
    assert list(processor.queue) == [c]
    await processor.process()
    assert c.response == "c"
    assert processor.queue.empty() is True
    assert processor.available_capacity == 0


async def test_it_runs_in_the_background() -> None:
    processor = JobProcessor(pile=pile_of(Job(label="a"), Job(label="b")))
    task = asyncio.create_task(processor.execute())
    jobs = await enqueued(processor)
    await processor.join()
    assert statuses(jobs) == ["completed", "completed"]
    assert processor.execution_mode is True
    assert processor.working is True
    await processor.stop()
    await task
    assert processor.execution_mode is False
    assert processor.working is False


async def test_permission_and_denials_without_an_executor() -> None:
    processor = AskingProcessor(pile=pile_of(Job(ask=answers(False)), Job(ask=raises(OSError()))))
    task = asyncio.create_task(processor.execute())
    denied, failed = await enqueued(processor)
    await processor.join()
    await processor.stop()
    await task
    assert statuses([denied, failed]) == ["aborted", "failed"]


async def test_code_that_wants_to_exit_without_an_executor() -> None:
    processor = JobProcessor(pile=pile_of(Job(do=raises(KeyboardInterrupt())), Job()))
    bad, behind = await enqueued(processor)
    raised = await caught(processor.process())
    assert raised is bad.execution.error
    assert processor.is_stopped()
    await processor.start()
    await processor.process()
    assert behind.status is EventStatus.COMPLETED


async def test_enqueue_takes_in_what_the_pile_has() -> None:
    job = Job()
    processor = JobProcessor(pile=pile_of(job), max_queue_size=1)
    with pytest.raises(NotFoundError, match="not in the pile"):
        await processor.enqueue(uuid4())
    for priority in (float("nan"), float("inf"), True, "1"):
        with pytest.raises(ValidationError, match="Priority"):
            await processor.enqueue(job.id, priority)  # type: ignore[arg-type]
    await processor.enqueue(job.id)
    assert job.execution.priority == job.created_timestamp
    with pytest.raises(ExistsError):
        await processor.enqueue(job.id)
    processor.pile.add(Job())  # type: ignore[union-attr]
    with pytest.raises(QueueFullError):
        await processor.enqueue(processor.pile[1].id)  # type: ignore[index]
    assert processor.queue.qsize() == 1


async def test_enqueue_without_a_pile_says_what_to_give() -> None:
    with pytest.raises(ConfigurationError, match="pile"):
        await JobProcessor().enqueue(uuid4())


async def test_create_makes_one() -> None:
    pile = pile_of(Job())
    processor = await JobProcessor.create(5, 2.0, pile, concurrency_limit=3)
    assert type(processor) is JobProcessor
    assert processor.queue_capacity == 5
    assert processor.capacity_refresh_time == 2.0
    assert processor.pile is pile
    assert processor.concurrency_limit == 3


# --- dequeue


async def test_dequeue_gives_the_lowest_first_and_equals_in_order() -> None:
    processor = JobProcessor(pile=pile_of(*(Job(label=name) for name in "abcd")))
    await enqueued(processor, 2, 1, 2, 0)
    assert [(await processor.dequeue()).label for _ in range(4)] == list("dbac")  # type: ignore[attr-defined]
    assert processor.queue.empty()


async def test_dequeue_waits_for_the_next() -> None:
    processor = JobProcessor(pile=pile_of(Job()))
    tasks = [asyncio.create_task(processor.dequeue()) for _ in range(2)]
    await asyncio.sleep(5)
    assert not any(task.done() for task in tasks)
    (job,) = await enqueued(processor)
    await asyncio.sleep(1)
    assert [task.done() for task in tasks].count(True) == 1, "one of them gets it"
    got = next(task.result() for task in tasks if task.done())
    assert got is job
    assert job.status is EventStatus.PENDING
    assert job.execution.arrival is None, "and it is the caller's"
    for task in tasks:
        task.cancel()


async def test_what_was_dequeued_is_not_run() -> None:
    executor = desk()
    first, second = await executor.append_many([Job(), Job()])
    await executor.start()
    assert await worker(executor).dequeue() is first
    await executor.forward()
    assert statuses([first, second]) == ["pending", "completed"]
    assert first not in executor


async def test_dequeue_that_is_given_up_takes_nothing() -> None:
    processor = JobProcessor(pile=pile_of(Job()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(processor.dequeue(), 1)
    await enqueued(processor)
    await processor.process()
    assert processor.pile[0].status is EventStatus.COMPLETED  # type: ignore[index]


async def test_dequeue_that_is_cancelled_leaves_no_listener() -> None:
    class Counting(MemoryStore):
        listening = 0

        def subscribe(self, signal: Signal, listener: Listener, **how: Any) -> Unsubscribe:
            remove = super().subscribe(signal, listener, **how)
            self.listening += signal is Signal.READY

            def unsubscribe() -> None:
                self.listening -= signal is Signal.READY
                remove()

            return unsubscribe

    store = Counting()
    executor = desk(store=store)
    await executor.start()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(worker(executor).dequeue(), 1)
    assert store.listening == 0


async def test_dequeue_waits_out_a_denial() -> None:
    processor = AskingProcessor(pile=pile_of(Job(ask=answers(False))), denial_backoff=7.0)
    (job,) = await enqueued(processor)
    await processor.process()
    began = now()
    assert await processor.dequeue() is job
    assert now() - began == pytest.approx(7)


# --- made by an executor


async def test_the_processor_knows_its_executor_weakly() -> None:
    executor = desk()
    await executor.start()
    processor = worker(executor)
    assert processor.executor is executor
    assert processor.pile is executor.states.items
    del executor
    gc.collect()
    assert processor.executor is None


async def test_it_stands_over_one_store() -> None:
    executor = desk()
    await executor.start()
    processor = worker(executor)
    with pytest.raises(OperationError, match="already"):
        processor.attach(executor.store, None)  # type: ignore[arg-type]


async def test_process_may_be_called_by_hand() -> None:
    executor = desk(concurrency_limit=2)
    hold = Hold()
    await executor.append_many([Job(label=name, do=hold) for name in "abcd"])
    await executor.start()
    calls = [asyncio.create_task(worker(executor).process()) for _ in range(3)]
    await hold.has(2)
    await asyncio.sleep(1)
    assert hold.inside == 2, "safe for concurrent calls"
    hold.let_go()
    await asyncio.gather(*calls)
    assert sorted(hold.order) == list("abcd")


async def test_execution_mode_is_that_of_execute_alone() -> None:
    executor = desk()
    await executor.append(Job(do=sleeps(5)))
    await executor.start()
    processor = worker(executor)
    assert (processor.working, processor.execution_mode) == (False, False)
    task = asyncio.create_task(executor.forward())
    await asyncio.sleep(1)
    assert (processor.working, processor.execution_mode) == (True, False)
    await task
    assert (processor.working, processor.execution_mode) == (False, False)


@pytest.mark.parametrize("span", [5.0, 0.5])
async def test_available_capacity_comes_back_with_time(span: float) -> None:
    executor = desk(queue_capacity=3, capacity_refresh_time=span)
    await executor.start()
    processor = worker(executor)
    assert processor.available_capacity == 3
    await executor.append_many([Job(), Job()])
    await executor.forward()
    assert processor.available_capacity == 1
    await asyncio.sleep(span / 2)
    assert processor.available_capacity == 1
    await asyncio.sleep(span / 2)
    assert processor.available_capacity == 3


async def test_available_capacity_counts_starts_and_not_slots() -> None:
    executor = desk(queue_capacity=3, capacity_refresh_time=5.0)
    await executor.append(Job(do=sleeps(100)))
    task = asyncio.create_task(executor.forward())
    await asyncio.sleep(6)
    assert worker(executor).available_capacity == 3
    task.cancel()
    await asyncio.wait([task])


async def test_more_rounds_than_capacity_leave_none_and_never_less() -> None:
    executor = desk(queue_capacity=2, capacity_refresh_time=5.0)
    await executor.append_many([Job() for _ in range(8)])
    for _ in range(4):
        await executor.forward()
    assert worker(executor).available_capacity == 0


async def test_the_queue_is_a_live_list() -> None:
    executor = desk()
    await executor.start()
    queue: Any = worker(executor).queue
    assert queue.empty()
    await executor.append_many([Job(label="a"), Job(label="b")], [2, 1])
    assert labels(queue) == ["a", "b"]
    assert queue.qsize() == 2
    await executor.forward()
    assert queue.empty()
