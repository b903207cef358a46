"""What all pages share: what is looked at, how it went lately, and who may do what."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from ..core import Executor
from ..stores.contract import Store
from ..view.history import History
from ..view.office import Office
from ..view.prometheus import Prometheus
from .access import Access

__all__ = ["ACTIONS", "Desk", "desk_of"]

ACTIONS: Final = ("retry", "cancel", "pause", "resume", "limit")

LATELY: Final = 30.0
"""Seconds for which events may wait while nothing runs them."""


class Desk:
    """One page's own state; nothing of it is on disk.

    Args:
        source, name: As for ``app``.
        access: Decides which requests are answered.
    """

    def __init__(
        self, source: Executor | Store | str, access: Access, name: str | None = None
    ) -> None:
        self.office = Office(source)
        self.name = self.office.name if name is None else name
        self.access = access
        self.closing = asyncio.Event()
        self._history: History | None = None
        self._prometheus: Prometheus | None = None
        self._at_work: float | None = None

    def idle_for(self, waiting: int, now: float) -> float:
        """Seconds for which events have waited and nothing here has run any; 0.0 if all is well.

        A process without an executor has nothing to run, and one that is paused or stopped is
        meant to be.

        Args:
            waiting: How many events wait.
            now: In seconds of any steady clock.
        """
        processor = None if self.executor is None else self.executor.processor
        if processor is None or processor.is_stopped() or processor.paused:
            self._at_work = None
        elif self._at_work is None or processor.working or not waiting:
            self._at_work = now
        elif now - self._at_work > LATELY:
            return now - self._at_work
        return 0.0

    @property
    def history(self) -> History:
        """How it went lately, as far as this page has seen it, or the store knows."""
        if self._history is None:
            self._history = History(self.office)
        return self._history

    @property
    def prometheus(self) -> Prometheus:
        """Its figures; of an executor, counted since they were first asked for."""
        if self._prometheus is None:
            self._prometheus = Prometheus(self.office)
        return self._prometheus

    @property
    def executor(self) -> Executor | None:
        """The executor, if it is seen from inside."""
        return self.office.executor

    async def version(self) -> str:
        """What stands for all that is shown now: another text when something has changed."""
        text = f"{await self.office.version()} {await self.office.paused()}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    async def allowed(self, request: Request) -> set[str]:
        """The actions that somebody may take here."""
        possible: Sequence[str] = ACTIONS
        if self.executor is None:  # a limit is known to the process that keeps it alone
            possible = ACTIONS[:-1] if await self.office.can_pause() else ACTIONS[:2]
        return {what for what in possible if await self.access.may(request, what)}

    async def close(self) -> None:
        """End what goes on, and give back what was opened."""
        self.closing.set()
        if self._history is not None:
            await self._history.close()
        if self._prometheus is not None:
            self._prometheus.close()
        await self.office.close()


def desk_of(request: Request) -> Desk:
    """The desk of the page that is asked."""
    desk: Desk = request.app.state.desk
    return desk
