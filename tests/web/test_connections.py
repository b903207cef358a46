"""Connections of ``lionpride ui`` whose request does not arrive are closed; others are not."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from web.kit import JobExecutor, served

from lionpride import web
from lionpride.web.connections import TimedProtocol

pytestmark = pytest.mark.guard(60)

WHOLE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF = b"GET /healthz HTTP/1.1\r\nHost: local"


class Quick(TimedProtocol):
    request_timeout = 0.2


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port_of(url))


async def closed(url: str, *sent: bytes) -> bytes:
    """Send this, and return what was answered until the server closed the connection."""
    reader, writer = await connected(url)
    try:
        for each in sent:
            writer.write(each)
        with suppress(ConnectionError):
            return await reader.read()
        return b""
    finally:
        writer.close()


async def test_a_connection_that_sends_nothing_is_closed() -> None:
    async with served(web.app(JobExecutor()), http=Quick) as url:
        assert await closed(url) == b""


async def test_a_connection_that_sends_half_a_request_is_closed() -> None:
    async with served(web.app(JobExecutor()), http=Quick, timeout_keep_alive=600) as url:
        assert await closed(url, HALF) == b""
        await closed(url, WHOLE, HALF)


async def test_a_connection_that_sends_its_request_too_slowly_is_closed() -> None:
    async with served(web.app(JobExecutor()), http=Quick) as url:
        reader, writer = await connected(url)
        reading = asyncio.create_task(reader.read())
        writer.write(HALF)
        with suppress(ConnectionError):
            while not reading.done():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        with suppress(ConnectionError):
            await reading
        writer.close()


async def test_many_silent_connections_do_not_block_other_requests() -> None:
    async with served(web.app(JobExecutor()), http=Quick) as url:
        silent = [asyncio.create_task(closed(url, HALF)) for _ in range(100)]
        reader, writer = await connected(url)
        writer.write(WHOLE)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await asyncio.gather(*silent)
        writer.close()


async def test_a_connection_with_a_request_in_progress_is_not_closed() -> None:
    gate = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            await gate.wait()
            await send({"type": "http.response.body", "body": b"last"})

    async with served(slow, http=Quick, lifespan="off") as url:
        reader, writer = await connected(url)
        writer.write(WHOLE)
        await reader.readuntil(b"first")
        for _ in range(3):  # for as long as three silent connections are borne with
            await closed(url)
        gate.set()
        await reader.readuntil(b"last")
        writer.close()


async def test_an_incomplete_form_is_answered_with_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lionpride.web.action_forms.FORM_TIMEOUT", 0.1)
    page = web.app(JobExecutor(), authorize=lambda _request, _what: True)
    async with served(page, http=Quick) as url:
        head = b"POST /act HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf"
        assert (await closed(url, head)).startswith(b"HTTP/1.1 408")
