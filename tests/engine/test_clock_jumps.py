"""The wall clock is set while events wait: by NTP, by hand, or because the machine slept."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from engine.kit import Hold, Job, answers, background, desk, raises
from stores.homes import Home, aside
from stores.makers import QUEUE, STORES, postgres_in

from lionpride.core import EventStatus, Executor, Retry
from lionpride.errors import EventCancelledError
from lionpride.stores.postgres import PostgresStore
from lionpride.stores.sqlite import SqliteStore

S = EventStatus
HOUR = 3600.0
TESTS = Path(__file__).parents[1]


class WallClock:
    """The time of the machine, which a test can set."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Patient(Job):
    """Is tried again after an hour."""

    retry: ClassVar[Retry | None] = Retry(attempts=2, backoff=HOUR, ceiling=HOUR, jitter=False)


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, clock: WallClock) -> Any:
    return STORES[request.param](clock)


@asynccontextmanager
async def idle(executor: Executor) -> AsyncIterator[None]:
    """A worker that has found nothing it may start, and sleeps."""
    try:
        async with background(executor):
            await executor.result(await executor.append(Job(label="first")))
            yield
    finally:
        await executor.store.close()


async def asleep() -> None:
    """Let the worker look for work once more, and lie down."""
    await asyncio.sleep(0.3)


@pytest.mark.promise("due-times-follow-the-clock")
async def test_a_delayed_event_starts_soon_after_the_clock_has_passed_its_time(
    store: Any, clock: WallClock
) -> None:
    executor = desk(store=store)
    async with idle(executor):
        job = await executor.append(Job(label="late"), delay=HOUR)
        await asleep()
        clock.ahead = 2 * HOUR
        assert await executor.result(job) == "late"


async def test_a_delayed_event_waits_for_its_time_where_the_clock_is_set_back(
    store: Any, clock: WallClock
) -> None:
    executor = desk(store=store)
    async with idle(executor):
        job = await executor.append(Job(label="late"), delay=0.2)
        clock.ahead = -HOUR
        await asyncio.sleep(0.5)
        assert (job.status, job.execution.attempt) == (S.PENDING, 0)
        clock.ahead = 1.0
        assert await executor.result(job) == "late"


async def test_what_failed_is_tried_again_when_the_clock_has_passed_its_time(
    store: Any, clock: WallClock
) -> None:
    executor = desk(store=store)
    async with idle(executor):
        job = await executor.append(Patient(do=raises(ValueError("no"))))
        failed = await turned(job, lambda: job.execution.tries == 1)
        clock.ahead = 2 * HOUR
        with pytest.raises(ValueError, match="no"):
            await executor.result(failed)
        assert job.execution.tries == 2


async def test_what_was_denied_is_asked_again_when_the_clock_has_passed_its_time(
    store: Any, clock: WallClock
) -> None:
    executor = desk(store=store, asks=True, denial_backoff=HOUR)
    async with idle(executor):
        job = await executor.append(Job(label="granted", ask=answers(False, True)))
        await turned(job, lambda: job.execution.denials == 1)
        clock.ahead = 2 * HOUR
        assert await executor.result(job) == "granted"


async def test_an_event_expires_when_the_clock_has_passed_its_time(
    store: Any, clock: WallClock
) -> None:
    executor, hold = desk(store=store, concurrency_limit=1), Hold()
    async with idle(executor):
        await executor.append(Job(do=hold))
        await hold.has(1)
        job = await executor.append(Job(), ttl=HOUR)
        await asleep()
        clock.ahead = 2 * HOUR
        with pytest.raises(EventCancelledError, match="not started in time"):
            await executor.result(job)
        hold.let_go()
        await executor.join()


@pytest.mark.promise("set-clock-keeps-leases")
async def test_what_runs_is_not_started_again_when_the_clock_has_passed_its_lease(
    store: Any, clock: WallClock
) -> None:
    executor, hold = desk(store=store), Hold()
    async with idle(executor):
        long = await executor.append(Job(label="long", do=hold))
        await hold.has(1)
        clock.ahead = HOUR
        for _ in range(3):
            await executor.result(await executor.append(Job(label="beside")))
        await asyncio.sleep(1.1)  # the worker has looked for lapsed leases since
        await executor.result(await executor.append(Job(label="beside")))
        hold.let_go()
        await executor.result(long)
        assert (long.execution.attempt, long.execution.interruptions) == (1, 0)


