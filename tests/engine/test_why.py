"""executor.why(): what holds an event, in each state that it may wait in, on every store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from engine.kit import Hold, Job, answers, labels, raises
from stores.homes import Home

from lionpride.core import Event, EventStatus, Executor, Limit, Processor, RateLimited, Retry
from lionpride.errors import NotFoundError
from lionpride.rules.explain import Why

Make = Callable[..., Executor]


class Call(Job):
    tokens: float = 1
    tenant: str | None = None

    @property
    def costs(self) -> Mapping[str, float]:
        return {"tokens": self.tokens, "tenants": 1}

    @property
    def key(self) -> str | None:
        return self.tenant


class Calls(Processor):
    event_type: ClassVar[type[Event]] = Call


class AskingCalls(Calls):
    async def request_permission(self, *, event: Call, **_: Any) -> bool:
        return True if event.ask is None else await event.ask(event)


class CallDesk(Executor):
    processor_type: ClassVar[type[Processor]] = Calls


class AskingDesk(Executor):
    processor_type: ClassVar[type[Processor]] = AskingCalls


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes an executor; several of them over one store. Whoever leaves it, closes it."""
    made: list[Executor] = []
    home: Any = Home() if request.param == "postgres" else None

    def make(*, asks: bool = False, **config: Any) -> Executor:
        store: Any = f"sqlite:///{tmp_path}/run.db?synchronous=NORMAL"
        if request.param == "postgres":
            store = f"{home.url}&lionpride_schema={home.schema}"
        if request.param == "memory":
            store = made[0].store if made else None
        made.append((AskingDesk if asks else CallDesk)(config, store=store, grace=0))
        return made[-1]

    return make


@asynccontextmanager
async def idle(executor: Executor) -> AsyncIterator[None]:
    """Nothing runs it, and its store is closed afterwards."""
    try:
        yield
    finally:
        await executor.store.close()


def kinds(why: Why) -> list[str]:
    return [hold.kind for hold in why.holds]


async def settled(executor: Executor, *jobs: Event) -> None:
    for job in jobs:
        await executor.result(job)


async def denied(executor: Executor, job: Event, times: int) -> None:
    """Return when permission was denied so often."""
    count = asyncio.Event()
    stop = executor.observe(lambda step: job.execution.denials >= times and count.set())
    if job.execution.denials < times:
        await count.wait()
    stop()


async def test_with_no_worker(make: Make) -> None:
    executor = make()
    async with idle(executor):
        first, second = await executor.append_many([Call(label="a"), Call(label="b")])
        why = await executor.why(second)
        assert (kinds(why), why.position, why.expected) == (["no worker", "behind"], 2, None)
        assert "nothing is running" in str(why)
        why = await executor.why(str(first.id))
        assert (why.id, kinds(why), why.position) == (first.id, ["no worker"], 1)


async def test_what_is_not_due(make: Make) -> None:
    executor = make()
    async with executor:
        job = await executor.append(Call(), delay=60)
        why = await executor.why(job)
    assert (kinds(why), why.position) == (["due"], None)
    assert why.expected == why.holds[0].until
    assert why.expected is not None
    assert 50 < why.expected - why.now <= 60


async def test_what_is_denied(make: Make) -> None:
    executor = make(asks=True, denial_backoff=60)
    async with executor:
        job = await executor.append(Call(ask=answers(False)))
        await denied(executor, job, 1)
        why = await executor.why(job)
    assert kinds(why) == ["denied"]
    assert "denied 1 of 3 times" in str(why)
    assert why.expected is not None
    assert 50 < why.expected - why.now <= 60


async def test_what_is_tried_again(make: Make) -> None:
    executor = make()
    failed = asyncio.Event()
    executor.observe(lambda step: step.reason == "retry" and failed.set())
    async with executor:
        policy = Retry(attempts=3, backoff=60, jitter=False)
        job = await executor.append(Call(do=raises(ValueError("no"))), retry=policy)
        await failed.wait()
        why = await executor.why(job)
    assert kinds(why) == ["retry"]
    assert "failed 1 time" in str(why)


async def test_what_waits_for_a_slot(make: Make) -> None:
    executor, hold = make(concurrency_limit=1), Hold()
    async with executor:
        running = await executor.append(Call(do=hold))
        await hold.has(1)
        second, third = await executor.append_many([Call(), Call()])
        why = await executor.why(third)
        assert (kinds(why), why.position, why.expected) == (["slots", "behind"], 2, None)
        assert kinds(await executor.why(second)) == ["slots"]
        assert kinds(await executor.why(running)) == ["running"]
        hold.let_go()
        await settled(executor, running, second, third)
        why = await executor.why(running)
        assert (kinds(why), why.expected, why.position) == (["ended"], None, None)


