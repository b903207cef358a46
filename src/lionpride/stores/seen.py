"""What a store offers beside, for those who look at it while others work: questions, no changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable
from uuid import UUID

from ..model.execution import EventStatus
from .record import Record

__all__ = ("Runs", "Seen", "Shows", "Sought", "Stay", "Usage")


@dataclass(frozen=True, slots=True)
class Sought:
    """Which events of a queue are meant; what is None, or empty, does not matter.

    Attributes:
        status: The one that they are in.
        kind: The registry key of their class.
        since: Made at or after this time, a Unix timestamp in seconds.
        text: An id, or its first eight digits or more; else a part of what their error says,
            in upper or lower case.
        upto: The arrival number of the last of them.
    """

    status: EventStatus | None = None
    kind: str | None = None
    since: float | None = None
    text: str = ""
    upto: int | None = None

    @property
    def is_counted(self) -> bool:
        """Whether the counts of the queue say how many there are."""
        return not (self.kind or self.since or self.text or self.upto)

    @property
    def id_digits(self) -> str:
        """The hexadecimal digits, if it is an id that is meant; else nothing."""
        digits = self.text.strip().lower().replace("-", "")
        return digits if 8 <= len(digits) <= 32 and not digits.strip(_HEX) else ""


_HEX = "0123456789abcdef"


class Stay(NamedTuple):
    """An attempt that has ended an event, in Unix timestamps and seconds.

    Attributes:
        waited: How long it could have started before it did; None if it never ran.
        duration: How long it ran; None if it never did.
    """

    number: int
    id: UUID
    kind: str
    status: EventStatus
    ended: float
    waited: float | None
    duration: float | None


class Runs(NamedTuple):
    """A record of what runs, the worker that has it, and since when, if that is known."""

    record: Record
    worker: str
    since: float | None


class Usage(NamedTuple):
    """How much is taken of a limit now, or of the share of one key.

    Attributes:
        pool: The pool of the limit.
        amount: Of how much; None if nobody says.
        per: The length of its window in seconds; None: what runs at once.
        paused: Nothing is to be had before this time; 0: it is not paused.
        key: The key whose share it is; None for a limit without keys.
    """

    pool: str
    used: float
    amount: float | None
    per: float | None
    paused: float = 0.0
    key: str | None = None

    @property
    def name(self) -> str:
        """The pool, and the key if there is one, for people."""
        return self.pool if self.key is None else f"{self.pool} · {self.key}"


@runtime_checkable
class Seen(Protocol):
    """Answers about one queue, which may take a while, and never hold up the event loop for it."""

    async def version(self) -> object:
        """A value that is another one whenever something may have changed."""

    async def sought(
        self, what: Sought, *, before: int | None = None, after: int | None = None, limit: int = 50
    ) -> list[Record]:
        """The newest of them, by arrival number falling.

        Args:
            what: Which.
            before: Only those with a smaller number.
            after: Only those with a larger number: the ``limit`` smallest of them.
            limit: How many at most.
        """

    async def how_many(self, what: Sought) -> int:
        """How many there are, exactly."""

    async def ended(self, since: float, limit: int = 2000) -> Sequence[Stay]:
        """What has ended since then, the latest last: all, or as many as are worth looking at."""

    async def tallied(self, since: float, width: float) -> Mapping[tuple[int, EventStatus], int]:
        """How many have ended so in each span of ``width`` seconds: its number since 1970."""

    async def runs(self, limit: int = 200) -> Sequence[Runs]:
        """What runs, the one that was claimed first at the front."""

    async def usage(self) -> Sequence[Usage]:
        """What is taken of limits."""

    async def chunks(self, record: Record, first: int) -> Sequence[Any]:
        """What a stream that runs has yielded, from the chunk of that number on."""


@runtime_checkable
class Shows(Protocol):
    """A store that has such answers of its own."""

    @property
    def seen(self) -> Seen:
        """Who gives them."""
