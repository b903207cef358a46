"""Who is at work on a queue: what a store offers beside, for whoever looks after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from uuid import UUID

from ..rules.standing import About

__all__ = ("Held", "Roster", "WorkerRecord")


@dataclass(frozen=True, slots=True)
class Held:
    """An event that a worker has claimed.

    Attributes:
        number: Its arrival number.
        kind: The registry key of its class.
        attempt: The number of the attempt.
        until: When the lease lapses, as a Unix timestamp in seconds; None if it cannot.
    """

    number: int
    id: UUID
    kind: str
    attempt: int
    until: float | None


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker as its store has it: one for each stretch of work of one executor.

    Attributes:
        name: What it claims under; no two are the same.
        queue: What it works on.
        host: The name of its machine, as that calls itself.
        pid: The id of its process there.
        since: When it began, as a Unix timestamp in seconds.
        seen: Its last sign of life, likewise.
        silent: Seconds since then, by the store's own clock.
        alive: Whether it gave a sign of life within a lease, and is not known to be dead.
        held: What it has claimed, in order of arrival.
        about: What it has said of itself last: its slots, its limits, whether it is paused.
    """

    name: str
    queue: str
    host: str
    pid: int
    since: float
    seen: float
    silent: float
    alive: bool
    held: tuple[Held, ...]
    about: About | None = None


@runtime_checkable
class Roster(Protocol):
    """Says who works on the queue of a store: every store of this library does."""

    async def workers(self) -> list[WorkerRecord]:
        """The workers of the queue, in whatever process, in order of their beginning.

        One that is dead stays until another worker notices: ``alive`` tells them apart. One that
        ended in order is not among them.
        """
