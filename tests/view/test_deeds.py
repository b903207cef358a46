"""What is done by hand about one event, or about all that are meant."""

from pathlib import Path

import pytest
from view.kit import KINDS, Sum, desk_over, filled

from lionpride.core import EventStatus
from lionpride.stores.inspector import EventFilter
from lionpride.view import deeds
from lionpride.view.office import Office


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_all_that_are_meant_and_no_other(kind: str, inside: bool, tmp_path: Path) -> None:
    desk = desk_over(kind, tmp_path)
    events = await filled(desk, 700)
    office = Office(desk if inside else desk.store)
    failed = [event for event in events if event.status is EventStatus.FAILED]
    assert await deeds.retry_all(office, None, EventFilter(upto=300)) == 60
    assert await deeds.retry_all(office, "another", EventFilter()) == 0
    counts = await desk.store.counts()
    assert counts[EventStatus.PENDING] == 70
    assert counts[EventStatus.FAILED] == len(failed) - 60
    assert await deeds.cancel_all(office, None, EventFilter(upto=300)) == 60
    assert await deeds.cancel_all(office, None, EventFilter(EventStatus.COMPLETED)) == 0
    counts = await desk.store.counts()
    assert counts[EventStatus.CANCELLED] == 60
    assert counts[EventStatus.PENDING] == 10
    await office.close()
    await desk.store.close()


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_one_event(kind: str, inside: bool, tmp_path: Path) -> None:
    desk = desk_over(kind, tmp_path)
    event = await desk.append(Sum(n=1))
    office = Office(desk if inside else desk.store)
    (record,) = await office.list_events(None, EventFilter())
    assert deeds.doable(record) == ("cancel",)
    assert not await deeds.retry(office, record)
    assert await deeds.cancel(office, record)
    assert not await deeds.cancel(office, record)
    assert event.status is EventStatus.CANCELLED
    (record,) = await office.list_events(None, EventFilter())
    assert deeds.doable(record) == ("retry",)
    assert await deeds.retry(office, record)
    assert event.status is EventStatus.PENDING
    await office.close()
    await desk.store.close()
