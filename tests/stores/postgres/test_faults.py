"""A server that goes, connections that go, answers that are lost: nothing is lost of the events."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, ClassVar

import asyncpg
import pytest
from stores.postgres.wire import Wire, wire_to

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.errors import ExistsError
from tools.postgres_server import Server

pytestmark = pytest.mark.guard(60)

schemas = (f"fault_{number}" for number in count(1))


class Errand(Event):
    """Notes that it has run, by its number."""

    number: int = 0
    pause: float = 0.0
    runs: ClassVar[Counter[int]] = Counter()

    async def _invoke(self) -> int:
        await asyncio.sleep(self.pause)
        self.runs[self.number] += 1
        return self.number


class Boy(Processor):
    event_type = Errand


class Errands(Executor):
    processor_type = Boy


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of this module's own, which may be stopped.

    What is not on the disk when an append returns does not get there by itself soon.
    """
    settings = {"fsync": "on", "max_connections": "30", "wal_writer_delay": "10s"}
    with Server({**settings, "autovacuum": "off"}) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_has_run() -> None:
    Errand.runs.clear()


@asynccontextmanager
async def running(url: str, lease: float = 2.0, **config: Any) -> AsyncIterator[Errands]:
    """An executor on tables of its own."""
    store = f"{url}&lionpride_schema={next(schemas)}&lionpride_lease={lease}"
    async with Errands({"concurrency_limit": 20, **config}, store=store) as executor:
        yield executor


async def expect(executor: Errands, n: int) -> None:
    """All are completed, and none is more than that."""
    await executor.join()
    counts = {status: n for status, n in (await executor.store.counts()).items() if n}
    assert counts == {EventStatus.COMPLETED: n}
    assert set(Errand.runs) == set(range(n))


async def storm(url: str, seconds: float) -> int:
    """Terminate all connections of the library again and again."""
    connection = await asyncpg.connect(url)
    gone = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                gone += await connection.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE application_name = 'lionpride' AND pid <> pg_backend_pid()"
                )
                await asyncio.sleep(0.05)
    except TimeoutError:
        return gone
    finally:
        await connection.close()


async def append_slowly(executor: Errands, n: int, pause: float = 0.002) -> None:
    for number in range(0, n, 10):
        await executor.append_many([Errand(number=number + i, pause=pause) for i in range(10)])
        await asyncio.sleep(0.01)


@pytest.mark.promise("postgres-cut-connections")
async def test_a_storm_of_terminated_connections_loses_nothing(server: Server) -> None:
    async with running(server.url) as executor:
        appending = asyncio.create_task(append_slowly(executor, 600))
        assert await storm(server.url, 2.0) > 20
        await appending
        await expect(executor, 600)


@pytest.mark.promise("postgres-server-crash")
async def test_a_server_that_crashes_under_load_goes_on_where_it_was(server: Server) -> None:
    async with running(server.url) as executor:
        appending = asyncio.create_task(append_slowly(executor, 400))
        for _ in range(2):
            await asyncio.sleep(0.2)
            await asyncio.to_thread(server.stop, "immediate")
            await asyncio.to_thread(server.start)
        await appending
        await expect(executor, 400)


@pytest.mark.promise("postgres-lost-answer")
@pytest.mark.parametrize(
    ("step", "statement"),
    [
        ("append", r'INSERT INTO "\w+"\."event"'),
        ("claim", r'INSERT INTO "\w+"\."lease"'),
        ("settle", r'INSERT INTO "\w+"\."finished"'),
    ],
)
async def test_a_step_whose_answer_is_lost_is_done_once(
    step: str, statement: str, server: Server
) -> None:
    async with wire_to(server.url) as wire, running(wire.url, lease=1.0) as executor:
        await executor.append(Errand(number=0))
        await executor.join()
        wire.lose(statement)
        await executor.append_many([Errand(number=number) for number in range(1, 200)])
        await executor.append(Errand(number=200))
        await expect(executor, 201)
        assert wire.lost == 1, step
    assert max(Errand.runs.values()) == 1


