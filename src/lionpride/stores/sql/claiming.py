"""Requests and results of claims, and claims that wait for a limit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...rules.limits.limit_set import Limits
from ..listeners import Listeners
from .limits import Reservations
from .operations import Expired
from .rows import FixedColumns, ReadyColumns

__all__ = ("BlockedClaims", "ClaimRequest", "ClaimResult")


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Request of a claim.

    Attributes:
        worker: Name of the worker.
        size: Maximum number of events.
        seconds: Length of the leases.
        until, skip, denied, start: See ``Store.claim``.
        limits: The limits; None for a claim without limits.
        excluded: Event types that are not claimed.
        runs: Returns True if this process runs an event type. It may be called in another thread.
    """

    worker: str
    size: int
    seconds: float
    until: int | None
    skip: Collection[int]
    denied: bool
    start: bool
    limits: Limits | None
    excluded: frozenset[str]
    runs: Callable[[str], bool]


class ClaimResult(NamedTuple):
    """Result of a claim.

    Attributes:
        rows: The ready row of each claimed event before the claim, which adds 1 to its attempt.
        kept: The fixed columns of the events that this process does not have, by number.
        wait: Seconds until another claim may find an event; None if that is unknown.
        expired: The events that expired before a start, and were finished by the claim.
        new: Priority and number of each event that was appended and started in the same step.
            These events are not in ``rows``, and this is their first attempt.
        reservations: The amounts of limits that the events reserve; None without limits.
        unknown: Event types that were found and that this process does not run.
        may_resolve: True if parents have changed, and children may be released by ``resolve``.
    """

    rows: Sequence[ReadyColumns]
    kept: Mapping[int, FixedColumns]
    wait: float | None
    expired: Expired
    new: Sequence[tuple[float, int]] = ()
    reservations: Reservations | None = None
    unknown: Collection[str] = ()
    may_resolve: bool = False


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
