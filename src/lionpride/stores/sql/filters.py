"""SQL of event lists with filters, for both databases."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from ...model.execution import EventStatus
from ...rules.storable_text import findable
from ..inspector import EventFilter
from .queries import Snapshot
from .rows import IS_BLOCKED

__all__ = ("count_matching", "matching_numbers")

_TROUBLE: Final = (
    "SELECT number, result FROM {finished} {by_trouble} WHERE queue = $1 AND status <> 'completed'"
)
_SOURCES: Final[dict[EventStatus, str]] = {
    EventStatus.PENDING: "SELECT number, result FROM {ready} WHERE queue = $1",
    EventStatus.PROCESSING: "SELECT number, result FROM {lease} WHERE queue = $1",
    EventStatus.COMPLETED: (
        "SELECT number, result FROM {finished} {not_indexed} "
        "WHERE queue = $1 AND status = 'completed'"
    ),
}
_BLOCKED: Final = f"{_SOURCES[EventStatus.PENDING]} AND {IS_BLOCKED}"
_WITH_ERROR: Final = " UNION ALL ".join(
    (_TROUBLE, _SOURCES[EventStatus.PENDING], _SOURCES[EventStatus.PROCESSING])
)
"""All rows that can contain an error."""


async def matching_numbers(
    db: Snapshot, what: EventFilter, before: int | None, after: int | None, limit: int
) -> list[int]:
    """Return the numbers of the newest matching events; see ``Inspector.list_events``."""
    query = _Query(db, what)
    if before is not None:
        query.where("s.number <", before)
    if after is not None:
        query.where("s.number >", after)
    order = "ASC" if after is not None and before is None else "DESC"
    text = f"SELECT s.number {query.text} ORDER BY s.number {order} LIMIT {limit:d}"
    return sorted((number for (number,) in await db.rows(text, *query.bound)), reverse=True)


async def count_matching(db: Snapshot, what: EventFilter) -> int:
    """Return the number of matching events."""
    query = _Query(db, what)
    ((count,),) = await db.rows(f"SELECT count(*) {query.text}", *query.bound)
    return int(count)


class _Query:
    """The FROM and WHERE clauses over ``s``, and the values of their parameters."""

    def __init__(self, db: Snapshot, what: EventFilter) -> None:
        self.bound: list[Any] = [db.queue]
        digits, text = what.id_digits, findable(what.text.strip())
        by_error = bool(text and not digits)
        of_event = "s"
        if what.status is None and not (by_error or what.blocked):
            self.text = "FROM {event} s WHERE s.queue = $1"
        elif digits:
            own = f"SELECT number FROM ({_source(what, by_error)}) w"
            self.text = f"FROM {{event}} s WHERE s.queue = $1 AND s.number IN ({own})"
        elif what.kind or what.since is not None:
            of_event = "e"
            self.text = f"FROM ({_source(what, by_error)}) s "
            self.text += "{join} {event} e ON e.number = s.number WHERE true"
        else:
            self.text = f"FROM ({_source(what, by_error)}) s WHERE true"
        if digits:
            self.where("s.id >=", db.id_value(UUID(digits.ljust(32, "0"))))
            self.where("s.id <=", db.id_value(UUID(digits.ljust(32, "f"))))
        if what.kind:
            self.where(f"{of_event}.event_type =", findable(what.kind))
        if what.since is not None:
            self.where(f"{of_event}.created_at >=", what.since)
        if by_error:
            self.where("{error_matches}", db.error_pattern(text))
        if what.upto is not None:
            self.where("s.number <=", what.upto)
        if what.above is not None:
            self.where("s.number >", what.above)

    def where(self, comparison: str, value: Any) -> None:
        """Add a comparison with a value."""
        self.bound.append(value)
        self.text += f" AND {comparison} ${len(self.bound)}"


def _source(what: EventFilter, by_error: bool) -> str:
    """Return the source of rows: the table of a status, or all rows that can contain an error."""
    if what.blocked:
        return _BLOCKED
    if what.status is None:
        return _WITH_ERROR
    if by_error and what.status is EventStatus.COMPLETED:
        return f"{_SOURCES[what.status]} AND false"
    return _SOURCES.get(what.status) or f"{_TROUBLE} AND status = '{what.status.value}'"
