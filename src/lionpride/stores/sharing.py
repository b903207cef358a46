"""Optional protocol of a store whose running attempts other processes can follow."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from ..model.work import Work

__all__ = ("Shared",)


@runtime_checkable
class Shared(Protocol):
    """Live progress: other processes read the chunks and the progress of a running attempt.

    Such a store also notifies of FINISHED when another process has published more of the event.
    Published data is deleted after the end of the attempt; then the record contains it.
    """

    def publish(self, event: Work, attempt: int) -> None:
        """Publish the chunks and the progress of an attempt of this process at intervals.

        It is called for the first chunk or progress; further calls are harmless.
        """

    async def published(
        self, event: Work, attempt: int, first: int
    ) -> tuple[int, list[Any]] | None:
        """Return the published chunks of an attempt that another process runs.

        Args:
            event: The event.
            attempt: The attempt whose chunks the caller has.
            first: The number of these chunks.

        Returns:
            The number of the running attempt, and some of its chunks: from ``first`` on if it is
            the same attempt, otherwise from the first chunk on. None if nothing is published.
        """
