"""A small HTTP server in the event loop, for probes and scrapes: it answers GET and HEAD.

It is written here, since health has to need no extra. A connection is closed after its answer. The
header Host is not read, so a probe may name the server as it likes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

from ..errors import ConfigurationError

__all__ = ["Handler", "HttpResponse", "listen", "serve"]

REQUEST_TIMEOUT: Final = 10.0
"""Seconds that a request may take to arrive, and an answer to be sent."""

_MAX_REQUEST: Final = 16_384

MAX_CONNECTIONS: Final = 256
"""Open connections; each takes at most 32 KiB for its request."""

logger = logging.getLogger("lionpride.worker")


class HttpResponse(NamedTuple):
    """An answer to a request.

    Attributes:
        status: The status code.
        body: The body.
        content_type: Its type.
    """

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"

    @classmethod
    def of(cls, status: int, text: str) -> HttpResponse:
        """Return an answer with one line of text."""
        return cls(status, f"{text}\n".encode())


Handler: TypeAlias = Callable[[str], Awaitable[HttpResponse]]
"""Answers a request; called with the header Accept."""

Routes: TypeAlias = Mapping[str, Handler]
"""The handlers, by path."""


def listen(port: int) -> socket.socket:
    """Return a socket that listens on all addresses of this machine.

    Args:
        port: The port; 0 for any free one.

    Raises:
        ConfigurationError: if the port is taken, or may not be used.
    """
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise ConfigurationError(
            f"port {port} cannot be used: {error.strerror or error}; give another, or 0 for any "
            "free one"
        ) from error


@asynccontextmanager
async def serve(listening: Sequence[tuple[socket.socket, Routes]]) -> AsyncIterator[None]:
    """Answer requests in this event loop during the block.

    Args:
        listening: Sockets, each with its routes; they are closed at the end.
    """
    connections = _Connections()
    servers = list[asyncio.Server]()
    try:
        for sock, routes in listening:
            servers.append(
                await asyncio.start_server(
                    connections.accept(routes), sock=sock, limit=_MAX_REQUEST, backlog=128
                )
            )
        yield
    finally:
        for server in servers:
            server.close()
        await connections.close()


class _Connections:
    """The open connections; each has a task.

    If there are too many, a new connection ends the oldest one whose request has not arrived. So
    clients that send nothing do not keep a probe out.
    """

    def __init__(self) -> None:
        self._tasks = set[asyncio.Task[None]]()
        self._waiting = dict[asyncio.Task[None], None]()  # for a request, the oldest first

    def accept(
        self, routes: Routes
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        """Return the callback for a new connection."""

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(self._tasks) >= MAX_CONNECTIONS and not self._end_oldest():
                writer.transport.abort()
                return
            task = asyncio.create_task(self._serve_connection(reader, writer, routes))
            self._tasks.add(task)
            self._waiting[task] = None
            task.add_done_callback(self._forget)

        return accepted

    async def close(self) -> None:
        """End all connections."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _end_oldest(self) -> bool:
        """End the oldest connection without a request; return False if there is none."""
        oldest = next(iter(self._waiting), None)
        if oldest is None:
            return False
        del self._waiting[oldest]
        oldest.cancel()
        return True

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._waiting.pop(task, None)

    async def _serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, routes: Routes
    ) -> None:
        """Read one request and answer it."""
        task = asyncio.current_task()
        assert task is not None
        try:
            with suppress(OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
                async with asyncio.timeout(REQUEST_TIMEOUT):
                    head = await reader.readuntil(b"\r\n\r\n")
                self._waiting.pop(task, None)
                method, answer = await _answer(head, routes)
                writer.write(_bytes_of(answer, with_body=method != "HEAD"))
                async with asyncio.timeout(REQUEST_TIMEOUT):
                    await writer.drain()
        finally:
            writer.close()


async def _answer(head: bytes, routes: Routes) -> tuple[str, HttpResponse]:
    """Return the method of a request, and the answer to it."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, rest = first.partition(" ")
    target, _, version = rest.partition(" ")
    if not version.startswith("HTTP/1."):
        return method, HttpResponse.of(400, "this is no request of HTTP/1.1")
    if method not in ("GET", "HEAD"):
        return method, HttpResponse.of(405, "only GET and HEAD are answered")
    handler = routes.get(target.partition("?")[0])
    if handler is None:
        return method, HttpResponse.of(404, f"not found; there are {', '.join(routes)}")
    headers = (line.partition(":") for line in lines)
    accept = ",".join(value.strip() for name, _, value in headers if name.lower() == "accept")
    try:
        return method, await handler(accept)
    except Exception:
        logger.exception("the answer to %s failed", target)
        return method, HttpResponse.of(500, "internal error; the log of the worker has the reason")


def _bytes_of(answer: HttpResponse, *, with_body: bool) -> bytes:
    allow = "Allow: GET, HEAD\r\n" if answer.status == 405 else ""
    head = (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\n"
        f"{allow}"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (answer.body if with_body else b"")
