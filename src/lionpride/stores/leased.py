"""What a store offers beside, if its claims lapse."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..model.work import Work

__all__ = ("Leased",)


@runtime_checkable
class Leased(Protocol):
    """Tells whether a claim can still be started, in a process that may have been stopped."""

    def holds(self, event: Work, attempt: int) -> bool:
        """Return True if the lease of a claim of this process certainly has not lapsed.

        It is decided without the database, by a clock that counts while the machine sleeps. The
        age of the claim is compared with the lease, and with what the heartbeat has renewed.
        """
