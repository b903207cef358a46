"""What is heard from other processes, or found by looking now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from random import random
from time import monotonic
from typing import Any, Final
from uuid import uuid4

from ...model.work import Work
from ..clock import boot_time
from ..listeners import Listener, Signal, Unsubscribe
from ..sql.rows import ProgressRow
from . import queries
from .link import Db
from .manage import Manage
from .news import ALL, CANCEL, ENDED, EXPIRES, PUBLISHED, READY
from .progress import write_progress

__all__ = ("Watching",)

_ENDINGS: Final = {ENDED, PUBLISHED}

SELDOM: Final = 2.0
"""Seconds between two looks, about, while news are heard: they are hints, and one may be lost."""

REST: Final = 10.0
"""Times as long as a look takes until the next: many who wait must not wear out the server."""


class Watching(Manage):
    """The part of ``PostgresStore`` that minds what other processes do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._blocked = False  # a claim found nothing that limits allow
        self._origin = uuid4().hex[:12]
        self._herald.mark = f"{self._origin}/{self.queue}"
        self._news: set[str] = set()
        self._closing = False
        self._timed = 0.0  # when the server was asked for its time, by `boot_time()`
        self._looking: asyncio.Task[None] | None = None
        self._is_shared = False  # other processes have made themselves heard, or seen
        self._doubtful: set[int] = set()  # waited for, and shown as they were before, perhaps
        self._checking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def close(self) -> None:
        if self._opened is not None and self._opened.is_ours:
            await self._progress.stop()
        self._closing = True  # what is noted meanwhile makes nobody look
        try:
            await self._close()
        finally:
            self._closing = False

    async def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tasks = [task for task in (self._looking, self._checking) if task is not None]
        self._looking = self._checking = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await super().close()

    # -- live progress -----------------------------------------------------------------------

    def _publish(
        self, progress: Sequence[ProgressRow], ended: Sequence[tuple[int, int]]
    ) -> asyncio.Future[Any]:
        step = partial(write_progress, progress=progress, ended=ended)
        return self._ask(step, lambda _: self._herald.tell(PUBLISHED))

    async def _chunks(self, number: int, attempt: int, first: int) -> tuple[int, list[Any]] | None:
        return await self._read(lambda db: queries.published_chunks(db, number, attempt, first))

    # -- when to look ------------------------------------------------------------------------

    def _is_wanted(self) -> bool:
        """Whether anybody here wants to know what others do."""
        is_open = self._opened is not None and not self._closing
        return is_open and (self._listeners.any_hint() or bool(self._workers))

    def _has_opened(self) -> None:
        if self._closing or self._opened is None:
            return
        self._timed = -SELDOM
        self._watch()
        if self._given is None and self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _set_clock(self, db: Db) -> None:
        """Learn the server's time; once in a while."""
        asked = boot_time()
        if asked - self._timed >= SELDOM:
            now = await db.value("SELECT {now}", None)
            self._timed = boot_time()
            self._server_clock.note(now, asked, self._timed)

    def time(self) -> float:
        """As ``Store.time``; the server is asked again if the last answer is old."""
        is_old = boot_time() - self._timed >= SELDOM
        if is_old and self._given is None and self._opened is not None and not self._closing:
            self._learn("")
        return super().time()

    def _watch(self) -> None:
        """Listen, and look now and then, if that is wanted and not done already."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # a loop that is over took its timers with it
            self._timer = self._looking = self._checking = None
            self._loop = loop
        if self._timer is None and self._is_wanted():
            if self._listen:
                self._ear.open()
            every = max(SELDOM, self._poll) if self._ear.listens else self._poll
            self._timer = loop.call_later(every * (0.75 + random() / 2), self._turn)  # noqa: S311

    def _turn(self) -> None:
        self._timer = None
        if self._is_wanted():
            self.heartbeat.watch()
            self._learn(ALL)
            self._watch()

    def _hear(self, said: str) -> None:
        mark, _, news = said.rpartition("/")
        origin, _, queue = mark.partition("/")
        if origin == self._origin or (mark and queue != self.queue):
            return
        self._is_shared = self._is_shared or bool(mark)
        if ENDED in news:
            self._herald.heard()
        if self._is_wanted():
            if self._minds_endings() or not set(news) <= _ENDINGS:
                self._learn(news)
            elif ENDED in news:  # a claim under way may have found limits taken before it
                self._note()
                self._ring_if_idle()

    def _told(self) -> None:
        """Who has heard of endings here waits with his own: who minds them looks for himself."""
        if self._is_shared and self._is_wanted() and self._minds_endings():
            self._learn(ENDED)

    def _minds_endings(self) -> bool:
        """Whether anybody here waits for what others end, or show."""
        listeners = self._listeners
        # Where something is claimed, or may be just now, it looks when that is over.
        idle = listeners.idle and not self._claiming and not self._local_events.claims
        return bool(listeners.finished or listeners.capacity or idle or self._blocked)

    def _learn(self, news: str) -> None:
        """There are news: see what they are about."""
        if READY in news:
            self._listeners.notify_ready()
        self._news.update(news)
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    # -- looking -----------------------------------------------------------------------------

    async def _look(self) -> None:
        """See what others have done, and pass on what that means."""
        try:
            if self._given is None:
                await self._read(self._set_clock)
            while self._news:
                news = frozenset(self._news)
                self._news.clear()
                await asyncio.sleep(REST * await self._look_once(news))
        except Exception:  # noqa: S110  # the next look comes; who waits for a step hears of it
            pass
        finally:
            self._looking = None

    async def _look_once(self, news: frozenset[str]) -> float:
        """Look; the seconds that it took, but for what was found, which is worth its time."""
        claims, took = self._local_events.claims, 0.0
        if CANCEL in news and claims:
            self._ask_holders([n for n in await self._read(queries.unwanted) if n in claims])
        if ENDED in news or PUBLISHED in news:
            awaited = [number for number in self._listeners.finished if number not in claims]
            if awaited:
                took = await self._see_endings(awaited, PUBLISHED in news)
            self._ring_if_idle()  # else what is claimed here does so when it ends
            self._listeners.notify_capacity()
            self._note()
        if EXPIRES in news:
            self._alarm.set(await self._read(queries.next_expiry))
        if READY in news:
            self._listeners.notify_capacity()
        return took

    def _note(self) -> None:
        """Somebody may have let go of something."""

    async def _see_endings(self, awaited: list[int], published: bool) -> float:
        """Show what has become of those whose endings somebody waits for; how long a look took."""
        began = monotonic()
        stands = await self._read(lambda db: queries.statuses(db, awaited))
        took = monotonic() - began
        find, changed, running = self._local_events.cache.find, [], []
        for number in awaited:
            event = find(number)
            state = None if event is None else event.execution
            shown = None if state is None else (state.status.value, state.attempt_number)
            if number not in stands or stands[number] != shown:
                changed.append(number)
            elif published and stands[number][0] == "processing":
                running.append(number)
        if changed:
            self._is_shared = True
        await self._refresh(number for number in changed if number not in self._local_events.claims)
        self._listeners.notify_finished(running)
        return took

    # -- who makes it wanted -----------------------------------------------------------------

    def _keep_alive(self) -> None:
        super()._keep_alive()
        self._watch()

    def subscribe(
        self,
        signal: Signal,
        listener: Listener,
        *,
        event: Work | None = None,
        once: bool = False,
    ) -> Unsubscribe:
        number = None
        if event is not None and not (number := self._number(event)):
            raise self._not_here(event)
        unsubscribe = self._listeners.subscribe(signal, listener, number=number, once=once)
        if signal not in (Signal.EXPIRED, Signal.FAILED):
            self._watch()
        if number is not None:
            self._doubt(number)
        return unsubscribe

    def _doubt(self, number: int) -> None:
        """Check soon whether an event has finished before a listener waited for it."""
        if (self._is_shared or not self._workers) and number not in self._local_events.claims:
            self._doubtful.add(number)
            if self._checking is None:
                self._checking = asyncio.get_running_loop().create_task(self._check())

    async def _check(self) -> None:
        """See whether what is waited for has ended before anybody waited for it."""
        try:
            while self._doubtful:
                doubtful, self._doubtful = self._doubtful, set()
                claims, awaited = self._local_events.claims, self._listeners.finished
                if numbers := [n for n in doubtful if n in awaited and n not in claims]:
                    await self._see_endings(numbers, False)
        except Exception:  # noqa: S110  # the next look comes; who waits for a step hears of it
            pass
        finally:
            self._checking = None
