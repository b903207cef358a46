"""Errors: one base, a handful of leaves, each caught by the built-in that it stands for."""

import asyncio
import inspect
import json
import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from lionpride import errors
from lionpride.core import Skip
from lionpride.errors import (
    AccessError,
    ConfigurationError,
    DependencyError,
    EventCancelledError,
    ExecutionError,
    ExistsError,
    LionprideError,
    LionTimeoutError,
    NotFoundError,
    OperationError,
    QueueFullError,
    RateLimited,
    RestartedError,
    StoreError,
    UnknownClassError,
    ValidationError,
)

STANDS_FOR: dict[type[LionprideError], type[BaseException]] = {
    AccessError: PermissionError,
    ConfigurationError: ValueError,
    DependencyError: EventCancelledError,
    EventCancelledError: Exception,
    ExecutionError: RuntimeError,
    ExistsError: ValueError,
    LionTimeoutError: TimeoutError,
    NotFoundError: KeyError,
    OperationError: RuntimeError,
    QueueFullError: asyncio.QueueFull,
    RateLimited: Exception,
    RestartedError: Exception,
    Skip: Exception,
    StoreError: OSError,
    UnknownClassError: ValueError,
    ValidationError: ValueError,
}

RETRYABLE = {
    DependencyError,
    EventCancelledError,
    ExecutionError,
    LionprideError,
    LionTimeoutError,
    QueueFullError,
    RateLimited,
    RestartedError,
    StoreError,
}

KINDS: list[type[LionprideError]] = [LionprideError, *STANDS_FOR]


def test_every_error_of_the_module_is_here() -> None:
    found = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, LionprideError)
    }
    assert found == set(KINDS)
    assert {kind.__name__ for kind in found} == set(errors.__all__)


@pytest.mark.parametrize("kind", STANDS_FOR)
def test_it_is_caught_by_its_base_and_by_the_builtin(kind: type[LionprideError]) -> None:
    for caught in (LionprideError, STANDS_FOR[kind], Exception):
        with pytest.raises(caught):
            raise kind("text")


@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_it_was_given(kind: type[LionprideError]) -> None:
    error = kind("what went wrong; what to do")
    assert str(error) == error.message == "what went wrong; what to do"
    assert error.args == ("what went wrong; what to do",)
    assert "what went wrong" in repr(error)
    assert kind.__name__ in repr(error)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_text_it_says_what_it_is(kind: type[LionprideError]) -> None:
    for error in (kind(), kind(None), kind("")):
        assert str(error) == kind.default_message
        assert str(error)


def test_the_default_texts(snapshot: SnapshotAssertion) -> None:
    assert {kind.__name__: kind.default_message for kind in KINDS} == snapshot


def test_each_default_is_its_own() -> None:
    assert len({kind.default_message for kind in KINDS}) == len(KINDS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_whether_to_try_again_is_the_classs_word_or_the_callers(kind: type[LionprideError]) -> None:
    assert kind("x").retryable is (kind in RETRYABLE)
    assert kind("x", retryable=True).retryable is True
    assert kind("x", retryable=False).retryable is False


@pytest.mark.parametrize("kind", KINDS)
def test_as_data(kind: type[LionprideError]) -> None:
    assert kind("x", retryable=True).to_dict() == {
        "error": kind.__name__,
        "message": "x",
        "retryable": True,
    }
    details = {"size": 3}
    error = kind("x", details=details)
    assert error.to_dict()["details"] == {"size": 3}
    details["size"] = 4
    assert error.details == {"size": 3}, "it has details of its own"
    assert json.loads(json.dumps(error.to_dict())) == error.to_dict()
    assert kind("x").details == {}


@pytest.mark.parametrize("kind", KINDS)
def test_it_survives_pickling(kind: type[LionprideError]) -> None:
    error = kind("x", details={"a": 1}, retryable=True)
    again: Any = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.to_dict() == error.to_dict()
    assert str(again) == "x"


def test_a_cause_is_the_reason_in_the_traceback() -> None:
    cause = OSError("disk")
    error = ExecutionError("x", cause=cause)
    assert error.__cause__ is cause
    assert ExecutionError("x").__cause__ is None


def test_a_key_error_is_not_quoted() -> None:
    """KeyError shows the repr of its text; ours is read by people."""
    assert str(NotFoundError("event 5 is not here: append it first")) == (
        "event 5 is not here: append it first"
    )


def test_users_may_have_errors_of_their_own() -> None:
    class QuotaError(LionprideError):
        default_message = "the quota is used up"
        default_retryable = True

    error = QuotaError(details={"left": 0})
    assert error.to_dict() == {
        "error": "QuotaError",
        "message": "the quota is used up",
        "retryable": True,
        "details": {"left": 0},
    }


def test_an_error_of_a_user_may_be_tried_again_unless_it_says_otherwise() -> None:
    class Own(LionprideError):
        pass

    assert Own().retryable
    for name in errors.__all__:
        assert "default_retryable" in vars(getattr(errors, name)), f"{name} states its own"


def test_rate_limited_carries_its_wait_and_its_limit() -> None:
    error = RateLimited("slow down", retry_after="2.5", limit="tokens")
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert (each.retry_after, each.limit, each.message) == (2.5, "tokens", "slow down")
    assert error.to_dict()["details"] == {"retry_after": 2.5, "limit": "tokens"}
    assert (RateLimited().retry_after, RateLimited().limit) == (1.0, None)


def test_rate_limited_may_pause_no_other_event() -> None:
    error = RateLimited("slow down", retry_after=2, pause=False)
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert each.pause is False
    assert RateLimited().pause is True
    with pytest.raises(ValidationError, match="pause must be True or False, not 'no'"):
        RateLimited(pause="no")  # type: ignore[arg-type]


def test_the_date_of_a_retry_after_header_is_accepted() -> None:
    """RFC 9110 allows a date in place of seconds; one that is over means at once."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    later = RateLimited(retry_after=format_datetime(soon, usegmt=True))
    assert 0 < later.retry_after <= 3600
    assert RateLimited(retry_after="Sun, 06 Nov 1994 08:49:37 GMT").retry_after == 0.0
    assert RateLimited(retry_after="Sun Nov  6 08:49:37 1994").retry_after == 0.0


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), True, "soon", [3]])
def test_rate_limited_takes_seconds_alone(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="retry_after"):
        RateLimited(retry_after=wrong)


class OwnError(ExecutionError):
    """An error of a user that stands for others."""


def test_a_subclass_of_a_user_keeps_its_class_in_a_pickle() -> None:
    again = pickle.loads(pickle.dumps(OwnError("no", details={"a": 1}, retryable=False)))
    assert type(again) is OwnError
    assert (again.message, again.details, again.retryable) == ("no", {"a": 1}, False)
