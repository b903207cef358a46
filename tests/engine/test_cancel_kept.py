"""A cancel that was answered is kept: the event does not start again, on every store.

One executor runs the events. Another one, over the same store, cancels each of them; then the
attempt comes to an end that would return the event to PENDING, before its worker has heard of the
cancel.
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from engine.test_cancel_across import imported
from stores.homes import Home

from lionpride.core import (
    Defer,
    Event,
    EventStatus,
    Executor,
    Processor,
    RateLimited,
    Retry,
    Transition,
)
from lionpride.errors import EventCancelledError

MANY = 40

ENTERED: Counter[str] = Counter()
"""How often an attempt, or the question for permission, was entered, by label."""

READY: dict[str, asyncio.Event] = {}
GO: dict[str, asyncio.Event] = {}


async def gate(label: str) -> None:
    """Say that an attempt has come here, and wait until it may go on."""
    ENTERED[label] += 1
    READY[label].set()
    await GO[label].wait()


class Unlucky(Event):
    """Fails each time, by ``how``."""

    retry: ClassVar[Retry] = Retry(attempts=9, backoff=0.0)
    label: str = ""
    how: str = "retry"

    @property
    def request(self) -> dict[str, Any]:
        return {"label": self.label, "how": self.how}

    async def _invoke(self) -> None:
        await gate(self.label)
        if self.how == "rate limited":
            raise RateLimited("too many", retry_after=0.0)
        if self.how == "interrupted":
            await asyncio.sleep(3600)
        raise ValueError("no luck")


class Worker(Processor):
    event_type: ClassVar[type[Event]] = Unlucky


class Asking(Worker):
    async def request_permission(self, *, label: str, how: str, **_: Any) -> bool | Defer:
        await gate(label)
        return Defer(0.0) if how == "deferred" else False


class Plain(Executor):
    processor_type: ClassVar[type[Processor]] = Worker


class AskingPlain(Executor):
    processor_type: ClassVar[type[Processor]] = Asking


Make = Callable[..., Executor]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes an executor; all of them over one store."""
    made: list[Executor] = []
    home: Any = Home() if request.param == "postgres" else None

    def make(*, asks: bool = False, grace: float = 30.0, **config: Any) -> Executor:
        store: Any = f"sqlite:///{tmp_path}/run.db?synchronous=NORMAL"
        if request.param == "postgres":
            store = f"{home.url}&lionpride_schema={home.schema}"
        if request.param == "memory":
            store = made[0].store if made else None
        made.append((AskingPlain if asks else Plain)(config, store=store, grace=grace))
        return made[-1]

    return make


@asynccontextmanager
async def closing(executor: Executor) -> AsyncIterator[Executor]:
    try:
        yield executor
    finally:
        await executor.store.close()


def unlucky(how: str, many: int = MANY) -> list[Unlucky]:
    ENTERED.clear()
    events = [Unlucky(label=f"{how} {n}", how=how) for n in range(many)]
    for event in events:
        READY[event.label], GO[event.label] = asyncio.Event(), asyncio.Event()
    return events


async def cancel_each(events: list[Unlucky], canceller: Executor) -> None:
    """Cancel each event that is claimed; at once its attempt goes on to its end."""
    for event in events:
        await READY[event.label].wait()
        assert await canceller.cancel(event.id) is True
        GO[event.label].set()


async def check_cancelled(events: list[Unlucky], *executors: Executor) -> None:
    """Each event is CANCELLED for each who asks, and was entered once."""
    for executor in executors:
        for event in events:
            with pytest.raises(EventCancelledError):
                await executor.result(event.id)
        counts = await executor.store.counts()
        assert {status: n for status, n in counts.items() if n} == {
            EventStatus.CANCELLED: len(events)
        }
        why = await executor.why(events[0].id)
        assert why.status is EventStatus.CANCELLED
    again = {label: n for label, n in ENTERED.items() if n > 1}
    assert not again, f"{len(again)} of {len(events)} ran on"


