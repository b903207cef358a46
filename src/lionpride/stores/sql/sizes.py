"""Check that content fits into one row before it is sent to the database.

Events of many callers share a transaction. If the database refused one, all of them would fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar
from uuid import UUID

from ...errors import ValidationError
from .forms import Fresh, Place, Settling

__all__ = (
    "MARGIN",
    "PLAIN_COLUMNS",
    "SHORT",
    "check_fresh",
    "check_outcome",
    "check_place",
    "check_response",
    "exceeds_statement",
    "pieces_of",
    "size_of",
)

R = TypeVar("R")

MARGIN: Final = 10_000
"""Bytes that a row may take beside the texts that are checked: names, ids and numbers."""

PLAIN_COLUMNS: Final = 5
"""The number of columns of an event without a key and costs of its own."""

_STATEMENT: Final = 2**28
"""Characters that are sent in one statement at most: PostgreSQL takes less than a gibibyte."""

SHORT: Final = 1_000
"""Characters of a text that is stored without a check of its size, which would cost time."""


def size_of(texts: Iterable[str | None]) -> int:
    """Return the bytes that texts take in UTF-8."""
    return sum(
        len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        for text in texts
        if text
    )


def exceeds_statement(texts: Iterable[str | None]) -> bool:
    """Return True if texts are too long together for one statement."""
    return sum(len(text) for text in texts if text) > _STATEMENT


def pieces_of(rows: Sequence[R], payload: Callable[[R], str], most: int) -> Iterator[Sequence[R]]:
    """Split rows into as many as one statement takes.

    Args:
        rows: The rows, in order.
        payload: Returns the long text of a row.
        most: How many rows a piece has at most.
    """
    first = length = 0
    for at, row in enumerate(rows):
        size = len(payload(row))
        if at > first and (at - first == most or length + size > _STATEMENT):
            yield rows[first:at]
            first, length = at, 0
        length += size
    if first < len(rows):
        yield rows[first:]


def check_fresh(fresh: Fresh, largest: int) -> None:
    """Refuse an event that is too large to be appended.

    Args:
        fresh: Its columns.
        largest: The most bytes that the database keeps in one row.

    Raises:
        ValidationError: names the event.
    """
    _check_event(fresh[0], (fresh[2], *fresh[5:]), largest)


def check_place(place: Place, largest: int) -> None:
    """Refuse an event with terms, or with a record of attempts, that is too large."""
    texts = place.payload, place.key, place.costs, place.retry, place.single
    _check_event(place.id, texts, largest)
    _check_event(place.id, place.state[6:8], largest)


def _check_event(uid: bytes, texts: Iterable[str | None], largest: int) -> None:
    size = size_of(texts)
    if size > largest:
        raise ValidationError(
            f"event {UUID(bytes=uid)} is too large to be stored: its content takes {size:,} bytes, "
            f"and the database keeps at most {largest:,} in one row; store the content elsewhere, "
            "as in a file, and append a reference to it"
        )


def check_outcome(uid: UUID, one: Settling, largest: int) -> None:
    """Refuse an outcome that is too large to be recorded.

    Args:
        uid: The id of the event.
        one: What is to be recorded.
        largest: The most bytes that the database keeps in one row.

    Raises:
        ValidationError: names the event.
    """
    if one[6] is not None:
        what = "response" if one[2] == "completed" else "error"
        _check_outcome(uid, what, size_of(one[6][6:8]), largest)


def check_response(uid: UUID, result: str | None, largest: int) -> None:
    """Refuse a response that is too large to be recorded."""
    _check_outcome(uid, "response", size_of([result]), largest)


def _check_outcome(uid: UUID, what: str, size: int, largest: int) -> None:
    if size > largest:
        raise ValidationError(
            f"the {what} of event {uid} is too large to be stored: it takes {size:,} bytes, and "
            f"the database keeps at most {largest:,} in one row; store the data elsewhere, as in a "
            "file, and return a reference to it"
        )