async def test_what_waits_for_the_window(make: Make) -> None:
    executor = make(queue_capacity=1, capacity_refresh_time=60)
    async with executor:
        first = await executor.append(Call())
        await settled(executor, first)
        second, third = await executor.append_many([Call(), Call()])
        why, after = await executor.why(second), await executor.why(third)
    assert kinds(why) == ["window"]
    assert why.expected is not None
    assert after.expected is not None
    assert 50 < why.expected - why.now <= 60
    assert after.expected - why.expected == pytest.approx(60, abs=1)


async def test_what_waits_for_a_limit(make: Make) -> None:
    executor = make(limits=[Limit("tokens", 5, per=60)])
    async with executor:
        await settled(executor, await executor.append(Call(tokens=4)))
        job = await executor.append(Call(tokens=2))
        why = await executor.why(job)
    assert kinds(why) == ["limit"]
    assert "limit tokens has 4 of 5 in 60 s taken, and it needs 2" in str(why)
    assert why.expected is not None
    assert 50 < why.expected - why.now <= 60


async def test_what_waits_for_its_key(make: Make) -> None:
    executor, hold = make(limits=[Limit("tenants", 1, per_key=True)]), Hold()
    async with executor:
        running = await executor.append(Call(tenant="a", do=hold))
        await hold.has(1)
        same = await executor.append(Call(tenant="a"))
        why = await executor.why(same)
        assert (kinds(why), why.expected) == (["key"], None)
        assert "limit tenants of key a has 1 of 1" in str(why)
        hold.let_go()
        await settled(executor, running, same)


async def test_what_a_service_has_asked_to_wait(make: Make) -> None:
    executor = make()
    told = asyncio.Event()
    executor.observe(lambda step: step.reason == "rate limited" and told.set())
    async with executor:
        await executor.append(Call(do=raises(RateLimited("slow down", retry_after=60))))
        await told.wait()
        job = await executor.append(Call())
        why = await executor.why(job)
    assert kinds(why) == ["queue paused"]
    assert why.expected is not None
    assert 50 < why.expected - why.now <= 60


async def test_what_waits_while_it_is_paused(make: Make) -> None:
    executor = make()
    async with executor:
        await executor.pause()
        job = await executor.append(Call())
        why = await executor.why(job)
        assert (kinds(why), why.expected) == (["paused"], None)
        await executor.resume()
        await settled(executor, job)


async def test_what_is_asked_for_its_permission(make: Make) -> None:
    asked, let = asyncio.Event(), asyncio.Event()

    async def ask(event: Job) -> bool:
        asked.set()
        await let.wait()
        return True

    executor = make(asks=True)
    async with executor:
        job = await executor.append(Call(ask=ask))
        await asked.wait()
        assert kinds(await executor.why(job)) == ["claimed"]
        let.set()
        await settled(executor, job)


async def test_another_executor_of_the_same_store_knows_as_much(make: Make) -> None:
    executor, other, hold = make(limits=[Limit("tokens", 5, per=60)]), make(), Hold()
    async with executor, idle(other):
        await settled(executor, await executor.append(Call(tokens=4)))
        job = await executor.append(Call(tokens=2))
        assert kinds(await other.why(job.id)) == ["limit"], "the worker has told its limits"
        await executor.pause()
        while "paused" not in kinds(await other.why(job.id)):
            await executor.append(Call())  # the word of it is on its way, over another connection
        assert labels([job]) == [""]
        assert hold.inside == 0


async def test_what_is_not_here(make: Make) -> None:
    executor = make()
    async with idle(executor):
        await executor.append(Call())
        with pytest.raises(NotFoundError, match="append it first"):
            await executor.why(Call())


async def test_what_nothing_holds_starts_at_once(make: Make) -> None:
    executor, hold = make(concurrency_limit=2), Hold()
    async with executor:
        running = await executor.append(Call(do=hold))
        await hold.has(1)
        job = Call()
        task = asyncio.ensure_future(executor.append(job))
        await task
        why = await executor.why(job)
        assert why.status in (EventStatus.PENDING, EventStatus.PROCESSING, EventStatus.COMPLETED)
        if why.status is EventStatus.PENDING and kinds(why) != ["claimed"]:  # or not yet shown
            assert (why.holds, why.position, why.expected) == ((), 1, why.now)
        hold.let_go()
        await settled(executor, running, job)
