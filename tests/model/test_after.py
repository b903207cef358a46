"""Dependencies of an event as plain data."""

import json
from math import inf, nan
from typing import Any
from uuid import UUID

import pytest

from lionpride.core import Event, ValidationError
from lionpride.model.after import After
from lionpride.model.execution import EventStatus, Execution

ONE, TWO = UUID(int=1), UUID(int=2)


class Merge(Event):
    async def _invoke(self) -> None:
        return None


@pytest.mark.parametrize("due", [None, 9.5])
def test_dependencies_are_read_back(due: float | None) -> None:
    after = After((TWO, ONE), "failed", due)
    assert After.from_dict(json.loads(json.dumps(after.to_dict()))) == after


def test_a_parent_that_is_given_twice_is_read_once() -> None:
    data = {"parents": [str(TWO), str(ONE), str(TWO)], "when": "completed"}
    assert After.from_dict(data) == After((TWO, ONE))


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"parents": []},
        {"parents": 7, "when": "completed"},
        {"parents": ["x"], "when": "completed"},
        {"parents": [], "when": "done"},
        {"parents": [], "when": ["done"]},
        {"parents": [], "when": "failed", "due": "soon"},
        {"parents": [], "when": "failed", "due": nan},
    ],
)
def test_other_data_is_refused(data: Any) -> None:
    with pytest.raises(ValidationError, match=r"execution\.after must be a mapping"):
        After.from_dict(data)


def test_a_blocked_event_is_blocked_when_it_is_read_back() -> None:
    event = Merge()
    event.execution.after, event.execution.due = After((ONE,)), inf
    assert event.execution.is_blocked
    data = json.loads(json.dumps(event.to_dict("json"), allow_nan=False))
    assert "due" not in data["execution"]
    again = Merge.from_dict(data)
    assert again.execution == event.execution
    assert again.execution.is_blocked
    assert again.execution.after == After((ONE,))


def test_a_released_event_is_not_blocked_when_it_is_read_back() -> None:
    event = Merge()
    event.execution.after = After((ONE,), due=5.0)
    again = Merge.from_dict(event.to_dict("json"))
    assert again.execution == event.execution
    assert not again.execution.is_blocked


def test_a_fresh_event_has_no_parents() -> None:
    event = Merge()
    event.execution.after, event.execution.due = After((ONE,)), inf
    fresh = event.as_fresh_event()
    assert (fresh.execution.after, fresh.execution.due) == (None, None)


def test_only_a_pending_event_is_blocked() -> None:
    assert Execution(due=inf).is_blocked
    assert not Execution(status=EventStatus.CANCELLED, due=inf).is_blocked
    assert not Execution(due=5.0).is_blocked
