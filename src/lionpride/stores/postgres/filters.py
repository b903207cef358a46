"""SQL of event lists with filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from ...model.execution import EventStatus
from ...rules.texts import any_case, findable
from ..inspector import EventFilter
from .link import Db

__all__ = (
    "ANY_PLAN",
    "count_of",
    "numbers_of",
)


ANY_PLAN: Final = (
    "SET LOCAL plan_cache_mode = 'force_custom_plan'; SET LOCAL enable_seqscan = on; "
    "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; "
    "SET LOCAL enable_bitmapscan = on"
)
"""Settings of a query that may read a whole table; the plans of other statements are fixed."""

_ENDED_BADLY: Final = (
    "SELECT number, result FROM {finished} WHERE queue = $1 AND status <> 'completed'"
)
_SOURCES: Final[dict[EventStatus, str]] = {
    EventStatus.PENDING: "SELECT number, result FROM {ready} WHERE queue = $1",
    EventStatus.PROCESSING: "SELECT number, result FROM {lease} WHERE queue = $1",
    EventStatus.COMPLETED: (
        "SELECT number, result FROM {finished} WHERE queue = $1 AND status = 'completed'"
    ),
}
_WITH_ERROR: Final = " UNION ALL ".join(
    (_ENDED_BADLY, _SOURCES[EventStatus.PENDING], _SOURCES[EventStatus.PROCESSING])
)
"""All rows that can contain an error."""

_RESULT: Final = "replace(s.result, '\\u0000', '\\ufffd')::json"  # text has no NUL character
_SAYS: Final = (
    f"(coalesce({_RESULT} #>> '{{{{{{{{error,error}}}}}}}}', '') || ': ' || "
    f"coalesce({_RESULT} #>> '{{{{{{{{error,message}}}}}}}}', '')) COLLATE \"C\" ~ {{}}"
)


async def numbers_of(
    db: Db, what: EventFilter, before: int | None, after: int | None, limit: int
) -> Sequence[int]:
    """Return the numbers of the newest matching events; see ``Inspector.list_events``."""
    query = _Query(what, await db.known_queue())
    if before is not None:
        query.where("s.number < {}", before)
    if after is not None:
        query.where("s.number > {}", after)
    way = "ASC" if after is not None and before is None else "DESC"
    text = f"SELECT s.number {query.text} ORDER BY s.number {way} LIMIT {limit:d}"
    rows = await db.rows(text, *query.bound)
    return sorted((number for (number,) in rows), reverse=True)


async def count_of(db: Db, what: EventFilter) -> int:
    """Return the number of matching events."""
    query = _Query(what, await db.known_queue())
    number: int = await db.value(f"SELECT count(*) {query.text}", *query.bound)
    return number


class _Query:
    """The FROM and WHERE clauses over ``s``, and the bound values."""

    def __init__(self, what: EventFilter, queue: int) -> None:
        self.bound: list[Any] = [queue]
        digits, text = what.id_digits, findable(what.text.strip())
        by_error = bool(text and not digits)
        of_event = "s"
        if what.status is None and not by_error:
            self.text = "FROM {event} s WHERE s.queue = $1"
        else:
            self.text = f"FROM ({_source(what, by_error)}) s"
            if digits or what.kind or what.since is not None:
                self.text += " JOIN {event} e ON e.number = s.number"
                of_event = "e"
            self.text += " WHERE true"
        if digits:
            self.where(f"{of_event}.id >= {{}}", UUID(digits.ljust(32, "0")))
            self.where(f"{of_event}.id <= {{}}", UUID(digits.ljust(32, "f")))
        if what.kind:
            self.where(f"{of_event}.event_type = {{}}", findable(what.kind))
        if what.since is not None:
            self.where(f"{of_event}.created_at >= {{}}", what.since)
        if by_error:
            self.where(_SAYS, _pattern(text))
        if what.upto is not None:
            self.where("s.number <= {}", what.upto)

    def where(self, condition: str, value: Any) -> None:
        """Add a condition, with a value in place of its braces."""
        self.bound.append(value)
        self.text += " AND " + condition.format(f"${len(self.bound)}")


def _pattern(text: str) -> str:
    """Return a regular expression of texts that contain a text, regardless of case."""
    return "".join(
        f"[{c}]" if len(c) > 1 else f"\\{c}" if c.isascii() and not c.isalnum() else c
        for c in any_case(text)
    )


def _source(what: EventFilter, by_error: bool) -> str:
    """Return the source of rows: the table of a status, or all rows that can contain an error."""
    if what.status is None:
        return _WITH_ERROR
    if by_error and what.status is EventStatus.COMPLETED:
        return f"{_SOURCES[what.status]} AND false"
    return _SOURCES.get(what.status) or f"{_ENDED_BADLY} AND status = '{what.status.value}'"
