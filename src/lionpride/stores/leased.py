"""Optional protocol of a store whose claims wait for a commit, and lapse."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..model.work import Work

__all__ = ("Leased",)


@runtime_checkable
class Leased(Protocol):
    """Tells whether a claim can still be started, in a process that may have been stopped."""

    def holds(self, event: Work, attempt: int) -> bool:
        """Return True if a claim of this process may still be started.

        It is False if the lease may have lapsed, or if the event has passed its ``expires``. The
        database is not asked. The age of the claim is compared with the lease and with the
        renewals of the heartbeat, by a clock that counts while the machine sleeps.
        """
