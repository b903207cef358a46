"""A retry policy: what it covers, how long it waits, and that it is read back the same."""

import asyncio
import importlib
import json
import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionpride import Retry, errors
from lionpride.errors import (
    ExecutionError,
    LionTimeoutError,
    StoreError,
    ValidationError,
)
from lionpride.model.retry_policy import flag_of, retry_after_of
from lionpride.model.serialization.codec import error_from_dict


class Flaky(Exception):
    pass


class Flakier(Flaky):
    pass


class Flagged(Exception):
    def __init__(self, retryable: Any) -> None:
        self.retryable = retryable


class Awkward(Exception):
    @property
    def retryable(self) -> bool:
        raise OSError

    @property
    def retry_after(self) -> float:
        raise OSError


# -- the wait --------------------------------------------------------------------------------------


@given(
    failures=st.integers(1, 5_000),
    chance=st.floats(0, 1),
    backoff=st.just(0.0) | st.floats(1e-6, 1e6),
    ceiling=st.floats(0, 1e6),
)
def test_a_wait_is_between_nothing_and_the_doubled_backoff_or_the_ceiling(
    failures: int, chance: float, backoff: float, ceiling: float
) -> None:
    policy = Retry(backoff=backoff, ceiling=ceiling)
    longest = min(ceiling, backoff * 2.0 ** min(failures - 1, 900))
    assert policy.wait(failures, chance) == longest * chance
    assert Retry(backoff=backoff, ceiling=ceiling, jitter=False).wait(failures, chance) == longest


def test_without_jitter_a_wait_doubles_up_to_the_ceiling() -> None:
    policy = Retry(backoff=0.5, ceiling=5.0, jitter=False)
    assert [policy.wait(n, 0.3) for n in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


# -- what it covers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "error", "covered"),
    [
        (Retry(), ValueError(), True),
        (Retry(), KeyboardInterrupt(), False),
        (Retry(), asyncio.CancelledError(), False),
        (Retry(on=Flaky), Flaky(), True),
        (Retry(on=Flaky), Flakier(), True),
        (Retry(on=(OSError, Flakier)), Flaky(), False),
        (Retry(on=(OSError, Flakier)), ConnectionResetError(), True),
        (Retry(on="OSError"), ConnectionResetError(), True),
        (Retry(on=f"{__name__}.Flaky"), Flakier(), True),
        (Retry(never=Flaky), Flakier(), False),
        (Retry(never=Flaky), ValueError(), True),
        (Retry(on=Flaky, never=Flakier), Flakier(), False),
        (Retry(on=Flaky), Flagged(True), True),
        (Retry(on=Flagged), Flagged(False), False),
        (Retry(on=Flagged), Flagged("yes"), True),
        (Retry(), Flagged(None), True),
        (Retry(never=Flagged), Flagged(True), False),
        (Retry(), Awkward(), True),
        (Retry(), ValidationError("no"), False),
        (Retry(), StoreError("later"), True),
        (Retry(), ExecutionError("no"), True),
        (Retry(on=TimeoutError), error_from_dict({"error": "TimeoutError"}), True),
        (Retry(on=TimeoutError), error_from_dict({"error": "ValueError"}), False),
        (Retry(never=ValueError), error_from_dict({"error": "ValueError"}), False),
        (Retry(), error_from_dict({"error": "Own", "retryable": False}), False),
        (Retry(on=OSError), error_from_dict({"error": "Own", "retryable": True}), True),
        (Retry(), ExecutionError("later", retryable=True), True),
        (Retry(), ExceptionGroup("", [ValueError(), Flagged(True)]), True),
        (Retry(), ExceptionGroup("", [ValueError(), Flagged(False)]), False),
        (Retry(on=Flaky), ExceptionGroup("", [Flaky(), ExceptionGroup("", [Flaky()])]), True),
        (Retry(on=Flaky), ExceptionGroup("", [Flaky(), ValueError()]), False),
        (Retry(never=ExceptionGroup), ExceptionGroup("", [Flaky()]), False),
        (Retry(never=Flaky), ExceptionGroup("", [Flaky()]), False),
    ],
)
def test_what_is_tried_again(policy: Retry, error: BaseException, covered: bool) -> None:
    assert policy.covers(error) is covered


def test_a_timeout_of_the_engines_counts_by_its_class_alone() -> None:
    late = LionTimeoutError("late")
    assert Retry(on=Flaky).covers(late), "the error says of itself that it can be tried again"
    assert not Retry(on=Flaky).covers(late, by_kind=True)
    assert Retry(on=(Flaky, TimeoutError)).covers(late, by_kind=True)
    assert not Retry(never=TimeoutError).covers(late, by_kind=True)


@pytest.mark.parametrize(
    ("error", "flag"),
    [
        (ValueError(), None),
        (Flagged(True), True),
        (Flagged(False), False),
        (Flagged(0), None),
        (Awkward(), None),
        (StoreError(), True),
        (ValidationError(), False),
    ],
    ids=repr,
)
def test_what_an_error_says_of_itself(error: Exception, flag: bool | None) -> None:
    assert flag_of(error) is flag


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        (2, 2.0),
        (0, 0.0),
        (2.5, 2.5),
        ("120", 120.0),
        (timedelta(minutes=1), 60.0),
        (None, None),
        (True, None),
        (-1, None),
        (math.inf, None),
        (math.nan, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ([], None),
    ],
    ids=repr,
)
def test_what_an_error_asks_to_wait(asked: Any, seconds: float | None) -> None:
    error = Flaky()
    assert retry_after_of(error) is None
    error.retry_after = asked  # type: ignore[attr-defined]
    assert retry_after_of(error) == seconds
    assert retry_after_of(Awkward()) is None


