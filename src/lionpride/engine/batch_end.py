"""The event that is appended with a batch, after all events of it."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from .event import Event

__all__ = ("BatchEnd",)


class BatchEnd(Event):
    """The end of a batch, which ``Executor.batch`` appends after the events of the batch.

    It keeps the batch in the store, under its own id. It is blocked until all events of the batch
    have finished in any way, and then completes. Every executor runs it; it needs no permission and
    costs nothing.

    Attributes:
        events: The ids of the events of the batch, in the order given.
    """

    events: tuple[UUID, ...] = ()

    @property
    def costs(self) -> Mapping[str, float]:
        """Nothing."""
        return {}

    async def _invoke(self) -> None:
        """Do nothing."""
