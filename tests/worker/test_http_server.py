"""The server of health and metrics, over real sockets."""

import asyncio
import logging
import socket

import pytest
from worker.client import ask, get, parsed

from lionpride.errors import ConfigurationError
from lionpride.worker import http_server
from lionpride.worker.http_server import HttpResponse, listen, serve


async def hello(accept: str) -> HttpResponse:
    return HttpResponse(200, f"hello {accept}".encode(), "text/x-hello")


async def broken(_: str) -> HttpResponse:
    raise ValueError("secret")


ROUTES = {"/hello": hello, "/broken": broken}


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


async def test_a_request_is_answered_whatever_host_it_names() -> None:
    sock = listen(0)
    port = port_of(sock)
    async with serve([(sock, ROUTES)]):
        for host in ("127.0.0.1", "worker.example.org:80", "10.1.2.3", "%"):
            answer = await get(port, "/hello?x=1", Host=host, Accept="text/plain")
            assert (answer.status, answer.text) == (200, "hello text/plain")
            assert answer.headers["content-type"] == "text/x-hello"
        head = await get(port, "/hello", method="HEAD")
        assert (head.status, head.text, head.headers["content-length"]) == (200, "", "6")


async def test_other_requests_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    sock = listen(0)
    port = port_of(sock)
    async with serve([(sock, ROUTES)]):
        missing = await get(port, "/")
        assert (missing.status, missing.text) == (404, "not found; there are /hello, /broken\n")
        posted = await get(port, "/hello", method="POST")
        assert (posted.status, posted.headers["allow"]) == (405, "get, head")
        assert parsed(await ask(port, "nonsense\r\n\r\n")).status == 400
        assert await ask(port, "x" * 100_000) == b""
        with caplog.at_level(logging.ERROR, "lionpride.worker"):
            answer = await get(port, "/broken")
        assert answer.status == 500
        assert "secret" not in answer.text
        assert "ValueError: secret" in caplog.text


async def test_a_request_that_does_not_arrive_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "REQUEST_TIMEOUT", 0.01)
    sock = listen(0)
    async with serve([(sock, ROUTES)]):
        assert await ask(port_of(sock), "GET /hello HTTP/1.1\r\n") == b""


async def refused(port: int) -> bytes:
    """Ask, and return the answer: none, if the connection is closed or reset."""
    try:
        return await ask(port, "GET /hello HTTP/1.1\r\n\r\n")
    except ConnectionResetError:
        return b""


async def test_connections_without_a_request_do_not_keep_a_probe_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 4)
    sock = listen(0)
    port = port_of(sock)
    async with serve([(sock, ROUTES)]):
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        assert (await get(port, "/hello")).status == 200
        assert await idle[0][0].read() == b"", "the oldest was ended"
        assert (await get(port, "/hello")).status == 200
    for reader, writer in idle:
        assert await reader.read() == b"", "the end closes the others"
        writer.close()
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_while_too_many_requests_are_being_answered_others_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS", 3)
    started, release = asyncio.Semaphore(0), asyncio.Event()

    async def slow(_: str) -> HttpResponse:
        started.release()
        await release.wait()
        return HttpResponse.of(200, "done")

    sock = listen(0)
    port = port_of(sock)
    async with serve([(sock, {**ROUTES, "/slow": slow})]):
        answers = [asyncio.create_task(get(port, "/slow")) for _ in range(3)]
        for _ in answers:
            await started.acquire()
        assert await refused(port) == b""
        release.set()
        assert [each.text for each in await asyncio.gather(*answers)] == ["done\n"] * 3


async def test_a_port_that_is_taken_is_named() -> None:
    with listen(0) as sock:
        port = port_of(sock)
        with pytest.raises(ConfigurationError, match=f"port {port} cannot be used: .*in use"):
            listen(port)
