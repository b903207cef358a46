"""What a store offers beside, if other processes can follow what runs in this one."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from ..model.work import Work

__all__ = ("Shared",)


@runtime_checkable
class Shared(Protocol):
    """Lets others see an attempt before its end: its chunks so far, and how far it says it is.

    A store that is shared also notifies of FINISHED when another process has published
    more of the event. What is published goes when the attempt has ended; its record has it all.
    """

    def publish(self, event: Work, attempt: int) -> None:
        """Let others see what ``model.live`` shows of an attempt of this process, now and then.

        To be called when there is something to see for the first time; more often does no harm.
        """

    async def published(
        self, event: Work, attempt: int, first: int
    ) -> tuple[int, list[Any]] | None:
        """What another process has published of the attempt that it runs.

        Args:
            event: The event.
            attempt: The attempt whose chunks are known here.
            first: How many of them are known.

        Returns:
            The number of the attempt that runs, and chunks of it: those from ``first`` on if it
            is that one, else from its first; there may be more. None if nothing is known.
        """
