"""Every store keeps who has cancelled or retried an event, and who has paused its queue."""

from dataclasses import replace
from typing import Any

import pytest
from stores.asking import claim, put
from stores.makers import Clock, Job, beside

from lionpride.errors import ExecutionError, NotFoundError, OperationError, ValidationError
from lionpride.model.execution import EventStatus
from lionpride.rules.action import KEPT, Action, PauseRecord
from lionpride.rules.state_machine import Completion, Ending
from lionpride.stores.contract import Cancelled, Store
from lionpride.stores.inspector import EventFilter
from lionpride.stores.open import open_store

S = EventStatus

FAILURE = Ending(S.FAILED, error=ExecutionError("no luck"), duration=0.1, retryable=True, tries=1)


async def actions_of(store: Store, event: Job) -> list[tuple[str, str]]:
    (record,) = await store.get([event.id])
    assert record is not None
    return [(action.what, action.by) for action in record.actions]


async def test_who_has_cancelled_and_retried_an_event_is_kept(store: Store, clock: Clock) -> None:
    (job, other) = await put(store, 1.0, 2.0)
    await store.cancel([job], by="alice")
    clock.advance(5.0)
    await store.retry([job.id], by="bob")
    (record,) = await store.get([job.id])
    assert record is not None
    (first, second) = record.actions
    assert (first.what, first.by) == ("cancel", "alice")
    assert second == Action("retry", "bob", second.at)
    assert second.at - first.at == pytest.approx(5.0, abs=1.0)
    assert await actions_of(store, other) == []
    assert [r.actions for r in await store.list_records()] == [record.actions, ()]
    found = await store.inspector.list_events(EventFilter())
    assert [r.actions for r in found] == [(), record.actions]


async def test_without_a_name_nothing_is_kept(store: Store) -> None:
    (job,) = await put(store, 1.0)
    await store.cancel([job])
    await store.retry([job])
    assert await actions_of(store, job) == []


async def test_a_cancel_of_a_running_event_is_kept_whatever_becomes_of_it(store: Store) -> None:
    await put(store, 1.0)
    ((event, attempt),) = await claim(store, start=True)
    assert await store.cancel([event], by="alice") == [Cancelled.CLAIMED]
    assert await actions_of(store, event) == [("cancel", "alice")]  # type: ignore[arg-type]
    standing = await store.explain(event.id)
    assert standing is not None
    assert [a.by for a in standing.actions] == ["alice"]
    await store.settle([(event, attempt, Completion(None, 0.1))])
    assert await actions_of(store, event) == [("cancel", "alice")]  # type: ignore[arg-type]


async def test_a_change_that_was_refused_is_not_kept(store: Store) -> None:
    (job, other) = await put(store, 1.0, 2.0)
    ((event, attempt),) = await claim(store, start=True)
    await store.settle([(event, attempt, FAILURE)])
    assert await store.cancel([job], by="alice") == [Cancelled.SETTLED]
    with pytest.raises(OperationError):
        await store.retry([job, other], by="alice")
    with pytest.raises(NotFoundError):
        await store.cancel([other, Job()], by="alice")
    assert await actions_of(store, job) == []
    assert await actions_of(store, other) == []


@pytest.mark.parametrize("by", ["", "  ", "x" * 201, "a\0b", 7])
async def test_an_invalid_name_changes_nothing(store: Store, by: Any) -> None:
    (job,) = await put(store, 1.0)
    for call in (store.cancel([job], by=by), store.pause(by=by)):
        with pytest.raises(ValidationError, match=r"^by "):
            await call
    assert job.status is S.PENDING
    assert await store.pause_record() is None
    await store.cancel([job])
    with pytest.raises(ValidationError, match=r"^by "):
        await store.retry([job], by=by)
    assert job.status is S.CANCELLED


async def test_the_newest_actions_are_kept(store: Store, clock: Clock) -> None:
    (job,) = await put(store, 1.0)
    for n in range(KEPT):
        await store.cancel([job], by=f"c{n}")
        clock.advance(1.0)
        await store.retry([job], by=f"r{n}")
        clock.advance(1.0)
    kept = await actions_of(store, job)
    assert len(kept) == KEPT
    assert kept[-1] == ("retry", f"r{KEPT - 1}")
    assert kept[0] == ("cancel", f"c{KEPT // 2}")


async def test_they_go_with_the_event(store: Store) -> None:
    jobs = await put(store, 1.0, 2.0)
    await store.cancel(jobs, by="alice")
    records = [record for record in await store.get([job.id for job in jobs]) if record]
    await store.remove(jobs[:1])
    await store.prune([S.CANCELLED])
    # The same events come back by an import, and have what their records say, and no more.
    assert await store.import_records([records[0], replace(records[1], actions=())]) == 2
    back = [record for record in await store.get([job.id for job in jobs]) if record]
    assert [each.actions for each in back] == [records[0].actions, ()]


async def test_who_has_paused_the_queue_is_kept_until_it_ends(store: Store, clock: Clock) -> None:
    assert await store.pause_record() is None
    (job,) = await put(store, 1.0)
    await store.pause(by="alice")
    record = await store.pause_record()
    assert record is not None
    assert record.by == "alice"
    standing = await store.explain(job.id)
    assert standing is not None
    assert standing.pause == record
    await store.pause()
    later = await store.pause_record()
    assert later == PauseRecord(None, later.at if later else 0.0)
    assert await store.resume_record() is None
    await store.pause(0.0)
    assert await store.pause_record() is None
    await store.pause(clock.now + 5.0, by="alice")
    assert await store.pause_record() is None  # it is not paused by hand without an end
    assert await store.resume_record() is None


async def test_who_has_resumed_the_queue_is_kept_until_the_next_pause(
    store: Store, clock: Clock, opened: list[Store]
) -> None:
    await put(store, 1.0)
    assert await store.resume_record() is None
    await store.pause(by="alice")
    assert await store.resume_record() is None
    await store.pause(0.0, by="bob")
    record = await store.resume_record()
    assert record is not None
    assert (record.by, await store.pause_record()) == ("bob", None)
    await store.pause()
    assert await store.resume_record() is None


async def test_other_processes_read_it(store: Store, clock: Clock, opened: list[Store]) -> None:
    (job,) = await put(store, 1.0)
    await store.cancel([job], by="alice")
    await store.pause(by="bob")
    other = beside(store, clock, opened)
    (record,) = await other.get([job.id])
    assert record is not None
    assert [a.by for a in record.actions] == ["alice"]
    paused = await other.pause_record()
    assert paused is not None
    assert paused.by == "bob"


async def test_a_new_queue_takes_over_who_has_paused_all(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path / 'q.db'}"
    every, one = open_store(url, queue="", name=""), open_store(url, queue="one", name="one")
    try:
        await every.pause(by="alice")
        await put(one, 1.0)
        record = await one.pause_record()
        assert record is not None
        assert record.by == "alice"
    finally:
        await every.close()
        await one.close()


async def test_only_events_that_finished_before_a_time_are_pruned(store: Store) -> None:
    done = []
    for _ in range(2):
        await put(store, 1.0)
        ((event, attempt),) = await claim(store, start=True)
        await store.settle([(event, attempt, FAILURE)])
        done.append(event)
    await store.prune([S.FAILED], before=1.0)
    assert None not in await store.get([event.id for event in done])
    await store.prune([S.FAILED], before=4e9)
    if store.is_shared:
        assert await store.get([event.id for event in done]) == [None, None]
