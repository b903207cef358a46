"""Notifications of changes, after which a page reloads its data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..errors import LionprideError
from .context import PageContext, context_of
from .render import plain
from .server_stop import is_stopping

__all__ = ["live", "version"]

POLL_INTERVAL: Final = 1.0  # seconds between two queries
_UNAVAILABLE: Final = "unavailable"  # the store does not answer
KEEPALIVE: Final = 15.0  # seconds after which a comment keeps the connection alive


async def live(request: Request) -> Response:
    """Return a stream of server-sent events: one at the start, and one after each change.

    An event "unavailable" means that the store does not answer. The stream ends when the server
    stops; the browser connects again.
    """
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_changes(context_of(request)), 200, headers, "text/event-stream")


async def version(request: Request) -> Response:
    """Return a text that differs after a change, for clients that poll."""
    return plain(await context_of(request).version())


async def _changes(context: PageContext) -> AsyncIterator[str]:
    before, silent = "", 0.0
    yield "retry: 2000\n\n"
    while not (context.closing.is_set() or is_stopping()):
        try:
            await context.history.refresh(max_age=2.0)
            now = await context.version()
        except LionprideError:  # the next request for a page shows the error
            if before != _UNAVAILABLE:
                before, silent = _UNAVAILABLE, 0.0
                yield f"event: {_UNAVAILABLE}\ndata: the store does not answer\n\n"
        else:
            if now != before:
                before, silent = now, 0.0
                yield f"data: {now}\n\n"
        silent += POLL_INTERVAL
        if silent >= KEEPALIVE:
            silent = 0.0
            yield ": keepalive\n\n"
        with suppress(TimeoutError):
            await asyncio.wait_for(context.closing.wait(), POLL_INTERVAL)
