"""All details of one event, for its page."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from time import time
from typing import Any, Final

from markupsafe import Markup

from ..core import Event, EventStatus
from ..drawing.chart import Bar, Span
from ..drawing.plots import bars_in_lanes
from ..drawing.svg import Axis
from ..drawing.text import duration
from ..errors import NotFoundError
from ..model.attempts import attempts_of
from ..model.serialization.codec import encode
from ..stores.record import Record
from ..view.records import (
    condition_of,
    created_of,
    due_of,
    error_of,
    priority_of,
    schedule_of,
    seconds_of,
)
from ..view.redact import fields_of, readable_json, summary_of
from .context import PageContext
from .query_params import arrival
from .render import clock

__all__ = ["details_of"]

MAX_CHUNKS: Final = 500
"""Maximum number of chunks that are shown: the last ones."""


MAX_RELATIVES: Final = 20
"""Number of parents and of children on a page."""


async def details_of(
    context: PageContext, record: Record, query: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values for the template.

    Args:
        context: The context of the page.
        record: The event.
        query: The query of the URL, with the positions in the lists of parents and children.
    """
    state = record.payload["execution"]
    since, worker = await _running_attempt(context, record)
    metadata = record.payload.get("metadata") or {}
    error = state.get("error") if isinstance(state.get("error"), dict) else None
    attempts = attempts_of(state.get("attempts", ()))
    first, chunks = await _chunks(context, record)
    created = created_of(record.payload).timestamp()
    seconds = seconds_of(record)
    started = since
    if record.ended is not None and seconds is not None:
        started = record.ended - seconds
    return {
        "record": record,
        "short": record.kind.rpartition(".")[2],
        "created": created,
        "started": started,
        "worker": worker,
        "seconds": seconds,
        "priority": priority_of(record),
        "state": state,
        "error": error,
        "error_text": error_of(record),
        "trace": "" if attempts else _traceback(context, record),
        "attempts": attempts,
        "fields": fields_of(record),
        "metadata": {k: readable_json(v) for k, v in metadata.items() if not k.startswith("lion_")},
        "due": due_of(record),
        "schedule": schedule_of(record),
        "parents": await _relatives(context, record, "parents", query),
        "children": await _relatives(context, record, "children", query),
        "condition_of": condition_of,
        "error_of": error_of,
        "summary_of": summary_of,
        "has_response": _has_response(record),
        "response": readable_json(state.get("response")),
        "first_chunk": first,
        "chunks": chunks,
        "why": await context.monitor.why(record) if record.status is EventStatus.PENDING else None,
        "picture": _timeline(record, created, started, attempts),
    }


def _has_response(record: Record) -> bool:
    """Return True if the event has a response of its own, other than chunks."""
    is_there = "response" in record.payload["execution"] and record.continued_by is None
    return is_there and not record.payload.get("streaming")


async def _relatives(
    context: PageContext, record: Record, name: str, query: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a page of parents or children, and the queries of the first and the next page."""
    first, store = arrival(query.get(name)) or 0, context.monitor.store(record.queue)
    read = store.parents if name == "parents" else store.children
    try:
        found = await read(record.id, first=first, limit=MAX_RELATIVES + 1)
    except NotFoundError:  # it was removed meanwhile
        found = []
    more = found[MAX_RELATIVES:]
    return {
        "name": name,
        "rows": found[:MAX_RELATIVES],
        "earlier": {} if first else None,
        "later": {name: str(more[0].place)} if more else None,
    }


async def _running_attempt(context: PageContext, record: Record) -> tuple[float | None, str]:
    """Return the start of the running attempt, and its worker."""
    if record.status is EventStatus.PROCESSING:
        for one in await context.monitor.inspector(record.queue).running(2000):
            if one.record.id == record.id:
                return one.since, one.worker
    return None, ""


async def _chunks(context: PageContext, record: Record) -> tuple[int, list[str]]:
    """Return the number of the first chunk that is shown, and the chunks."""
    if not record.payload.get("streaming"):
        return 0, []
    response = record.payload["execution"].get("response")
    if record.status is EventStatus.PROCESSING:
        first = max(0, record.chunks - MAX_CHUNKS)
        found = encode(list(await context.monitor.inspector(record.queue).chunks(record, first)))
    else:
        whole = response if isinstance(response, list) else []
        first = max(0, len(whole) - MAX_CHUNKS)
        found = whole[first:]
    return first, [chunk if isinstance(chunk, str) else readable_json(chunk) for chunk in found]


def _traceback(context: PageContext, record: Record) -> str:
    """Return the traceback of an error that no failed attempt has, if this process knows it."""
    event = context.monitor.store(record.queue).states.find(record.id)
    error = event.execution.error if isinstance(event, Event) else None
    if not isinstance(error, BaseException) or error.__traceback__ is None:
        return ""
    return "".join(traceback.format_exception(error, limit=-25))[-20_000:]


def _timeline(
    record: Record, created: float, started: float | None, attempts: tuple[Any, ...]
) -> Markup | None:
    """Return the timeline of the event: its waits, and its known attempts."""
    end = record.ended or time()
    runs = []
    for one in attempts:
        words = f"attempt {one.number} failed after {duration(one.duration)}"
        runs.append((one.started, one.started + one.duration, "failed", words))
    last = (attempts[-1].started if attempts else 0.0) + 1e-3
    if started is not None and started > last:
        status = "processing" if record.ended is None else record.status.value
        runs.append((started, end, status, f"{status}, {duration(end - started)}"))
    if end - created < 1e-4:
        return None
    bars, before = [], created
    for begin, until, status, label in runs:
        if begin > before:
            bars.append(_bar(before, begin, "pending", f"waited {duration(begin - before)}"))
        bars.append(_bar(begin, until, status, label))
        before = until
    if record.status is EventStatus.PENDING and end > before:
        bars.append(_bar(before, end, "pending", f"waits {duration(end - before)}"))
    axis = Axis(created, max(end, before), clock, marks=4)
    return Markup(bars_in_lanes(bars, 1, axis, "History of the event", pitch=22))


def _bar(begin: float, end: float, status: str, label: str) -> Bar:
    return Bar(Span(begin, begin, end, status, label), begin, end, lane=0, free_since=begin)
