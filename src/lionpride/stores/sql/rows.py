"""Named row shapes: the columns that the stores over a database write and read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from ...model.event_data import EventData
from ...model.execution import EventStatus

__all__ = (
    "EMPTY_RESULT",
    "FINAL",
    "IS_BLOCKED",
    "NEW_STATE",
    "NEW_STATE_SQL",
    "NOT_BLOCKED",
    "PENDING",
    "PROCESSING",
    "STATE",
    "AppendAnswer",
    "AppendRow",
    "CompletedRow",
    "EventRow",
    "FirstClaimRow",
    "FixedColumns",
    "KnownEvent",
    "NewEventRow",
    "ProgressRow",
    "QueuedAppend",
    "QueuedCompletion",
    "ReadyColumns",
    "SettlementRow",
    "StateColumns",
    "StoredEvent",
)


StateColumns: TypeAlias = tuple[
    int, int, int, int, float | None, int | None, str | None, str | None, float | None
]
"""attempt, failures, denials, interruptions, duration, retryable, result, attempts, expires."""

FixedColumns: TypeAlias = tuple[bytes, str, float, str, str | None, str | None, float | None]
"""id, event_type, created_at, payload, retry, unique_key, unique_at: they never change."""

FINAL: Final = "attempt, failures, denials, interruptions, duration, retryable, result, attempts"
STATE: Final = f"{FINAL}, expires"
_EMPTY: Final = STATE.count(",") - 3
NEW_STATE: Final[Any] = (0, 0, 0, 0) + (None,) * _EMPTY
"""The state of an event without an attempt or a denial."""
NEW_STATE_SQL: Final = "0, 0, 0, 0" + ", NULL" * _EMPTY
EMPTY_RESULT: Final = '{"response":null}'
"""The result of an event that returns None, as nearly all do that are run for their effect."""

IS_BLOCKED: Final = "due > 0 AND due > 1e300"
"""The condition on rows of ``ready`` that wait for parents: they are due at infinity.

``due > 0`` is the condition of the partial indexes.
"""
NOT_BLOCKED: Final = "due < 1e300"
"""The opposite of ``IS_BLOCKED``."""

PENDING: Final = EventStatus.PENDING.value
PROCESSING: Final = EventStatus.PROCESSING.value

ReadyColumns: TypeAlias = tuple[
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
"""number, due and priority of a ready event, and its state."""

FirstClaimRow: TypeAlias = tuple[int, float, bytes, str, float, str, Any, Any]
"""number, priority, id, event_type, created_at, payload of a ready event without an attempt.

The row is as the driver returns it: the last two columns do not belong to the event.
"""

CompletedRow: TypeAlias = tuple[int, int, float, float, str | None, int, int, str | None]
"""number, attempt, finished_at, duration, result, failures, interruptions, attempts."""

NewEventRow: TypeAlias = (
    tuple[bytes, str, str, float, float]
    | tuple[bytes, str, str, float, float, str | None, str | None]
)
"""id, event_type, payload, created_at, priority of a new event; then key and costs.

An event without a key and without costs omits both, as nearly all do: a column takes time.
"""

SettlementRow: TypeAlias = tuple[int, int, str, float, float, float, StateColumns | None]
"""One settlement: number, attempt, status, due, finished_at, priority, state.

``due`` counts only if the event returns to pending, ``finished_at`` only if it does not. If the
state is None, the caller does not own the claim, and the row is only compared.
"""

QueuedAppend: TypeAlias = tuple[EventData, NewEventRow, Any, int | None]
"""An event to append, its columns, the future of the caller, and the queue limit."""

QueuedCompletion: TypeAlias = tuple[EventData, Any, CompletedRow]
"""An event whose attempt has completed, its response, and its columns."""


class EventRow(NamedTuple):
    """An event to append: ``due`` is 0 if it is not scheduled, ``finished_at`` 0 if unfinished."""

    id: bytes
    event_type: str
    created_at: float
    priority: float
    key: str | None
    costs: str | None
    retry: str | None
    unique_key: str | None
    unique_at: float | None
    payload: str
    status: str
    due: float
    finished_at: float
    state: StateColumns


AppendRow: TypeAlias = NewEventRow | EventRow
"""An event to append; one that has no record and no option may be a ``NewEventRow``."""


class KnownEvent(NamedTuple):
    """The event of a known id: its number, and number and name of its queue."""

    number: int
    queue: int
    queue_name: str


class StoredEvent(NamedTuple):
    """All columns of an event."""

    number: int
    id: bytes
    queue: str
    event_type: str
    created_at: float
    priority: float
    key: str | None
    costs: str | None
    retry: str | None
    unique_key: str | None
    unique_at: float | None
    payload: str
    status: str
    due: float
    finished_at: float
    state: StateColumns


class ProgressRow(NamedTuple):
    """Progress of a running attempt that is to be written.

    Attributes:
        number, attempt: The attempt. If it has no lease any more, nothing is written.
        fraction, note: Its progress; both None if it has reported none.
        yielded: The number of its chunks so far.
        first, chunks: The index of the first new chunk, and the new chunks as JSON.
    """

    number: int
    attempt: int
    fraction: float | None
    note: str | None
    yielded: int
    first: int
    chunks: str | None


class AppendAnswer(Protocol):
    """Result of an append of new events.

    Attributes:
        numbers: For each event its number, or the error if it was not appended.
        started: The numbers of the events that a claim in the same step has started.
        left: True if some of the events may still be pending.
    """

    @property
    def numbers(self) -> Sequence[int | Exception]: ...
    @property
    def started(self) -> Collection[int]: ...
    @property
    def left(self) -> bool: ...
