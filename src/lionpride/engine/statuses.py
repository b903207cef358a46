"""Queries by status, which an Executor answers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from itertools import chain, islice
from time import time
from typing import TYPE_CHECKING

from ..model.element import as_id
from ..model.execution import EventStatus
from ..stores.states import Events, States

if TYPE_CHECKING:
    from ..model.picturing import Picture

__all__ = ("Statuses",)


class Statuses(ABC):
    """Live lists, counts and text, all read from ``states``."""

    _given_name: str | None = None

    @property
    @abstractmethod
    def states(self) -> States:
        """The events in this process, as a live Flow with one progression per status."""

    def get_events_by_status(self, status: EventStatus | str) -> Events:
        """Return the events of a status as a live, read-only list; making and measuring it is O(1).

        Raises:
            ValueError: if the argument is not a status.
        """
        return Events(self.states, EventStatus(status))

    @property
    def pending_events(self) -> Events:
        """The events that wait."""
        return Events(self.states, EventStatus.PENDING)

    @property
    def processing_events(self) -> Events:
        """The events that are running."""
        return Events(self.states, EventStatus.PROCESSING)

    @property
    def completed_events(self) -> Events:
        """The events that finished with a response, in the order in which they finished."""
        return Events(self.states, EventStatus.COMPLETED)

    @property
    def failed_events(self) -> Events:
        """The events that finished with an error."""
        return Events(self.states, EventStatus.FAILED)

    @property
    def cancelled_events(self) -> Events:
        """The events that were cancelled, or exceeded their timeout."""
        return Events(self.states, EventStatus.CANCELLED)

    @property
    def skipped_events(self) -> Events:
        """The events that raised Skip."""
        return Events(self.states, EventStatus.SKIPPED)

    @property
    def aborted_events(self) -> Events:
        """The events that were denied permission too often."""
        return Events(self.states, EventStatus.ABORTED)

    def status_counts(self) -> dict[str, int]:
        """Return the number of events in each status, in O(1)."""
        return {status.value: len(lane) for status, lane in self.states.lanes.items()}

    def inspect_state(self) -> str:
        """Return the counts as text, one line per status."""
        lines = [f"Executor State ({self.states.name}):"]
        lines += [f"  {status}: {count} events" for status, count in self.status_counts().items()]
        return "\n".join(lines)

    def timeline(self, title: str | None = None) -> Picture:
        """Return a chart of the events in this process, with one bar per attempt.

        A notebook displays it; ``save(path)`` writes it as SVG. At most the 10,000 newest events
        are drawn. For an event that another process ran, only the times in its record are known:
        those of failed attempts are drawn too.

        Args:
            title: Title of the chart; by default the name of the executor's class and its own name.
        """
        from ..model.picturing import MOST, picture_of, title_of  # late: needed to draw alone

        title = title or title_of(type(self).__name__, self._given_name)
        lanes = self.states.lanes.values()
        newest = chain.from_iterable(islice(reversed(lane.values()), MOST) for lane in lanes)
        events = sorted(newest, key=lambda event: event.execution.arrival or 0)
        return picture_of(events, title, self._ahead())

    def _ahead(self) -> float | None:
        """Return Unix time minus the loop's clock in seconds; None if no loop runs here."""
        try:
            return time() - asyncio.get_running_loop().time()
        except RuntimeError:
            return None

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook displays: the counts, and a chart of the attempts."""
        from ..model.picturing import html_of, title_of  # late: who draws nothing needs it not

        title = title_of(type(self).__name__, self._given_name)
        picture = self.timeline(title) if len(self.states.items) else None
        return html_of(title, self.status_counts(), picture)

    def __contains__(self, event: object) -> bool:
        try:
            return self.states.find(as_id(event)) is not None
        except ValueError:
            return False

    def __repr__(self) -> str:
        counts = self.status_counts()
        each = ", ".join(f"{status}={count}" for status, count in counts.items())
        return f"Executor(total={sum(counts.values())}, {each})"
