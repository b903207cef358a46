"""The original's rate limiting names: the same interface, and no event is aborted for waiting."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from engine.kit import background, now

from lionpride.compat import (
    RateLimitConfig,
    RateLimitedExecutor,
    RateLimitedProcessor,
    TokenBucket,
)
from lionpride.core import Event, EventStatus, Executor, Pile, Processor
from lionpride.errors import ValidationError

pytestmark = pytest.mark.virtual

STARTS: list[float] = []


class Call(Event):
    tokens: int | None = None

    @property
    def request(self) -> dict[str, Any]:
        return {"required_tokens": self.tokens}

    async def _invoke(self) -> int | None:
        STARTS.append(now())
        return self.tokens


class CallProcessor(RateLimitedProcessor):
    event_type: ClassVar[type[Event]] = Call


class CallExecutor(RateLimitedExecutor):
    processor_type: ClassVar[type[Processor]] = CallProcessor


def bucket(capacity: int, rate: float) -> TokenBucket:
    return TokenBucket(RateLimitConfig(capacity, rate))


def desk(**config: Any) -> CallExecutor:
    STARTS.clear()
    return CallExecutor({"queue_capacity": 100, "capacity_refresh_time": 1.0, **config})


async def starts(executor: Executor, *tokens: int | None) -> list[float]:
    began = now()
    events = await executor.append_many([Call(tokens=each) for each in tokens])
    async with background(executor):
        await executor.join()
    assert all(event.status is EventStatus.COMPLETED for event in events)
    return [at - began for at in STARTS]


async def test_events_wait_for_both_buckets_and_none_is_aborted() -> None:
    executor = desk(request_bucket=bucket(2, 0.2), token_bucket=bucket(100, 10.0))
    assert executor.states.name == "rate_limited_executor"
    assert await starts(executor, 10, 10, 90, 10, 100) == [0, 0, 10, 10, 20]


async def test_who_requires_no_tokens_takes_none() -> None:
    executor = desk(token_bucket=bucket(10, 1.0))
    assert await starts(executor, 10, None, None, 10) == [0, 0, 0, 10]


async def test_without_buckets_nothing_waits() -> None:
    assert await starts(desk(), *[5] * 10) == [0] * 10


async def test_what_can_never_be_had_is_refused_at_append() -> None:
    with pytest.raises(ValidationError, match=r"costs\['tokens'\] is 11"):
        await desk(token_bucket=bucket(10, 1.0)).append(Call(tokens=11))


async def test_a_bucket_can_be_shared_and_drained_by_hand() -> None:
    tokens = bucket(10, 1.0)
    assert await tokens.try_acquire(8)
    assert await starts(desk(token_bucket=tokens), 2, 2) == [0, 10]


async def test_by_hand_it_takes_from_both_or_from_none() -> None:
    requests, tokens = bucket(10, 1.0), bucket(100, 10.0)
    pile: Pile[Event] = Pile()
    processor = await CallProcessor.create(
        queue_capacity=10,
        capacity_refresh_time=1.0,
        pile=pile,
        request_bucket=requests,
        token_bucket=tokens,
    )
    assert await processor.request_permission(required_tokens=90)
    assert not await processor.request_permission(required_tokens=20)
    assert (requests.tokens, tokens.tokens) == (9, 10)
    assert await processor.request_permission()
    assert (requests.tokens, tokens.tokens) == (8, 10)
    assert isinstance(processor, CallProcessor)
    await processor.start_replenishing()
    assert not processor.is_stopped()
    assert processor.to_dict() == {
        "queue_capacity": 10,
        "capacity_refresh_time": 1.0,
        "replenishment_interval": 60.0,
        "concurrency_limit": 100,
        "max_queue_size": 1000,
        "max_denial_tracking": 10_000,
        "request_bucket": {"capacity": 10, "refill_rate": 1.0},
        "token_bucket": {"capacity": 100, "refill_rate": 10.0},
    }


async def test_a_subclass_may_ask_more_and_its_base_first() -> None:
    class Careful(CallProcessor):
        async def request_permission(self, *args: Any, **request: Any) -> bool:
            return await super().request_permission(*args, **request)

    class CarefulExecutor(CallExecutor):
        processor_type: ClassVar[type[Processor]] = Careful

    STARTS.clear()
    executor = CarefulExecutor({"token_bucket": bucket(10, 1.0)})
    assert await starts(executor, 10, 10) == [0, 10]


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), "60"])
def test_its_settings_are_checked(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="replenishment_interval"):
        RateLimitedProcessor(replenishment_interval=wrong)


async def test_over_a_file_the_tokens_of_a_request_are_on_record(tmp_path: Path) -> None:
    STARTS.clear()
    executor = CallExecutor(
        {"token_bucket": bucket(100, 10.0)}, store=f"sqlite:///{tmp_path / 'run.db'}"
    )
    one = await executor.append(Call(tokens=90))
    many = await executor.append_many([Call(tokens=30), Call(tokens=None)])
    records = await executor.store.list_records(None)
    assert [record.costs.get("tokens", 0) for record in records] == [90, 30, 0]
    async with executor:
        await executor.result(one)
        await executor.cancel(many[0])  # it waits for its tokens: ten seconds
        await executor.join()
    assert [event.status for event in (one, *many)] == ["completed", "cancelled", "completed"]


class Shy(Event):
    @property
    def request(self) -> dict[str, Any]:
        raise RuntimeError("not before it starts")

    async def _invoke(self) -> None:
        """Nobody comes here."""


async def test_without_limits_nobody_looks_into_a_request_before_the_start(tmp_path: Path) -> None:
    class ShyProcessor(Processor):
        event_type: ClassVar[type[Event]] = Shy

    class ShyExecutor(Executor):
        processor_type: ClassVar[type[Processor]] = ShyProcessor

    for store in (None, f"sqlite:///{tmp_path / 'run.db'}"):
        executor = ShyExecutor(store=store)
        event = await executor.append(Shy())
        async with executor:
            await executor.join()
        assert (event.status, str(event.execution.error)) == ("failed", "not before it starts")
