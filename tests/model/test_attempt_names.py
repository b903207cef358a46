"""Names of the counters of attempts: the former names stay as aliases."""

import copy
import dataclasses
import pickle

import pytest

from lionpride.core import Element, Event, Execution, Retry
from lionpride.errors import ValidationError

FAILED = {"number": 1, "started": 1.0, "duration": 0.5, "error": "OSError: a"}
PAIRS = [
    ("attempt_number", "attempt", 3),
    ("failure_count", "tries", 2),
    ("failed_attempts", "attempts", [FAILED]),
]


class Fetch(Event):
    async def _invoke(self) -> int:
        return 1


@pytest.mark.parametrize(("name", "former", "value"), PAIRS)
def test_both_names_read_and_write_one_value(name: str, former: str, value: object) -> None:
    for given in (name, former):
        state = Execution.from_dict({"status": "pending", given: value})
        assert getattr(state, name) == getattr(state, former)
        assert getattr(state, name)
        assert Execution(**{given: getattr(state, name)}) == state
    state = Execution()
    setattr(state, former, 7)
    assert getattr(state, name) == 7
    setattr(state, name, 8)
    assert getattr(state, former) == 8


@pytest.mark.parametrize(("name", "former", "value"), PAIRS)
def test_giving_both_names_is_an_error_that_names_them(
    name: str, former: str, value: object
) -> None:
    both = {name: value, former: value}
    with pytest.raises(ValidationError, match=f"{name}.*{former}"):
        Execution.from_dict(both)
    with pytest.raises(ValidationError, match=f"{name}.*{former}"):
        Execution(**both)


def test_dumps_keep_the_keys_that_stored_data_has() -> None:
    data = {"status": "pending", "attempt": 3, "tries": 2, "attempts": [FAILED]}
    written = Execution.from_dict(data).to_dict()
    assert written.keys() == data.keys()
    assert Execution.from_dict(written) == Execution.from_dict(data)


@pytest.mark.parametrize(
    "keys",
    [("attempt", "tries", "attempts"), ("attempt_number", "failure_count", "failed_attempts")],
    ids=["former", "new"],
)
def test_an_event_is_read_with_either_name(keys: tuple[str, ...]) -> None:
    data = Fetch().to_dict("json")
    data["execution"] |= dict(zip(keys, (3, 2, [FAILED]), strict=True))
    event = Element.from_dict(data)
    assert isinstance(event, Fetch)
    assert (event.execution.attempt_number, event.execution.failure_count) == (3, 2)
    assert event.execution.failed_attempts[0].error == "OSError: a"


def test_a_policy_takes_max_attempts_and_the_former_keyword() -> None:
    policy = Retry(max_attempts=4, backoff=0.5)
    assert policy == Retry(attempts=4, backoff=0.5) == Retry(4, 0.5)
    assert policy.max_attempts == policy.attempts == 4
    assert Retry().max_attempts == 3
    assert "max_attempts=4" in repr(policy)
    assert "'" not in repr(policy).partition("on=")[0]
    with pytest.raises(ValidationError, match=r"max_attempts=4.*attempts=4"):
        Retry(max_attempts=4, attempts=4)
    with pytest.raises(ValidationError, match=r"Retry\.max_attempts must be .* not 0"):
        Retry(max_attempts=0)
    with pytest.raises(ValidationError, match=r"Retry\.attempts must be .* not None"):
        Retry(attempts=None)  # type: ignore[arg-type]


def test_a_policy_is_copied_and_read_with_either_name() -> None:
    policy = Retry(max_attempts=4, on=OSError, jitter=False)
    assert pickle.loads(pickle.dumps(policy)) == copy.deepcopy(policy) == policy
    assert dataclasses.replace(policy, max_attempts=5).max_attempts == 5
    assert dataclasses.replace(policy, backoff=2.0).max_attempts == 4
    assert hash(policy) == hash(copy.copy(policy))
    for name in ("attempts", "max_attempts"):
        assert Retry.from_dict({name: 4, "on": ["builtins.OSError"], "jitter": False}) == policy
    assert Retry.from_dict(policy.to_dict()) == policy
    with pytest.raises(ValidationError, match=r"max_attempts.*attempts"):
        Retry.from_dict({"attempts": 4, "max_attempts": 4})
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.max_attempts = 3  # type: ignore[misc]
