"""Calls without await, on each store."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sync.jobs import broken, count, square

from lionpride import Every
from lionpride import Executor as AsyncExecutor
from lionpride.errors import (
    EventCancelledError,
    NotFoundError,
    OperationError,
    QueueFullError,
    ValidationError,
)
from lionpride.sync import Executor


@pytest.fixture
def executor(url: str) -> Iterator[Executor]:
    executor = Executor.of(square, count, broken, queue="q", store=url, concurrency_limit=4)
    yield executor
    executor.close()


def test_a_run_returns_the_response_or_raises_the_error(executor: Executor) -> None:
    with executor:
        assert executor.run(square(7), timeout=20) == 49
        with pytest.raises(ValueError, match="broken"):
            executor.run(broken())


def test_events_are_appended_and_awaited_by_any_number_of_threads(executor: Executor) -> None:
    with executor, ThreadPoolExecutor(16) as pool:
        numbers = range(200)
        results = list(pool.map(lambda each: executor.run(square(each), timeout=20), numbers))
    assert results == [each * each for each in numbers]


def test_an_executor_appends_without_a_run(executor: Executor) -> None:
    events = executor.append_many((square(each) for each in range(3)), [3, 2, 1])
    last = executor.append(square(9))
    assert executor.counts()["pending"] == 4
    assert executor.pending_events == [*events, last]
    assert events[0] in executor
    assert square(1) not in executor
    assert executor.cancel(events[0])
    assert executor.status_counts()["cancelled"] == 1
    with pytest.raises(EventCancelledError):
        executor.result(events[0])
    assert executor.retry(events[0]) is events[0]
    assert executor.remove(events[1]) is events[1]
    with pytest.raises(NotFoundError):
        executor.get(events[1].id)
    assert "pending: 3 events" in executor.inspect_state()
    assert executor.why(events[0]).position is not None


def test_a_batch_is_a_handle_of_its_events(executor: Executor) -> None:
    with executor:
        batch = executor.batch(square(each) for each in range(5))
        assert batch.result(timeout=20) == [0, 1, 4, 9, 16]
        assert batch.counts()["completed"] == len(batch) == 5
        again = executor.get_batch(batch.id)
        assert again.event_ids == batch.event_ids
        assert again.cancel() == 0


def test_results_are_iterated_as_they_finish(executor: Executor) -> None:
    with executor:
        events = executor.append_many([square(each) for each in range(20)])
        found = list(executor.as_completed(iter(events), timeout=20))
        assert {each.id for each in found} == {each.id for each in events}
        assert executor.result(found[0].id) == found[0].response


def test_a_stream_yields_its_chunks(executor: Executor) -> None:
    with executor:
        assert list(executor.stream(executor.append(count(5)), timeout=20)) == [0, 1, 2, 3, 4]


def test_map_advances_its_source_in_the_thread_of_the_caller(executor: Executor) -> None:
    threads = set()

    def source() -> Iterator[Any]:
        for each in range(50):
            threads.add(threading.current_thread())
            yield square(each)

    with executor:
        results = [event.response for event in executor.map(source(), timeout=20)]
    assert results == [each * each for each in range(50)]
    assert threads == {threading.current_thread()}


def test_the_source_of_a_map_may_call_the_executor(executor: Executor) -> None:
    with executor:
        source = (square(executor.run(square(each))) for each in range(5))
        assert [event.response for event in executor.map(source)] == [0, 1, 16, 81, 256]


def test_an_error_of_the_source_follows_the_earlier_events(executor: Executor) -> None:
    def source() -> Iterator[Any]:
        yield square(2)
        raise LookupError("the source")

    with executor:
        results = executor.map(source())
        assert next(results).response == 4
        with pytest.raises(LookupError, match="the source"):
            next(results)
        assert list(results) == []


def test_an_iteration_can_be_left(executor: Executor) -> None:
    with executor:
        for event in executor.map(square(each) for each in range(1000)):
            assert event.response == 0
            break
        with executor.stream(executor.append(count(1000))) as chunks:
            assert next(chunks) == 0
        assert list(chunks) == []
        executor.join(timeout=20)


def test_schedules(executor: Executor) -> None:
    record = executor.schedule("nightly", square(1), Every(3600))
    assert executor.schedules.list() == [record]
    assert executor.schedules.pause("nightly").is_paused
    uid = executor.schedules.run("nightly")
    assert executor.get(uid).status == "pending"
    executor.schedules.remove("nightly")
    assert executor.schedules.list() == []


def test_relatives_and_lists(executor: Executor) -> None:
    parent, child = executor.append(square(1)), square(2)
    executor.append(child, after=parent)
    assert [each.record.id for each in executor.children(parent)] == [child.id]
    assert [each.record.id for each in executor.parents(child, timeout=20)] == [parent.id]
    with executor:
        executor.join(timeout=20)
    assert executor.cleanup_events("completed") == 2


def test_rounds_and_drain(executor: Executor) -> None:
    executor.append_many([square(1), square(2)])
    executor.forward()
    executor.start()
    assert executor.counts()["completed"] == 2
    thread = threading.Thread(target=executor.execute)
    thread.start()
    assert executor.run(square(3), timeout=20) == 9
    assert executor.drain(timeout=20) == 0
    thread.join()
    with pytest.raises(OperationError, match="draining"):
        executor.append(square(4))


def test_a_pause_holds_until_it_is_resumed(executor: Executor) -> None:
    executor.pause("queue")
    with executor:
        event = executor.append(square(2))
        with pytest.raises(TimeoutError):
            executor.result(event, timeout=0.05)
        executor.resume("queue")
        assert executor.result(event, timeout=20) == 4
    assert not executor.paused


def test_observers_are_called_and_removed(executor: Executor) -> None:
    seen: list[Any] = []
    with executor:
        remove = executor.observe(seen.append)
        event = executor.append(square(5))
        executor.result(event)
        remove()
        remove()
        executor.run(square(6))
    assert {each.event.id for each in seen} == {event.id}


def test_a_timeout_ends_the_wait_and_not_the_event(url: str) -> None:
    with Executor.of(square, store=url, queue="q", concurrency_limit=1) as executor:
        executor.pause()
        event = executor.append(square(3))
        with pytest.raises(TimeoutError, match=r"result\(\) was not done within timeout=0.05 s"):
            executor.result(event, timeout=0.05)
        with pytest.raises(TimeoutError):
            executor.run(square(2), timeout=0.05)
        with pytest.raises(TimeoutError):
            list(executor.as_completed([event], timeout=0.05))
        results = executor.map([square(4)], timeout=0.05)
        with pytest.raises(TimeoutError):
            next(results)
        assert list(results) == []
        assert executor.get(event).status == "pending"
        executor.resume()
        assert executor.result(event.id) == 9


@pytest.mark.parametrize("timeout", [0, -1.0])
def test_a_timeout_that_is_over_does_nothing(executor: Executor, timeout: float) -> None:
    with pytest.raises(TimeoutError, match="nothing was done"):
        executor.append(square(1), timeout=timeout)
    assert executor.counts()["pending"] == 0


@pytest.mark.parametrize("timeout", ["5", True, float("nan"), float("inf")])
def test_a_timeout_is_a_number_of_seconds(executor: Executor, timeout: float) -> None:
    with pytest.raises(ValidationError, match="timeout must be a number of seconds or None"):
        executor.append(square(1), timeout=timeout)


def test_a_failed_call_raises_the_error_of_the_asynchronous_one(url: str) -> None:
    executor = Executor.of(square, store=url, queue="q", max_queue_size=1)
    with pytest.raises(TypeError):
        executor.append(count(1))
    with pytest.raises(TypeError, match="append_many takes several events"):
        executor.append_many(square(1))
    executor.append(square(1))
    with pytest.raises(QueueFullError):
        executor.append(square(1))
    with pytest.raises(NotFoundError):
        executor.result(uuid4())
    with pytest.raises(ValidationError):
        next(executor.map([square(1)], buffersize=0))
    executor.close()


async def test_a_call_in_a_running_loop_names_the_call_to_await() -> None:
    executor = Executor.of(square)
    with pytest.raises(OperationError, match=r"await executor\.append\(\.\.\.\)"):
        executor.append(square(1))
    with pytest.raises(OperationError, match=r"in another thread, as by asyncio\.to_thread"):
        executor.map([square(1)])
    with pytest.raises(OperationError), executor:
        pass
    await asyncio.to_thread(executor.append, square(1))
    assert (await asyncio.to_thread(executor.counts))["pending"] == 1
    await asyncio.to_thread(executor.close)


def test_an_executor_of_a_class_is_made_by_a_function() -> None:
    class Mine(AsyncExecutor):
        processor_type = AsyncExecutor.of(square).processor_type

    with Executor(Mine) as executor:
        assert isinstance(executor.asynchronous, Mine)
        assert executor.event_type is square
        assert executor.run(square(3)) == 9
    assert repr(executor) == "Executor(of square)"


def test_a_run_is_entered_once_at_a_time() -> None:
    executor = Executor.of(square)
    with executor:
        with pytest.raises(OperationError, match="runs already"):
            executor.__enter__()
        with pytest.raises(OperationError, match="leave its `with` block"):
            executor.close()
    with executor:
        assert executor.run(square(2)) == 4


def test_the_error_of_a_lifespan_is_raised_at_the_start() -> None:
    def lifespan(_executor: object) -> object:
        raise LookupError("no resources")

    executor = Executor.of(square, lifespan=lifespan)
    with pytest.raises(LookupError, match="no resources"), executor:
        pass


def test_an_event_that_asks_for_the_end_of_the_process_ends_the_block() -> None:
    from sync.leaving import leave

    def run() -> None:
        with Executor.of(leave, square, queue="q") as executor:
            executor.append(leave())
            executor.run(square(1), delay=3600)

    with pytest.raises(SystemExit, match="7"):
        run()
    with Executor.of(square) as other:
        assert other.run(square(2)) == 4  # the loop goes on


def test_executors_that_are_dropped_are_closed(durable: str) -> None:
    for each in range(3):
        Executor.of(square, store=durable, queue="q").append(square(each))
    executor = Executor.of(square, store=durable, queue="q")
    assert executor.counts()["pending"] == 3
    executor.close()
