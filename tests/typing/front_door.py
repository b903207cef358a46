"""The front door as users write it, for mypy and pyright; nothing here is ever run."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, assert_type
from uuid import UUID

from lionpride import Event, Executor, Limit, Processor, Progress, Retry, current, job
from lionpride.stores.record import Record


class Square(Event):
    number: int

    async def _invoke(self) -> int:
        return self.number**2


class Name(Event):
    def _invoke(self) -> str:
        return "a plain function"


class Untyped(Event):
    async def _invoke(self):  # type: ignore[no-untyped-def]
        return 1


@job(timeout=30, retry=Retry(max_attempts=4))
async def fetch(url: str, times: int = 1) -> bytes:
    return url.encode() * times


@job
def plain(x: int) -> float:
    return x / 2


@job
async def chunks(n: int) -> AsyncIterator[str]:
    for _ in range(n):
        yield "chunk"


@job(costs={"tokens": 3}, max_chunks=5)
def lines(n: int) -> Iterator[int]:
    yield from range(n)


@asynccontextmanager
async def resources(executor: Executor) -> AsyncIterator[dict[str, int]]:
    yield {"executor": id(executor)}


async def may_start(**request: Any) -> bool:
    return bool(request)


crawler = Executor.of(
    fetch,
    plain,
    Square,
    queue="crawl",
    store="sqlite:///run.db",
    name="crawler",
    grace=5.0,
    lifespan=resources,
    permission=may_start,
    processor=Processor,
    processor_config={},
    concurrency_limit=8,
    queue_capacity=10,
    capacity_refresh_time=1.0,
    max_queue_size=100,
    denial_backoff=0.5,
    blocked_after=None,
    limits=[Limit("tokens", 100, per=60)],
    scope="fleet",
)
assert_type(crawler, Executor)

Executor.of(Square, concurency_limit=8)  # type: ignore[call-arg]
Executor.of(Square, concurrency_limit="8")  # type: ignore[arg-type]
Executor.of(Square, scope="galaxy")  # type: ignore[arg-type]
Executor.of(Square(number=1))  # type: ignore[arg-type]

fetch(1)  # type: ignore[arg-type]
fetch("url", 1, 2)  # type: ignore[call-arg]
fetch()  # type: ignore[call-arg]
fetch.event_type(url="x", timeout=3.0)


async def results_are_typed(executor: Executor, event_id: UUID) -> None:
    assert_type(await executor.run(Square(number=7), priority=1), int)
    assert_type(await executor.run(Name()), str)
    assert_type(await executor.run(fetch("x", times=2), exist_ok=True, delay=3.0), bytes)
    assert_type(await executor.run(plain(3)), float)
    assert_type(await executor.run(chunks(3)), list[str])
    assert_type(await executor.run(lines(n=3)), list[int])
    assert_type(await executor.result(Square(number=1)), int)
    assert_type(await executor.result(fetch("x")), bytes)
    assert_type(await executor.result(event_id), Any)
    assert_type(await executor.result(str(event_id)), Any)
    assert_type(await executor.get(event_id), Event | Record)
    async for progress in executor.progress(event_id):
        assert_type(progress, Progress)
    held = await executor.append(fetch("x"))
    assert_type(await executor.result(held), bytes)
    await executor.run(Square(number=1), connection=None)  # type: ignore[call-overload]
    await fetch.function("x")


async def inside_an_attempt() -> None:
    context = current()
    assert_type(context.event, Event)
    assert_type(context.executor, Executor)
    assert_type(context.resources, Any)
    assert_type(context.attempt_number, int)
    context.report_progress(0.5, "half")
    context.spend(tokens=3)
