"""The views: each queries its data, and renders its template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import time
from typing import Any, Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from ..core import EventStatus
from ..drawing.text import wait
from ..rules.queue_position import Unreadable
from ..stores.inspector import WorkerRecord
from ..stores.record import Record
from ..view.actions import OPEN, possible_actions
from ..view.limits import slots_of
from ..view.records import FAILURE_STATUSES, created_of, error_of, seconds_of
from ..view.redact import label_of, summary_of
from . import charts, details
from .asked import SPANS, ListFilter, link, notice
from .desk import Desk, desk_of
from .render import page
from .window import Window

__all__ = ["event", "events", "overview", "timeline", "workers"]

PAGE: Final = 50
RECENT: Final = 6  # failures and running events on the overview


async def overview(request: Request) -> Response:
    """Counts, throughput, running events and failures."""
    desk = desk_of(request)
    counts = await desk.history.refresh()
    intervals = desk.history.series()
    shown = {
        "counts": counts,
        "rate": desk.history.rate(),
        "queues": await desk.monitor.counts(),
        "charts": charts.overview(intervals, desk.history.width),
        "part": charts.part_of(*desk.history.known_and_ended(intervals[0].at, time())),
        "gauges": await _gauges(desk, counts),
        "running": await desk.monitor.running(RECENT),
        "failures": await desk.monitor.failures(RECENT),
        "unreadable": await _unreadable(desk),
        "ran_for": lambda one: None if one.since is None else max(0.0, time() - one.since),
        "label_of": label_of,
        "error_of": error_of,
    }
    return await page(request, desk, "overview.html", shown, view="")


async def _unreadable(desk: Desk) -> list[tuple[WorkerRecord, Unreadable]]:
    """Return the classes of events that a worker could not read, with the worker."""
    workers = [one for one in await desk.monitor.workers() if one.alive and one.about is not None]
    return [(one, each) for one in workers if one.about for each in one.about.unreadable]


async def _gauges(desk: Desk, counts: dict[EventStatus, int]) -> list[dict[str, Any]]:
    """Return the gauges of the limits, the slots and the queue limit."""
    executor = desk.executor
    found = [charts.gauge_of(one, one.name in (executor.limits if executor else ()))
             for one in await desk.monitor.limit_usage()]  # fmt: skip
    running, slots = slots_of(await desk.monitor.workers())
    if slots:
        found.insert(0, charts.gauge_for("slots", running, slots, "at once"))
    processor = None if executor is None else executor.processor
    if processor is None:
        return found
    if (capacity := processor.queue_capacity) is not None:
        free = processor.available_capacity
        words = f"starts in {wait(processor.capacity_refresh_time)}"
        used = 0 if free is None else capacity - free
        found.insert(1, charts.gauge_for("starts", used, capacity, words))
    if (room := processor.max_queue_size) is not None:
        found.append(charts.gauge_for("queue", counts[EventStatus.PENDING], room, "may wait"))
    return found


async def timeline(request: Request) -> Response:
    """Events that ran in a time range, one bar each."""
    desk = desk_of(request)
    window = Window.of(request.query_params, time())
    root = request.scope.get("root_path", "")

    async def drawn() -> dict[str, Any]:
        await desk.history.refresh()
        finished_events, running = (
            desk.history.finished_events(window.begin),
            await desk.monitor.running(),
        )
        drawn = charts.timeline(
            finished_events, running, window, lambda uid: link(root, f"events/{uid}")
        )
        part = charts.part_of(*desk.history.known_and_ended(window.begin, window.end))
        return drawn | {"part": part}

    shown = {"window": window, "drawn": drawn}
    return await page(request, desk, "timeline.html", shown, view="timeline", stream=True)


async def events(request: Request) -> Response:
    """The list of events that match the URL."""
    desk = desk_of(request)
    asked = ListFilter.of(request.query_params)
    what, queues = asked.sought, await desk.monitor.queues()

    async def rows() -> dict[str, Any]:
        found = await desk.monitor.list_events(
            asked.queue, what, before=asked.before, after=asked.after, limit=PAGE + 1
        )
        return _leaf(asked, found)

    async def how_many() -> dict[str, int]:
        return await counted(desk, asked)

    shown = {
        "asked": asked,
        "queues": queues,
        "spans": list(SPANS),
        "rows": rows,
        "how_many": how_many,
        "done": notice(request.query_params.get("done", "")),
        "error_of": error_of,
        "summary_of": summary_of,
        "seconds_of": seconds_of,
        "made_of": lambda record: created_of(record.payload).timestamp(),
    }
    return await page(request, desk, "events.html", shown, view="events", stream=True)


def _leaf(asked: ListFilter, found: Sequence[Record]) -> dict[str, Any]:
    """Return one page of the list, and the positions of the pages before and after it."""
    backwards = asked.after is not None and asked.before is None
    more = len(found) > PAGE
    records = list(found[-PAGE:] if backwards else found[:PAGE])
    first = records[0].number if records else 0
    last = records[-1].number if records else 0
    has_newer = more if backwards else asked.before is not None
    has_older = bool(records) if backwards else more
    return {
        "records": records,
        "newer": asked.query(after=first) if has_newer and records else None,
        "older": asked.query(before=last) if has_older else None,
    }


async def counted(desk: Desk, asked: ListFilter) -> dict[str, int]:
    """Return the number of matching events, and of those to which each action applies."""
    monitor, what = desk.monitor, asked.sought
    total = await monitor.count_events(asked.queue, what)
    found = {"total": total, "retry": 0, "cancel": 0}
    for action, statuses in (("retry", FAILURE_STATUSES), ("cancel", OPEN)):
        if what.status is None:
            each = [
                await monitor.count_events(asked.queue, replace(what, status=s)) for s in statuses
            ]
            found[action] = sum(each)
        elif what.status in statuses:
            found[action] = total
    return found


async def event(request: Request) -> Response:
    """All data of one event."""
    desk = desk_of(request)
    record = await _record(desk, request.path_params["id"])
    if record is None:
        shown: dict[str, Any] = {"given": request.path_params["id"]}
        return await page(request, desk, "missing.html", shown, view="events", status=404)
    shown = await details.of(desk, record)
    shown |= {
        "possible_actions": possible_actions(record),
        "done": notice(request.query_params.get("done", "")),
    }
    return await page(request, desk, "event.html", shown, view="events")


async def _record(desk: Desk, text: str) -> Record | None:
    try:
        uid = UUID(text)
    except ValueError:
        return None
    return await desk.monitor.get(uid)


async def workers(request: Request) -> Response:
    """The workers, and the events that each has claimed."""
    desk = desk_of(request)
    found = await desk.monitor.workers()
    found.sort(key=lambda one: (not one.alive, one.queue, one.since))
    since = {one.record.number: one.since for one in await desk.monitor.running()}

    def ran_for(number: int) -> float | None:
        at = since.get(number)
        return None if at is None else max(0.0, time() - at)

    shown = {"workers": found, "most": 12, "ran_for": ran_for, "state_of": _state_of}
    return await page(request, desk, "workers.html", shown, view="workers")


def _state_of(worker: WorkerRecord) -> str:
    """Return the state of a worker in a word or two."""
    if not worker.alive:
        return "gone"
    if worker.about is not None and (worker.about.stopped or worker.about.paused):
        return "stopping" if worker.about.stopped else "paused"
    return "at work"
