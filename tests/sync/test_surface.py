"""The synchronous classes are those of the asynchronous ones, as a program writes them."""

import inspect
from typing import Any

import pytest

from lionpride import sync
from lionpride.core import Executor
from lionpride.engine.batch import Batch
from lionpride.engine.schedules import Schedules
from tools import generate_sync

PAIRS = [(Executor, sync.Executor), (Batch, sync.Batch), (Schedules, sync.Schedules)]


def test_the_file_is_up_to_date() -> None:
    assert generate_sync.TARGET.read_text() == generate_sync.generated()


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_every_public_member_is_there_or_left_out_for_a_reason(ours: Any, theirs: Any) -> None:
    left_out = generate_sync.LEFT_OUT[ours.__name__]
    for name, member in vars(ours).items():
        if name.startswith("_") or not (
            callable(member) or isinstance(member, property | classmethod)
        ):
            continue
        assert hasattr(theirs, name) != (name in left_out), name


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_parameters_are_the_same_but_for_the_timeout(ours: Any, theirs: Any) -> None:
    for name, member in vars(theirs).items():
        if name.startswith("_") or not inspect.isfunction(member) or not hasattr(ours, name):
            continue
        here, there = inspect.signature(member), inspect.signature(getattr(ours, name))
        own = set(here.parameters) - set(there.parameters)
        assert own <= {"timeout"}, name
        assert [each for each in here.parameters if each != "timeout"] == [
            each for each in there.parameters if each != "timeout"
        ], name
        is_async = inspect.iscoroutinefunction(getattr(ours, name))
        assert is_async <= ("timeout" in here.parameters), name
