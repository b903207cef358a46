"""A schedule: a rule of recurrence with its options."""

import json
from typing import Any

import pytest

from lionpride import Cron, Every, Schedule, ValidationError

SCHEDULES = [
    Schedule(Every(300)),
    Schedule(Cron("30 2 * * *", tz="Europe/Berlin"), missed="all", missed_limit=7),
    Schedule(Every(60), overlap="queue", jitter=5, ttl=30, priority=1.5, revision=3),
]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_is_a_value_and_read_back_as_itself(schedule: Schedule) -> None:
    same = Schedule.from_dict(json.loads(json.dumps(schedule.to_dict())))
    assert same == schedule
    assert hash(same) == hash(schedule)


def test_options_with_their_default_are_left_out() -> None:
    assert SCHEDULES[0].to_dict() == {"rule": {"every": 300.0, "anchor": 0.0}}
    assert SCHEDULES[2].to_dict() == {
        "rule": {"every": 60.0, "anchor": 0.0},
        "overlap": "queue",
        "jitter": 5,
        "ttl": 30,
        "priority": 1.5,
        "revision": 3,
    }


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"rule": 300}, r"rule must be an Every or a Cron, not 300: as Every\(300\)"),
    ({"missed": "first"}, "missed must be one of skip, last, all, not 'first'"),
    ({"missed": ["all"]}, "missed must be one of skip, last, all"),
    ({"overlap": None}, "overlap must be one of allow, skip, queue, replace, not None"),
    ({"missed_limit": 0}, "missed_limit must be a whole number from 1 to 10,000, not 0"),
    ({"missed_limit": 1.0}, "missed_limit must be a whole number"),
    ({"revision": True}, "revision must be a whole number from 1"),
    ({"jitter": -1}, "jitter must be a number of seconds from 0 to"),
    ({"jitter": float("nan")}, "jitter must be a number of seconds"),
    ({"jitter": "5"}, "jitter must be a number of seconds"),
    ({"ttl": 0}, "ttl must be a number of seconds from 0.001 to"),
    ({"ttl": float("inf")}, "ttl must be a number of seconds"),
    ({"priority": float("nan")}, "priority must be a finite number or None, not nan"),
]


@pytest.mark.parametrize(("options", "message"), INVALID)
def test_an_error_names_the_field_the_value_and_the_remedy(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Schedule(**{"rule": Every(300), **options})


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"missed": "last"},
        {"rule": {"every": 300.0}, "unknown": 1},
        {"rule": {"every": 0}},
        {"rule": {"every": 300.0}, "overlap": "other"},
    ],
)
def test_data_that_is_no_schedule(data: Any) -> None:
    with pytest.raises(ValidationError):
        Schedule.from_dict(data)
