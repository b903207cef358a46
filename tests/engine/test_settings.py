"""What a processor can be set to; what cannot be is refused, with its name, value and bound."""

from typing import Any

import pytest
from engine.kit import AskingProcessor, Job, JobExecutor, JobProcessor, worker

from lionpride.core import Executor, Processor
from lionpride.errors import ConfigurationError, QueueFullError, ValidationError

NAN, INF = float("nan"), float("inf")

REFUSED = [
    ("queue_capacity", [0, -1, 10_001, 2.5, 2.0, True, False, NAN, INF, "5", [5]]),
    ("capacity_refresh_time", [0, 0.009, -1.0, 3600.1, True, NAN, INF, -INF, 10**400, "1", None]),
    ("concurrency_limit", [0, -1, 1.5, True, NAN, INF, "5", None]),
    ("max_queue_size", [0, -1, 1.5, True, NAN, INF, "5"]),
    ("max_denial_tracking", [0, -1, 1.5, True, NAN, INF, "5"]),
    ("denial_backoff", [-0.1, 86_400.1, True, NAN, INF, "5", None]),
    ("blocked_after", [0, 0.04, 3600.1, True, NAN, INF, "5"]),
]

ACCEPTED = [
    ("queue_capacity", [1, 10_000, None]),
    ("capacity_refresh_time", [0.01, 1, 3600]),
    ("concurrency_limit", [1, 10**9]),
    ("max_queue_size", [1, 10**9, None]),
    ("max_denial_tracking", [1, 10**6]),
    ("denial_backoff", [0, 0.5, 86_400]),
    ("blocked_after", [0.05, 1, 3600, None]),
]


def each(table: list[tuple[str, list[Any]]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}={value!r}")
        for name, values in table
        for value in values
    ]


@pytest.mark.parametrize(("name", "value"), each(REFUSED))
def test_a_setting_that_makes_no_sense_is_refused_at_once(name: str, value: Any) -> None:
    for make in (lambda: JobExecutor({name: value}), lambda: JobProcessor(**{name: value})):
        with pytest.raises(ValidationError) as raised:
            make()
        assert name in str(raised.value)
        assert str(value) in str(raised.value)
        assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize(("name", "value"), each(ACCEPTED))
async def test_a_setting_within_its_bounds_is_kept(name: str, value: Any) -> None:
    executor = JobExecutor({name: value})
    await executor.start()
    assert getattr(worker(executor), name) == value


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"queue_capacity": 0}, "Queue capacity must be greater than 0."),
        ({"queue_capacity": 10_001}, "Queue capacity must be <= 10000"),
        ({"capacity_refresh_time": 0.001}, "Capacity refresh time must be >= 0.01 s."),
        ({"capacity_refresh_time": 3601}, "Capacity refresh time must be <= 3600 s."),
        ({"concurrency_limit": 0}, "Concurrency limit must be >= 1."),
        ({"max_queue_size": 0}, "Max queue size must be >= 1"),
        ({"max_denial_tracking": 0}, "Max denial tracking must be >= 1."),
    ],
)
def test_the_messages_of_the_original_are_kept(setting: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match="must be") as raised:
        JobProcessor(**setting)
    assert str(raised.value).startswith(text)


async def test_the_defaults_limit_nothing_but_the_slots() -> None:
    executor = JobExecutor()
    await executor.start()
    processor = worker(executor)
    assert processor.queue_capacity is None
    assert processor.max_queue_size is None
    assert processor.concurrency_limit == 100
    assert processor.capacity_refresh_time == 1.0
    assert processor.denial_backoff == 1.0
    assert processor.available_capacity is None


# --- parameters of a subclass's own


class Quota(AskingProcessor):
    def __init__(self, *args: Any, quota: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.left = quota

    async def request_permission(self, **request: Any) -> bool:
        self.left -= 1
        return self.left >= 0


class QuotaExecutor(Executor):
    processor_type = Quota


class Bare(JobProcessor):
    """Takes what it names, and nothing else."""

    def __init__(self, word: str, concurrency_limit: int = 3) -> None:
        super().__init__(concurrency_limit=concurrency_limit)
        self.word = word


class BareExecutor(Executor):
    processor_type = Bare


class Grown(Quota):
    """A second floor: each passes on what it does not know."""

    def __init__(self, *args: Any, extra: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.extra = extra


class GrownExecutor(Executor):
    processor_type = Grown


@pytest.mark.virtual
async def test_unknown_keys_reach_the_subclass() -> None:
    executor = QuotaExecutor({"quota": 2, "queue_capacity": 5})
    await executor.append_many([Job() for _ in range(3)])
    await executor.forward()
    assert executor.status_counts()["completed"] == 2
    assert worker(executor).queue_capacity == 5
    assert worker(executor).executor is executor


@pytest.mark.virtual
async def test_a_subclass_may_take_what_it_names_alone() -> None:
    executor = BareExecutor({"word": "yes"})
    await executor.append(Job())
    await executor.forward()
    processor: Any = worker(executor)
    assert processor.word == "yes"
    assert processor.concurrency_limit == 3
    assert executor.status_counts()["completed"] == 1


async def test_a_chain_of_subclasses_takes_what_each_names() -> None:
    executor = GrownExecutor({"extra": "more", "quota": 7, "max_queue_size": 9})
    await executor.start()
    processor: Any = worker(executor)
    assert (processor.extra, processor.left, processor.max_queue_size) == ("more", 7, 9)


@pytest.mark.parametrize(
    ("kind", "key", "takes"),
    [
        (QuotaExecutor, "quotas", "quota"),
        (BareExecutor, "queue_capacity", "word"),
        (BareExecutor, "executor", "word"),
        (GrownExecutor, "extras", "extra"),
        (JobExecutor, "quota", "queue_capacity"),
    ],
)
def test_a_key_that_nobody_takes_is_named_with_what_is_taken(
    kind: type[Executor], key: str, takes: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        kind({key: 1})
    text = str(raised.value)
    assert f"processor_config[{key!r}]" in text
    assert kind.processor_type.__name__ in text
    assert takes in text.partition("it takes")[2]


async def test_the_processor_is_made_once_at_the_start() -> None:
    made: list[Processor] = []

    class Counting(JobProcessor):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    class CountingExecutor(Executor):
        processor_type = Counting

    executor = CountingExecutor()
    assert made == []
    for _ in range(2):
        await executor.start()
        await executor.stop()
    assert made == [executor.processor]


@pytest.mark.virtual
async def test_a_bound_that_the_subclass_sets_itself_holds_from_the_start_on() -> None:
    class Narrow(JobProcessor):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, max_queue_size=2, **kwargs)

    class NarrowExecutor(Executor):
        processor_type = Narrow

    executor = NarrowExecutor()
    await executor.start()
    await executor.append_many([Job(), Job()])
    with pytest.raises(QueueFullError):
        await executor.append(Job())


@pytest.mark.parametrize("wrong", ["sqlite:///g.db", [1], 5, "fast"])
def test_settings_that_are_no_mapping_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="processor_config must be a mapping") as caught:
        JobExecutor(wrong)
    assert ("store=" in str(caught.value)) == (wrong == "sqlite:///g.db")
