"""Context of all pages: the store or executor, its history, and the access rules."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

from starlette.requests import Request

from ..core import Executor
from ..stores.contract import Store
from ..view.actions import PAUSE_SCHEDULE, RESUME_SCHEDULE, RUN_SCHEDULE
from ..view.history import History
from ..view.monitor import Monitor
from ..view.prometheus import Prometheus
from .access import Access

__all__ = ["ACTIONS", "SCHEDULE_ACTIONS", "PageContext", "context_of"]

SCHEDULE_ACTIONS: Final = (PAUSE_SCHEDULE, RESUME_SCHEDULE, RUN_SCHEDULE)

ACTIONS: Final = ("retry", "cancel", *SCHEDULE_ACTIONS, "pause", "resume", "limit")

MAX_IDLE: Final = 30.0
"""Seconds for which events may be pending without a running worker."""


class PageContext:
    """State of one page; nothing of it is on disk.

    Args:
        source: See ``app``.
        name: See ``app``.
        access: The access rules.

    Attributes:
        prometheus: Its metrics; those of an executor are counted from now on.
    """

    def __init__(
        self, source: Executor | Store | str, access: Access, name: str | None = None
    ) -> None:
        self.monitor = Monitor(source)
        self.name = self.monitor.name if name is None else name
        self.access = access
        self.closing = asyncio.Event()
        self._history: History | None = None
        self.prometheus = Prometheus(self.monitor)
        self._active_at: float | None = None

    def idle_for(self, waiting: int, now: float) -> float:
        """Return for how many seconds events were pending and none ran here.

        0.0 means that there is no problem. A process without an executor runs nothing, and a
        paused or stopped executor need not run any.

        Args:
            waiting: Number of pending events.
            now: The time in seconds of any steady clock.
        """
        processor = None if self.executor is None else self.executor.processor
        if processor is None or processor.is_stopped() or processor.paused:
            self._active_at = None
        elif self._active_at is None or processor.working or not waiting:
            self._active_at = now
        elif now - self._active_at > MAX_IDLE:
            return now - self._active_at
        return 0.0

    @property
    def history(self) -> History:
        """The recent history, as far as this page or the store knows it."""
        if self._history is None:
            self._history = History(self.monitor)
        return self._history

    @property
    def executor(self) -> Executor | None:
        """The executor, if the page has one."""
        return self.monitor.executor

    async def version(self) -> str:
        """Return a text that differs after a change of the displayed data."""
        text = f"{await self.monitor.version()} {await self.monitor.paused()}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    async def allowed(self, request: Request) -> set[str]:
        """Return the actions that a request may carry out."""
        impossible = set[str]()
        if self.executor is None:
            impossible.add("limit")  # only the executor knows its limits
            if not await self.monitor.can_pause():
                impossible |= {"pause", "resume"}
        possible = [what for what in ACTIONS if what not in impossible]
        return {what for what in possible if await self.access.may(request, what)}

    async def close(self) -> None:
        """End all queries, and close the stores that were opened."""
        self.closing.set()
        if self._history is not None:
            await self._history.close()
        self.prometheus.close()
        await self.monitor.close()


def context_of(request: Request) -> PageContext:
    """Return the context of the requested page."""
    context: PageContext = request.app.state.context
    return context
