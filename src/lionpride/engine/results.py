"""What comes of many events, as it comes: for whoever wants more than one result."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import suppress
from typing import Any, Final, TypeVar, cast, overload

from ..errors import NotFoundError, OperationError, ValidationError
from ..model.container import IdLike
from ..model.execution import TERMINAL
from ..model.work import Work
from ..stores.contract import Immediate
from .endings import Endings
from .event import Event
from .mapping import Mapping
from .streams import Streams

__all__ = ("Results",)

E = TypeVar("E", bound=Event)

_BATCH: Final = 100
"""Events that a durable store lets go of in one step."""


class Results(Streams):
    """The part of an Executor that gives events as they end."""

    @abstractmethod
    async def append(
        self,
        event: E,
        priority: float | None = None,
        *,
        exist_ok: bool = False,
        wait: bool = False,
    ) -> E:
        """Take an event in."""

    @abstractmethod
    def _slots(self) -> int:
        """How many events may run at once."""

    @overload
    def as_completed(self, events: Iterable[E]) -> AsyncGenerator[E, None]: ...
    @overload
    def as_completed(self, events: Iterable[IdLike]) -> AsyncGenerator[Event, None]: ...
    async def as_completed(self, events: Iterable[Any]) -> AsyncGenerator[Any, None]:
        """Give events as they end: those that have ended at once, the others in that order.

        It waits for ever if nothing runs the executor. What an event's end was, is for you to
        look at: nothing is raised for one that failed.

        Args:
            events: Events of this executor, or their ids; one that is given twice comes twice.

        Raises:
            NotFoundError: if one is not here, or was removed before it ended.
        """
        _check_several("as_completed()", events)
        endings = Endings(self._store)
        try:
            for event in events:
                endings.add(await self._find(event))
            while len(endings):
                if (awaited := endings.next()) is None:
                    await endings.wait()
                else:
                    yield awaited.given()
        finally:
            endings.close()

    async def map(
        self,
        events: Iterable[E] | AsyncIterable[E],
        *,
        ordered: bool = True,
        buffersize: int | None = None,
        keep: bool | None = None,
        exist_ok: bool = False,
    ) -> AsyncGenerator[E, None]:
        """Append events as they are wanted, and give each when it has ended.

        The source is asked for the next event only when fewer than ``buffersize`` have been
        taken from it and not been given yet; so it may be endless. If it raises, or an event is
        refused, that is raised once all those before have been given. Whoever stops early leaves
        to the executor what has been appended.

        It waits for ever if nothing runs the executor. Nothing is raised for an event that
        failed.

        Args:
            events: New events, of an iterable or an async one. A plain one is asked in the event
                loop: it must not block.
            ordered: Whether they come in the order of the source; else as they end.
            buffersize: How many are under way at most; by default twice as many as may run at
                once. While as many as ``max_queue_size`` wait, none is taken either.
            keep: Whether the executor keeps the events after they were given. False: each is
                removed from the store some time after the next has been asked for, if it has
                not been retried. By default they are kept on disk, and not in memory.
            exist_ok: Whether an event whose id is known is left as it stands, and given once it
                has ended: so that a run which was cut short can be repeated.

        Raises:
            ValidationError: if ``buffersize`` is no whole number from 1 up.
            NotFoundError: if an event was removed before it ended.
        """
        size = self._buffersize(buffersize)
        _check_several("map()", events)
        if keep is None:
            keep = not isinstance(self._store, Immediate)
        gone: list[Event] = []
        most = 1 if isinstance(self._store, Immediate) else _BATCH

        async def append(event: Any) -> Event:
            return await self.append(event, exist_ok=exist_ok, wait=True)

        mapping = Mapping(
            events,
            append,
            Endings(self._store),
            ordered=ordered,
            size=size,
            overlap=not isinstance(self._store, Immediate),
        )
        try:
            while (event := await mapping.next()) is not None:
                yield cast("E", event)
                if not keep:
                    gone.append(event)
                    if len(gone) >= most:
                        await self._let_go(gone)
        finally:
            await mapping.close()
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
        """Remove those of the events that are here, and ended, still; the list is empty then."""
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
    """Refuse what is no iterable of events; a model can be iterated over: its fields would come."""
    if isinstance(events, Work | str) or not isinstance(events, Iterable | AsyncIterable):
        raise TypeError(f"{what} takes several events, not {events!r}: give a list of them")
