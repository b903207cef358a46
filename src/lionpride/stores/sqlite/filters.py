"""SQL of event lists with filters."""

from __future__ import annotations

from typing import Any, Final

import apsw

from ...model.execution import EventStatus
from ...rules.texts import any_case, findable
from ..inspector import EventFilter

__all__ = (
    "count_of",
    "numbers_of",
)


_ENDED_BADLY: Final = (
    "SELECT number, result FROM lionpride_finished INDEXED BY lionpride_finished_trouble "
    "WHERE queue = :queue AND status <> 'completed'"
)
_SOURCES: Final[dict[EventStatus | None, str]] = {
    None: "SELECT number FROM lionpride_event WHERE queue = :queue",
    EventStatus.PENDING: "SELECT number, result FROM lionpride_ready WHERE queue = :queue",
    EventStatus.PROCESSING: "SELECT number, result FROM lionpride_lease WHERE queue = :queue",
    EventStatus.COMPLETED: (
        "SELECT number, result FROM lionpride_finished NOT INDEXED "
        "WHERE queue = :queue AND status = 'completed'"
    ),
}
_WITH_ERROR: Final = " UNION ALL ".join(
    (_ENDED_BADLY, _SOURCES[EventStatus.PENDING], _SOURCES[EventStatus.PROCESSING])
)
"""All rows that can contain an error."""

_RESULT: Final = "replace(s.result, '\\u0000', '\\ufffd')"  # GLOB ends at a NUL character
_SAYS: Final = (
    f"coalesce(json_extract({_RESULT}, '$.error.error'), '') || ': ' || "
    f"coalesce(json_extract({_RESULT}, '$.error.message'), '') GLOB :text"
)


def numbers_of(
    db: apsw.Connection,
    queue: int,
    what: EventFilter,
    before: int | None,
    after: int | None,
    limit: int,
) -> list[int]:
    """Return the numbers of the newest matching events; see ``Inspector.list_events``."""
    query, bound = _query(what, queue)
    if before is not None:
        query, bound = f"{query} AND s.number < :before", bound | {"before": before}
    if after is not None:
        query, bound = f"{query} AND s.number > :after", bound | {"after": after}
    way = "ASC" if after is not None and before is None else "DESC"
    query = f"SELECT s.number {query} ORDER BY s.number {way} LIMIT :limit"
    found = [number for (number,) in db.execute(query, bound | {"limit": limit})]
    return sorted(found, reverse=True)


def count_of(db: apsw.Connection, queue: int, what: EventFilter) -> int:
    """Return the number of matching events."""
    query, bound = _query(what, queue)
    return int(db.execute(f"SELECT count(*) {query}", bound).get)


def _query(what: EventFilter, queue: int) -> tuple[str, dict[str, Any]]:
    """Return the FROM and WHERE clauses over ``s``, and the bound values."""
    bound: dict[str, Any] = {"queue": queue}
    digits, text = what.id_digits, findable(what.text.strip())
    source = _source(what, bool(text and not digits))
    wheres = []
    if digits:  # by the index on ids, for each status
        joined = (
            "lionpride_event s WHERE s.queue = :queue AND s.number IN (SELECT number FROM "
            f"({source}))"
        )
        if what.status is None:
            joined = "lionpride_event s WHERE s.queue = :queue"
        wheres.append("s.id BETWEEN :low AND :high")
        bound["low"] = bytes.fromhex(digits.ljust(32, "0"))
        bound["high"] = bytes.fromhex(digits.ljust(32, "f"))
        of_event = "s"
    elif what.kind or what.since is not None:
        of_event = "s" if what.status is None and not text else "e"
        joined = "lionpride_event s WHERE s.queue = :queue"
        if of_event == "e":
            joined = f"({source}) s CROSS JOIN lionpride_event e ON e.number = s.number WHERE 1"
    else:
        of_event, joined = "s", f"({source}) s WHERE 1"
    if what.kind:
        wheres.append(f"{of_event}.event_type = :kind")
        bound["kind"] = findable(what.kind)
    if what.since is not None:
        wheres.append(f"{of_event}.created_at >= :since")
        bound["since"] = what.since
    if text and not digits:
        wheres.append(_SAYS)
        bound["text"] = _glob(text)
    if what.upto is not None:
        wheres.append("s.number <= :upto")
        bound["upto"] = what.upto
    return f"FROM {' AND '.join([joined, *wheres])}", bound


def _glob(text: str) -> str:
    """Return a GLOB pattern of texts that contain a text, regardless of case."""
    each = (f"[{c}]" if len(c) > 1 or c in "*?[" else c for c in any_case(text))
    return f"*{''.join(each)}*"


def _source(what: EventFilter, by_error: bool) -> str:
    """Return the source of rows: the table of a status, or all rows that can contain an error."""
    if by_error and what.status is None:
        return _WITH_ERROR
    if by_error and what.status is EventStatus.COMPLETED:
        return "SELECT number, result FROM lionpride_finished WHERE 0"
    found = _SOURCES.get(what.status)
    if found is None:
        assert what.status is not None
        return f"{_ENDED_BADLY} AND status = '{what.status.value}'"
    return found
