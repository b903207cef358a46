"""Events that a test holds: each runs, in any process, until the test closes its connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lionpride import job


@job
async def held(port: int) -> str:
    """Runs until the server at a port, which is the test, closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await reader.read()
    finally:
        writer.close()
    return "released"


@asynccontextmanager
async def held_events() -> AsyncIterator[tuple[int, asyncio.Queue[asyncio.StreamWriter]]]:
    """Yield a port, and the connections of the events that run."""
    connections: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.put_nowait(writer)
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], connections
    finally:
        listening.close()


@job
async def add(left: int, right: int) -> int:
    return left + right
