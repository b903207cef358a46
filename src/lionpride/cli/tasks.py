"""A task that runs during a block, and a wait for the first of several events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["background", "first_of"]


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Event]:
    """Run a coroutine during the block; the block gets an event that is set when it has ended.

    If it still runs at the end of the block, it is cancelled. Its error is raised.
    """
    ended = asyncio.Event()
    task = asyncio.create_task(work)
    task.add_done_callback(lambda _: ended.set())
    try:
        yield ended
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


async def first_of(*events: asyncio.Event, within: float | None = None) -> None:
    """Wait until one of the events is set; not longer than so many seconds."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
