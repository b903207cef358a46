"""The SQL behind a list with filters: which events are meant, newest first, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from ...model.execution import EventStatus
from ...rules.texts import any_case, findable
from ..seen import Sought
from .link import Db

__all__ = ("WIDELY", "count_of", "numbers_of")

WIDELY: Final = (
    "SET LOCAL plan_cache_mode = 'force_custom_plan'; SET LOCAL enable_seqscan = on; "
    "SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; "
    "SET LOCAL enable_bitmapscan = on"
)
"""Before a question that may read a whole table: the plans of the other statements are pinned."""

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
"""All that can have an error on record."""

_RESULT: Final = "replace(s.result, '\\u0000', '\\ufffd')::json"  # text has no NUL character
_SAYS: Final = (
    f"(coalesce({_RESULT} #>> '{{{{{{{{error,error}}}}}}}}', '') || ': ' || "
    f"coalesce({_RESULT} #>> '{{{{{{{{error,message}}}}}}}}', '')) COLLATE \"C\" ~ {{}}"
)


async def numbers_of(
    db: Db, what: Sought, before: int | None, after: int | None, limit: int
) -> Sequence[int]:
    """The numbers of the newest of them; see ``Seen.sought``."""
    query = _Query(what, await db.known_queue())
    if before is not None:
        query.where("s.number < {}", before)
    if after is not None:
        query.where("s.number > {}", after)
    way = "ASC" if after is not None and before is None else "DESC"
    text = f"SELECT s.number {query.text} ORDER BY s.number {way} LIMIT {limit:d}"
    rows = await db.rows(text, *query.bound)
    return sorted((number for (number,) in rows), reverse=True)


async def count_of(db: Db, what: Sought) -> int:
    """How many there are."""
    query = _Query(what, await db.known_queue())
    number: int = await db.value(f"SELECT count(*) {query.text}", *query.bound)
    return number


class _Query:
    """FROM and WHERE for what is meant, over ``s``; and what is bound in them."""

    def __init__(self, what: Sought, queue: int) -> None:
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
        """One more condition, with a value in the place of its braces."""
        self.bound.append(value)
        self.text += " AND " + condition.format(f"${len(self.bound)}")


def _pattern(text: str) -> str:
    """Return the regular expression of texts that contain a text, in upper or lower case."""
    return "".join(
        f"[{c}]" if len(c) > 1 else f"\\{c}" if c.isascii() and not c.isalnum() else c
        for c in any_case(text)
    )


def _source(what: Sought, by_error: bool) -> str:
    """The table of a status; where an error is looked for, what can have one."""
    if what.status is None:
        return _WITH_ERROR
    if by_error and what.status is EventStatus.COMPLETED:
        return f"{_SOURCES[what.status]} AND false"
    return _SOURCES.get(what.status) or f"{_ENDED_BADLY} AND status = '{what.status.value}'"
