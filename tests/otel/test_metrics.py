"""Metrics, with the real SDK: what waits, runs and has ended, how long it took, and limits."""

import asyncio
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from engine.kit import Hold, Job, answers, background, raises, sleeps
from otel.kit import KINDS, Desk, Plain, QuickDesk, Seen

from lionpride.core import EventStatus, Executor, Limit, Retry, Skip
from lionpride.model.registry import key_of
from lionpride.otel import instrument

CLASS, STATUS = "lionpride.event.class", "lionpride.event.status"


def measured(seen: Seen, kind: type[Executor] = Desk, **config: Any) -> Executor:
    executor = kind({"denial_backoff": 0.001, **config})
    instrument(executor, **seen.providers(), traces=False)
    return executor


@pytest.mark.parametrize(("kind", "made"), KINDS)
async def test_pending_and_running_events_are_measured(kind: type[Executor], made: Any) -> None:
    seen, hold = Seen(), Hold()
    executor = measured(seen, kind, concurrency_limit=2)
    await executor.append_many([made(do=hold) for _ in range(5)])
    assert [point.value for _, point in seen.points("lionpride.event.waiting")] == [5]
    async with background(executor):
        await hold.has(2)
        ((own, point),) = seen.points("lionpride.event.running")
        assert point.value == 2
        assert own == {
            "messaging.system": "lionpride",
            "messaging.destination.name": executor.store.queue,
        }
        ((_, point),) = seen.points("lionpride.event.waiting")
        assert point.value == 3
        hold.let_go()
        await executor.join()
    assert [point.value for _, point in seen.points("lionpride.event.running")] == [0]


@pytest.mark.parametrize(("kind", "made"), KINDS)
async def test_finished_events_are_counted_by_class_and_status(
    kind: type[Executor], made: Any
) -> None:
    seen = Seen()
    executor = measured(seen, kind)
    jobs = [made() for _ in range(3000)]
    jobs += [made(do=raises(ValueError("no"))) for _ in range(20)]
    jobs += [made(do=raises(Skip("no"))) for _ in range(10)]
    async with executor:
        await executor.append_many(jobs)
        late = await executor.append(made(), delay=60)
        await executor.cancel(late)
        await executor.join()
    assert seen.values("lionpride.event.settled", CLASS, STATUS) == {
        (key_of(made), "completed"): 3000,
        (key_of(made), "failed"): 20,
        (key_of(made), "skipped"): 10,
        (key_of(made), "cancelled"): 1,
    }


async def test_events_that_finished_earlier_are_not_counted() -> None:
    seen, executor = Seen(), QuickDesk()
    executor.observe(lambda step: None, light=True)
    async with executor:
        await executor.append_many([Plain() for _ in range(500)])
        await executor.join()
        instrument(executor, **seen.providers(), traces=False)
        await executor.append(Plain())
        await executor.join()
    assert list(seen.values("lionpride.event.settled", STATUS).values()) == [1]


@pytest.mark.virtual
async def test_waits_and_durations_are_measured() -> None:
    seen = Seen()
    executor = measured(seen, concurrency_limit=1)
    await executor.append_many([Job(do=sleeps(3)), Job(do=raises(ValueError("no")))])
    await executor.forward()
    of = {
        "messaging.system": "lionpride",
        "messaging.destination.name": executor.store.queue,
        "messaging.operation.name": "attempt",
        CLASS: "engine.kit.Job",
    }
    ((attributes, wait),) = seen.points("lionpride.event.queue_wait")
    assert attributes == of
    assert wait.count == 2
    durations = seen.points("messaging.process.duration")
    assert [(each, point.sum) for each, point in durations] == [
        (of, 3.0),
        (of | {"error.type": "ValueError"}, 0.0),
    ]


