"""Statistics of a run: counts, running events, durations and failures."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from ...core import Event, EventStatus, Transition
from ...drawing.text import one_line
from ...model.event_data import EventData
from ...model.execution import TERMINAL
from ...model.serialization.codec import error_to_dict
from ...rules.state_machine import is_by_hand
from ...stores.record import Record
from ..batch.lines import label

__all__ = ["Failure", "Statistics", "StoreStatistics", "error_text", "is_failure"]

FIRST_FAILURES = 5
_STATUSES = tuple(EventStatus)
SUCCESSES = (EventStatus.COMPLETED, EventStatus.SKIPPED)


@dataclass(frozen=True, slots=True)
class Failure:
    """An event that did not complete: its line, its label, how it ended and why."""

    line: int | None
    label: str
    status: str
    error: str


class Statistics:
    """Observes an executor and counts.

    Attributes:
        counts: How many events are in each status; `settled` and `total` are sums of it.
        running: When each event that runs now was started, in order of start.
        durations: The seconds that the events which ended in a status had run.
        failures: The first few events that did not complete, unless each was told of at once.
        room: Set whenever an event has left the queue.
        earlier: How many of the settled ones had settled before this run.
        others: How many events ran that are no lines of the input, as far as they are told apart.
        others_failed: How many of these did not complete.
        interrupted: How many attempts were interrupted, so that their event waits again.
        by_hand: How many of the cancelled ones were cancelled by hand: they have not failed.
    """

    def __init__(self, lines: Mapping[UUID, int]) -> None:
        self.counts = dict.fromkeys(EventStatus, 0)
        self.running: dict[UUID, tuple[float, EventData]] = {}
        self.durations: dict[EventStatus, array[float]] = {}
        self.failures: list[Failure] = []
        self.room = asyncio.Event()
        self.earlier = self.others = self.others_failed = self.interrupted = 0
        self._lines = lines
        self._by_hand = set[UUID]()

    @property
    def by_hand(self) -> int:
        return len(self._by_hand)

    @property
    def total(self) -> int:
        """Number of accepted events."""
        return sum(self.counts.values())

    @property
    def settled(self) -> int:
        """Number of finished events."""
        counts = self.counts
        return self.total - counts[EventStatus.PENDING] - counts[EventStatus.PROCESSING]

    @property
    def failed(self) -> int:
        """How many events have failed, were aborted, or cancelled other than by hand."""
        return self.settled - sum(self.counts[status] for status in SUCCESSES) - self.by_hand

    def oldest(self, number: int) -> Iterator[tuple[float, EventData]]:
        """When they were started, and which: the events that have run the longest."""
        return islice(self.running.values(), number)

    def line_of(self, event: EventData) -> int | None:
        """The line that an event came from."""
        return self._lines.get(event.id)

    def __call__(self, step: Transition) -> None:
        """Count one step."""
        self._count(step.before, step.after)
        self.interrupted += step.reason == "interrupted"
        ran = self._watch(step)
        if ran is not None and step.after is not None:
            self._took(step.after, ran)
        if step.after is None:
            self._note_by_hand(step.event.id, by_hand=False)
        else:
            self._note_end(step.event, self.line_of(step.event), step.after)

    def _count(self, before: EventStatus | None, after: EventStatus | None) -> None:
        if before is not None:
            self.counts[before] -= 1
        if after is not None:
            self.counts[after] += 1

    def _watch(self, step: Transition) -> float | None:
        """Note what runs; how long it ran, if that has ended for good."""
        event, after = step.event, step.after
        ran = None
        if after is EventStatus.PROCESSING:
            self.running[event.id] = (step.at, event)
        elif step.before is EventStatus.PROCESSING:
            started, _ = self.running.pop(event.id, (step.at, event))
            if after is not EventStatus.PENDING:
                ran = step.at - started
        if step.before is EventStatus.PENDING:
            self.room.set()
        return ran

    def _took(self, status: EventStatus, seconds: float) -> None:
        self.durations.setdefault(status, array("d")).append(seconds)

    def _note_end(self, event: EventData, line: int | None, status: EventStatus) -> None:
        """Note whether an event has failed, or was cancelled by hand."""
        by_hand = status is EventStatus.CANCELLED and not is_failure(status, event)
        self._note_by_hand(event.id, by_hand)
        if is_failure(status, event):
            self._note_failure(event, line, status)

    def _note_by_hand(self, uid: UUID, by_hand: bool) -> None:
        if by_hand:
            self._by_hand.add(uid)
        else:
            self._by_hand.discard(uid)

    def _note_failure(self, event: EventData, line: int | None, status: EventStatus) -> None:
        if len(self.failures) < FIRST_FAILURES:
            self.failures.append(Failure(line, label(event), status.value, error_text(event)))


class StoreStatistics(Statistics):
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


def error_text(event: EventData) -> str:
    """The error of an event in one line; empty if it has none."""
    error = event.execution.error
    if not isinstance(error, BaseException):
        return ""
    return one_line("{error}: {message}".format_map(error_to_dict(error)).removesuffix(": "))


def is_failure(status: EventStatus | None, event: EventData | None = None) -> bool:
    """Return True for an event that has failed, was aborted, or cancelled.

    Args:
        status: How it ended, if it has.
        event: The event, if it is known: one that was cancelled by hand has not failed.
    """
    if status in (None, EventStatus.PENDING, EventStatus.PROCESSING, *SUCCESSES):
        return False
    error = None if event is None else event.execution.error
    return not is_by_hand(status, type(error).__name__, error)
