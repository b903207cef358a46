"""News between processes: told at most once in a few milliseconds, and heard by who listens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from random import random
from typing import Any, Final

from ..sql.backend import ALL, ENDED
from .errors import is_connection_lost
from .link import Db
from .pool import Door

__all__ = ("Ear", "Herald")

INTERVAL: Final = 0.01
"""Seconds between two notifications of a process: each takes a lock of the whole server."""

STEADY: Final = 0.05
"""The same for news of endings alone, while one follows the other: each wakes every process that
listens, and who waits for an ending mostly waits for many. Who hears such news of another process
waits anew, once or twice as long, since whoever wakes then sees what has ended here, too."""

_LEAVING: Final = 0.5
"""Seconds that who leaves waits at most until what he has done was told."""

_AGAIN: Final = 1.0
"""Seconds until a lost listener tries anew, at first; then longer."""
_LATEST: Final = 30.0

_NOTIFY: Final = "SELECT pg_notify($1, $2), set_config('synchronous_commit', 'off', true)"
"""Notifies without a wait for the disk: the commit holds a lock of the whole server until its end.

The notification changes no rows, and what it is about has been committed before.
"""

logger = logging.getLogger("lionpride")


class Herald:
    """Tells the others, off the way of what is told of.

    The first news go out at once, what comes within the interval after them together. Endings wait
    longer while more are to follow, for what was told of them last, by whichever process; but not
    the first, which make a process known to those who tell.

    Args:
        send: Has a step taken.
        channel: Where they listen.
        told: Called when they were told of endings: then they wait with theirs.
        mark: Whose news they are, and of which queue.
    """

    def __init__(
        self,
        send: Callable[[Callable[[Db], Awaitable[Any]]], Awaitable[Any]],
        channel: str,
        told: Callable[[], object] = lambda: None,
    ) -> None:
        self._send = send
        self._channel = channel
        self._told = told
        self._news: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._is_telling = False
        self._hurry = asyncio.Event()  # what there is to tell must not wait
        self._more_follow = False
        self._has_told = False
        self._next = 0.0  # when endings are told again that others follow, by the loop's time
        self.mark = ""

    def tell(self, news: str) -> None:
        """Tell them soon."""
        self._news.update(news)
        if self._task is None:
            self._begin()
        if news != ENDED:
            self._hurry.set()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._hurry = asyncio.Event()  # of this loop, which may have another time than the last
        self._next = min(self._next, loop.time() + 2 * STEADY)
        self._task = loop.create_task(self._run())

    def expect(self, *, more: bool) -> None:
        """Say whether endings will follow one another for now."""
        self._more_follow = more
        if not more:
            self._hurry.set()

    def heard(self) -> None:
        """Another process has told all of endings."""
        self._next = asyncio.get_running_loop().time() + STEADY * (1.0 + random())  # noqa: S311

    async def _run(self) -> None:
        time = asyncio.get_running_loop().time
        try:
            while self._news:
                if self._more_follow and self._has_told:
                    await self._rest()
                self._hurry.clear()
                news = "".join(sorted(self._news))
                self._news.clear()
                self._is_telling = True
                with suppress(Exception):  # a hint: whoever misses it looks by himself in time
                    await self._send(partial(self._notify, f"{self.mark}/{news}"))
                self._is_telling = False
                if ENDED in news:
                    self._told()
                self._has_told = True
                self._next = time() + STEADY
                await asyncio.sleep(INTERVAL)
        finally:
            self._task, self._is_telling = None, False

    async def _rest(self) -> None:
        """Wait until it is time to tell of endings again, or there is no more time for that."""
        time = asyncio.get_running_loop().time
        while not self._hurry.is_set() and time() < self._next:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next):
                    await self._hurry.wait()

    async def _notify(self, payload: str, db: Db) -> None:
        await db.run(_NOTIFY, self._channel, payload)

    async def leave(self) -> None:
        """Return when all is told, or when that takes more than a moment."""
        self._hurry.set()
        if self._task is not None and (self._news or self._is_telling):
            await asyncio.wait([self._task], timeout=_LEAVING)

    async def stop(self) -> None:
        """Tell nothing more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


class Ear:
    """Listens, over a connection of its own, and goes on when that was lost.

    Args:
        door: How it is opened.
        channel: Where to listen.
        hear: Called with what is said; and with everything when something may have been missed.
    """

    def __init__(self, door: Door, channel: str, hear: Callable[[str], None]) -> None:
        self._door = door
        self._channel = channel
        self._hear = hear
        self._task: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()  # the connection is lost, or to be opened anew
        self.listens = False

    def open(self) -> None:
        """Listen from now on."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        wait = _AGAIN
        while True:
            connection = None
            try:
                self._gone = gone = asyncio.Event()  # before the opening: `reopen` may come in it
                connection = await self._door.open()
                connection.add_termination_listener(lambda _, gone=gone: gone.set())
                await connection.add_listener(self._channel, self._said)
                self.listens, wait = True, _AGAIN
                self._hear(f"/{ALL}")
                await gone.wait()
            except Exception as error:
                if not is_connection_lost(
                    error
                ):  # else the steps that cannot reach the server warn of it
                    logger.warning(
                        "cannot listen to other processes, and polls for changes: %s", error
                    )
            finally:
                self.listens = False
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(wait * (0.5 + random()))  # noqa: S311
            wait = min(2 * wait, _LATEST)

    def reopen(self) -> None:
        """Listen over a new connection: the server is no longer the primary."""
        self._gone.set()

    def _said(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        self._hear(str(payload))

    async def stop(self) -> None:
        """Listen no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
