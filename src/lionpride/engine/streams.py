"""Readers of streams: each reader is a cursor over the chunks that the event keeps."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, Final

from ..errors import NotFoundError, RestartedError
from ..model.collections.container import IdLike
from ..model.execution import TERMINAL, EventStatus
from ..model.progress import ENTRY, Live, Progress
from ..model.unset import Unset
from ..stores.contract import Store
from ..stores.listeners import Signal, Unsubscribe
from .attempt import SLICE
from .desk import Desk, answer
from .event import Event
from .progress_reader import ProgressReader

__all__ = ("Follower", "Streams")

PIECE: Final = 500
"""Number of chunks that a reader takes at a time."""


class Streams(Desk):
    """The part of an Executor that yields the chunks and the progress of events."""

    async def stream(
        self,
        event: Event | IdLike,
        *,
        cancel_with_reader: bool = False,
        on_restart: Callable[[], object] | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Yield the chunks of an event: the existing ones at once, later ones as they arrive.

        The iteration ends when the event finishes. Any number of readers can follow one event. Each
        reader receives every chunk, however late it starts and however slow it is. An event that is
        not a stream yields its response once. If nothing runs the executor, the iteration waits
        without end.

        Args:
            event: An event of this executor, or its id: pending, running or finished.
            cancel_with_reader: True to cancel the event if the reader is cancelled or closed before
                the end (``async with aclosing(executor.stream(event)) as chunks:``).
            on_restart: Called when a new attempt begins after chunks were yielded. The chunks of
                the new attempt follow, from its first one. Without it, RestartedError is raised
                then.

        Raises:
            Exception: the error that ``result`` raises, after the last chunk, unless the event
                completed.
            RestartedError: if a new attempt has begun after chunks were yielded. Call ``stream``
                again for its chunks.
            NotFoundError: if the event is unknown, or was removed.
        """
        _check_plain(on_restart)
        held = await self._find(event)
        follower = Follower(self._store, held, on_restart)
        clock = asyncio.get_running_loop().time
        turn = clock() + SLICE
        try:
            while not follower.over:
                piece = follower.take()
                if not piece and follower.is_shared:
                    piece = await follower.fetch()
                for chunk in piece:
                    yield chunk
                if not piece and not follower.over:
                    await follower.wait()
                    turn = clock() + SLICE
                elif clock() > turn:  # what is here already is no reason to hold up the others
                    await asyncio.sleep(0)
                    turn = clock() + SLICE
        except (GeneratorExit, asyncio.CancelledError):
            if cancel_with_reader:
                with suppress(NotFoundError):  # removed since
                    await self.cancel(held)
            raise
        finally:
            follower.close()
        answer(held)

    async def progress(self, event: Event | IdLike) -> AsyncGenerator[Progress, None]:
        """Yield the progress that an event reports, from whichever process runs it.

        The last report, if there is one, is yielded first. If reports follow each other quickly,
        some are skipped, but never the last; from another process at most ten a second arrive. The
        iteration ends when the event has finished; a failure raises no error here.

        >>> async for progress in executor.progress(event):
        ...     print(progress.fraction, progress.note)

        Args:
            event: An event of this executor, or its id: pending, running or finished.

        Raises:
            NotFoundError: if the event is unknown.
        """
        reports = ProgressReader(self._store, await self._find(event)).reports()
        async with aclosing(reports):
            async for report in reports:
                yield report


class Follower:
    """A reader of one event.

    Args:
        store: The store that has the event.
        event: The event whose chunks are read.
        on_restart: See ``Streams.stream``.

    Attributes:
        over: True if the event has finished, or was removed, and all its chunks were taken.
        is_shared: True if another process may run the event, so that ``fetch`` may return more.
    """

    def __init__(
        self, store: Store, event: Event, on_restart: Callable[[], object] | None = None
    ) -> None:
        self._store = store
        self._event = event
        self._on_restart = on_restart
        self._attempt = 0
        self._chunks: list[Any] = []
        self._at = 0
        self._own = event.__dict__
        self.is_shared = store.is_shared
        self._unsubscribe: Unsubscribe | None = None  # from the finish of the event
        self._waits = False  # the bell of its next chunk hangs
        self._rang = False  # something came since the last look
        self._sleeper: asyncio.Future[None] | None = None
        self.over = False

    def take(self) -> list[Any]:
        """Return the next chunks that this process has, at most ``PIECE`` at a time.

        Raises:
            RestartedError: if a new attempt has begun after chunks were taken.
        """
        live = self._own.get(ENTRY)
        goes_on = live is not None and live.chunks is self._chunks
        ended = not (goes_on and self._own["_status"] == "processing") and self._look()
        piece = self._chunks[self._at : self._at + PIECE]
        self._at += len(piece)
        self.over = ended and not piece
        return piece

    def _look(self) -> bool:
        """Find the chunks, and return True if the event has finished or was removed."""
        state = self._event.execution
        if state.status in TERMINAL:
            self._turn_to(state.attempt_number, self._final(), is_all=state.status)
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

    def _turn_to(self, attempt: int, chunks: list[Any], is_all: EventStatus | None = None) -> None:
        """Read the chunks of an attempt from now on; of another one, from the first."""
        before, self._attempt = self._attempt, attempt
        self._chunks = chunks
        if attempt == before or not self._at:
            return
        if not chunks and is_all is not None and is_all is not EventStatus.COMPLETED:
            return  # its error says all
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
        self._rang = False
        self._listen()  # first: what comes while the store is asked is heard of
        found = await self._store.published(self._event, self._attempt, self._at)
        if found is None or self._event.status in TERMINAL:
            return []
        attempt, chunks = found
        self._turn_to(attempt, [])
        self._at += len(chunks)
        return chunks

    def _listen(self) -> None:
        """Subscribe to the next local chunk, to the end, and to chunks of another process."""
        if self._unsubscribe is None and self._event.execution.arrival is not None:
            self._unsubscribe = self._store.subscribe(
                Signal.FINISHED, self._rung, event=self._event, once=True
            )
        if not self._waits:
            self._waits = True
            Live.of(self._own).bells.append(self._chunk_came)

    async def wait(self) -> None:
        """Wait until more chunks may be there."""
        if not self._rang:
            self._listen()
            self._sleeper = asyncio.get_running_loop().create_future()
            await self._sleeper
        self._rang = False

    def _chunk_came(self) -> None:
        self._waits, self._rang = False, True
        self._wake()

    def _rung(self) -> None:
        self._unsubscribe, self._rang = None, True
        self._wake()

    def _wake(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    def close(self) -> None:
        """Stop reading."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        live = self._own.get(ENTRY)
        if live is None:
            return
        if self._chunk_came in live.bells:
            live.bells.remove(self._chunk_came)
        idle = not live.bells and live.progress is None
        if idle and self._event.status is not EventStatus.PROCESSING:
            del self._own[ENTRY]


def _check_plain(on_restart: object) -> None:
    """Refuse an async function: its coroutine would not be awaited."""
    if on_restart is None:
        return
    if not callable(on_restart) or inspect.iscoroutinefunction(on_restart):
        raise TypeError(
            f"on_restart takes a plain function without arguments, not {on_restart!r}: catch "
            "RestartedError where something has to be awaited"
        )
