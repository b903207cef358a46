"""The queues of the store that a command line names, and what commands on it share."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from ..core import EventStatus
from ..drawing.text import one_line
from ..errors import LionprideError
from ..stores.record import Record
from .place import Durable, Place
from .usage import UsageError

__all__ = ["Shelf", "told_counts"]


class Shelf:
    """The queues of a store that is there already; entered while it is open.

    Args:
        place: Where it is.
        only: The one queue that is asked for; None: all.
    """

    def __init__(self, place: Place, only: str | None = None) -> None:
        self.place = place
        self.queues: list[str] = []
        self._only = only
        self._stores: dict[str, Durable] = {}

    async def __aenter__(self) -> Self:
        """Open it.

        Raises:
            UsageError: if it is not there, cannot be opened, or has no such queue.
        """
        await self.place.check_made()
        try:
            self.queues = await self.of(self._only or "").queues()
        except LionprideError as error:
            await self.close()
            raise UsageError(one_line(str(error))) from error
        if self._only is not None:
            if self._only not in self.queues:
                await self.close()
                known = ", ".join(map(one_line, self.queues)) or "none"
                raise UsageError(f"--queue {self._only}: {self.place.name} has {known}")
            self.queues = [self._only]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def of(self, queue: str) -> Durable:
        """The store of one of the queues."""
        if queue not in self._stores:
            self._stores[queue] = self.place.open(queue)
        return self._stores[queue]

    async def close(self) -> None:
        """Give back what is open."""
        for store in self._stores.values():
            await store.close()
        self._stores.clear()

    async def page(
        self, status: EventStatus | None, after: int, limit: int, queue: str | None = None
    ) -> list[Record]:
        """The next records of all queues, or of one, by arrival number."""
        pages = [
            await self.of(each).list_records(status, after=after, limit=limit)
            for each in (self.queues if queue is None else [queue])
        ]
        return sorted((one for page in pages for one in page), key=lambda one: one.number)[:limit]


def told_counts(counts: Mapping[EventStatus, int]) -> str:
    """Counts in words: 200 completed, 3 pending."""
    return ", ".join(f"{number:,} {status.value}" for status, number in counts.items() if number)
