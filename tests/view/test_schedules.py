"""Texts of schedules."""

from uuid import uuid4

import pytest

from lionpride import Every, Schedule
from lionpride.stores.schedule_record import ScheduleRecord
from lionpride.view.schedules import rule_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 s"),
        (59.96, "59.96 s"),
        (90.5, "1 min 30.5 s"),
        (300, "5 min"),
        (5400, "1 h 30 min"),
        (86_400, "1 day"),
        (7 * 86_400, "7 days"),
        (366 * 86_400 + 3_600.25, "366 days 1 h 0.25 s"),
    ],
)
def test_a_period_is_written_exactly(seconds: float, text: str) -> None:
    record = ScheduleRecord("name", uuid4(), "kind", {}, Schedule(Every(seconds)), None)
    assert rule_text(record) == f"every {text}"
