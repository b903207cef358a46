"""Learns what other processes change: by notifications of the server, or by polls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import random
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from ...errors import LionprideError
from ..clock import boot_time
from ..sql.backend import ALL, ENDED, PUBLISHED, READY
from ..sql.requests import cancel_task
from .clock import ServerClock
from .connection_pool import Connector
from .notify import NotificationListener, Notifier
from .session import TableConnection

if TYPE_CHECKING:
    from ..sql.heartbeat import Heartbeat
    from ..sql.local_state import LocalState

__all__ = ("ChangeWatch",)

_ENDINGS: Final = {ENDED, PUBLISHED}

SELDOM: Final = 2.0
"""Approximate seconds between two polls while notifications are received: one may be lost."""

REST: Final = 10.0
"""Multiple of the time of a poll until the next: many waiting callers must not load the server."""


class ChangeWatch:
    """Tells this process what other processes change, and them what this process changes.

    Args:
        connector: Opens the connection that listens.
        channel: The channel of the notifications.
        read: Runs a step that only reads.
        heartbeat: Is watched at intervals.
        clock: The estimate of the server's clock; None if the store has a clock of its own.
        listen: True to receive notifications.
        poll: Approximate seconds between two polls, if notifications are not received.
        is_open: Returns True if the connections are open.
        is_claiming: Returns True while a claim runs.
        hint_idle: See ``Backend``.
    """

    def __init__(
        self,
        connector: Connector,
        channel: str,
        read: Callable[[Callable[[TableConnection], Awaitable[Any]]], Awaitable[Any]],
        *,
        heartbeat: Heartbeat,
        clock: ServerClock | None,
        listen: bool,
        poll: float,
        is_open: Callable[[], bool],
        is_claiming: Callable[[], bool],
        hint_idle: Callable[[], None],
    ) -> None:
        self.listener = NotificationListener(connector, channel, self._receive)
        self.notifier = Notifier(read, channel, self._notification_sent)
        self._read = read
        self._heartbeat = heartbeat
        self._clock = clock
        self._listen = listen
        self._poll = poll
        self._is_open = is_open
        self._is_claiming = is_claiming
        self._hint_idle = hint_idle
        self._origin = uuid4().hex[:12]
        self._changes: set[str] = set()
        self._closing = False
        self._timed = 0.0  # when the server was asked for its time, by `boot_time()`
        self._looking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, local: LocalState) -> None:
        """See ``Backend``."""
        self._local = local
        self.notifier.mark = f"{self._origin}/{local.queue}"

    def has_opened(self) -> None:
        """Begin to watch, as the connections were opened."""
        if self._closing or not self._is_open():
            return
        self._timed = -SELDOM
        self.watch()
        if self._clock is not None and self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    # -- the server's clock ------------------------------------------------------------------

    def keep_time(self) -> None:
        """Read the server's time if the last answer is old."""
        is_old = boot_time() - self._timed >= SELDOM
        if is_old and self._clock is not None and self._is_open() and not self._closing:
            self._look_for("")

    async def _set_clock(self, db: TableConnection) -> None:
        """Read the server's time, at intervals."""
        asked = boot_time()
        if self._clock is not None and asked - self._timed >= SELDOM:
            now = await db.value("SELECT {now}", None)
            self._timed = boot_time()
            self._clock.note(now, asked, self._timed)

    # -- when to look ------------------------------------------------------------------------

    def _is_wanted(self) -> bool:
        """Return True if a listener or a worker of this process waits for changes."""
        is_open = self._is_open() and not self._closing
        return is_open and (self._local.listeners.any_hint() or bool(self._local.workers))

    def watch(self) -> None:
        """Listen and poll, if that is wanted and not done already."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the timers of a closed loop never fire
            self._timer = self._looking = None
            self._loop = loop
        if self._timer is None and self._is_wanted():
            if self._listen:
                self.listener.open()
            every = max(SELDOM, self._poll) if self.listener.is_connected else self._poll
            self._timer = loop.call_later(every * (0.75 + random() / 2), self._turn)  # noqa: S311

    def _turn(self) -> None:
        self._timer = None
        if self._is_wanted():
            self._heartbeat.watch()
            self._look_for(ALL)
            self.watch()

    def _receive(self, payload: str) -> None:
        """Receive a notification."""
        mark, _, changes = payload.rpartition("/")
        origin, _, queue = mark.partition("/")
        if origin == self._origin or (mark and queue != self._local.queue):
            return
        self._local.others.are_known = self._local.others.are_known or bool(mark)
        if ENDED in changes:
            self.notifier.note_received()
        if self._is_wanted():
            if self._waits_for_endings() or not set(changes) <= _ENDINGS:
                self._look_for(changes)
            elif ENDED in changes:  # a running claim may have found limits taken before it
                self._local.blocked.note_change()
                self._hint_idle()

    def _notification_sent(self) -> None:
        """Look for events that other processes have ended, which wait with their notification."""
        if self._local.others.are_known and self._is_wanted() and self._waits_for_endings():
            self._look_for(ENDED)

    def _waits_for_endings(self) -> bool:
        """Return True if this process waits for what others end or publish."""
        listeners = self._local.listeners
        # While something is claimed here, or may be claimed, it looks when that is over.
        idle = listeners.idle and not self._is_claiming() and not self._local.events.claims
        return bool(listeners.finished or listeners.capacity or idle or self._local.blocked)

    def _look_for(self, changes: str) -> None:
        if READY in changes:
            self._local.listeners.notify_ready()
        self._changes.update(changes)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        """Read what the changes are about."""
        try:
            await self._read(self._set_clock)
            while self._changes:
                changes = frozenset(self._changes)
                self._changes.clear()
                took = await self._local.others.look(changes)
                if ENDED in changes or PUBLISHED in changes:
                    self._hint_idle()  # a claimed event does so when it finishes
                await asyncio.sleep(REST * took)
        except LionprideError:  # other requests raise it; the next look repeats this
            pass
        finally:
            self._looking = None

    # -- the end -----------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop looking; ``has_closed`` has to follow."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        task, self._looking = self._looking, None
        await cancel_task(task)

    def has_closed(self) -> None:
        """Allow to look again after the connections were closed."""
        self._closing = False
