"""Statistics of a run over a durable store, in which other processes may work too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import UUID

from ..core import Event, EventStatus, Transition
from ..model.event_data import EventData
from ..model.execution import TERMINAL
from ..stores.record import Record
from .tally import Tally, is_failure

__all__ = ["Ledger"]

_STATUSES = tuple(EventStatus)


class Ledger(Tally):
    """Counts the lines of the input by status, also those that other processes or runs have run.

    It keeps the status of each line, because a transition may not begin where the last one that
    was seen here has ended. Other events of the queue are counted separately.

    Attributes:
        known: Number of lines that were in the store before this run.
        reopened: True if a finished line was run again.
    """

    def __init__(self, lines: Mapping[UUID, int]) -> None:
        super().__init__(lines)
        self.known = 0
        self.reopened = False
        self._standing = bytearray()  # by line: 0 for nothing, else 1 and the status's place
        self._strangers: dict[UUID, bool] = {}  # whether it has failed

    def __call__(self, step: Transition) -> None:
        """Count one step."""
        line = self._lines.get(step.event.id)
        if line is None:
            self._watch(step)
            self._meet(step.event, step.after)
            return
        before = self.standing(line)
        if before in TERMINAL:
            self.reopened = True
        super().__call__(step._replace(before=before))
        self._stand(line, step.after)

    def standing(self, line: int) -> EventStatus | None:
        """Where a line stands; None if nothing is known of it."""
        at = self._standing[line] if line < len(self._standing) else 0
        return _STATUSES[at - 1] if at else None

    def unsettled(self) -> Iterator[UUID]:
        """The ids of the lines that have not settled, as far as is known here."""
        return (uid for uid, line in self._lines.items() if self.standing(line) not in TERMINAL)

    def settled_before(self) -> Iterator[UUID]:
        """The ids of the lines that have settled."""
        return (uid for uid, line in self._lines.items() if self.standing(line) in TERMINAL)

    def enter(self, line: int, record: Record) -> None:
        """A line is in the store already, and stands there so."""
        self.known += 1
        if record.status in TERMINAL:
            self.earlier += 1
        self._forget(record.id)
        self.correct(line, record)

    def correct(self, line: int, record: Record) -> None:
        """A line stands so in the store, whatever was known of it."""
        status = record.status
        if status not in TERMINAL:
            status = EventStatus.PENDING  # another process has it, or had: it is left to do
        before = self.standing(line)
        if before is status:
            return
        self._count(before, status)
        self._stand(line, status)
        duration = record.payload["execution"].get("duration")
        if status in TERMINAL and duration is not None:
            self._took(status, duration)
        event = record.event() if is_failure(status) else None
        if isinstance(event, Event):
            self._note_end(event, line, status)
        else:
            self._note_by_hand(record.id, by_hand=False)

    def _stand(self, line: int, status: EventStatus | None) -> None:
        missing = line + 1 - len(self._standing)
        if missing > 0:
            self._standing.extend(bytes(max(missing, 1024)))
        self._standing[line] = 0 if status is None else 1 + _STATUSES.index(status)

    def _meet(self, event: EventData, status: EventStatus | None) -> None:
        """An event that is no line, or whose line has not been read yet."""
        self._forget(event.id)
        if status in TERMINAL:
            self._strangers[event.id] = failed = is_failure(status, event)
            self.others += 1
            self.others_failed += failed

    def _forget(self, uid: UUID) -> None:
        failed = self._strangers.pop(uid, None)
        if failed is not None:
            self.others -= 1
            self.others_failed -= failed
