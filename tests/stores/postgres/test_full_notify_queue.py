"""A session that listens and never reads fills the queue of NOTIFY: appends go on."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest
from engine.goods import Desk, Square

from lionpride.core import EventStatus
from tools.postgres_server import QUICK, Server

pytestmark = pytest.mark.guard(60)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server whose queue of notifications holds half a megabyte."""
    with Server({**QUICK, "max_notify_queue_pages": "64"}) as server:
        yield server


@asynccontextmanager
async def full(server: Server) -> AsyncIterator[None]:
    """The queue is full until the end of the block."""
    async with AsyncExitStack() as stack:
        listener = await asyncpg.connect(server.url)
        stack.push_async_callback(listener.close)
        await listener.execute("LISTEN other")
        await listener.execute("BEGIN")  # what it is told is kept until this ends
        await listener.fetchval("SELECT count(*) FROM pg_class")
        sender = await asyncpg.connect(server.url)
        stack.push_async_callback(sender.close)
        for size in (7000, 1000, 10, 0):
            await fill(sender, size)
        yield


async def fill(sender: Any, size: int) -> None:
    """Notify until no notification of this size fits any more."""
    text = f"SELECT pg_notify('other', repeat('x', {size}) || random())"
    with suppress(asyncpg.ProgramLimitExceededError):
        while True:
            await sender.execute(text)


@pytest.mark.promise("postgres-full-notify-queue")
@pytest.mark.parametrize("more", ["", "&lionpride_pgbouncer=on"], ids=["direct", "pooled"])
async def test_a_full_notify_queue_refuses_no_append(server: Server, more: str) -> None:
    desk = Desk({"max_queue_size": 50}, store=f"{server.url}{more}", queue=f"q{more}")
    producer = Desk(store=f"{server.url}{more}", queue=f"q{more}")
    try:
        await producer.store.counts()
        async with full(server):
            first = await producer.append(Square(number=3))
            others = await producer.append_many([Square(number=n) for n in range(20)])
            await producer.append(Square(number=5), unique="a")
            async with desk:
                assert await producer.result(first) == 9
                assert await desk.result(await desk.append(Square(number=4))) == 16
                waits = await desk.append(Square(number=4), delay=3600.0)
                assert await producer.cancel(waits.id)
                await producer.result(others[-1])
                await desk.join()
        counts = await producer.store.counts()
        assert (counts[EventStatus.COMPLETED], counts[EventStatus.CANCELLED]) == (23, 1)
    finally:
        await producer.store.close()
        await desk.store.close()
