"""Texts and values of a record."""

from dataclasses import replace

import pytest
from view.kit import Sum

from lionpride import Every
from lionpride.core import Event, Executor
from lionpride.view.records import created_of, schedule_of


@pytest.mark.parametrize(
    "value", ["2020-01-02T03:04:05+00:00", "2020-01-02T03:04:05", 1577934245, 1577934245.0]
)
def test_the_time_of_creation_is_read_from_text_and_numbers(value):
    assert created_of({"created_at": value}).isoformat() == "2020-01-02T03:04:05+00:00"


async def test_the_schedule_of_an_event_is_read_from_its_metadata() -> None:
    executor = Executor.of(Sum)
    await executor.schedule("nightly", Sum(), Every(3600))
    event = await executor.get(await executor.schedules.run("nightly"))
    assert isinstance(event, Event)
    plain = await executor.append(Sum())
    marked, unmarked = await executor.store.get([event.id, plain.id])
    mark = schedule_of(marked)
    assert mark == ("nightly", event.execution.scheduled_for)
    assert schedule_of(unmarked) is None
    for wrong in (None, "nightly", {}, {"name": "nightly", "at": "noon"}, {"at": 1e300}):
        payload = {**marked.payload, "metadata": {"lion_schedule": wrong}}
        assert schedule_of(replace(marked, payload=payload)) is None
