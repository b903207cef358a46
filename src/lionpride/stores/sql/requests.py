"""Requests to a database that have no caller, background tasks, and work in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

__all__ = (
    "CHUNK",
    "cancel_task",
    "ignore_error",
    "is_running",
    "map_in_pieces",
    "repeat_until_done",
)

T = TypeVar("T")
R = TypeVar("R")

CHUNK: Final = 500
"""Number of events that one operation prunes, one query reads, or the event loop handles at once.
"""

RETRY: Final = 1.0
"""Seconds until a request without a caller is repeated."""


def ignore_error(asked: asyncio.Future[Any]) -> None:
    """Ignore the error of a request without a caller; the next claim raises the same error."""
    if not asked.cancelled():
        asked.exception()


def repeat_until_done(ask: Callable[[], asyncio.Future[Any] | None]) -> None:
    """Make a request, and repeat it every ``RETRY`` seconds while it fails.

    This is for the end of a claim: a live worker renews the lease, so no reap would end it.

    Args:
        ask: Makes the request; returns None if the store was closed meanwhile.
    """

    def answered(asked: asyncio.Future[Any]) -> None:
        if not asked.cancelled() and asked.exception() is not None:
            asked.get_loop().call_later(RETRY, repeat_until_done, ask)

    asked = ask()
    if asked is not None:
        asked.add_done_callback(answered)


def is_running(task: asyncio.Task[Any] | None) -> bool:
    """Return True if a task runs in this event loop; one of an earlier loop never continues."""
    return task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()


async def cancel_task(task: asyncio.Task[Any] | None) -> None:
    """Cancel a task of this event loop, and wait until it has ended."""
    if task is not None and is_running(task):
        task.cancel()
        await asyncio.wait([task])


async def map_in_pieces(items: Sequence[T], make: Callable[[T], R]) -> list[R]:
    """Map items in pieces; other tasks run between them."""
    made: list[R] = []
    for at in range(0, len(items), CHUNK):
        made += map(make, items[at : at + CHUNK])
        if len(made) < len(items):
            await asyncio.sleep(0)
    return made
