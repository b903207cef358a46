"""Following the progress that an event reports, also from another process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from ..model.execution import TERMINAL
from ..model.progress import Live, Progress
from ..stores.contract import Store
from ..stores.listeners import Signal, Unsubscribe
from .event import Event

__all__ = ("ProgressReader",)


class ProgressReader:
    """Reads the reports of one event, from now until it has finished.

    Args:
        store: The store that has the event.
        event: The event.
    """

    def __init__(self, store: Store, event: Event) -> None:
        self._store = store
        self._event = event
        self._news = asyncio.Event()
        self._unsubscribe_finished: Unsubscribe | None = None  # and from news of other processes
        self._awaits_report = False  # this is subscribed to reports of this process

    async def reports(self) -> AsyncGenerator[Progress, None]:
        """Yield the last report, if there is one, and each later one; end with the event."""
        last: Progress | None = None
        try:
            while True:
                self._news.clear()
                is_over = self._is_over()
                if not is_over:
                    self._subscribe()  # before the look: news in between are not missed
                found = await self._latest()
                if found is not None and found != last:
                    last = found
                    yield found
                elif is_over:
                    return
                else:
                    await self._news.wait()
        finally:
            self._unsubscribe()

    def _is_over(self) -> bool:
        """Return True if the event has finished or was removed."""
        state = self._event.execution
        return state.arrival is None or state.status in TERMINAL

    async def _latest(self) -> Progress | None:
        """Return the last report, of this process or of the one that runs the event."""
        live = Live.now(self._event.__dict__)
        if live is not None and live.progress is not None:
            return live.progress
        if not self._store.is_shared:
            return None
        (record,) = await self._store.get((self._event.id,))
        return None if record is None else record.progress

    def _subscribe(self) -> None:
        if self._unsubscribe_finished is None:
            self._unsubscribe_finished = self._store.subscribe(
                Signal.FINISHED, self._ended, event=self._event, once=True
            )
        if not self._awaits_report:
            self._awaits_report = True
            Live.of(self._event.__dict__).listeners.append(self._reported)

    def _ended(self) -> None:
        self._unsubscribe_finished = None
        self._news.set()

    def _reported(self) -> None:
        self._awaits_report = False
        self._news.set()

    def _unsubscribe(self) -> None:
        if self._unsubscribe_finished is not None:
            self._unsubscribe_finished()
        Live.unsubscribe(self._event.__dict__, self._reported)
