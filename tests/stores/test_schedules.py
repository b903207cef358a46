"""Schedules of a store: one of several writers replaces a schedule, together with its events."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from stores.makers import FOLDERS, HOMES, Clock, Job, postgres_in, sqlite_in
from stores.sql.transactions import operate, repeat

from lionpride.core import EventStatus, Every, Schedule
from lionpride.errors import NotFoundError, QueueFullError, ValidationError
from lionpride.model.after import After
from lionpride.stores.contract import Store
from lionpride.stores.listeners import Signal
from lionpride.stores.record import Record
from lionpride.stores.schedule_record import ScheduleRecord
from lionpride.stores.sql.codec import record_event_row
from lionpride.stores.sql.schedules import ScheduleChange, change_schedule

S = EventStatus


def schedule(name: str = "nightly") -> ScheduleRecord:
    return ScheduleRecord(name, uuid4(), "kind", {"label": "x"}, Schedule(Every(60)), 60.0)


def later(record: ScheduleRecord, **changes: Any) -> ScheduleRecord:
    return replace(record, version=uuid4().hex, **changes)


def event_record() -> Record:
    """The record of an event that no store has."""
    job = Job(label="scheduled")
    record = {"number": 0, "id": job.id, "queue": "", "kind": "", "status": S.PENDING}
    counters = {"attempt": 0, "tries": 0, "denials": 0, "interruptions": 0}
    payload = job.to_dict("json")
    kind = payload["metadata"]["lion_class"]
    return Record(**{**record, **counters, "kind": kind}, priority=1.0, due=None, payload=payload)


def ids_of(records: list[Record]) -> list[UUID]:
    return [each.id for each in records]


async def test_a_schedule_is_made_changed_and_removed(store: Store) -> None:
    assert await store.schedules() == []
    first, other = schedule(), schedule("also")
    assert await store.change_schedule(None, first)
    assert await store.change_schedule(None, other)
    assert await store.schedules() == [other, first]
    second = later(first, next=120.0, is_paused=True)
    assert await store.change_schedule(first, second)
    (_, found) = await store.schedules()
    assert (found, found.version) == (second, second.version)
    assert await store.change_schedule(found, None)
    assert await store.schedules() == [other]


async def test_a_known_name_is_not_taken_again(store: Store) -> None:
    first = schedule()
    assert await store.change_schedule(None, first)
    assert not await store.change_schedule(None, schedule())
    assert await store.schedules() == [first]


async def test_an_old_version_replaces_nothing(store: Store) -> None:
    first = schedule()
    await store.change_schedule(None, first)
    second = later(first, next=120.0)
    assert await store.change_schedule(first, second)
    assert not await store.change_schedule(first, later(first), events=[event_record()])
    assert not await store.change_schedule(first, None)
    assert await store.schedules() == [second]
    assert await store.list_records() == []
    await store.change_schedule(second, None)
    assert not await store.change_schedule(second, later(second))


async def test_events_are_appended_in_the_same_step(store: Store) -> None:
    first, event = schedule(), event_record()
    assert await store.change_schedule(None, first, events=[event])
    assert ids_of(await store.list_records()) == [event.id]
    ((claimed, _),), _ = await store.claim("worker", start=True)
    assert (claimed.id, getattr(claimed, "label", None)) == (event.id, "scheduled")


async def test_a_known_event_is_left_out(store: Store) -> None:
    first, known, new = schedule(), event_record(), event_record()
    await store.change_schedule(None, first, events=[known])
    assert await store.change_schedule(first, later(first), events=[known, new])
    assert ids_of(await store.list_records()) == [known.id, new.id]


@pytest.mark.parametrize("reason", ["full", "parent"])
async def test_a_refused_event_changes_nothing(store: Store, reason: str) -> None:
    first, event = schedule(), event_record()
    await store.change_schedule(None, first)
    after = {event.id: After((uuid4(),))} if reason == "parent" else {}
    room = 0 if reason == "full" else None
    with pytest.raises(QueueFullError if reason == "full" else NotFoundError):
        await store.change_schedule(first, later(first), events=[event], after=after, room=room)
    (found,) = await store.schedules()
    assert found.version == first.version
    assert await store.list_records() == []


async def test_an_event_can_wait_for_another(store: Store) -> None:
    first, parent, child = schedule(), event_record(), event_record()
    await store.change_schedule(None, first, events=[parent])
    after = {child.id: After((parent.id,), "finished")}
    assert await store.change_schedule(first, later(first), events=[child], after=after)
    assert [each.is_blocked for each in await store.list_records()] == [False, True]


async def test_listeners_hear_of_changes(store: Store) -> None:
    heard = list[str]()
    unsubscribe = store.subscribe(Signal.SCHEDULES, lambda: heard.append("changed"))
    first = schedule()
    await store.change_schedule(None, first)
    await store.change_schedule(None, first)
    assert heard == ["changed"]
    unsubscribe()


@pytest.fixture
def beside(store: Store, clock: Clock, opened: list[Store]) -> Callable[[], Any]:
    """Makes one more store over the database of the test, as another process has it."""
    if not store.is_shared:
        pytest.skip("no other process can use it")

    def make() -> Any:
        if store in FOLDERS:
            opened.append(sqlite_in(FOLDERS[store], clock))
        else:
            opened.append(postgres_in(HOMES[store], clock, listen=True))
        return opened[-1]

    return make


async def test_another_process_hears_of_a_change(store: Store, beside: Any) -> None:
    other, heard = beside(), asyncio.Event()
    await other.schedules()
    other.subscribe(Signal.SCHEDULES, heard.set)
    first = schedule()
    await store.change_schedule(None, first)
    await heard.wait()
    assert await other.schedules() == [first]


async def test_two_processes_replace_a_schedule_once(store: Store, beside: Any) -> None:
    stores = [store, beside(), beside()]
    record = schedule()
    await store.change_schedule(None, record)
    for turn in range(10):
        changes = [later(record, next=float(turn)) for _ in stores]
        events = [event_record() for _ in stores]
        made = await asyncio.gather(
            *(
                each.change_schedule(record, change, events=[event])
                for each, change, event in zip(stores, changes, events, strict=True)
            )
        )
        assert sorted(made) == [False, False, True]
        (record,) = await store.schedules()
        assert record.version == changes[made.index(True)].version
    assert len(await store.list_records()) == 10


# -- a commit without an answer --------------------------------------------------------------------


async def test_a_repetition_after_a_commit_answers_that_it_is_made(
    store: Store, beside: Any
) -> None:
    first, event = schedule(), event_record()
    rows = [record_event_row(event, 0.0)]
    for old, new in ((None, first), (first, second := later(first)), (second, None)):
        change = ScheduleChange.of(old, new, rows if old is None else [], {}, None)
        work = partial(change_schedule, change=change)
        result = await operate(store, work)
        again = await repeat(store, work, result)
        assert (result.is_made, again.is_made) == (True, True)
    assert ids_of(await store.list_records()) == [event.id]
    assert await store.schedules() == []


@pytest.mark.parametrize("missing", ["id", "kind", "payload", "schedule", "next"])
def test_an_unreadable_record_is_named_without_its_payload(missing: str) -> None:
    data = replace(schedule(), payload={"token": "a-secret"}).to_dict()
    del data[missing]
    with pytest.raises(ValidationError, match=f"schedule 'nightly' .*'{missing}'") as told:
        ScheduleRecord.from_dict(data)
    assert "a-secret" not in str(told.value)
