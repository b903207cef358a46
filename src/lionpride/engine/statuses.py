"""Questions about events by status, which an Executor answers."""

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
        """The events that this process holds, as a live Flow with a progression a status."""

    def get_events_by_status(self, status: EventStatus | str) -> Events:
        """The events of a status: a live, read-only list, made and measured in O(1).

        Raises:
            ValueError: if it is no status.
        """
        return Events(self.states, EventStatus(status))

    @property
    def pending_events(self) -> Events:
        """The events that wait."""
        return Events(self.states, EventStatus.PENDING)

    @property
    def processing_events(self) -> Events:
        """The events that run."""
        return Events(self.states, EventStatus.PROCESSING)

    @property
    def completed_events(self) -> Events:
        """The events that ended with a response, in the order they ended."""
        return Events(self.states, EventStatus.COMPLETED)

    @property
    def failed_events(self) -> Events:
        """The events that ended with an error."""
        return Events(self.states, EventStatus.FAILED)

    @property
    def cancelled_events(self) -> Events:
        """The events that were cancelled, or ran into their timeout."""
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
        """How many events are in each status, in O(1)."""
        return {status.value: len(lane) for status, lane in self.states.lanes.items()}

    def inspect_state(self) -> str:
        """The counts as text, a line each."""
        lines = [f"Executor State ({self.states.name}):"]
        lines += [f"  {status}: {count} events" for status, count in self.status_counts().items()]
        return "\n".join(lines)

    def timeline(self, title: str | None = None) -> Picture:
        """A picture of how the events ran that this process holds, a bar for each attempt.

        A notebook shows it; ``save(path)`` writes it as SVG. Of very many events the newest
        10,000 are drawn. An event that another process ran is in it as far as its record says
        when: with its attempts that failed.

        Args:
            title: What stands above; by default the name of the executor's class, and its own.
        """
        from ..model.picturing import MOST, picture_of, title_of  # late: needed to draw alone

        title = title or title_of(type(self).__name__, self._given_name)
        lanes = self.states.lanes.values()
        newest = chain.from_iterable(islice(reversed(lane.values()), MOST) for lane in lanes)
        events = sorted(newest, key=lambda event: event.execution.arrival or 0)
        return picture_of(events, title, self._ahead())

    def _ahead(self) -> float | None:
        """By how much Unix time is ahead of the loop's clock, if a loop runs here."""
        try:
            return time() - asyncio.get_running_loop().time()
        except RuntimeError:
            return None

    def _repr_html_(self) -> str:
        """What a notebook shows: the counts, and how the events ran."""
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
