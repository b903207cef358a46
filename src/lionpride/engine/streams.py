"""Following a stream: each reader is a cursor over the chunks that the event keeps anyway."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, Final

from ..errors import NotFoundError, RestartedError
from ..model.container import IdLike
from ..model.execution import TERMINAL, EventStatus
from ..model.live import ENTRY, Live, Progress
from ..model.unset import Unset
from ..stores.contract import Store
from ..stores.sharing import Shared
from .attempt import SLICE
from .desk import Desk, answer
from .event import Event
from .progress_reader import ProgressReader

__all__ = ("Follower", "Streams")

PIECE: Final = 500
"""Chunks that a reader looks at in one go."""


class Streams(Desk):
    """The part of an Executor that gives what an event yields, as it comes."""

    async def stream(
        self,
        event: Event | IdLike,
        *,
        cancel_with_reader: bool = False,
        on_restart: Callable[[], object] | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Give the chunks of an event: those that have come at once, the others as they come.

        It ends when the event does. There may be any number of readers; each gets every chunk,
        whenever it comes and however slow it is. An event that is no stream gives its response,
        once. It waits for ever if nothing runs the executor.

        Args:
            event: An event of this executor, or its id: waiting, running or ended.
            cancel_with_reader: Whether the event is cancelled when this reader is, or is closed,
                before the end (``async with aclosing(executor.stream(event)) as chunks:``).
            on_restart: Called when another attempt has begun after chunks were given: what comes
                now comes from its first on. Without it RestartedError is raised then.

        Raises:
            Exception: as ``result``, after the last chunk, if the event ended otherwise than well.
            RestartedError: if another attempt has begun after chunks were given; follow the
                event again for its chunks.
            NotFoundError: if it is not here, or was removed.
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
        """Yield the progress that an event reports, in whichever process it runs.

        The last report comes first, if there is one. Of reports that follow each other quickly only
        the last may be seen; from another process at most ten a second. It ends when the event has
        finished, however it did; ``result`` raises its error.

        >>> async for progress in executor.progress(event):
        ...     print(progress.fraction, progress.note)

        Args:
            event: An event of this executor, or its id: waiting, running or finished.

        Raises:
            NotFoundError: if it is not here.
        """
        reports = ProgressReader(self._store, await self._find(event)).reports()
        async with aclosing(reports):
            async for report in reports:
                yield report


class Follower:
    """One reader of one event.

    Args:
        store: The store that has the event.
        event: Whose chunks are read.
        on_restart: As in ``Streams.stream``.

    Attributes:
        over: Whether the event has ended, or was removed, and all its chunks were taken.
        is_shared: Whether another process may run it, so that there may be more to ``fetch``.
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
        self._shared = store if isinstance(store, Shared) else None
        self.is_shared = self._shared is not None
        self._hangs = False  # the bell of the event's end
        self._waits = False  # the bell of its next chunk hangs
        self._rang = False  # something came since the last look
        self._sleeper: asyncio.Future[None] | None = None
        self.over = False

    def take(self) -> list[Any]:
        """The next chunks that are here already, some at a time.

        Raises:
            RestartedError: if another attempt has begun after some were taken.
        """
        live = self._own.get(ENTRY)
        goes_on = live is not None and live.chunks is self._chunks
        ended = not (goes_on and self._own["_status"] == "processing") and self._look()
        piece = self._chunks[self._at : self._at + PIECE]
        self._at += len(piece)
        self.over = ended and not piece
        return piece

    def _look(self) -> bool:
        """See where the chunks are now; whether the event has ended, or was removed."""
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
        """The chunks of an event that has ended: for one that is no stream, its response."""
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
                f"{self._event!r} began its attempt {attempt}: the chunks before were those of "
                "one that came to nothing; follow it again, or give stream() an on_restart"
            )
        self._on_restart()

    async def fetch(self) -> list[Any]:
        """The next chunks that another process has published, if that is where the event runs.

        Raises:
            RestartedError: as ``take``.
        """
        if self._shared is None or self.over:
            return []
        self._rang = False
        self._listen()  # first: what comes while the store is asked is heard of
        found = await self._shared.published(self._event, self._attempt, self._at)
        if found is None or self._event.status in TERMINAL:
            return []
        attempt, chunks = found
        self._turn_to(attempt, [])
        self._at += len(chunks)
        return chunks

    def _listen(self) -> None:
        """Subscribe to the next local chunk, to the end, and to chunks of another process."""
        if not self._hangs and self._event.execution.arrival is not None:
            self._hangs = True
            self._store.on_ended(self._event, self._rung)
        if not self._waits:
            self._waits = True
            Live.of(self._own).bells.append(self._chunk_came)

    async def wait(self) -> None:
        """Return when there may be more."""
        if not self._rang:
            self._listen()
            self._sleeper = asyncio.get_running_loop().create_future()
            await self._sleeper
        self._rang = False

    def _chunk_came(self) -> None:
        self._waits, self._rang = False, True
        self._wake()

    def _rung(self) -> None:
        self._hangs, self._rang = False, True
        self._wake()

    def _wake(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    def close(self) -> None:
        """Read no more."""
        if self._hangs:
            self._store.off(self._rung)
        live = self._own.get(ENTRY)
        if live is None:
            return
        if self._chunk_came in live.bells:
            live.bells.remove(self._chunk_came)
        idle = not live.bells and live.progress is None
        if idle and self._event.status is not EventStatus.PROCESSING:
            del self._own[ENTRY]


def _check_plain(on_restart: object) -> None:
    """Refuse what nobody would await."""
    if on_restart is None:
        return
    if not callable(on_restart) or inspect.iscoroutinefunction(on_restart):
        raise TypeError(
            f"on_restart takes a plain function without arguments, not {on_restart!r}: catch "
            "RestartedError where something has to be awaited"
        )