@pytest.mark.promise("postgres-server-crash")
async def test_an_event_whose_append_has_returned_survives_a_crash_of_the_server(
    server: Server,
) -> None:
    """No worker is running, so no later commit writes the event to the disk."""
    store = f"{server.url}&lionpride_schema={next(schemas)}"
    executor = Errands(store=store)
    try:
        for n in range(1, 5):
            await executor.append(Errand(number=n))
            await asyncio.to_thread(server.stop, "immediate")
            await asyncio.to_thread(server.start)
            assert (await executor.store.counts())[EventStatus.PENDING] == n
    finally:
        await executor.store.close()


async def test_an_event_is_appended_once_if_the_answer_to_its_notification_is_lost(
    server: Server,
) -> None:
    async with wire_to(server.url) as wire, running(wire.url, lease=1.0) as executor:
        await executor.append(Errand(number=0))
        await executor.join()
        wire.lose(r"pg_notify\(\$1")
        await executor.append(Errand(number=1))
        await expect(executor, 2)
        while not wire.lost:
            await asyncio.sleep(0.01)
    assert max(Errand.runs.values()) == 1


@asynccontextmanager
async def held_up(wire: Wire, executor: Errands, *errands: Errand) -> AsyncIterator[Any]:
    """Append events whose commit is done and whose answer is held up until the end of the block."""
    await executor.append(Errand(number=0))
    wire.hold_answer(r'INSERT INTO "\w+"\."event"')
    appends = asyncio.gather(*(executor.append(one) for one in errands), return_exceptions=True)
    await wire.held.wait()
    yield appends
    wire.let_go()


async def append_here(executor: Errands, known: Errand, how: str) -> None:
    """Append what is known, and hear so in one way or the other."""
    if how == "let stand":
        await executor.append(known, exist_ok=True)
        return
    others = [Errand(number=2)] if how == "refused among others" else []
    with pytest.raises(ExistsError):
        await executor.append_many([*others, known])


@pytest.mark.promise("postgres-server-crash")
@pytest.mark.parametrize("how", ["let stand", "refused", "refused among others"])
async def test_what_is_said_to_be_known_is_on_the_disk(how: str, server: Server) -> None:
    schema = f"&lionpride_schema={next(schemas)}"
    errand = Errand(number=1)
    async with wire_to(server.url) as wire:
        first, second = Errands(store=wire.url + schema), Errands(store=server.url + schema)
        try:
            async with held_up(wire, first, errand) as appends:
                await append_here(second, Errand.from_dict(errand.to_dict()), how)
                await asyncio.to_thread(server.stop, "immediate")
                await asyncio.to_thread(server.start)
                assert (await second.store.get([errand.id]))[0] is not None
            assert await appends == [errand]
        finally:
            await first.store.close()
            await second.store.close()


async def test_a_repeat_of_an_append_that_was_cancelled_under_way_answers_the_same_object(
    server: Server,
) -> None:
    errand = Errand(number=1)
    async with wire_to(server.url) as wire:
        executor = Errands(store=f"{wire.url}&lionpride_schema={next(schemas)}")
        try:
            async with held_up(wire, executor, errand) as appends:
                appends.cancel()
                repeat = asyncio.create_task(executor.append(errand, exist_ok=True))
                await asyncio.wait([repeat], timeout=0.3)  # it may return, or wait for the first
            with pytest.raises(asyncio.CancelledError):
                await appends
            assert await repeat is errand
            assert (await executor.store.counts())[EventStatus.PENDING] == 2
        finally:
            await executor.store.close()


async def test_an_append_that_returns_after_another_process_has_run_its_event_learns_of_that(
    server: Server,
) -> None:
    schema = f"&lionpride_schema={next(schemas)}"
    polling = f"{server.url}{schema}&lionpride_listen=off&lionpride_poll=0.05"
    async with wire_to(server.url) as wire, Errands(store=polling) as worker:
        executor = Errands(store=wire.url + schema)
        try:
            errands = [Errand(number=number) for number in range(1, 4)]
            async with held_up(wire, executor, *errands) as appends:
                await worker.join()
                assert set(Errand.runs) == {0, 1, 2, 3}
            assert await appends == errands
            assert await executor.cancel(errands[0]) is False
            assert await executor.result(errands[0]) == 1
            assert [chunk async for chunk in executor.stream(errands[1])] == [2]
            await executor.join()
            assert errands[2].status is EventStatus.COMPLETED
        finally:
            await executor.store.close()


