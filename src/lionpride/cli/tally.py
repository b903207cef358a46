"""Statistics of a run: counts, running events, durations and failures."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from ..core import EventStatus, Transition
from ..drawing.text import one_line
from ..model.event_data import EventData
from ..model.serialization.codec import error_to_dict
from ..rules.state_machine import is_by_hand
from .lines import label

__all__ = ["Failure", "Tally", "error_text", "is_failure"]

FIRST_FAILURES = 5
SUCCESSES = (EventStatus.COMPLETED, EventStatus.SKIPPED)


@dataclass(frozen=True, slots=True)
class Failure:
    """An event that did not complete: its line, its label, how it ended and why."""

    line: int | None
    label: str
    status: str
    error: str


class Tally:
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
