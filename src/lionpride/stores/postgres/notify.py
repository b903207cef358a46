"""Notifications between processes: NOTIFY at intervals of some milliseconds, and LISTEN."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from random import random
from typing import Any, Final

from ..sql.backend import ALL, ENDED, READY
from ..sql.requests import cancel_task, is_running
from .connection_pool import Connector
from .errors import is_connection_lost
from .session import TableConnection

__all__ = ("NotificationListener", "Notifier")

INTERVAL: Final = 0.01
"""Seconds between two notifications of a process: each takes a lock of the whole server."""

STEADY: Final = 0.05
"""The same for notifications about finished events only, while more of them follow: each wakes
every process that listens. A process that receives such a notification delays its own by once or
twice as much, since the processes that it woke see all finished events."""

_LEAVING: Final = 0.5
"""Maximum time in seconds that a process waits for its last notification when it closes."""

_AGAIN: Final = 1.0
"""Seconds until a lost listener tries again; the time grows up to ``_LATEST``."""
_LATEST: Final = 30.0

_NOTIFY: Final = "SELECT pg_notify($1, $2), set_config('synchronous_commit', 'off', true)"
"""Notifies without a wait for the disk: the commit holds a lock of the whole server until its end.

The notification changes no rows, and what it is about has been committed before.
"""

logger = logging.getLogger("lionpride")


class Notifier:
    """Notifies other processes, after the commit and outside of its transaction.

    The first notification is sent at once; changes within the interval after it share the next one.
    Notifications about finished events are delayed while more follow, after the last one of any
    process. The first one of a process is not delayed: it makes the process known to the others.

    Args:
        send: Runs a step.
        channel: The channel.
        on_sent: Called after a notification about finished events.

    Attributes:
        mark: The process and its queue, as the payload names them.
    """

    def __init__(
        self,
        send: Callable[[Callable[[TableConnection], Awaitable[Any]]], Awaitable[Any]],
        channel: str,
        on_sent: Callable[[], object] = lambda: None,
    ) -> None:
        self._send = send
        self._channel = channel
        self._on_sent = on_sent
        self._changes: set[str] = set()
        self._queues: set[str] = set()  # payloads for other queues
        self._task: asyncio.Task[None] | None = None
        self._is_sending = False
        self._hurry = asyncio.Event()  # set if a notification must not be delayed
        self._more_follow = False
        self._has_sent = False
        self._next = 0.0  # time of the next delayed notification, by the loop's clock
        self.mark = ""

    def notify(self, changes: str) -> None:
        """Notify other processes soon.

        Args:
            changes: The kinds of changes; see ``READY`` in ``sql/backend.py``.
        """
        self._changes.update(changes)
        if not is_running(self._task):
            self._begin()
        if changes != ENDED:
            self._hurry.set()

    def notify_queue(self, name: str) -> None:
        """Notify the processes of another queue that its events may be ready."""
        origin = self.mark.partition("/")[0]
        self._queues.add(f"{origin}/{name}/{READY}")
        self.notify("")

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._hurry = asyncio.Event()  # for this loop, which has its own clock
        self._next = min(self._next, loop.time() + 2 * STEADY)
        self._task = loop.create_task(self._run())

    def expect(self, *, more: bool) -> None:
        """Set whether more finished events will follow soon."""
        self._more_follow = more
        if not more:
            self._hurry.set()

    def note_received(self) -> None:
        """Note that another process has sent a notification about finished events."""
        self._next = asyncio.get_running_loop().time() + STEADY * (1.0 + random())  # noqa: S311

    async def _run(self) -> None:
        time = asyncio.get_running_loop().time
        try:
            while self._changes or self._queues:
                if self._more_follow and self._has_sent:
                    await self._rest()
                self._hurry.clear()
                changes = "".join(sorted(self._changes))
                payloads = [*sorted(self._queues), *([f"{self.mark}/{changes}"] if changes else ())]
                self._changes.clear()
                self._queues.clear()
                self._is_sending = True
                for payload in payloads:
                    with suppress(Exception):  # a hint: processes that miss it poll in time
                        await self._send(partial(self._notify, payload))
                self._is_sending = False
                if ENDED in changes:
                    self._on_sent()
                self._has_sent = True
                self._next = time() + STEADY
                await asyncio.sleep(INTERVAL)
        finally:
            self._task, self._is_sending = None, False

    async def _rest(self) -> None:
        """Wait until a notification about finished events is due, or other changes are urgent."""
        time = asyncio.get_running_loop().time
        while not self._hurry.is_set() and time() < self._next:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next):
                    await self._hurry.wait()

    async def _notify(self, payload: str, db: TableConnection) -> None:
        await db.run(_NOTIFY, self._channel, payload)

    async def leave(self) -> None:
        """Wait until everything is sent, at most ``_LEAVING`` seconds."""
        self._hurry.set()
        is_behind = self._changes or self._queues or self._is_sending
        if self._task is not None and is_behind:
            await asyncio.wait([self._task], timeout=_LEAVING)

    async def stop(self) -> None:
        """Send nothing more."""
        task, self._task = self._task, None
        await cancel_task(task)


class NotificationListener:
    """Listens over its own connection, and opens it again if it was lost.

    Args:
        connector: Opens the connection.
        channel: The channel.
        receive: Called with the payload of a notification; and with all kinds of changes after the
            connection was opened, since notifications may have been missed.

    Attributes:
        is_connected: True while it listens.
    """

    def __init__(self, connector: Connector, channel: str, receive: Callable[[str], None]) -> None:
        self._connector = connector
        self._channel = channel
        self._receive = receive
        self._task: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()  # the connection is lost, or is to be opened again
        self.is_connected = False

    def open(self) -> None:
        """Listen from now on."""
        if not is_running(self._task):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        wait = _AGAIN
        while True:
            connection = None
            try:
                self._gone = gone = asyncio.Event()  # before the opening: `reopen` may come in it
                connection = await self._connector.open()
                connection.add_termination_listener(lambda _, gone=gone: gone.set())
                await connection.add_listener(self._channel, self._on_notification)
                self.is_connected, wait = True, _AGAIN
                self._receive(f"/{ALL}")
                await gone.wait()
            except Exception as error:
                if not is_connection_lost(
                    error
                ):  # else the steps that cannot reach the server warn of it
                    logger.warning(
                        "cannot listen to other processes, and polls for changes: %s", error
                    )
            finally:
                self.is_connected = False
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(wait * (0.5 + random()))  # noqa: S311
            wait = min(2 * wait, _LATEST)

    def reopen(self) -> None:
        """Listen over a new connection: the server is no longer the primary."""
        self._gone.set()

    def _on_notification(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        self._receive(str(payload))

    async def stop(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        await cancel_task(task)
