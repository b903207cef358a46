"""Actions on one event, and on all events that match a filter."""

from pathlib import Path

import pytest
from view.kit import KINDS, Sum, filled, make_executor

from lionpride.core import EventStatus
from lionpride.stores.inspector import EventFilter
from lionpride.view import actions
from lionpride.view.monitor import Monitor


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_an_action_on_a_filter_changes_all_matching_events_and_no_others(
    kind: str, inside: bool, tmp_path: Path
) -> None:
    executor = make_executor(kind, tmp_path)
    events = await filled(executor, 700)
    monitor = Monitor(executor if inside else executor.store)
    failed = [event for event in events if event.status is EventStatus.FAILED]
    assert await actions.retry_all(monitor, None, EventFilter(upto=300), "test") == 60
    assert await actions.retry_all(monitor, "another", EventFilter(), "test") == 0
    counts = await executor.store.counts()
    assert counts[EventStatus.PENDING] == 70
    assert counts[EventStatus.FAILED] == len(failed) - 60
    assert await actions.cancel_all(monitor, None, EventFilter(upto=300), "test") == 60
    assert await actions.cancel_all(monitor, None, EventFilter(EventStatus.COMPLETED), "test") == 0
    counts = await executor.store.counts()
    assert counts[EventStatus.CANCELLED] == 60
    assert counts[EventStatus.PENDING] == 10
    await monitor.close()
    await executor.store.close()


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_actions_on_one_event_report_whether_they_were_possible(
    kind: str, inside: bool, tmp_path: Path
) -> None:
    executor = make_executor(kind, tmp_path)
    event = await executor.append(Sum(n=1))
    monitor = Monitor(executor if inside else executor.store)
    (record,) = await monitor.list_events(None, EventFilter())
    assert actions.possible_actions(record) == ("cancel",)
    assert not await actions.retry(monitor, record, "test")
    assert await actions.cancel(monitor, record, "test")
    assert not await actions.cancel(monitor, record, "test")
    assert event.status is EventStatus.CANCELLED
    (record,) = await monitor.list_events(None, EventFilter())
    assert actions.possible_actions(record) == ("retry",)
    assert await actions.retry(monitor, record, "test")
    assert event.status is EventStatus.PENDING
    await monitor.close()
    await executor.store.close()
