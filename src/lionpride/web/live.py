"""Notifications of changes, after which a page reloads its data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..errors import LionprideError
from .desk import Desk, desk_of
from .render import plain

__all__ = ["live", "version"]

EVERY: Final = 1.0  # seconds between two looks
_TROUBLE: Final = "trouble"  # the store does not answer
QUIET: Final = 15.0  # seconds after which a word keeps the connection alive


async def live(request: Request) -> Response:
    """Return a stream of server-sent events: one at the start, and one after each change.

    An event "trouble" means that the store does not answer.
    """
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_changes(desk_of(request)), 200, headers, "text/event-stream")


async def version(request: Request) -> Response:
    """Return a text that differs after a change, for clients that poll."""
    return plain(await desk_of(request).version())


async def _changes(desk: Desk) -> AsyncIterator[str]:
    before, silent = "", 0.0
    yield "retry: 2000\n\n"
    while not desk.closing.is_set():
        try:
            await desk.history.refresh(max_age=2.0)
            now = await desk.version()
        except LionprideError:  # the next page that is asked for says what is wrong
            if before != _TROUBLE:
                before, silent = _TROUBLE, 0.0
                yield f"event: {_TROUBLE}\ndata: the store does not answer\n\n"
        else:
            if now != before:
                before, silent = now, 0.0
                yield f"data: {now}\n\n"
        silent += EVERY
        if silent >= QUIET:
            silent = 0.0
            yield ": still here\n\n"
        with suppress(TimeoutError):
            await asyncio.wait_for(desk.closing.wait(), EVERY)
