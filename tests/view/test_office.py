"""What can be asked of a store from outside, against the naive answer."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import time

import pytest
from stores.homes import Home
from view.kit import KINDS, Desk, Sum, desk_over, filled

from lionpride.core import EventStatus
from lionpride.errors import ConfigurationError
from lionpride.model import registry
from lionpride.rules.limits.limit import Limit
from lionpride.stores.inspector import EventFilter
from lionpride.stores.memory import MemoryStore
from lionpride.view.office import Office


def naive(events: Sequence[Sum], what: EventFilter) -> list[int]:
    """The numbers of those that are meant, the newest first."""
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
async def test_filters_leave_out_the_others_and_count_the_rest(kind: str, tmp_path: Path) -> None:
    desk = desk_over(kind, tmp_path)
    events = await filled(desk)
    office = Office(desk)
    kinds = (None, registry.key_of(Sum), "no.such")
    texts = ("", "odd", "100%", "_", events[7].id.hex, str(events[7].id), "01234567")
    sinces = (None, events[30].created_timestamp)
    uptos = (None, 41)
    for status, name, text, since, upto in product(
        (None, *EventStatus), kinds, texts, sinces, uptos
    ):
        what = EventFilter(status, name, since, text, upto)
        expected = naive(events, what)
        found = await office.list_events(None, what, limit=1000)
        assert [one.number for one in found] == expected, what
        assert await office.count_events(None, what) == len(expected), what
    await office.close()
    await desk.store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_pages_go_forth_and_back_without_a_gap(kind: str, tmp_path: Path) -> None:
    desk = desk_over(kind, tmp_path)
    await filled(desk)
    office = Office(desk)
    what, forth, before = EventFilter(), [], None
    while page := await office.list_events(desk.store.queue, what, before=before, limit=7):
        forth += [one.number for one in page]
        before = page[-1].number
    assert forth == list(range(60, 0, -1))
    back: list[int] = []
    after = 0
    while page := await office.list_events(None, what, after=after, limit=7):
        back = [one.number for one in page] + back
        after = page[0].number
    assert back == forth
    assert await office.list_events("another queue", what) == []
    await office.close()
    await desk.store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_what_ended_and_what_runs_have_their_times(kind: str, tmp_path: Path) -> None:
    desk = desk_over(kind, tmp_path)
    office = Office(desk)
    began = time()
    await filled(desk)
    stays = await office.finished(began - 1)
    assert len(stays) == 50
    assert [one.ended for one in stays] == sorted(one.ended for one in stays)
    assert all(began - 1 <= one.ended <= time() + 1 for one in stays)
    assert all((one.duration or 0) >= 0 for one in stays)
    assert await office.finished(stays[-3].ended) == stays[-2:]
    tally = await office.finished_counts(began - 60, 3600.0)
    assert sum(n for (_, status), n in tally.items() if status is EventStatus.FAILED) == 10
    assert await office.running() == []
    (claim,), _ = await desk.store.claim("somebody", start=True)
    (running,) = await office.running()
    assert running.record.id == claim[0].id
    if kind != "memory":
        assert running.worker == "somebody"
        assert running.since is not None
        assert abs(running.since - time()) < 60
    await office.close()
    await desk.store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_version_changes_with_every_step(kind: str, tmp_path: Path) -> None:
    desk, other = desk_over(kind, tmp_path), None
    office = Office(desk)
    if kind == "sqlite":
        other = Desk(store=f"sqlite:///{tmp_path / 'run.db'}")
    seen = [await office.version()]
    event = await (other or desk).append(Sum())
    seen.append(await office.version())
    assert await office.version() == seen[-1]
    await (other or desk).cancel(event)
    seen.append(await office.version())
    assert len(set(seen)) == 3
    await office.close()
    for each in (desk, other):
        if each is not None:
            await each.store.close()


async def test_all_queues_of_a_file_are_seen_and_new_ones_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'run.db'}"
    desks = [Desk(store=url, queue=name) for name in ("one", "two")]
    for desk in desks:
        await desk.append_many([Sum(n=1), Sum(n=2)])
    office = Office(str(tmp_path / "run.db"))
    assert await office.queues() == ["one", "two"]
    counts = await office.counts()
    assert {queue: each[EventStatus.PENDING] for queue, each in counts.items()} == {
        "one": 2,
        "two": 2,
    }
    found = await office.list_events(None, EventFilter(), limit=3)
    assert [one.number for one in found] == [4, 3, 2]
    assert [
        one.number for one in await office.list_events(None, EventFilter(), after=0, limit=3)
    ] == [
        3,
        2,
        1,
    ]
    record = await office.get(found[2].id)
    assert record is not None
    assert record.queue == "one"
    await office.close()
    for desk in desks:
        await desk.store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_limits_are_gauges(kind: str, tmp_path: Path) -> None:
    class Limited(Sum):
        pass

    class Counted(Desk.processor_type):  # type: ignore[misc, name-defined]
        limits = (Limit("requests", 8, per=60),)

    class Counter(Desk):
        processor_type = Counted

    store = None if kind == "memory" else f"sqlite:///{tmp_path / 'run.db'}"
    desk = Counter(store=store)
    office = Office(desk)
    (gauge,) = await office.limit_usage()
    assert (gauge.name, gauge.used, gauge.amount, gauge.per) == ("requests", 0.0, 8.0, 60)
    await desk.append_many([Sum(n=0) for _ in range(3)])
    async with desk:
        await desk.join()
        for _ in range(2):  # to look changes nothing
            (gauge,) = await office.limit_usage()
            assert (gauge.used, gauge.amount) == (3.0, 8.0)
    await office.close()
    await desk.store.close()


async def test_what_cannot_be_looked_at_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="in memory"):
        Office("memory://")
    with pytest.raises(ConfigurationError, match="an Executor, a Store"):
        Office(7)  # type: ignore[arg-type]
    assert replace(EventFilter(), upto=3).is_counted is False
    assert Office(MemoryStore("here")).name == "here"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_pause_is_of_the_executor_and_who_resumes_ends_that_of_the_queue_too(
    kind: str, tmp_path: Path
) -> None:
    desk = desk_over(kind, tmp_path)
    office = Office(desk)
    assert await office.can_pause()
    assert not await office.paused()
    await office.pause()
    assert desk.paused
    assert await office.paused()
    await office.resume()
    assert not desk.paused
    await desk.store.pause()
    assert await office.paused()
    await office.resume()
    assert not await office.paused()
    await office.close()
    await desk.store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_pause_of_all_queues_reaches_a_queue_that_is_made_later(
    kind: str, tmp_path: Path
) -> None:
    home = Home()
    separator = "&" if "?" in home.url else "?"
    url = f"{home.url}{separator}lionpride_schema={home.schema}"
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'run.db'}"
    first = Desk(store=url, queue="first")
    await first.append(Sum(n=3))
    office = Office(url)
    await office.pause()
    later = Desk(store=url, queue="later")
    event = await later.append(Sum(n=3))
    assert (await later.store.claim("worker"))[0] == []
    assert await office.paused()
    await office.resume()
    assert sorted(await office.queues()) == ["first", "later"]
    assert not await office.paused()
    async with later:
        assert await later.result(event) == 3
    third = Desk(store=url, queue="third")
    assert await third.append_many([Sum(n=3)])
    assert len((await third.store.claim("worker"))[0]) == 1
    await office.close()
    for desk in (first, later, third):
        await desk.store.close()
