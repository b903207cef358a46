"""Results of many events, as they finish."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import suppress
from typing import Any, Final, TypeVar, cast, overload

from ..errors import NotFoundError, OperationError, ValidationError
from ..model.collections.container import IdLike
from ..model.event_data import Work
from ..model.execution import TERMINAL
from ..stores.contract import ImmediatePath
from .completion_queue import CompletionQueue
from .event import Event
from .map import MapRun
from .streams import Streams

__all__ = ("Results",)

E = TypeVar("E", bound=Event)

_BATCH: Final = 100
"""Events that a durable store removes in one transaction."""


class Results(Streams):
    """The part of an Executor that returns events as they finish."""

    @abstractmethod
    async def append(
        self,
        event: E,
        priority: float | None = None,
        *,
        exist_ok: bool = False,
        wait: bool = False,
    ) -> E:
        """Append an event."""

    @abstractmethod
    def _slots(self) -> int:
        """Return the number of events that may run at once."""

    @overload
    def as_completed(self, events: Iterable[E]) -> AsyncGenerator[E, None]: ...
    @overload
    def as_completed(self, events: Iterable[IdLike]) -> AsyncGenerator[Event, None]: ...
    async def as_completed(self, events: Iterable[Any]) -> AsyncGenerator[Any, None]:
        """Yield events as they finish. Events that have already finished come first.

        The failure of an event raises no error here: look at its ``status``. If nothing runs the
        executor, the iteration waits without end.

        Args:
            events: Events of this executor, or their ids. An event that is given twice is yielded
                twice.

        Raises:
            NotFoundError: if an event is unknown, or was removed before it finished.
        """
        _check_several("as_completed()", events)
        completions = CompletionQueue(self._store)
        try:
            for event in events:
                completions.add(await self._find(event))
            while len(completions):
                if (pending := completions.next()) is None:
                    await completions.wait()
                else:
                    yield pending.result()
        finally:
            completions.close()

    async def map(
        self,
        events: Iterable[E] | AsyncIterable[E],
        *,
        ordered: bool = True,
        buffersize: int | None = None,
        keep: bool | None = None,
        exist_ok: bool = False,
    ) -> AsyncGenerator[E, None]:
        """Append events on demand, and yield each when it has finished.

        The source may be endless: its next event is taken only when fewer than ``buffersize``
        events are in progress. If the source raises an error, or an event is refused, that error is
        raised after all earlier events have been yielded. If the caller stops early, events that
        have been appended stay in the executor.

        The failure of an event raises no error here: look at its ``status``. If nothing runs the
        executor, the iteration waits without end.

        Args:
            events: An iterable or async iterable of new events. A plain iterable is advanced in the
                event loop, so it must not block.
            ordered: True to yield events in the order of the source; False as they finish.
            buffersize: Number of events in progress at most; by default twice the number that may
                run at once. While ``max_queue_size`` events are pending, no event is taken either.
            keep: False to remove each event from the store some time after the next one has been
                requested, unless it was retried. By default events are kept in a durable store, and
                removed from a store in memory.
            exist_ok: True to accept an event whose id is known. It stays unchanged and is yielded
                when it has finished. An interrupted run can be repeated this way.

        Raises:
            ValidationError: if ``buffersize`` is not an integer >= 1.
            NotFoundError: if an event was removed before it finished.
        """
        size = self._buffersize(buffersize)
        _check_several("map()", events)
        if keep is None:
            keep = self._store.is_shared
        gone: list[Event] = []
        most = _BATCH if self._store.is_shared else 1

        async def append(event: Any) -> Event:
            return await self.append(event, exist_ok=exist_ok, wait=True)

        run = MapRun(
            events,
            append,
            CompletionQueue(self._store),
            ordered=ordered,
            size=size,
            overlap=not isinstance(self._store, ImmediatePath),
        )
        try:
            while (event := await run.next()) is not None:
                yield cast("E", event)
                if not keep:
                    gone.append(event)
                    if len(gone) >= most:
                        await self._let_go(gone)
        finally:
            await run.close()
            await self._let_go(gone)

    def _buffersize(self, given: object) -> int:
        if given is None:
            return 2 * self._slots()
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise ValidationError(
                f"buffersize must be a whole number from 1 up, not {given!r}: None is twice as "
                "many as may run at once"
            )
        return given

    async def _let_go(self, events: list[Event]) -> None:
        """Remove the events that are still here and finished, and empty the list."""
        ended = [each for each in events if each.execution.status in TERMINAL]
        events.clear()
        if len(ended) == 1:
            await self._remove_quietly(ended[0])
        else:  # at once, so that they share a commit
            await asyncio.gather(*map(self._remove_quietly, ended))

    async def _remove_quietly(self, event: Event) -> None:
        with suppress(NotFoundError, OperationError):  # somebody was quicker
            await self.remove(event)


def _check_several(what: str, events: object) -> None:
    """Refuse a single event (a model is iterable), and arguments that are not iterable."""
    if isinstance(events, Work | str) or not isinstance(events, Iterable | AsyncIterable):
        raise TypeError(f"{what} takes several events, not {events!r}: give a list of them")
