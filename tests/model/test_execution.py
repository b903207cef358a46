"""Execution: the state of an event, and its record."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lionpride.errors import ExecutionError, LionTimeoutError, NotFoundError, ValidationError
from lionpride.model.execution import TERMINAL, EventStatus, Execution
from lionpride.model.serialization.codec import Unserializable
from lionpride.model.unset import Unset


def through_json(execution: Execution) -> Execution:
    data = json.loads(json.dumps(execution.to_dict(), allow_nan=False))
    return Execution.from_dict(data, encoded=True)


def test_the_seven_statuses():
    assert EventStatus.allowed() == (
        "pending",
        "processing",
        "completed",
        "failed",
        "cancelled",
        "skipped",
        "aborted",
    )
    assert EventStatus("failed") is EventStatus.FAILED
    assert EventStatus.FAILED == "failed"
    assert set(EventStatus) - TERMINAL == {EventStatus.PENDING, EventStatus.PROCESSING}


@pytest.mark.parametrize("word", ["done", "Pending", 3, None])
def test_what_is_no_status_is_told_which_there_are(word: Any) -> None:
    with pytest.raises(ValueError, match=r"is no status of an event: give one of pending, proc"):
        EventStatus(word)


def test_a_new_one_is_pending_and_knows_nothing():
    execution = Execution()
    assert execution.status is EventStatus.PENDING
    assert execution.duration is execution.response is execution.error is Unset
    assert execution.to_dict() == {"status": "pending"}
    assert through_json(execution) == execution


# --- add_error


def test_errors_add_up_to_one_group():
    execution = Execution()
    one, two, three = ValueError("a"), KeyError("b"), ValueError("c")
    execution.add_error(one)
    assert execution.error is one
    execution.add_error(two)
    assert isinstance(execution.error, ExceptionGroup)
    assert execution.error.exceptions == (one, two)
    execution.add_error(three)
    assert execution.error.exceptions == (one, two, three)


def test_an_error_after_a_success_stands_alone():
    execution = Execution(error=None)
    execution.add_error(error := ValueError("a"))
    assert execution.error is error


def test_a_group_of_base_exceptions():
    execution = Execution(error=ValueError("a"))
    execution.add_error(KeyboardInterrupt())
    assert type(execution.error) is BaseExceptionGroup


# --- the record


@pytest.mark.parametrize(
    "response",
    [None, 0, "", b"\x00", 2**80, (1,), {1: "a"}, {"$bytes": 1}, [b"x", {"$k": {2}}], Unset],
    ids=repr,
)
def test_every_response_comes_back(response):
    execution = Execution(EventStatus.COMPLETED, duration=0.5, response=response, error=None)
    again = through_json(execution)
    assert again == execution
    assert type(again.response) is type(response)


def test_nan_comes_back():
    again = through_json(Execution(EventStatus.COMPLETED, response=math.nan))
    assert math.isnan(again.response)


def test_what_cannot_be_written_leaves_a_marker():
    execution = Execution(EventStatus.COMPLETED, response=object())
    assert isinstance(through_json(execution).response, Unserializable)


def test_no_response_and_none_are_two_things():
    none = Execution(EventStatus.COMPLETED, response=None)
    nothing = Execution(EventStatus.COMPLETED)
    assert through_json(none).response is None
    assert through_json(nothing).response is Unset


def test_python_mode_keeps_the_objects():
    error, response = ValueError("a"), object()
    data = Execution(EventStatus.FAILED, response=response, error=error).to_dict("python")
    assert data["error"] is error
    assert data["response"] is response
    assert Execution.from_dict(data).error is error


@pytest.mark.parametrize(
    "error", [NotFoundError("gone", details={"k": b"x"}), LionTimeoutError("slow")]
)
def test_our_errors_come_back_as_themselves(error):
    again = through_json(Execution(EventStatus.FAILED, error=error)).error
    assert type(again) is type(error)
    assert (again.message, again.details, again.retryable) == (
        error.message,
        error.details,
        error.retryable,
    )


def test_other_errors_and_groups_come_back_by_name():
    group = ExceptionGroup("two", [ValueError("a"), NotFoundError("b")])
    again = through_json(Execution(EventStatus.FAILED, error=group)).error
    assert isinstance(again, ExceptionGroup)
    assert isinstance(again.exceptions[0], ExecutionError)
    assert again.exceptions[0].details["error"] == "ValueError"
    assert isinstance(again.exceptions[1], NotFoundError)


@settings(max_examples=60, deadline=None)
@given(
    status=st.sampled_from(EventStatus),
    duration=st.one_of(st.just(Unset), st.floats(0, 1e6)),
    response=st.one_of(st.just(Unset), st.text(), st.binary(), st.integers()),
    retryable=st.one_of(st.just(Unset), st.booleans()),
    priority=st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    due=st.one_of(st.none(), st.floats(0, 1e10)),
    counts=st.lists(st.integers(0, 2**40), min_size=4, max_size=4),
)
def test_every_state_comes_back(status, duration, response, retryable, priority, due, counts):
    attempt, tries, denials, interruptions = counts
    execution = Execution(
        status,
        duration,
        response,
        retryable=retryable,
        priority=priority,
        due=due,
        attempt=attempt,
        tries=tries,
        denials=denials,
        interruptions=interruptions,
    )
    assert through_json(execution) == execution
    assert Execution.from_dict(execution.to_dict("python")) == execution


def test_what_is_its_holders_is_not_recorded():
    assert Execution(arrival=3).to_dict() == {"status": "pending"}


# --- reading


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"status": "unheard"}, "execution.status 'unheard'"),
        ({"status": None}, "execution.status"),
        ({"unknown": 1}, "no field 'unknown'"),
        ({"priority": "x"}, "execution.priority"),
        ({"priority": math.nan}, "execution.priority"),
        ({"due": []}, "execution.due"),
        ({"duration": "x"}, "execution.duration"),
        ({"error": {"exceptions": 5}}, "execution.error"),
        ({"error": {"error": "X", "details": 5}}, "execution.error"),
        ({"attempt": -1}, "execution.attempt"),
        ({"tries": 1.5}, "execution.tries"),
        ({"denials": True}, "execution.denials"),
        ({"interruptions": "x"}, "execution.interruptions"),
    ],
)
def test_what_cannot_be_read_is_named(data, field):
    with pytest.raises(ValidationError, match=field):
        Execution.from_dict(data)


def original(status: str, **fields: Any) -> dict[str, Any]:
    """A state as the original package wrote it: null where there is no value."""
    empty = dict.fromkeys(("duration", "response", "error", "retryable"))
    return {"status": status, **empty, **fields}


def test_the_layout_of_the_original_package():
    assert Execution.from_dict(original("pending")) == Execution()
    completed = Execution.from_dict(original("completed", duration=0.5, retryable=False))
    assert (completed.response, completed.error, completed.duration) == (None, None, 0.5)
    failed = Execution.from_dict(
        original("failed", error={"error": "ValueError", "message": "a"}, retryable=True)
    )
    assert (failed.response, str(failed.error), failed.retryable) == (Unset, "a", True)


def test_reading_changes_nothing():
    data = original("failed", error={"error": "ValueError", "message": "a"})
    before = json.dumps(data)
    Execution.from_dict(data)
    assert json.dumps(data) == before
