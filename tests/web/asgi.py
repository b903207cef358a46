"""Requests to a page without a socket between."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx


@asynccontextmanager
async def client(
    page: Any,
    *,
    host: str = "127.0.0.1",
    peer: str = "127.0.0.1",
    root: str = "",
    token: bool = True,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client at a machine of this address; it sends the token of a page that has one."""
    transport = httpx.ASGITransport(page, client=(peer, 4711), root_path=root)
    known = getattr(page, "token", "") if token else ""
    headers = {"Authorization": f"Bearer {known}"} if known else {}
    url = f"http://{host}"
    async with httpx.AsyncClient(transport=transport, base_url=url, headers=headers) as found:
        yield found


def token_of(text: str) -> str:
    """What a form has to say."""
    return text.partition('name="token" value="')[2].partition('"')[0]
