"""After a method of an executor has returned, every question to that executor sees its effect.

Each test asks one question, immediately after each method: an answer that is right only a moment
later is wrong.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from engine.kit import Hold, Job, JobExecutor, sleeps
from stores.homes import Home
from web.asgi import client

from lionpride.cli.store import checks
from lionpride.cli.store.checks import check_queue
from lionpride.core import EventStatus, Executor, Limit
from lionpride.errors import NotFoundError
from lionpride.stores.memory import MemoryStore
from lionpride.stores.open import open_store
from lionpride.view.monitor import Monitor
from lionpride.web import app

TIMES = 5  # some steps are taken so often: their answers were wrong only now and then

pytestmark = pytest.mark.guard(120)


@dataclass(frozen=True)
class Truth:
    """What has to be answered.

    Attributes:
        status: Of the event that is asked about; empty: it is not there any more.
        counts: How many events are in each status, without those of which there are none.
        holds: What holds the event; None: this is not asked.
        position: Its place in the order of what is due.
        workers: What the workers do.
        paused: Whether the executor is paused.
        amount: How much there is of the limit.
    """

    status: str = "pending"
    counts: dict[str, int] = field(default_factory=lambda: {"pending": 1})
    holds: tuple[str, ...] | None = ("no worker",)
    position: int | None = None
    workers: tuple[str, ...] = ()
    paused: bool = False
    amount: float = 100.0


Ask = Callable[[Executor, Job], Awaitable[Any]]


def counted(counts: dict[Any, int]) -> dict[str, int]:
    return {EventStatus(status).value: number for status, number in counts.items() if number}


async def in_the_event(executor: Executor, event: Job) -> str:
    return event.status.value


async def in_the_lists(executor: Executor, event: Job) -> str:
    return "".join(s.value for s in EventStatus if event in executor.get_events_by_status(s))


async def in_the_status_counts(executor: Executor, event: Job) -> dict[str, int]:
    return counted(executor.status_counts())  # type: ignore[arg-type]


async def in_the_counts(executor: Executor, event: Job) -> dict[str, int]:
    return counted(await executor.store.counts())


async def in_the_record(executor: Executor, event: Job) -> str:
    (record,) = await executor.store.get([event.id])
    return "" if record is None else record.status.value


async def in_the_list_of_records(executor: Executor, event: Job) -> str:
    found = await executor.store.list_records(limit=1000)
    return "".join(one.status.value for one in found if one.id == event.id)


async def in_the_list_of_the_page(executor: Executor, event: Job) -> str:
    async with client(app(executor)) as page:
        text = (await page.get("/events")).text
    rows = [row for row in text.split("<tr") if str(event.id) in row]
    return "".join(re.findall(r'class="status s-(\w+)', "".join(rows)))


async def in_the_counts_of_the_page(executor: Executor, event: Job) -> dict[str, int]:
    async with client(app(executor)) as page:
        text = (await page.get("/")).text
    tiles = re.findall(r'class="number">([\d,]+)</span>.*?</span>(\w+)</span>', text, re.DOTALL)
    return {status: int(number) for number, status in tiles if number != "0"}


async def in_why(executor: Executor, event: Job) -> tuple[tuple[str, ...], int | None]:
    try:
        why = await executor.why(event)
    except NotFoundError:
        return (), None
    return tuple(hold.kind for hold in why.holds if hold.kind != "behind"), why.position


async def in_why_of_the_page(executor: Executor, event: Job) -> tuple[tuple[str, ...], int | None]:
    (record,) = await executor.store.get([event.id])
    why = None if record is None else await Monitor(executor).why(record)
    if why is None:
        return (), None
    return tuple(hold.kind for hold in why.holds if hold.kind != "behind"), why.position


async def in_the_workers(executor: Executor, event: Job) -> tuple[str, ...]:
    store: Any = executor.store
    return tuple(doing(one) for one in await store.workers())


def doing(worker: Any) -> str:
    if not worker.alive or worker.about is None:
        return "gone" if not worker.alive else "not known"
    if worker.about.stopped:
        return "stopping"
    return "paused" if worker.about.paused else "running"


async def in_the_workers_of_the_page(executor: Executor, event: Job) -> tuple[str, ...]:
    async with client(app(executor)) as page:
        text = (await page.get("/workers")).text
    return tuple(re.findall(r"</span>(running|paused|stopping|gone)</span>", text))


async def in_paused(executor: Executor, event: Job) -> bool:
    return executor.paused


async def in_paused_of_the_page(executor: Executor, event: Job) -> bool:
    async with client(app(executor)) as page:
        return ">Paused<" in (await page.get("/")).text


async def in_the_usage(executor: Executor, event: Job) -> float:
    (room,) = await executor.store.limit_usage(executor.limits or None)  # type: ignore[arg-type]
    return room.amount


async def in_the_usage_of_the_page(executor: Executor, event: Job) -> float:
    (one,) = await Monitor(executor).limit_usage()
    assert one.amount is not None
    return one.amount


async def in_the_doctor(executor: Executor, event: Job) -> bool:
    """Whether it says that events wait and nobody works on the queue."""
    if isinstance(executor.store, MemoryStore):
        pytest.skip("a doctor looks at durable stores")
    store: Any = executor.store
    return "worker" in [each.check for each in await check_queue(store, "it", knows_classes=False)]


QUESTIONS: dict[Ask, Callable[[Truth], Any]] = {
    in_the_event: lambda truth: truth.status,
    in_the_lists: lambda truth: truth.status,
    in_the_status_counts: lambda truth: truth.counts,
    in_the_counts: lambda truth: truth.counts,
    in_the_record: lambda truth: truth.status,
    in_the_list_of_records: lambda truth: truth.status,
    in_the_list_of_the_page: lambda truth: truth.status,
    in_the_counts_of_the_page: lambda truth: truth.counts,
    in_why: lambda truth: (truth.holds, truth.position),
    in_why_of_the_page: lambda truth: (truth.holds, truth.position),
    in_the_workers: lambda truth: truth.workers,
    in_the_workers_of_the_page: lambda truth: truth.workers,
    in_paused: lambda truth: truth.paused,
    in_paused_of_the_page: lambda truth: truth.paused,
    in_the_usage: lambda truth: truth.amount,
    in_the_usage_of_the_page: lambda truth: truth.amount,
    in_the_doctor: lambda truth: bool(truth.counts.get("pending")) and not truth.workers,
}

Make = Callable[..., Executor]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes an executor over an empty store of its own, which stays open when it is left."""
    homes: list[Home] = []

    def make(**config: Any) -> Executor:
        store: Any = MemoryStore("jobs")
        if request.param == "sqlite":
            number = len(list(tmp_path.glob("*.db")))
            url = f"sqlite:///{tmp_path}/{number}.db?synchronous=NORMAL"
            store = open_store(url, queue="jobs", name="jobs")
        elif request.param == "postgres":
            homes.append(Home())
            url = f"{homes[-1].url}&lionpride_schema={homes[-1].schema}"
            store = open_store(url, queue="jobs", name="jobs")
        limits = [Limit("requests", 100, per=60)]
        return JobExecutor({"limits": limits, **config}, store=store, grace=0)

    return make


