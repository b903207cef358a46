"""Queries of the monitor, compared with a naive implementation."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import time

import pytest
from stores.homes import Home
from view.kit import KINDS, Sum, SumExecutor, filled, make_executor

from lionpride import Every
from lionpride.core import EventStatus
from lionpride.errors import ConfigurationError
from lionpride.model import registry
from lionpride.rules.limits.limit import Limit
from lionpride.stores.inspector import EventFilter
from lionpride.stores.memory import MemoryStore
from lionpride.view.monitor import Monitor


def naive(events: Sequence[Sum], what: EventFilter) -> list[int]:
    """Return the arrival numbers of the matching events, newest first."""
    found = []
    for event in events:
        state = event.execution
        error = state.error if isinstance(state.error, BaseException) else None
        says = "" if error is None else f"{type(error).__name__}: {error}"
        if (
            what.status in (None, state.status)
            and what.kind in (None, registry.key_of(type(event)))
            and (what.since is None or event.created_timestamp >= what.since)
            and (what.upto is None or (state.arrival or 0) <= what.upto)
            and (
                event.id.hex.startswith(what.id_digits)
                if what.id_digits
                else what.text.lower() in says.lower()
            )
        ):
            found.append(state.arrival or 0)
    return sorted(found, reverse=True)


@pytest.mark.parametrize("kind", KINDS)
async def test_filters_list_and_count_the_matching_events(kind: str, tmp_path: Path) -> None:
    executor = make_executor(kind, tmp_path)
    events = await filled(executor)
    monitor = Monitor(executor)
    (queue,) = await monitor.queues()
    assert await monitor.inspector(queue).kinds() == ["view.kit.Product", "view.kit.Sum"]
    kinds = (None, registry.key_of(Sum), "no.such")
    texts = ("", "odd", "100%", "_", events[7].id.hex, str(events[7].id), "01234567")
    sinces = (None, events[30].created_timestamp)
    uptos = (None, 41)
    for status, name, text, since, upto in product(
        (None, *EventStatus), kinds, texts, sinces, uptos
    ):
        what = EventFilter(status, name, since, text, upto)
        expected = naive(events, what)
        found = await monitor.list_events(None, what, limit=1000)
        assert [one.number for one in found] == expected, what
        assert await monitor.count_events(None, what) == len(expected), what
    await monitor.close()
    await executor.store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_pages_forwards_and_backwards_contain_each_event_once(
    kind: str, tmp_path: Path
) -> None:
    executor = make_executor(kind, tmp_path)
    await filled(executor)
    monitor = Monitor(executor)
    what, forth, before = EventFilter(), [], None
    while page := await monitor.list_events(executor.store.queue, what, before=before, limit=7):
        forth += [one.number for one in page]
        before = page[-1].number
    assert forth == list(range(60, 0, -1))
    back: list[int] = []
    after = 0
    while page := await monitor.list_events(None, what, after=after, limit=7):
        back = [one.number for one in page] + back
        after = page[0].number
    assert back == forth
    assert await monitor.list_events("another queue", what) == []
    await monitor.close()
    await executor.store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_finished_and_running_events_have_their_times(kind: str, tmp_path: Path) -> None:
    executor = make_executor(kind, tmp_path)
    monitor = Monitor(executor)
    began = time()
    await filled(executor)
    finished_events = await monitor.finished(began - 1)
    assert len(finished_events) == 50
    assert [one.ended for one in finished_events] == sorted(one.ended for one in finished_events)
    assert all(began - 1 <= one.ended <= time() + 1 for one in finished_events)
    assert all((one.duration or 0) >= 0 for one in finished_events)
    assert await monitor.finished(finished_events[-3].ended) == finished_events[-2:]
    counts = await monitor.finished_counts(began - 60, 3600.0)
    assert sum(n for (_, status), n in counts.items() if status is EventStatus.FAILED) == 10
    assert await monitor.running() == []
    (claim,), _ = await executor.store.claim("somebody", start=True)
    (running,) = await monitor.running()
    assert running.record.id == claim[0].id
    if kind != "memory":
        assert running.worker == "somebody"
        assert running.since is not None
        assert abs(running.since - time()) < 60
    await monitor.close()
    await executor.store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_version_changes_with_every_change(kind: str, tmp_path: Path) -> None:
    executor, other = make_executor(kind, tmp_path), None
    monitor = Monitor(executor)
    if kind == "sqlite":
        other = SumExecutor(store=f"sqlite:///{tmp_path / 'run.db'}")
    seen = [await monitor.version()]
    event = await (other or executor).append(Sum())
    seen.append(await monitor.version())
    assert await monitor.version() == seen[-1]
    await (other or executor).cancel(event)
    seen.append(await monitor.version())
    assert len(set(seen)) == 3
    await monitor.close()
    for each in (executor, other):
        if each is not None:
            await each.store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_version_changes_with_every_change_of_a_schedule(
    kind: str, tmp_path: Path
) -> None:
    executor, other = make_executor(kind, tmp_path), None
    monitor = Monitor(executor)
    if kind == "sqlite":
        other = SumExecutor(store=f"sqlite:///{tmp_path / 'run.db'}")
    schedules = (other or executor).schedules
    seen = [await monitor.version()]
    await (other or executor).schedule("sums", Sum(), Every(3600))
    seen.append(await monitor.version())
    assert await monitor.version() == seen[-1]
    await schedules.pause("sums")
    seen.append(await monitor.version())
    await schedules.resume("sums")
    seen.append(await monitor.version())
    await schedules.remove("sums")
    seen.append(await monitor.version())
    assert len(set(seen[:-1])) == 4
    assert seen[-1] != seen[-2]
    await monitor.close()
    for each in (executor, other):
        if each is not None:
            await each.store.close()


async def test_schedules_of_all_queues_are_listed_and_changed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'run.db'}"
    executors = [SumExecutor(store=url, queue=name) for name in ("one", "two")]
    for executor in executors:
        for name in ("nightly", "hourly"):
            await executor.schedule(name, Sum(), Every(3600))
    monitor = Monitor(url)
    found = await monitor.schedules()
    assert [(each.queue, each.record.name) for each in found] == [
        (queue, name) for queue in ("one", "two") for name in ("hourly", "nightly")
    ]
    await monitor.schedules_in("two").pause("nightly")
    assert [each.state for each in await monitor.schedules()] == ["active"] * 3 + ["paused"]
    uid = await monitor.schedules_in("one").run("hourly")
    record = await monitor.get(uid)
    assert record is not None
    assert record.queue == "one"
    await monitor.close()
    for executor in executors:
        await executor.store.close()


async def test_all_queues_of_a_file_are_listed_including_new_ones(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'run.db'}"
    executors = [SumExecutor(store=url, queue=name) for name in ("one", "two")]
    for executor in executors:
        await executor.append_many([Sum(n=1), Sum(n=2)])
    monitor = Monitor(str(tmp_path / "run.db"))
    assert await monitor.queues() == ["one", "two"]
    counts = await monitor.counts()
    assert {queue: each[EventStatus.PENDING] for queue, each in counts.items()} == {
        "one": 2,
        "two": 2,
    }
    found = await monitor.list_events(None, EventFilter(), limit=3)
    assert [one.number for one in found] == [4, 3, 2]
    assert [
        one.number for one in await monitor.list_events(None, EventFilter(), after=0, limit=3)
    ] == [
        3,
        2,
        1,
    ]
    record = await monitor.get(found[2].id)
    assert record is not None
    assert record.queue == "one"
    await monitor.close()
    for executor in executors:
        await executor.store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_usage_of_limits_counts_started_events(kind: str, tmp_path: Path) -> None:
    class Limited(Sum):
        pass

    class Counted(SumExecutor.processor_type):  # type: ignore[misc, name-defined]
        limits = (Limit("requests", 8, per=60),)

    class Counter(SumExecutor):
        processor_type = Counted

    store = None if kind == "memory" else f"sqlite:///{tmp_path / 'run.db'}"
    executor = Counter(store=store)
    monitor = Monitor(executor)
    (gauge,) = await monitor.limit_usage()
    assert (gauge.name, gauge.used, gauge.amount, gauge.per) == ("requests", 0.0, 8.0, 60)
    await executor.append_many([Sum(n=0) for _ in range(3)])
    async with executor:
        await executor.join()
        for _ in range(2):  # a query changes nothing
            (gauge,) = await monitor.limit_usage()
            assert (gauge.used, gauge.amount) == (3.0, 8.0)
    await monitor.close()
    await executor.store.close()


async def test_a_source_that_is_no_executor_store_or_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="in memory"):
        Monitor("memory://")
    with pytest.raises(ConfigurationError, match="an Executor, a Store"):
        Monitor(7)  # type: ignore[arg-type]
    assert replace(EventFilter(), upto=3).is_counted is False
    assert Monitor(MemoryStore("here")).name == "here"


@pytest.mark.parametrize("kind", KINDS)
async def test_pause_pauses_the_executor_and_resume_also_ends_a_pause_of_the_queue(
    kind: str, tmp_path: Path
) -> None:
    executor = make_executor(kind, tmp_path)
    monitor = Monitor(executor)
    assert await monitor.can_pause()
    assert not await monitor.paused()
    await monitor.pause("test")
    assert executor.paused
    assert await monitor.paused()
    await monitor.resume()
    assert not executor.paused
    await executor.store.pause()
    assert await monitor.paused()
    await monitor.resume()
    assert not await monitor.paused()
    await monitor.close()
    await executor.store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_pause_of_all_queues_also_pauses_a_queue_that_is_created_later(
    kind: str, tmp_path: Path
) -> None:
    home = Home()
    separator = "&" if "?" in home.url else "?"
    url = f"{home.url}{separator}lionpride_schema={home.schema}"
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'run.db'}"
    first = SumExecutor(store=url, queue="first")
    await first.append(Sum(n=3))
    monitor = Monitor(url)
    await monitor.pause("test")
    later = SumExecutor(store=url, queue="later")
    event = await later.append(Sum(n=3))
    assert (await later.store.claim("worker"))[0] == []
    assert await monitor.paused()
    await monitor.resume()
    assert sorted(await monitor.queues()) == ["first", "later"]
    assert not await monitor.paused()
    async with later:
        assert await later.result(event) == 3
    third = SumExecutor(store=url, queue="third")
    assert await third.append_many([Sum(n=3)])
    assert len((await third.store.claim("worker"))[0]) == 1
    await monitor.close()
    for executor in (first, later, third):
        await executor.store.close()
