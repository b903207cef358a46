"""The queues of the store that a command line names, and what commands on it share."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from ...core import EventStatus
from ...drawing.text import one_line
from ...errors import LionprideError
from ..usage import UsageError
from .location import DurableStore, StoreLocation

__all__ = ["StoreQueues", "told_counts"]


class StoreQueues:
    """The queues of a store that is there already; entered while it is open.

    Args:
        location: Where it is.
        only: The one queue that is asked for; None: all.

    Attributes:
        names: The names of the queues, once it is entered.
    """

    def __init__(self, location: StoreLocation, only: str | None = None) -> None:
        self.location = location
        self.names: list[str] = []
        self._only = only
        self._stores: dict[str, DurableStore] = {}

    async def __aenter__(self) -> Self:
        """Open it.

        Raises:
            UsageError: if it is not there, cannot be opened, or has no such queue.
        """
        await self.location.check_made()
        try:
            self.names = await self.of(self._only or "").queues()
        except LionprideError as error:
            await self.close()
            raise UsageError(one_line(str(error))) from error
        if self._only is not None:
            if self._only not in self.names:
                await self.close()
                known = ", ".join(map(one_line, self.names)) or "none"
                raise UsageError(f"--queue {self._only}: {self.location.name} has {known}")
            self.names = [self._only]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def of(self, queue: str) -> DurableStore:
        """The store of one of the queues."""
        if queue not in self._stores:
            self._stores[queue] = self.location.open(queue)
        return self._stores[queue]

    async def close(self) -> None:
        """Give back what is open."""
        for store in self._stores.values():
            await store.close()
        self._stores.clear()


def told_counts(counts: Mapping[EventStatus, int]) -> str:
    """Counts in words: 200 completed, 3 pending."""
    return ", ".join(f"{number:,} {status.value}" for status, number in counts.items() if number)
