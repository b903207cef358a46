"""The text of ``/metrics``, read by the parser of the official client."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from engine.kit import Hold, Job, answers, background, raises
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from stores.homes import Home

from lionpride.core import Event, Every, Executor, Limit, Processor, Retry, Schedule
from lionpride.stores.schedule_record import ScheduleRecord
from lionpride.view.monitor import Monitor
from lionpride.view.prometheus import Prometheus
from lionpride.view.schedules import STATES


class Jobs(Processor):
    event_type: ClassVar[type[Event]] = Job

    async def request_permission(self, *, event: Job, **_: Any) -> bool:
        return True if event.ask is None else await event.ask(event)


class JobExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = Jobs


async def read(prometheus: Prometheus) -> dict[str, Metric]:
    """Return the families that the parser finds, by name."""
    text = (await prometheus.answer())[0].decode()
    assert text.endswith("\n")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert all(family.documentation for family in families.values())
    assert all(name.startswith("lionpride_") for name in families)
    return families


def values(family: Metric, *labels: str) -> dict[Any, float]:
    found = {}
    for sample in family.samples:
        key = tuple(sample.labels[each] for each in labels)
        found[key[0] if len(key) == 1 else key] = sample.value
    return found


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | None]:
    if request.param == "postgres":
        home = Home()  # kept until the test is over
        yield f"{home.url}&lionpride_schema={home.schema}"
    else:
        yield None if request.param == "memory" else f"sqlite:///{tmp_path}/run.db"


async def test_metrics_of_an_executor_count_statuses_settlements_and_durations(
    url: str | None,
) -> None:
    executor = JobExecutor({"denial_backoff": 0.001}, store=url)
    monitor = Monitor(executor)
    prometheus = Prometheus(monitor)
    async with executor:
        await executor.append_many([Job(), Job(), Job(do=raises(ValueError("no")))])
        await executor.append(Job(ask=answers(False, True)))
        again = Retry(attempts=2, backoff=0.001)
        await executor.append(Job(do=raises(ValueError("no"))), retry=again)
        await executor.join()
        found = await read(prometheus)
        queue = executor.store.queue
        assert found["lionpride_events"].type == "gauge"
        assert values(found["lionpride_events"], "queue", "status") == {
            (queue, status): {"completed": 3, "failed": 2}.get(status, 0)
            for status in (
                "pending",
                "processing",
                "completed",
                "failed",
                "cancelled",
                "skipped",
                "aborted",
            )
        }
        assert found["lionpride_settled"].type == "counter"
        assert values(found["lionpride_settled"], "class", "status") == {
            ("engine.kit.Job", "completed"): 3,
            ("engine.kit.Job", "failed"): 2,
        }
        assert values(found["lionpride_returned"], "reason") == {"denied": 1, "retry": 1}
        assert values(found["lionpride_workers"], "queue") == {queue: 1}
        assert values(found["lionpride_leases_lost"], "queue") == {queue: 0}
        assert values(found["lionpride_observer_failures"], "queue") == {queue: 0}
        for name in ("lionpride_queue_wait_seconds", "lionpride_attempt_seconds"):
            assert found[name].type == "histogram"
            buckets = [each for each in found[name].samples if each.name.endswith("_bucket")]
            assert [each.value for each in buckets] == sorted(each.value for each in buckets)
            assert (buckets[-1].labels["le"], buckets[-1].value) == ("+Inf", 6)
            (count,) = [each for each in found[name].samples if each.name.endswith("_count")]
            assert count.value == 6
        prometheus.close()
        await monitor.close()


async def test_the_oldest_waiting_time_ignores_scheduled_events(url: str | None) -> None:
    executor = JobExecutor(store=url)
    monitor = Monitor(executor)
    prometheus = Prometheus(monitor)
    try:
        name = "lionpride_oldest_waiting_seconds"
        assert list(values((await read(prometheus))[name], "queue").values()) == [0]
        for _ in range(150):
            await executor.append(Job(), delay=60)
        assert list(values((await read(prometheus))[name], "queue").values()) == [0]
        await executor.append(Job(created_at=executor.store.time() - 100))
        await executor.append(Job(created_at=executor.store.time() - 50))
        (age,) = values((await read(prometheus))[name], "queue").values()
        assert 100 <= age < 110
    finally:
        prometheus.close()
        await monitor.close()
        await executor.store.close()


async def test_the_oldest_waiting_time_ignores_the_wait_for_parents(url: str | None) -> None:
    executor = JobExecutor(store=url)
    monitor = Monitor(executor)
    prometheus = Prometheus(monitor)
    name = "lionpride_oldest_waiting_seconds"
    try:
        created = executor.store.time() - 100
        parent, child = Job(created_at=created + 99), Job(created_at=created)
        await executor.append_many([parent, child], after={child: parent})
        (age,) = values((await read(prometheus))[name], "queue").values()
        assert age < 50  # that of the parent
        async with executor:
            await executor.result(parent)
            await executor.pause()
            await executor.append(again := Job(created_at=created), after=parent)
            assert again.status == "pending"
            (age,) = values((await read(prometheus))[name], "queue").values()
            assert age < 50  # the child could start when the parent had finished
            await executor.resume()
            await executor.join()
    finally:
        prometheus.close()
        await monitor.close()
        await executor.store.close()


async def test_metrics_contain_usage_and_amount_of_limits(url: str | None) -> None:
    hold = Hold()
    executor = JobExecutor({"limits": [Limit("requests", 10, per=60)]}, store=url)
    monitor = Monitor(executor)
    prometheus = Prometheus(monitor)
    async with background(executor):
        await executor.append_many([Job(do=hold) for _ in range(3)])
        await hold.has(3)
        found = await read(prometheus)
        assert values(found["lionpride_limit_used"], "limit") == {"requests": 3}
        assert values(found["lionpride_limit_amount"], "limit") == {"requests": 10}
        hold.let_go()
        await executor.join()
    prometheus.close()
    await monitor.close()
    await executor.store.close()


class Costly(Job):
    @property
    def costs(self) -> dict[str, float]:
        return {"day · night": 4.0}

    @property
    def key(self) -> str:
        return "tenant"


async def test_keys_are_left_out_on_request_even_if_a_limit_is_named_like_a_key(
    url: str | None,
) -> None:
    hold = Hold()
    limits = [Limit("day · night", 10, per=60), Limit("day", 3, per_key=True)]
    executor = JobExecutor({"limits": limits}, store=url)
    monitor = Monitor(executor)
    prometheus = Prometheus(monitor)
    async with background(executor):
        await executor.append(Costly(do=hold))
        await hold.has(1)
        for keys in (True, False):
            text = (await prometheus.answer(keys=keys))[0].decode()
            found = {each.name: each for each in text_string_to_metric_families(text)}
            shares = {"day · tenant": (1, 3)} if keys else {}
            for name, at in (("lionpride_limit_used", 0), ("lionpride_limit_amount", 1)):
                expected = {"day · night": (4, 10)} | shares
                assert values(found[name], "limit") == {
                    limit: pair[at] for limit, pair in expected.items()
                }
        hold.let_go()
        await executor.join()
    prometheus.close()
    await monitor.close()
    await executor.store.close()


async def test_metrics_of_a_store_without_executor_cover_all_queues(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    for queue in ("a", 'b"\\\n'):
        executor = JobExecutor(store=f"sqlite:///{path}", queue=queue)
        await executor.append(Job())
        await executor.store.close()
    monitor = Monitor(str(path))
    found = await read(Prometheus(monitor))
    waiting = values(found["lionpride_events"], "queue", "status")
    assert waiting["a", "pending"] == waiting['b"\\\n', "pending"] == 1
    assert values(found["lionpride_workers"], "queue") == {"a": 0, 'b"\\\n': 0}
    assert "lionpride_settled" not in found
    await monitor.close()


async def test_metrics_contain_the_number_of_schedules_and_how_late_they_are(
    url: str | None,
) -> None:
    executor = JobExecutor(store=url)
    monitor = Monitor(executor)
    prometheus = Prometheus(monitor)
    queue, store = executor.store.queue, executor.store
    found = await read(prometheus)
    states = dict.fromkeys(STATES, 0)
    assert values(found["lionpride_schedules"], "state") == states
    assert values(found["lionpride_schedule_overdue_seconds"], "queue") == {queue: 0}
    for name, schedule in {
        "daily": ScheduleRecord("daily", uuid4(), "k", {}, Schedule(Every(86400)), 0.0),
        "hourly": ScheduleRecord("hourly", uuid4(), "k", {}, Schedule(Every(3600)), 0.0),
        "paused": ScheduleRecord("paused", uuid4(), "k", {}, Schedule(Every(60)), None, True),
        "tidy": ScheduleRecord("tidy", uuid4(), "k", {}, Schedule(Every(60)), None),
    }.items():
        late = {"daily": 100.0, "hourly": -100.0}.get(name)
        following = None if late is None else store.time() - late
        assert await store.change_schedule(None, replace(schedule, next=following))
    found = await read(prometheus)
    expected = states | {"active": 2, "paused": 1, "over": 1}
    assert values(found["lionpride_schedules"], "state") == expected
    (late,) = values(found["lionpride_schedule_overdue_seconds"], "queue").values()
    assert 100 <= late < 110
    assert b"daily" not in (await prometheus.answer())[0]
    prometheus.close()
    await monitor.close()
    await store.close()


async def test_close_ends_the_counting() -> None:
    executor = JobExecutor()
    monitor = Monitor(executor)
    prometheus = Prometheus(monitor)
    prometheus.close()
    await monitor.close()
    assert not executor.observers.level
    await asyncio.sleep(0)
