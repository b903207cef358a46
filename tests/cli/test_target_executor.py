"""The executor of a command line: with its limits, or with a word on why it cannot be made."""

import pytest

from lionpride.cli.store.location import locate_store
from lionpride.cli.targets.executor import build, limits_of, start
from lionpride.cli.targets.target import Target, executor_for
from lionpride.cli.usage import UsageError
from lionpride.core import Event


class Thing(Event):
    pass


TARGET = Target("job.py:Thing", Thing, executor_for(Thing))


def test_limits_are_those_that_were_given():
    assert limits_of() == {}
    assert limits_of(capacity=3, refresh=0.5) == {
        "queue_capacity": 3,
        "capacity_refresh_time": 0.5,
    }
    with pytest.raises(UsageError, match="--refresh does nothing without --capacity"):
        limits_of(refresh=1.0)


def test_an_executor_has_its_limits_and_its_queue(tmp_path):
    executor = build(TARGET, {"concurrency_limit": 3}, locate_store(str(tmp_path / "a.db")), "q")
    assert executor.processor_config["concurrency_limit"] == 3
    assert executor.store.queue == "q"
    with pytest.raises(UsageError, match=r"job\.py:Thing cannot be made with queue_capacity=-1"):
        build(TARGET, {"queue_capacity": -1}, None, None)


async def test_a_store_that_cannot_be_opened_is_no_run(tmp_path):
    place = locate_store(str(tmp_path / "no" / "a.db"))
    executor = build(TARGET, {}, place, None)
    with pytest.raises(UsageError, match=r"--store .*a\.db: the directory .* does not exist"):
        await start(TARGET, executor, place)
