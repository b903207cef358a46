"""Batch: the handle of events that were appended together."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Generic, Literal, TypeVar, overload
from uuid import UUID

from ..errors import NotFoundError
from ..model.collections.container import IdLike
from ..model.continuation import ContinuedBy
from ..model.element import as_id
from ..model.event_data import EventData
from ..model.execution import TERMINAL
from ..stores.contract import Store
from .admin import Admin
from .batch_end import BatchEnd
from .completion import CompletionService, response_of
from .event import Event
from .event_lookup import find_event

__all__ = ("Batch", "find_batch_end")

R = TypeVar("R")

_PAGE: Final = 100
"""Number of events that ``result`` reads at once: the event loop waits while they are made."""


class Batch(Generic[R]):
    """Events that were appended together by ``Executor.batch``.

    The batch is in the store. ``Executor.get_batch`` returns it in any process, by its id.

    Attributes:
        id: The id of the batch. It is the id of the ``BatchEnd`` that was appended with the events.
        event_ids: The ids of the events, in the order given.
    """

    __slots__ = ("_admin", "_completion", "_store", "event_ids", "id")

    def __init__(
        self, end: BatchEnd, store: Store, completion: CompletionService, admin: Admin
    ) -> None:
        self.id: UUID = end.id
        self.event_ids: tuple[UUID, ...] = end.events
        self._store = store
        self._completion = completion
        self._admin = admin

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.event_ids)

    def __repr__(self) -> str:
        return f"Batch({str(self.id)!r}, {len(self)} events)"

    async def counts(self) -> dict[str, int]:
        """Return the number of events in each status, whichever process runs them.

        An event that returned ``Then`` counts with the status of the event that continues it. An
        event that was removed does not count, so the sum may be less than the length of the batch.

        Raises:
            NotFoundError: if the batch was removed.
        """
        counts = await self._store.parent_counts(self.id)
        return {status.value: count for status, count in counts.items()}

    @overload
    async def result(self, *, return_exceptions: Literal[False] = ...) -> list[R]: ...
    @overload
    async def result(self, *, return_exceptions: bool) -> list[R | Exception]: ...
    async def result(self, *, return_exceptions: bool = False) -> list[Any]:
        """Wait until the events have finished, and return their responses in the order given.

        If nothing runs the events, the call does not return.

        Args:
            return_exceptions: False to raise the error of the first event, in the order given, that
                has not completed; the other events continue. True to wait for all events, and to
                return such an error in place of the response.

        Raises:
            Exception: the error that ``Executor.result`` raises for an event.
            NotFoundError: if an event was removed, or the batch; or if this process has not defined
                the class of an event.
        """
        results: list[Any] = []
        for first in range(0, len(self), _PAGE):
            for event in await self._read(first):
                finished = await self._finished(event)
                try:
                    results.append(response_of(finished))
                except Exception as error:
                    if not return_exceptions:
                        raise
                    results.append(error)
            await asyncio.sleep(0)  # other events run between two pages
        return results

    async def _read(self, first: int) -> list[Event | UUID]:
        """Return a page of the events; an id for an event that was removed.

        Events that this process does not have are read from the store.
        """
        find, ids = self._store.states.find, self.event_ids[first : first + _PAGE]
        held: dict[int, EventData | None] = {at: find(uid) for at, uid in enumerate(ids, first)}
        if any(event is None for event in held.values()):
            found = await self._store.parent_events(self.id, first=first, limit=_PAGE)
            held |= {at: event for at, event in found if held.get(at) is None}
        events = (held[at] for at in range(first, first + len(ids)))
        return [
            event if isinstance(event, Event) else uid
            for event, uid in zip(events, ids, strict=True)
        ]

    async def _finished(self, event: Event | UUID) -> Event:
        """Return an event, or what continues it, when it has finished.

        Raises:
            NotFoundError: if it was removed.
        """
        if isinstance(event, Event):
            state = event.execution
            if state.status in TERMINAL and not isinstance(state.response, ContinuedBy):
                return event  # it may be one that was made from its record
        return await self._completion.finished(event)

    async def cancel(self, *, by: str | None = None) -> int:
        """Cancel the events that have not finished, as ``Executor.cancel`` does for one.

        Returns:
            The number of events that had not finished.
        """
        return await self._admin.cancel_all(self.event_ids, by)


async def find_batch_end(store: Store, batch: IdLike) -> BatchEnd:
    """Return the end of a batch; see ``Executor.get_batch``."""
    event = await find_event(store, as_id(batch))
    if not isinstance(event, BatchEnd):
        raise NotFoundError(
            f"{event!r} is no batch: give the `id` of a batch that Executor.batch() has returned"
        )
    return event
