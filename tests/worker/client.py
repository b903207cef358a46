"""A client for tests: one request over a real socket."""

import asyncio
from typing import NamedTuple


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str


async def ask(port: int, head: str) -> bytes:
    """Send bytes to a server of this machine, and return all that it sends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode())
    answer = await reader.read()
    writer.close()
    return answer


async def get(port: int, path: str, *, method: str = "GET", **headers: str) -> Response:
    lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {text}" for key, text in headers.items())]
    return parsed(await ask(port, "\r\n".join(lines) + "\r\n\r\n"))


def parsed(answer: bytes) -> Response:
    head, _, body = answer.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Response(int(first.split()[1]), headers, body)