def test_a_group_asks_for_the_longest_wait_of_its_members() -> None:
    short, long = Flaky(), Flaky()
    short.retry_after, long.retry_after = 2, 30  # type: ignore[attr-defined]
    group = ExceptionGroup("", [ValueError(), short, ExceptionGroup("", [long])])
    assert retry_after_of(group) == 30.0
    assert retry_after_of(ExceptionGroup("", [ValueError()])) is None


# -- its making ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("attempts", 0, "from 1 up, not 0"),
        ("attempts", True, "not True"),
        ("attempts", 2.0, "not 2.0"),
        ("backoff", -1, "from 0 up, not -1"),
        ("backoff", math.nan, "not nan"),
        ("backoff", "1", "not '1'"),
        ("ceiling", math.inf, "not inf"),
        ("ceiling", False, "not False"),
        ("deadline", 0, "greater than 0, not 0"),
        ("deadline", "5", "not '5'"),
        ("jitter", 1, "True or False, not 1"),
        ("on", KeyboardInterrupt, "takes Exception classes"),
        ("on", int, "takes Exception classes"),
        ("on", ValueError(), "takes Exception classes"),
        ("never", "", "takes Exception classes"),
        ("never", (ValueError, None), "not None"),
    ],
)
def test_what_cannot_be_is_refused(field: str, value: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=rf"Retry\.{field}.*{said}"):
        Retry(**{field: value})


POLICIES = [
    Retry(),
    Retry(4, 0.5),
    Retry(
        attempts=9,
        backoff=0.25,
        ceiling=8,
        deadline=60,
        jitter=False,
        on=(Flaky, "httpx.HTTPError"),
        never=LionTimeoutError,
    ),
]


@pytest.mark.parametrize("policy", POLICIES)
def test_it_is_read_back_from_plain_data(policy: Retry) -> None:
    data = policy.to_dict()
    assert Retry.from_dict(json.loads(json.dumps(data))) == policy
    assert hash(Retry.from_dict(data)) == hash(policy)


def test_what_is_as_usual_is_not_written() -> None:
    assert Retry().to_dict() == {}
    assert Retry(4, on=OSError).to_dict() == {"attempts": 4, "on": ["builtins.OSError"]}


@pytest.mark.parametrize("data", [5, "x", {"unknown": 1}, {"attempts": 0}, {"on": [5]}], ids=str)
def test_what_is_no_policy_is_not_read(data: Any) -> None:
    with pytest.raises(ValidationError):
        Retry.from_dict(data)


@pytest.mark.parametrize("field", ["on", "never"])
def test_a_name_that_no_built_in_exception_has_is_refused(field):
    with pytest.raises(ValidationError, match=f"Retry.{field}='TimeoutErr'.*mean 'TimeoutError'"):
        Retry(**{field: "TimeoutErr"})
    for name in ("SystemExit", "print", "KeyboardInterrupt", "zzz"):
        with pytest.raises(ValidationError, match="no such exception"):
            Retry(**{field: ("OSError", name)})


def test_a_class_is_found_under_each_name_that_an_imported_module_has_for_it():
    assert Retry(on="json.JSONDecodeError").covers(json.JSONDecodeError("no", "x", 0))
    assert Retry(on="not_imported.Error").on == ("not_imported.Error",)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("json.JSONDecodeErrr", "did you mean 'json.JSONDecodeError'"),
        ("asyncio.TimeoutErr", "did you mean 'asyncio.TimeoutError'"),
        ("lionpride.core.StorError", "give the class"),
        ("json.zzz", "json has no such exception: give the class"),
        ("json.JSONDecoder", "json has no such exception"),
        ("asyncio.CancelledError", "asyncio has no such exception"),
    ],
)
def test_a_name_that_an_imported_module_does_not_have_is_refused(name, advice):
    for field in ("on", "never"):
        with pytest.raises(ValidationError, match=f"Retry.{field}='{name}'.*") as refused:
            Retry(**{field: ("OSError", name)})
        assert advice in str(refused.value)


@pytest.mark.parametrize(
    "name", ["not_imported.Error", "json.no_such_module.Error", "__main__.Later"]
)
def test_a_name_that_may_be_defined_later_is_accepted(name):
    assert Retry(on=name).on == (name,)


def test_a_module_may_name_a_class_that_it_defines_below(tmp_path, monkeypatch):
    (tmp_path / "defines_below.py").write_text(
        "from lionpride import Retry\n"
        "policy = Retry(on='defines_below.Below')\n"
        "class Below(Exception): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("defines_below")
    assert module.policy.covers(module.Below())
    with pytest.raises(ValidationError, match=r"did you mean 'defines_below\.Below'"):
        Retry(on="defines_below.Belw")


@pytest.mark.parametrize("field", ["on", "never"])
def test_a_recorded_policy_is_read_though_a_class_is_gone(field):
    for names in (["json.Gone", "Gone"], ["lionpride.core.Gone"]):
        policy = Retry.from_dict({"attempts": 5, field: names})
        assert getattr(policy, field) == tuple(names)
        assert policy.attempts == 5
        assert policy.to_dict() == {"attempts": 5, field: names}
    for wrong in (5, [5], {"a": 1}):
        with pytest.raises(ValidationError, match="must be a list of names"):
            Retry.from_dict({field: wrong})


def test_every_error_of_the_library_can_be_named():
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert Retry(on=f"lionpride.errors.{name}") == Retry(on=kind)
        assert Retry(on=Retry(on=kind).on) == Retry(on=kind)