@asynccontextmanager
async def closed(executor: Executor) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await executor.store.close()


@dataclass
class Check:
    """Asks one question, and compares."""

    executor: Executor
    ask: Ask

    async def __call__(self, after: str, event: Job, truth: Truth) -> None:
        if not truth.status and self.ask is in_the_event:
            return  # it is the caller's now
        wanted = QUESTIONS[self.ask](truth)
        if isinstance(wanted, tuple) and wanted[:1] == (None,):
            return
        found = await self.ask(self.executor, event)
        assert found == wanted, f"after {after}"


@pytest.fixture(params=list(QUESTIONS), ids=lambda ask: ask.__name__)
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def quick_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "GLANCE", 0.0)  # it looks twice whether anything moves


async def test_after_what_is_done_with_events_that_wait(make: Make, ask: Ask) -> None:
    executor = make()
    check = Check(executor, ask)
    async with closed(executor):
        event, waits = Job(label="a"), Truth(position=1)
        await executor.append(event, 1.0)
        await check("append", event, waits)
        more = [Job(label="b"), Job(label="c")]
        await executor.append_many(more, [2.0, 2.0])
        three = replace(waits, counts={"pending": 3})
        await check("append_many", more[1], replace(three, position=3))
        await executor.cancel(event)
        ended = replace(
            waits, status="cancelled", counts={"pending": 2, "cancelled": 1}, holds=("ended",)
        )
        await check("cancel", event, replace(ended, position=None))
        await executor.retry(event)
        await check("retry", event, three)
        await executor.remove(event)
        gone = replace(waits, status="", counts={"pending": 2}, holds=(), position=None)
        await check("remove", event, gone)
        await executor.append(event, 3.0)
        await check("append of what was removed", event, replace(three, position=3))
        await executor.cancel(event)
        await executor.cleanup_events("cancelled")
        await check("cleanup_events", event, gone)
        await executor.cancel(more[0])
        await check(
            "cancel of the one before",
            more[1],
            replace(
                ended,
                status="pending",
                holds=("no worker",),
                position=1,
                counts={"pending": 1, "cancelled": 1},
            ),
        )
        later = Job(label="later")
        await executor.append(later, delay=60)
        truth = Truth(holds=("due", "no worker"), counts={"pending": 2, "cancelled": 1})
        await check("append with a delay", later, truth)
        executor.limits["requests"].amount = 50.0
        await check("setting an amount", later, replace(truth, amount=50.0))


