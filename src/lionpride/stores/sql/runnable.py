"""Events that this process cannot run, and for how long it does not claim them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias
from uuid import UUID

from ...rules.queue_position import About, Unreadable
from ..contract import Stuck
from ..event_types import RunnableTypes
from .rows import FixedColumns, ReadyColumns
from .unreadable import PAUSE, UnreadableEvents, reason_of

__all__ = ("RunnableEvents",)

Fail: TypeAlias = Callable[[ReadyColumns, Exception], object]
"""Records that a claimed event, which cannot be built, has FAILED with this error."""

logger = logging.getLogger("lionpride")


class RunnableEvents(RunnableTypes):
    """Decides which events of a queue this process can run; see ``EventTypes``.

    An event that it has claimed and cannot run is refused: its claim is released.

    Attributes:
        failed_unreadable: Number of events that were marked as FAILED since they cannot be built.
        is_unreported: True if other processes do not know yet what this process cannot run.

    Args:
        place: The database, as messages name it.
        clock: Returns the time.
        has_workers: Returns True if a worker is registered in this process.
        fail: See ``Fail``.
    """

    def __init__(
        self,
        place: object,
        clock: Callable[[], float],
        *,
        has_workers: Callable[[], bool],
        fail: Fail,
    ) -> None:
        super().__init__(place)
        self.is_unreported = False
        self._clock = clock
        self._has_workers = has_workers
        self._fail = fail
        self._fails_unreadable = False
        self._unreadable = UnreadableEvents()
        self._postponed: set[int] = set()
        self._refused: list[ReadyColumns] = []

    # -- event types -------------------------------------------------------------------------

    def warn_of_missing(self) -> bool:
        """Log each missing type once; return True if there are new ones."""
        are_new = super().warn_of_missing()
        self.is_unreported = self.is_unreported or are_new
        return are_new

    # -- events that cannot be built ---------------------------------------------------------

    def fail_unreadable(self) -> None:
        """See ``EventTypes``."""
        self._fails_unreadable = True

    def unreadable(self) -> tuple[Unreadable, ...]:
        """See ``EventTypes``."""
        return self._unreadable.report()

    def why_unreadable(self, uid: UUID, kind: str) -> str | None:
        """See ``EventTypes``."""
        return self._unreadable.why(uid, kind, self._clock())

    def refuse(self, claimed: ReadyColumns, fixed: FixedColumns, error: Exception) -> None:
        """Refuse a claimed event that cannot be built, or mark it as FAILED."""
        number, uid, event_type = claimed[0], UUID(bytes=fixed[0]), fixed[1]
        if not self.runs(event_type):
            self.missing.add(event_type)
        elif self._fails_unreadable:
            logger.warning("event %s cannot be read, and has FAILED: %s", uid, reason_of(error))
            self.failed_unreadable += 1
            self._fail(claimed, error)
            return
        elif self._unreadable.note(number, uid, event_type, error, self._clock()):
            self._warn_of_unreadable(uid, event_type, error)
            self.is_unreported = True
        self._refused.append(claimed)

    def _warn_of_unreadable(self, uid: UUID, event_type: str, error: Exception) -> None:
        text = "stays pending for a process that can read it"
        if event_type in self._unreadable.kinds(self._clock()):
            text += f", and events of this class are not claimed here for {PAUSE:g} s"
        logger.warning(
            "%s: event %s of %s cannot be read in this process and %s: %s",
            *(self._place, uid, event_type, text, reason_of(error)),
        )

    # -- claims ------------------------------------------------------------------------------

    def postpone(self, claimed: ReadyColumns) -> bool:
        """Refuse an event of which an older, reaped attempt still runs here.

        Returns:
            False if no worker is registered: then a caller uses the store directly, and no code
            of the event runs here.
        """
        if not self._has_workers():
            return False
        self._postponed.add(claimed[0])
        self._refused.append(claimed)
        return True

    def refuse_missing(self, claimed: ReadyColumns) -> None:
        """Refuse an event whose type is missing."""
        self._refused.append(claimed)

    def take_refused(self) -> list[ReadyColumns]:
        """Return the refused events, whose claims the caller has to release."""
        refused, self._refused = self._refused, []
        return refused

    def not_claimed(
        self, skip: Collection[int], claims: Mapping[int, int]
    ) -> tuple[Collection[int], frozenset[str]]:
        """Return the numbers and the types of events that are not claimed now.

        Args:
            skip: Numbers that are not claimed in any case.
            claims: The running attempts of this process, by number.
        """
        self._postponed &= claims.keys()
        if self._postponed:
            skip = {*skip, *self._postponed}
        if not self._unreadable:
            return skip, frozenset(self.still_missing())
        types, numbers = self.skipped()
        return {*skip, *numbers} if skip else numbers, types

    def wait_for(self, wait: float | None) -> float | None:
        """Return the seconds until another claim may find an event, also an unreadable one."""
        if not self._unreadable:
            return wait
        look = self._unreadable.next_look(self._clock())
        return min((each for each in (wait, look) if each is not None), default=None)

    # -- reports -----------------------------------------------------------------------------

    def __bool__(self) -> bool:
        """Return True if this process has met events that it cannot run."""
        return bool(self.missing or self._unreadable)

    def complete(self, about: About) -> About:
        """Return the description of a worker, with the types that its process cannot run."""
        missing, unreadable = tuple(sorted(self.missing)), self._unreadable.report()
        return about._replace(missing=missing, unreadable=unreadable)

    def skipped(self) -> tuple[frozenset[str], tuple[int, ...]]:
        """Return the types and the numbers of the events that are not claimed now."""
        now, missing = self._clock(), frozenset(self.still_missing())
        self._unreadable.refresh(now)
        return missing | self._unreadable.kinds(now), self._unreadable.numbers

    def stuck(self, counts: Mapping[str, int]) -> list[Stuck]:
        """Return pending events by type.

        Args:
            counts: The number of pending events of each type; no worker can run any of them.
        """
        unreadable = {one.kind: one for one in self._unreadable.report()}
        return [
            Stuck(event_type, count, unreadable.get(event_type))
            for event_type, count in sorted(counts.items())
        ]
