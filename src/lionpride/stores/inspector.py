"""Queries for monitoring: protocol ``Inspector``, its filters and its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable
from uuid import UUID

from ..model.execution import EventStatus
from ..rules.queue_position import About
from .record import Record

__all__ = (
    "ClaimedEvent",
    "EventFilter",
    "FinishedEvent",
    "Inspector",
    "LimitUsage",
    "RunningEvent",
    "WorkerRecord",
)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Filter of the events of a queue; an attribute that is None or empty matches all events.

    Attributes:
        status: The status.
        kind: The registry key of the class.
        since: Events created at or after this time, in Unix seconds.
        text: An id or at least its first eight digits; otherwise a part of the error message,
            regardless of case.
        upto: The highest arrival number.
        above: Only events with a larger arrival number.
        blocked: True for blocked events only. The status is PENDING or None then.
    """

    status: EventStatus | None = None
    kind: str | None = None
    since: float | None = None
    text: str = ""
    upto: int | None = None
    above: int | None = None
    blocked: bool = False

    @property
    def is_counted(self) -> bool:
        """True if the counts of the queue contain the number of matching events."""
        return not (self.kind or self.since or self.text or self.upto or self.above or self.blocked)

    @property
    def id_digits(self) -> str:
        """The hexadecimal digits if the text is an id; otherwise ""."""
        digits = self.text.strip().lower().replace("-", "")
        return digits if 8 <= len(digits) <= 32 and not digits.strip(_HEX) else ""


_HEX = "0123456789abcdef"


class FinishedEvent(NamedTuple):
    """A finished event; times are in Unix seconds.

    Attributes:
        waited: Seconds between the time at which it could start and its start; None if unknown.
        duration: Seconds that its last attempt ran; None if it never ran.
    """

    number: int
    id: UUID
    kind: str
    status: EventStatus
    ended: float
    waited: float | None
    duration: float | None


class RunningEvent(NamedTuple):
    """The record of a running event, its worker, and the time of its claim, if known."""

    record: Record
    worker: str
    since: float | None


class LimitUsage(NamedTuple):
    """Current usage of a limit, or of the share of one key.

    Attributes:
        pool: The name of the account.
        used: The used amount.
        amount: The limit; None if no worker reports it.
        per: The length of the window in seconds; None for a limit of concurrent events.
        paused: Time before which no event of the limit starts; 0 without a pause.
        key: The key of the share; None for a limit without keys.
    """

    pool: str
    used: float
    amount: float | None
    per: float | None
    paused: float = 0.0
    key: str | None = None

    @property
    def name(self) -> str:
        """The display name: the account, and the key if there is one."""
        return self.pool if self.key is None else f"{self.pool} · {self.key}"


@runtime_checkable
class Inspector(Protocol):
    """Queries about one queue; they may take long and do not block the event loop."""

    async def version(self) -> object:
        """Return a value that differs after any change."""

    async def list_events(
        self,
        what: EventFilter,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> list[Record]:
        """Return the newest matching events in descending order of arrival number.

        Args:
            what: The filter.
            before: Only events with a smaller number.
            after: Only events with a larger number: the ``limit`` smallest of them.
            limit: The maximum number of events.
        """

    async def count_events(self, what: EventFilter) -> int:
        """Return the exact number of matching events."""

    async def kinds(self) -> Sequence[str]:
        """Return the registry keys of the classes of all events, sorted. It reads all events."""

    async def finished(self, since: float, limit: int = 2000) -> Sequence[FinishedEvent]:
        """Return the events that finished after a time, the latest last; it may omit old ones."""

    async def finished_counts(
        self, since: float, width: float
    ) -> Mapping[tuple[int, EventStatus], int]:
        """Return the number of finished events by span and status.

        A span lasts ``width`` seconds; its index is counted from 1970.
        """

    async def running(self, limit: int = 200) -> Sequence[RunningEvent]:
        """Return the running events in order of their claims."""

    async def limit_usage(self) -> Sequence[LimitUsage]:
        """Return the usage of all limits."""

    async def chunks(self, record: Record, first: int) -> Sequence[Any]:
        """Return the chunks of a running stream, from an index on."""


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """An event that a worker has claimed.

    Attributes:
        number: Its arrival number.
        kind: The registry key of its class.
        attempt: The number of the attempt.
        until: The end of the lease in Unix seconds; None if the lease does not expire.
    """

    number: int
    id: UUID
    kind: str
    attempt: int
    until: float | None


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A registered worker: one for each run of an executor.

    Attributes:
        name: Its unique name.
        queue: Its queue.
        host: The name of its machine.
        pid: Its process id.
        since: The time of its start in Unix seconds.
        seen: The time of its last heartbeat in Unix seconds.
        silent: Seconds since the last heartbeat, by the clock of the store.
        alive: True if its last heartbeat is younger than a lease and its process is not dead.
        held: The events that it has claimed, in order of arrival.
        about: Its last description of itself: slots, limits, pause.
    """

    name: str
    queue: str
    host: str
    pid: int
    since: float
    seen: float
    silent: float
    alive: bool
    held: tuple[ClaimedEvent, ...]
    about: About | None = None
