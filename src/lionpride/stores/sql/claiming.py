"""Requests of claims, and claims that wait for a limit."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from ...rules.limits.limit_set import Limits
from ..listeners import Listeners
from .limits import LimitedClaim

__all__ = ("BlockedClaims", "ClaimRequest")


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Request of a claim.

    Attributes:
        worker: Name of the worker.
        n: Maximum number of events.
        seconds: Length of the leases.
        until, skip, denied, start: See ``Store.claim``.
        limits: The limits; None for a claim without limits.
        missing: Event types that this process does not run. A claim adds those that it meets.
        avoided: More event types that are not claimed.
        runs: Returns True if this process runs an event type. It may be called in another thread.
    """

    worker: str
    n: int
    seconds: float
    until: int | None
    skip: Collection[int]
    denied: bool
    start: bool
    limits: Limits | None
    missing: set[str]
    avoided: frozenset[str]
    runs: Callable[[str], bool]

    @property
    def excluded(self) -> set[str] | frozenset[str]:
        """Event types that are not claimed."""
        return self.missing | self.avoided if self.avoided else self.missing

    def limited(self) -> LimitedClaim:
        """Return the request of a claim under limits."""
        assert self.limits is not None, "a claim without limits has its own statement"
        return LimitedClaim(
            self.worker,
            self.n,
            self.seconds,
            self.until,
            tuple(self.skip),
            self.denied,
            self.start,
            self.limits,
            self.runs,
            frozenset(self.excluded),
        )


class BlockedClaims:
    """Notifies workers when limits may allow more, after a claim that they blocked.

    Attributes:
        changes: The number of changes of limits so far, as far as this process knows.

    Args:
        listeners: They are notified.
        counts_commits: True if each commit counts as a change, also that of the claim itself;
            False if only ``note_change`` does.
    """

    def __init__(self, listeners: Listeners, *, counts_commits: bool) -> None:
        self.changes = 0
        self._listeners = listeners
        self._counts_commits = counts_commits
        self._seen: int | None = None  # changes that the blocked claim has seen

    def __bool__(self) -> bool:
        """Return True if a claim is blocked."""
        return self._seen is not None

    def note_claim(self, is_blocked: bool, before: int) -> bool:
        """Note the result of a claim under limits.

        Args:
            is_blocked: True if limits blocked events that it might have claimed.
            before: The number of changes when it was requested.

        Returns:
            True if limits may allow more by now.
        """
        if not is_blocked:
            self._seen = None
            return False
        if self._counts_commits:
            self._seen = self.changes + 1  # the commit of the claim, which is noted next
            return False
        self._seen = self.changes
        return self.changes > before

    def note_change(self) -> None:
        """Note that limits may allow more, unless the commit of the change is noted."""
        if not self._counts_commits:
            self._note()

    def note_commit(self) -> None:
        """Note a commit."""
        if self._seen is not None:
            self._note()

    def _note(self) -> None:
        self.changes += 1
        if self._seen is not None and self.changes > self._seen:
            self._seen = None
            self._listeners.notify_ready()