async def test_many_plain_events_are_sampled() -> None:
    seen = Seen()
    executor = measured(seen, QuickDesk)
    async with executor:
        await executor.append_many([Plain() for _ in range(20_000)])
        await executor.join()
    ((_, point),) = seen.points("messaging.process.duration")
    assert 50 <= point.count < 20_000
    assert seen.values("lionpride.event.settled", STATUS) == {"completed": 20_000}


async def test_events_that_are_pending_again_are_counted_by_reason() -> None:
    seen = Seen()
    executor = measured(seen)
    async with executor:
        await executor.append(Job(ask=answers(False, False, True)))
        again = Job(do=raises(ValueError("no")))
        await executor.append(again, retry=Retry(attempts=3, backoff=0.001))
        await executor.join()
    assert seen.values("lionpride.event.returned", "lionpride.event.reason") == {
        "denied": 2,
        "retry": 2,
    }


async def test_usage_and_amount_of_limits_are_measured() -> None:
    seen, hold = Seen(), Hold()
    limits = [Limit("requests", 10, per=60), Limit("at once", 4)]
    executor = measured(seen, limits=limits)
    async with background(executor):
        await executor.append_many([Job(do=hold) for _ in range(3)])
        await hold.has(3)
        name = "lionpride.limit.name"
        assert seen.values("lionpride.limit.used", name) == {"requests": 3, "at once": 3}
        assert seen.values("lionpride.limit.amount", name) == {"requests": 10, "at once": 4}
        executor.limits["requests"].amount = 20
        assert seen.values("lionpride.limit.amount", name) == {"requests": 20, "at once": 4}
        hold.let_go()
        await executor.join()
    assert seen.values("lionpride.limit.used", name) == {"requests": 3, "at once": 0}


async def test_a_file_is_measured_with_the_time_of_its_settlements(tmp_path: Path) -> None:
    seen, url = Seen(), f"sqlite:///{tmp_path}/run.db"
    other = Desk(store=url)
    await other.append_many([Job() for _ in range(7)])
    await other.store.close()
    executor = Desk(store=url)
    instrument(executor, **seen.providers(), traces=False)
    assert [point.value for _, point in seen.points("lionpride.event.waiting")] == [7]
    async with executor:
        await executor.join()
        assert [point.value for _, point in seen.points("lionpride.event.waiting")] == [0]
        ((of, point),) = seen.points("lionpride.store.duration")
        assert of["lionpride.store.operation"] == "settle"
        assert point.count == 7
        assert point.sum > 0


async def test_a_collector_in_another_thread_gets_the_values() -> None:
    seen, found = Seen(), list[Any]()
    executor = measured(seen)
    await executor.start()
    await executor.append_many([Job() for _ in range(3)])
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def collect() -> None:
        found.append(seen.values("lionpride.event.waiting", "messaging.system"))
        loop.call_soon_threadsafe(done.set)

    thread = threading.Thread(target=collect)
    thread.start()
    await asyncio.wait_for(done.wait(), 10)
    thread.join()
    assert found == [{"lionpride": 3}]


async def test_a_refused_outcome_is_a_lost_lease() -> None:
    seen = Seen()
    executor = measured(seen)
    executor.observers.lost += 1  # by the engine: tests/engine/test_observers.py
    assert [point.value for _, point in seen.points("lionpride.lease.lost")] == [1]


async def test_nothing_is_measured_after_stop() -> None:
    seen, executor = Seen(), Desk()
    stop = instrument(executor, **seen.providers(), traces=False)
    await executor.append(Job())
    stop()
    await executor.forward()
    assert seen.points("lionpride.event.settled") == []
    assert seen.points("lionpride.event.waiting") == []
    assert executor.status_counts()[EventStatus.COMPLETED] == 1


async def test_the_executor_is_not_kept_alive() -> None:
    seen = Seen()
    executor = measured(seen)
    await executor.append(Job())
    await executor.forward()
    seen.points("lionpride.event.settled")
    gone = weakref.ref(executor)
    del executor
    gc.collect()
    assert gone() is None
    assert seen.values("lionpride.event.settled", STATUS) == {"completed": 1}