@pytest.mark.promise("expired-events-do-not-start")
@pytest.mark.parametrize("kind", [SqliteStore, PostgresStore])
async def test_an_event_whose_claim_is_answered_after_its_ttl_is_not_started(
    kind: Any, clock: WallClock, tmp_path: Any
) -> None:
    class Slow(kind):
        async def claim(self, *args: Any, **how: Any) -> Any:
            answer = await super().claim(*args, **how)
            clock.ahead += 2 * HOUR if answer[0] else 0.0
            return answer

    home = Home() if kind is PostgresStore else None
    way = {} if home is None else {"schema": home.schema}
    store = Slow(tmp_path / "run.db" if home is None else home.url, QUEUE, clock=clock, **way)
    executor = desk(store=store)
    job = await executor.append(Job(do=raises(AssertionError("started"))), ttl=HOUR)
    async with background(executor):
        with pytest.raises(EventCancelledError, match="not started in time"):
            await executor.result(job)
    await store.close()


async def turned(job: Job, happened: Callable[[], bool]) -> Job:
    """Wait until an event waits again."""
    while not (happened() and job.status is S.PENDING):
        await asyncio.sleep(0.01)
    await asleep()
    return job


DYING = """
import asyncio, os, sys
from stores.makers import Job
from lionpride.stores.open import open_store

async def main():
    store = open_store(sys.argv[1], queue="questions", name="dying")
    store.register_worker("dying", lambda event: None)
    await store.append([(Job(label="taken over"), 1.0)])
    claims, _ = await store.claim("dying")
    assert claims
    os._exit(0)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_clock_that_was_set_back_does_not_delay_the_takeover_from_a_dead_worker(
    kind: str, clock: WallClock, tmp_path: Any
) -> None:
    store: Any
    if kind == "sqlite":
        store, url = SqliteStore(tmp_path / "run.db", QUEUE, clock=clock), f"{tmp_path}/run.db"
        url = f"sqlite:///{url}"
    else:
        home = Home()
        store = postgres_in(home, clock)
        url = f"{home.url}{'&' if '?' in home.url else '?'}lionpride_schema={home.schema}"
    assert (await store.claim("worker"))[0] == []  # it has looked for dead workers just now
    clock.ahead = -HOUR
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", DYING, url, env=environment)
    assert await child.wait() == 0
    claims: Any = []
    while not claims:
        claims, _ = await store.claim("worker")
        await asyncio.sleep(0.02)
    assert [(event.label, attempt) for event, attempt in claims] == [("taken over", 2)]
    await store.close()


# -- the clock of the machine, and of the server -----------------------------------------------

JUMPS = """
import time
ahead, real = 0.0, time.time
time.time = lambda: real() + ahead

import asyncio, sys
from lionpride import Event, Executor, Processor

class Job(Event):
    async def _invoke(self):
        return "ran"

class Jobs(Processor):
    event_type = Job

class Desk(Executor):
    processor_type = Jobs

async def main():
    global ahead
    async with Desk(store=sys.argv[1] or None) as desk:
        await desk.result(await desk.append(Job()))
        job = await desk.append(Job(), delay=3600)
        unstarted = await desk.append(Job(), delay=7200, ttl=7300)
        await asyncio.sleep(0.3)
        ahead = 3600.0
        print(await desk.result(job), flush=True)
        ahead = 8000.0
        try:
            await desk.result(unstarted)
        except Exception as error:
            print(type(error).__name__, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_due_times_follow_the_clock_of_the_machine(kind: str, tmp_path: Any) -> None:
    url = "" if kind == "memory" else f"sqlite:///{tmp_path}/run.db"
    done = subprocess.run(
        [sys.executable, "-c", JUMPS, url], check=False, capture_output=True, text=True, timeout=25
    )
    assert (done.stdout.split(), done.stderr) == (["ran", "EventCancelledError"], "")


_SERVER_CLOCK = """
CREATE TABLE {schema}.jump AS SELECT interval '0' AS ahead;
CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT pg_catalog.clock_timestamp() + ahead FROM {schema}.jump';
"""


async def test_due_times_follow_the_clock_of_the_server() -> None:
    home, server = Home(new=True), aside()
    server.do(server.connection.execute(_SERVER_CLOCK.format(schema=home.schema)))
    join = "&" if "?" in home.url else "?"
    url = f"{home.url}{join}search_path={home.schema},pg_catalog"
    executor = desk(store=PostgresStore(url, schema=home.schema))

    def set_ahead(seconds: float) -> None:
        text = f"UPDATE {home.schema}.jump SET ahead = interval '{seconds} s'"
        server.do(server.connection.execute(text))

    async with idle(executor):
        job = await executor.append(Job(label="late"), delay=HOUR)
        expires = await executor.append(Job(), delay=2 * HOUR, ttl=2 * HOUR + 100)
        await asleep()
        set_ahead(HOUR)
        assert await executor.result(job) == "late"
        set_ahead(3 * HOUR)
        with pytest.raises(EventCancelledError, match="not started in time"):
            await executor.result(expires)
        set_ahead(-HOUR)
        while abs(executor.store.time() - time.time() + HOUR) > 60.0:
            await asyncio.sleep(0.05)
        after = await executor.append(Job(label="by the new time"), delay=0.2)
        assert await executor.result(after) == "by the new time"