async def test_after_pause_and_resume(make: Make, ask: Ask) -> None:
    executor = make()
    check, event = Check(executor, ask), Job(label="later")
    async with closed(executor):
        await executor.append(event, delay=3600)
        truth = Truth(holds=("due",), workers=("running",))
        async with executor:
            await check("entering", event, truth)
            for _ in range(TIMES):
                await executor.pause()
                held = replace(truth, holds=("due", "paused"), workers=("paused",), paused=True)
                await check("pause", event, held)
                executor.limits["requests"].amount = 50.0
                await check("setting an amount", event, replace(held, amount=50.0))
                executor.limits["requests"].amount = 100.0
                await executor.resume()
                await check("resume", event, truth)
        await check("leaving", event, Truth(holds=("due", "no worker")))


async def test_after_pause_before_anything_runs(make: Make, ask: Ask) -> None:
    executor = make()
    check, event = Check(executor, ask), Job()
    async with closed(executor):
        await executor.append(event)
        await executor.pause()
        await check("pause", event, Truth(holds=("no worker", "paused"), position=1, paused=True))
        await executor.resume()
        await check("resume", event, Truth(position=1))
        await executor.start()
        await check("start", event, Truth(position=1))


async def test_after_an_append_to_a_paused_executor(make: Make, ask: Ask) -> None:
    """A claim may be under way when it is paused, and take what is appended then."""
    if ask not in (in_why, in_why_of_the_page, in_the_event, in_the_lists, in_the_status_counts):
        pytest.skip("a claim is counted as running, also if it goes back at once")
    for _ in range(TIMES):
        executor = make()
        check = Check(executor, ask)
        async with closed(executor), executor:
            await executor.pause()
            event = await executor.append(Job())
            paused = Truth(holds=("paused",), workers=("paused",), paused=True)
            if ask in (in_why, in_why_of_the_page):
                holds, _ = await ask(executor, event)
                assert holds == ("paused",)
            else:
                await check("append", event, paused)


async def test_after_stop_and_drain(make: Make, ask: Ask) -> None:
    for end in ("stop", "drain"):
        executor, hold = make(concurrency_limit=2), Hold()
        check = Check(executor, ask)
        async with closed(executor), executor:
            running = await executor.append(Job(do=hold))
            await hold.has(1)
            waiting = await executor.append(Job(), delay=3600)
            truth = Truth(holds=("due",), workers=("running",))
            both = replace(truth, counts={"pending": 1, "processing": 1})
            await check("append", waiting, both)
            runs = replace(both, status="processing", holds=("running",))
            await check("the start", running, runs)
            if end == "drain":
                assert await executor.drain(timeout=0) == 2
                none = Truth(holds=("due", "no worker"), counts={"pending": 2})
                await check("drain", waiting, none)
                await check("drain", running, replace(none, holds=("no worker",), position=1))
            else:
                await executor.stop()
                stopped = replace(both, holds=("due", "no worker"), workers=("stopping",))
                if ask is not in_the_doctor:  # the worker is there still
                    await check("stop", waiting, stopped)
                await executor.start()
                if ask is not in_the_doctor:
                    await check("start, which starts nothing", waiting, stopped)
                hold.let_go()


async def test_after_result_and_join(make: Make, ask: Ask) -> None:
    executor = make()
    check = Check(executor, ask)
    async with closed(executor), executor:
        for number in range(1, TIMES + 1):
            event = await executor.append(Job())
            await executor.result(event)
            truth = Truth("completed", {"completed": number}, ("ended",), workers=("running",))
            await check("result", event, truth)
        event = await executor.append(Job(do=sleeps(0.01)))
        await executor.join()
        truth = Truth("completed", {"completed": TIMES + 1}, ("ended",), workers=("running",))
        await check("join", event, truth)
        failing = await executor.append(Job(do=sleeps(3600)))
        while failing.status.value != "processing":
            await asyncio.sleep(0)
        await executor.cancel(failing)
        await asyncio.gather(executor.result(failing), return_exceptions=True)
        truth = replace(truth, status="cancelled", counts={**truth.counts, "cancelled": 1})
        await check("cancel and result", failing, truth)


async def test_after_a_round(make: Make, ask: Ask) -> None:
    executor = make()
    check = Check(executor, ask)
    async with closed(executor):
        event = await executor.append(Job())
        await executor.forward()
        await check("forward", event, Truth("completed", {"completed": 1}, ("ended",)))
