"""Pause of a whole queue, for every worker in every process."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..rules.lifecycle import FOR_EVER

__all__ = ("FOR_EVER", "Halting", "is_halted")


@runtime_checkable
class Halting(Protocol):
    """A store that can pause its queue for every worker in every process, now and later.

    The pause is stored with the wait that a service can ask for (``RateLimited``), which claims
    read anyway, so it costs claims nothing. Running events continue. In memory it holds for every
    executor that uses the store object.
    """

    async def halt(self, until: float = FOR_EVER) -> None:
        """Make no claims before a time.

        Args:
            until: A Unix timestamp in seconds; 0.0 ends the pause, also one that a service asked
                for.
        """

    async def halted(self) -> float:
        """Return the time before which nothing is claimed; it is past, or 0.0, without a pause."""


async def is_halted(store: object) -> bool:
    """Return True if the queue of a store is paused by hand, for all its workers."""
    return isinstance(store, Halting) and await store.halted() >= FOR_EVER