async def execute(url: str, *statements: str) -> None:
    """Run statements on a server, over a connection that is closed again."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


_READ_ONLY = "ALTER SYSTEM SET default_transaction_read_only = on"
_WRITABLE = "ALTER SYSTEM RESET default_transaction_read_only"
_RELOAD = "SELECT pg_reload_conf()"


async def connections_to(url: str) -> set[int]:
    """Return the process ids of the library's sessions on a server."""
    connection = await asyncpg.connect(url)
    try:
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'lionpride'"
        return {pid for (pid,) in await connection.fetch(query)}
    finally:
        await connection.close()


@pytest.mark.promise("postgres-read-only-server")
async def test_connections_to_a_server_that_became_read_only_are_not_kept() -> None:
    """A failover: clients find another server at the same address; the old one still answers."""
    with Server() as old, Server() as new:
        schema = next(schemas)
        async with wire_to(old.url) as wire:
            store = f"{wire.url}&lionpride_schema={schema}"
            for server in (old, new):
                executor = Errands(store=f"{server.url}&lionpride_schema={schema}")
                await executor.append(Errand(number=0))
                await executor.store.close()  # both are alike, as after a replication
            async with Errands(store=store) as worker:
                await worker.join()
                producer = Errands(store=store)
                try:
                    assert (await producer.store.counts())[EventStatus.PENDING] == 0
                    assert len(await connections_to(old.url)) > 4
                    await execute(old.url, _READ_ONLY, _RELOAD)
                    wire.move_to(new.url)
                    errands = [Errand(number=number) for number in range(1, 50)]
                    await producer.append_many(errands)
                    await producer.append(Errand(number=50))
                    assert await producer.result(errands[0]) == 1
                    await worker.join()
                    while await connections_to(old.url):
                        await asyncio.sleep(0.01)
                    assert (await producer.store.counts())[EventStatus.COMPLETED] == 51
                finally:
                    await producer.store.close()
    assert [Errand.runs[number] for number in range(51)] == [2] + [1] * 50


@pytest.mark.promise("postgres-read-only-server")
async def test_a_server_that_is_read_only_for_a_while_is_waited_for(server: Server) -> None:
    async with running(server.url) as executor:
        await executor.store.counts()
        await execute(server.url, _READ_ONLY, _RELOAD)
        try:
            appending = asyncio.create_task(append_slowly(executor, 100))
            await asyncio.wait([appending], timeout=0.5)
            assert not appending.done()
        finally:
            await execute(server.url, _WRITABLE, _RELOAD)
        await appending
        await expect(executor, 100)


@pytest.mark.promise("postgres-few-connections")
async def test_a_server_without_room_for_one_more_is_waited_for(server: Server) -> None:
    hogs = []
    try:
        while True:
            try:
                hogs.append(await asyncpg.connect(server.url))
            except asyncpg.TooManyConnectionsError:
                break
        async with running(server.url) as executor:
            appending = asyncio.create_task(append_slowly(executor, 100))
            await asyncio.sleep(0.3)
            assert not appending.done()
            for hog in hogs[:10]:
                await hog.close()
            await appending
            await expect(executor, 100)
    finally:
        for hog in hogs:
            await hog.close()


@pytest.mark.promise("postgres-few-connections")
async def test_one_connection_is_enough(server: Server) -> None:
    async with running(f"{server.url}&lionpride_connections=1") as executor:
        await append_slowly(executor, 200)
        await expect(executor, 200)


@pytest.mark.promise("postgres-old-transaction")
async def test_an_idle_transaction_elsewhere_holds_nobody_up(server: Server) -> None:
    other = await asyncpg.connect(server.url)
    try:
        async with running(server.url) as executor:
            await executor.append(Errand(number=0))
            await other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            await other.fetchval("SELECT count(*) FROM pg_class")  # it has its snapshot
            await executor.append_many([Errand(number=number) for number in range(1, 1000)])
            await expect(executor, 1000)
            await other.execute("COMMIT")
    finally:
        await other.close()
