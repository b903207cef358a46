"""Requests to a page without a socket between."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx


@asynccontextmanager
async def client(
    page: Any, *, host: str = "127.0.0.1", peer: str = "127.0.0.1", root: str = ""
) -> AsyncIterator[httpx.AsyncClient]:
    """A browser of sorts, at a machine of this address."""
    transport = httpx.ASGITransport(page, client=(peer, 4711), root_path=root)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as found:
        yield found


def token_of(text: str) -> str:
    """What a form has to say."""
    return text.partition('name="token" value="')[2].partition('"')[0]