@pytest.mark.promise("answered-cancel-is-final")
@pytest.mark.parametrize("how", ["retry", "rate limited", "denied", "deferred"])
async def test_what_is_cancelled_while_it_fails_into_a_retry_does_not_run_on(
    make: Make, how: str
) -> None:
    asks = how in ("denied", "deferred")
    many = 8 if asks else MANY  # permission is asked for one after another
    worker, canceller = make(asks=asks, concurrency_limit=MANY), make(asks=asks)
    told: list[Transition] = []
    worker.observe(told.append)
    events = unlucky(how, many)
    async with closing(canceller), worker:
        await worker.append_many(events)
        await asyncio.wait_for(cancel_each(events, canceller), 20)
        await asyncio.wait_for(worker.join(), 20)
        await check_cancelled(events, worker, canceller)
        assert len(worker.cancelled_events) == many
    last = {step.event.id: step for step in told}
    assert {step.after for step in last.values()} == {EventStatus.CANCELLED}
    assert all(isinstance(step.error, EventCancelledError) for step in last.values())
    ends = Counter(step.event.id for step in told if step.after is EventStatus.CANCELLED)
    assert ends == Counter({event.id: 1 for event in events}), "each end is told once"


async def test_what_is_cancelled_while_it_is_interrupted_does_not_run_on(make: Make) -> None:
    worker, canceller = make(grace=0.0, concurrency_limit=MANY), make(concurrency_limit=MANY)
    events = unlucky("interrupted")
    async with closing(canceller):
        async with worker:
            await worker.append_many(events)
            await asyncio.wait_for(cancel_each(events, canceller), 20)
        async with canceller:
            await asyncio.wait_for(canceller.join(), 20)
            await check_cancelled(events, canceller)


async def test_a_retry_by_hand_runs_without_the_request(make: Make) -> None:
    worker, canceller = make(concurrency_limit=MANY), make()
    events = unlucky("retry", 5)
    async with closing(canceller), worker:
        await worker.append_many(events)
        await cancel_each(events, canceller)
        await worker.join()
        await check_cancelled(events, worker)
        for event in events:
            await worker.retry(event)
        await worker.join()
        assert len(worker.failed_events) == 5
    assert set(ENTERED.values()) == {1 + 9}, "all attempts of the policy"


# -- a worker that is killed -----------------------------------------------------------------------

PROGRAM = """
import asyncio
import sys
from typing import ClassVar

from lionpride.core import Event, Executor, Processor

RAN = []


class Long(Event):
    async def _invoke(self):
        RAN.append(self.id)
        if __name__ == "__main__":
            print("started", flush=True)
            await asyncio.sleep(60)


class Worker(Processor):
    event_type: ClassVar = Long


class Plain(Executor):
    processor_type: ClassVar = Worker


async def main(url):
    async with Plain({"concurrency_limit": 16}, store=url):
        await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.promise("answered-cancel-is-final")
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_what_is_cancelled_before_its_worker_is_killed_does_not_run_on(
    kind: str, tmp_path: Path
) -> None:
    home: Any = Home() if kind == "postgres" else None
    url = f"sqlite:///{tmp_path}/run.db?synchronous=NORMAL"
    if home is not None:
        url = f"{home.url}&lionpride_schema={home.schema}"
    file = tmp_path / f"killed_{kind}.py"
    file.write_text(PROGRAM)
    program = imported(file)
    executor, told = program.Plain(store=url), list[Transition]()
    events = await executor.append_many([program.Long() for _ in range(16)])
    executor.observe(told.append)
    other = await asyncio.create_subprocess_exec(
        sys.executable, file, url, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout is not None
    for _ in events:
        assert await other.stdout.readline() == b"started\n"
    other.send_signal(signal.SIGSTOP)  # so that it cannot act on the cancel
    kept = events[::2]
    try:
        for event in kept:
            assert await executor.cancel(event) is True
    finally:
        os.kill(other.pid, signal.SIGKILL)
        await other.wait()
    async with executor:
        await asyncio.wait_for(executor.join(), 25)
        for event in kept:
            with pytest.raises(EventCancelledError):
                await executor.result(event)
        counts = await executor.store.counts()
    assert counts[EventStatus.CANCELLED] == len(kept)
    assert counts[EventStatus.COMPLETED] == len(events) - len(kept)
    assert not {event.id for event in kept} & set(program.RAN)
    ends = Counter(step.event.id for step in told if step.after is EventStatus.CANCELLED)
    assert ends == Counter({event.id: 1 for event in kept}), "each end is told once"
