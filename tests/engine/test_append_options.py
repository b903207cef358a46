"""What an append may ask is checked before anything is taken in."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from engine.kit import Job, agree, desk

from lionpride.engine.append_options import terms_of
from lionpride.errors import ValidationError
from lionpride.stores.terms import Terms

pytestmark = pytest.mark.virtual

NOW = 1_000.0


@pytest.mark.parametrize("delay", [2, 2.0])
def test_a_delay_counts_from_now(delay: float) -> None:
    assert terms_of(NOW, delay=delay) == Terms(due=NOW + 2.0)


@pytest.mark.parametrize(
    "at",
    [
        1_060.0,
        1_060,
        datetime.fromtimestamp(1_060.0, UTC),
        datetime.fromtimestamp(1_060.0, timezone(timedelta(hours=2))),
    ],
)
def test_an_instant_is_a_datetime_or_a_timestamp(at: Any) -> None:
    assert terms_of(NOW, at=at) == Terms(due=1_060.0)


NOTHING: list[dict[str, Any]] = [
    {},
    {"delay": 0},
    {"at": NOW},
    {"at": 0},
    {"at": -5.0},
    dict.fromkeys(("delay", "at", "ttl", "retry", "unique", "unique_for")),
]


@pytest.mark.parametrize("asked", NOTHING, ids=str)
def test_what_has_come_is_due_at_once_and_none_asks_for_nothing(asked: dict[str, Any]) -> None:
    assert terms_of(NOW, **asked) is None


async def test_what_an_append_does_not_know_is_refused_as_python_does() -> None:
    executor: Any = desk()
    with pytest.raises(TypeError, match=r"append\(\) got an unexpected keyword argument 'late'"):
        await executor.append(Job(), late=5)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"delay": 1.0, "at": 5.0}, "delay=1.0 and at=5.0: give one"),
    ({"delay": -1.0}, "delay must be >= 0 s.*-1.0"),
    ({"delay": float("nan")}, "delay must be a finite number of seconds, not nan"),
    ({"delay": float("inf")}, "delay must be a finite number"),
    ({"delay": 1e12}, "delay must be <= 100 years"),
    ({"delay": True}, "delay must be a finite number of seconds, not True"),
    ({"delay": "5"}, "delay must be a finite number of seconds, not '5'"),
    ({"delay": timedelta(seconds=5)}, "delay must be a finite number"),
    ({"ttl": 0}, "ttl=0 is over before the event may start"),
    ({"ttl": -1}, "ttl must be >= 0 s"),
    ({"ttl": "5"}, "ttl must be a finite number of seconds, not '5'"),
    ({"ttl": 5, "delay": 5}, "ttl=5 is over before the event may start.*longer than its delay"),
    ({"at": datetime(2030, 1, 1)}, "at must have a time zone"),
    ({"at": float("nan")}, "at must be a datetime"),
    ({"at": float("inf")}, "at must be a datetime"),
    ({"at": 1e18}, "at must be a datetime"),
    ({"at": True}, "at must be a datetime"),
    ({"at": "2030-01-01"}, "at must be a datetime.*2030-01-01"),
]


SINGLE: list[tuple[dict[str, Any], str]] = [
    ({"unique": ""}, "unique must be a text that is not empty.*not ''"),
    ({"unique": True}, "not True"),
    ({"unique": 1.5}, "not 1.5"),
    ({"unique": ("a", 1)}, "not .'a', 1."),
    ({"unique": b"a"}, "not b'a'"),
    (
        {"unique": "a\0b"},
        r"unique must have no NUL character, which PostgreSQL cannot keep, not 'a",
    ),
    ({"unique_for": 5}, "unique_for=5 needs unique: give both"),
    ({"unique": "a", "unique_for": -1}, "unique_for must be >= 0"),
    ({"unique": "a", "unique_for": "5"}, "unique_for must be a finite number"),
]


@pytest.mark.parametrize(("asked", "said"), SINGLE, ids=str)
async def test_a_value_that_cannot_be_is_refused(asked: dict[str, Any], said: str) -> None:
    executor = desk()
    with pytest.raises(ValidationError, match=said):
        await executor.append(Job(), **asked)
    assert len(executor.states.items) == 0


@pytest.mark.parametrize(("asked", "said"), WRONG, ids=lambda each: str(each))
async def test_terms_that_cannot_be_are_refused_and_nothing_is_taken_in(
    asked: dict[str, Any], said: str
) -> None:
    executor, job = desk(), Job()
    with pytest.raises(ValidationError, match=said):
        await executor.append(job, **asked)
    with pytest.raises(ValidationError, match=said):
        await executor.append_many([Job(), job], **asked)
    assert len(executor.states.items) == 0
    assert job.execution.arrival is None
    agree(executor)
    await executor.append(job)
    await asyncio.wait_for(executor.forward(), 5)
