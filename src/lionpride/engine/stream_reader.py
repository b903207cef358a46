"""Readers of streams: each is a cursor over the chunks that an event keeps."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from ..errors import RestartedError
from ..model.execution import TERMINAL, EventStatus
from ..model.progress import ENTRY, Live
from ..model.unset import Unset
from ..stores.contract import Store
from ..stores.listeners import Signal, Unsubscribe
from .attempt import SLICE
from .event import Event

__all__ = ("StreamReader", "check_on_restart")

PIECE: Final = 500
"""Number of chunks that a reader takes at a time."""


class StreamReader:
    """A reader of the chunks of one event.

    Args:
        store: The store that has the event.
        event: The event.
        on_restart: See ``Executor.stream``.
        after: An attempt number, and the number of its chunks that the reader has already.

    Attributes:
        attempt: The attempt of the chunks that were taken last; 0 before the first.
        over: True if the event has finished, or was removed, and all its chunks were taken.
        is_shared: True if another process may run the event, so that ``fetch`` may return more.
    """

    def __init__(
        self,
        store: Store,
        event: Event,
        on_restart: Callable[[], object] | None = None,
        after: tuple[int, int] = (0, 0),
    ) -> None:
        self._store = store
        self._event = event
        self._on_restart = on_restart
        self.attempt, self._at = after
        self._chunks: list[Any] = []
        self._own = event.__dict__
        self.is_shared = store.is_shared
        self._unsubscribe: Unsubscribe | None = None  # from the finish of the event
        self._awaits_chunk = False  # it is subscribed to the next chunk
        self._notified = False  # a signal came since the last look
        self._sleeper: asyncio.Future[None] | None = None
        self.over = False

    async def chunks(self) -> AsyncGenerator[Any, None]:
        """Yield the chunks until the event has finished or was removed.

        Raises:
            RestartedError: see ``take``.
        """
        clock = asyncio.get_running_loop().time
        turn = clock() + SLICE
        try:
            while not self.over:
                piece = self.take()
                if not piece and self.is_shared:
                    piece = await self.fetch()
                for chunk in piece:
                    yield chunk
                if not piece and not self.over:
                    await self.wait()
                    turn = clock() + SLICE
                elif clock() > turn:  # let other tasks run while there are chunks to read
                    await asyncio.sleep(0)
                    turn = clock() + SLICE
        finally:
            self.close()

    def take(self) -> list[Any]:
        """Return the next chunks that this process has, at most ``PIECE`` at a time.

        Raises:
            RestartedError: if a new attempt has begun after chunks were taken.
        """
        live = self._own.get(ENTRY)
        goes_on = live is not None and live.chunks is self._chunks
        finished = not (goes_on and self._own["_status"] == "processing") and self._look()
        piece = self._chunks[self._at : self._at + PIECE]
        self._at += len(piece)
        self.over = finished and not piece
        return piece

    def _look(self) -> bool:
        """Find the chunks, and return True if the event has finished or was removed."""
        state = self._event.execution
        if state.status in TERMINAL:
            self._turn_to(state.attempt_number, self._final(), final=state.status)
            return True
        if state.status is EventStatus.PROCESSING:
            live = Live.now(self._own)
            if live is not None and live.chunks is not None:
                self._turn_to(live.attempt, live.chunks)
        return state.arrival is None

    def _final(self) -> list[Any]:
        """Return the chunks of a finished event; its response if it is not a stream."""
        state, response = self._event.execution, self._event.execution.response
        if self._event.streaming and isinstance(response, list):
            return response
        if state.status is not EventStatus.COMPLETED:
            return []
        return [None if response is Unset else response]

    def _turn_to(self, attempt: int, chunks: list[Any], final: EventStatus | None = None) -> None:
        """Continue with the chunks of an attempt; if it is another one, with its first chunk.

        Args:
            attempt: The attempt number.
            chunks: Its chunks.
            final: The status of the event, if it has finished.
        """
        before, self.attempt = self.attempt, attempt
        self._chunks = chunks
        if attempt == before or not self._at:
            return
        if not chunks and final is not None and final is not EventStatus.COMPLETED:
            return  # the caller raises the error of the event
        self._at = 0
        if self._on_restart is None:
            raise RestartedError(
                f"{self._event!r} began attempt {attempt}: the chunks before belong to an "
                "attempt that failed; call stream() again, or give it an on_restart"
            )
        self._on_restart()

    async def fetch(self) -> list[Any]:
        """Return the next chunks that another process has published, if it runs the event.

        Raises:
            RestartedError: see ``take``.
        """
        if not self.is_shared or self.over:
            return []
        self._notified = False
        self._subscribe()  # before the query, so that no chunk is missed
        found = await self._store.published(self._event, self.attempt, self._at)
        if found is None or self._event.status in TERMINAL:
            return []
        attempt, chunks = found
        self._turn_to(attempt, [])
        self._at += len(chunks)
        return chunks

    def _subscribe(self) -> None:
        """Subscribe to the next local chunk, to the end, and to chunks of another process."""
        if self._unsubscribe is None and self._event.execution.arrival is not None:
            self._unsubscribe = self._store.subscribe(
                Signal.FINISHED, self._changed, event=self._event, once=True
            )
        if not self._awaits_chunk:
            self._awaits_chunk = True
            Live.of(self._own).listeners.append(self._chunk_came)

    async def wait(self) -> None:
        """Wait until more chunks may be there."""
        if not self._notified:
            self._subscribe()
            self._sleeper = asyncio.get_running_loop().create_future()
            await self._sleeper
        self._notified = False

    def _chunk_came(self) -> None:
        self._awaits_chunk, self._notified = False, True
        self._wake()

    def _changed(self) -> None:
        self._unsubscribe, self._notified = None, True
        self._wake()

    def _wake(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    def close(self) -> None:
        """Stop reading, and remove the listeners."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        Live.unsubscribe(self._own, self._chunk_came)


def check_on_restart(on_restart: object) -> None:
    """Refuse an async function: its coroutine would not be awaited."""
    if on_restart is None:
        return
    if not callable(on_restart) or inspect.iscoroutinefunction(on_restart):
        raise TypeError(
            f"on_restart takes a plain function without arguments, not {on_restart!r}: catch "
            "RestartedError where something has to be awaited"
        )
