"""The shapes of rows: what is written of an event, and what is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from ...model.execution import EventStatus
from ...model.work import Work

__all__ = (
    "ENDED",
    "NEW",
    "NEW_TEXT",
    "NOTHING",
    "PENDING",
    "PROCESSING",
    "STATE",
    "Ended",
    "Entered",
    "Entry",
    "Exit",
    "Found",
    "Fresh",
    "Gathered",
    "Kept",
    "News",
    "Place",
    "Settling",
    "Stands",
    "State",
    "Untried",
    "Waits",
)

State: TypeAlias = tuple[
    int, int, int, int, float | None, int | None, str | None, str | None, float | None
]
"""attempt, failures, denials, interruptions, duration, retryable, result, attempts, expires."""

Kept: TypeAlias = tuple[bytes, str, float, str, str | None, str | None, float | None]
"""id, kind, created, payload, retry, single, since."""

ENDED: Final = "attempt, failures, denials, interruptions, duration, retryable, result, attempts"
STATE: Final = f"{ENDED}, expires"
_EMPTY: Final = STATE.count(",") - 3
NEW: Final[Any] = (0, 0, 0, 0) + (None,) * _EMPTY
"""The state of an event with nothing on record."""
NEW_TEXT: Final = "0, 0, 0, 0" + ", NULL" * _EMPTY
NOTHING: Final = '{"response":null}'
"""The result of most events that are made for what they do."""

PENDING: Final = EventStatus.PENDING.value
PROCESSING: Final = EventStatus.PROCESSING.value

Waits: TypeAlias = tuple[
    int,
    float,
    float,
    int,
    int,
    int,
    int,
    float | None,
    int | None,
    str | None,
    str | None,
    float | None,
]
"""number, due, priority of an event that waits, and its state."""

Untried: TypeAlias = tuple[int, float, bytes, str, float, str, Any, Any]
"""number, priority, id, kind, created, payload of an event that waits, with nothing on record.

It is the row as the driver gives it: there are two more columns, which say nothing of the event.
"""

Ended: TypeAlias = tuple[int, int, float, float, str | None, int, int, str | None]
"""number, attempt, ended, duration, result, tries, interruptions, attempts; of a completed one."""

Fresh: TypeAlias = (
    tuple[bytes, str, str, float, float]
    | tuple[bytes, str, str, float, float, str | None, str | None]
)
"""id, kind, payload, created, priority of an event with nothing on record; then key and costs.

Those that say neither, leave both out: they are nearly all, and a column takes its time.
"""

Settling: TypeAlias = tuple[int, int, str, float, float, float, State | None]
"""One settlement: number, attempt, status, due, ended, priority, state.

``due`` counts only if it goes back to wait, ``ended`` only if it does not. Without a state it
comes from somebody who has no such claim, and is only compared.
"""

Entry: TypeAlias = tuple[Work, Fresh, Any, int | None]
"""An event to append, its columns, the future of its caller, and how many may wait afterwards."""

Exit: TypeAlias = tuple[Work, Any, Ended]
"""An event whose attempt completed, its response, and its columns."""


class Place(NamedTuple):
    """An event that is to be taken in: ``due`` is 0 for at once, ``ended`` 0 if it has not."""

    id: bytes
    kind: str
    created: float
    priority: float
    key: str | None
    costs: str | None
    retry: str | None
    single: str | None
    since: float | None
    payload: str
    status: str
    due: float
    ended: float
    state: State


class Stands(NamedTuple):
    """An event that waits, or is leased, as it does."""

    number: int
    due: float
    priority: float
    state: State


class Found(NamedTuple):
    """All that is known of an event."""

    number: int
    id: bytes
    queue: str
    kind: str
    created: float
    priority: float
    key: str | None
    costs: str | None
    retry: str | None
    single: str | None
    since: float | None
    payload: str
    status: str
    due: float
    ended: float
    state: State


class News(NamedTuple):
    """What is to be written of an attempt.

    Attributes:
        number, attempt: Which one; nothing is written if it has no lease any more.
        fraction, note: Its progress; both None if it has said nothing.
        yielded: How many chunks there are by now.
        first, chunks: The place of the first that is new, and the new ones, as JSON.
    """

    number: int
    attempt: int
    fraction: float | None
    note: str | None
    yielded: int
    first: int
    chunks: str | None


class Entered(Protocol):
    """What came of events that nobody had before.

    Attributes:
        numbers: Of each its number; or why it was not taken in.
        started: The numbers of what was started at once, by a claim that says so.
        left: Whether some of them may still wait.
    """

    @property
    def numbers(self) -> Sequence[int | Exception]: ...
    @property
    def started(self) -> Collection[int]: ...
    @property
    def left(self) -> bool: ...


class Gathered(Protocol):
    """What a claim took.

    Attributes:
        rows: Of each event the row of ``waiting`` as it was; its attempt is one more now.
        kept: What is needed to build those that this process does not have, by number.
        wait: Seconds until another claim may find something; None: nobody knows.
        new: Priority and number of those that were taken in and started at once; they are not
            in ``rows``, and this is their first attempt.
    """

    @property
    def rows(self) -> Sequence[Waits]: ...
    @property
    def kept(self) -> Mapping[int, Kept]: ...
    @property
    def wait(self) -> float | None: ...
    @property
    def new(self) -> Sequence[tuple[float, int]]: ...
