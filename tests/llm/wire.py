"""As much of HTTP/1.1 as a provider needs: one request in, an answer or a stream of events out."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def key(self) -> str:
        """What it is authorized by."""
        return self.headers.get("authorization", "").removeprefix("Bearer ").strip()


async def read_request(reader: asyncio.StreamReader) -> Request:
    """The next request of a connection.

    Raises:
        asyncio.IncompleteReadError: if the client sends no more.
    """
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Request(
        method, path, headers, await reader.readexactly(int(headers.get("content-length", 0)))
    )


class Answer:
    """The answer to one request, as it goes out.

    Args:
        writer: The connection.
        headers: Says what goes along with whatever status.
    """

    def __init__(
        self, writer: asyncio.StreamWriter, headers: Callable[[], Mapping[str, str]]
    ) -> None:
        self._writer = writer
        self._headers = headers

    async def whole(self, status: int, data: Any, headers: Mapping[str, str] | None = None) -> None:
        """A status and a JSON text."""
        body = json.dumps(data).encode()
        kind = {"content-type": "application/json", "content-length": str(len(body))}
        self._head(status, {**kind, **(headers or {})})
        self._writer.write(body)
        await self._writer.drain()

    async def begin(self) -> None:
        """The head of a stream of events."""
        kind = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        self._head(200, kind)
        await self._writer.drain()

    async def event(self, data: str) -> None:
        """One event of the stream."""
        piece = f"data: {data}\n\n".encode()
        self._writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await self._writer.drain()

    async def end(self) -> None:
        """The orderly end of the stream."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def reset(self) -> None:
        """Reset the connection: the client's kernel is told RST, not FIN."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in {**headers, **self._headers()}.items()]
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
