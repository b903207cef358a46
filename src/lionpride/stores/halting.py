"""Pause of a whole queue, for every worker in every process."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..rules.lifecycle import FOR_EVER

__all__ = ("FOR_EVER", "Halting", "is_halted")


@runtime_checkable
class Halting(Protocol):
    """A store that can pause its queue for every worker, in every process, now or later.

    The pause is stored where claims look anyway, since a service may have asked the queue to wait
    (``RateLimited``), so it costs claims nothing. What runs goes on. In memory it holds for every
    executor that uses the store object.
    """

    async def halt(self, until: float = FOR_EVER) -> None:
        """Have nothing claimed before this time.

        Args:
            until: A Unix timestamp in seconds; 0.0: let it go on, also if it was a service that
                asked it to wait.
        """

    async def halted(self) -> float:
        """The time before which nothing is claimed; one that is over, or 0.0, if it may be."""


async def is_halted(store: object) -> bool:
    """Whether somebody has paused the queue of a store by hand, for whoever works on it."""
    return isinstance(store, Halting) and await store.halted() >= FOR_EVER
