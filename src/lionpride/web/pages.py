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
from ..view.actions import OPEN, possible_actions, possible_actions_on_schedule
from ..view.limits import slots_of
from ..view.records import FAILURE_STATUSES, created_of, error_of, seconds_of
from ..view.redact import label_of, summary_of
from ..view.schedules import ShownSchedule, options_text, rule_text
from . import charts
from .context import PageContext, context_of
from .details import details_of
from .query_params import CREATED_WITHIN, ListFilter, appended_event, link, notice, uuid
from .render import page
from .time_range import TimeRange

__all__ = ["event", "events", "overview", "schedules", "timeline", "workers"]

PAGE_SIZE: Final = 50
RECENT: Final = 6  # failures and running events on the overview


async def overview(request: Request) -> Response:
    """Counts, throughput, running events and failures."""
    context = context_of(request)
    counts = await context.history.refresh()
    intervals = context.history.series()
    shown = {
        "counts": counts,
        "rate": context.history.rate(),
        "queues": await context.monitor.counts(),
        "charts": charts.overview(intervals, context.history.width),
        "part": charts.part_of(*context.history.known_and_ended(intervals[0].at, time())),
        "gauges": await _gauges(context, counts),
        "running": await context.monitor.running(RECENT),
        "failures": await context.monitor.failures(RECENT),
        "unreadable": await _unreadable(context),
        "ran_for": lambda one: None if one.since is None else max(0.0, time() - one.since),
        "label_of": label_of,
        "error_of": error_of,
    }
    return await page(request, context, "overview.html", shown, view="")


async def _unreadable(context: PageContext) -> list[tuple[WorkerRecord, Unreadable]]:
    """Return the classes of events that a worker could not read, with the worker."""
    workers = [
        one for one in await context.monitor.workers() if one.alive and one.about is not None
    ]
    return [(one, each) for one in workers if one.about for each in one.about.unreadable]


async def _gauges(context: PageContext, counts: dict[EventStatus, int]) -> list[dict[str, Any]]:
    """Return the gauges of the limits, the slots and the queue limit."""
    executor = context.executor
    found = [charts.gauge_of(one, one.name in (executor.limits if executor else ()))
             for one in await context.monitor.limit_usage()]  # fmt: skip
    running, slots = slots_of(await context.monitor.workers())
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
    context = context_of(request)
    time_range = TimeRange.of(request.query_params, time())
    root = request.scope.get("root_path", "")

    async def chart() -> dict[str, Any]:
        await context.history.refresh()
        finished_events, running = (
            context.history.finished_events(time_range.begin),
            await context.monitor.running(),
        )
        found = charts.timeline(
            finished_events, running, time_range, lambda uid: link(root, f"events/{uid}")
        )
        part = charts.part_of(*context.history.known_and_ended(time_range.begin, time_range.end))
        return found | {"part": part}

    shown = {"time_range": time_range, "chart": chart}
    return await page(request, context, "timeline.html", shown, view="timeline", stream=True)


async def events(request: Request) -> Response:
    """The list of events that match the URL."""
    context = context_of(request)
    filters = ListFilter.of(request.query_params)
    what, queues = filters.event_filter, await context.monitor.queues()

    async def rows() -> dict[str, Any]:
        found = await context.monitor.list_events(
            filters.queue, what, before=filters.before, after=filters.after, limit=PAGE_SIZE + 1
        )
        return _list_page(filters, found)

    async def counts() -> dict[str, int]:
        return await count_actions(context, filters)

    shown = {
        "filters": filters,
        "queues": queues,
        "spans": list(CREATED_WITHIN),
        "rows": rows,
        "counts": counts,
        "done": notice(request.query_params.get("done", "")),
        "error_of": error_of,
        "summary_of": summary_of,
        "seconds_of": seconds_of,
        "created_at": lambda record: created_of(record.payload).timestamp(),
    }
    return await page(request, context, "events.html", shown, view="events", stream=True)


def _list_page(filters: ListFilter, found: Sequence[Record]) -> dict[str, Any]:
    """Return one page of the list, and the positions of the pages before and after it."""
    backwards = filters.after is not None and filters.before is None
    more = len(found) > PAGE_SIZE
    records = list(found[-PAGE_SIZE:] if backwards else found[:PAGE_SIZE])
    first = records[0].number if records else 0
    last = records[-1].number if records else 0
    has_newer = more if backwards else filters.before is not None
    has_older = bool(records) if backwards else more
    return {
        "records": records,
        "newer": filters.query(after=first) if has_newer and records else None,
        "older": filters.query(before=last) if has_older else None,
    }


async def count_actions(context: PageContext, filters: ListFilter) -> dict[str, int]:
    """Return the number of matching events, and of those to which each action applies."""
    monitor, what = context.monitor, filters.event_filter
    total = await monitor.count_events(filters.queue, what)
    found = {"total": total, "retry": 0, "cancel": 0}
    for action, statuses in (("retry", FAILURE_STATUSES), ("cancel", OPEN)):
        if what.status is None:
            each = [
                await monitor.count_events(filters.queue, replace(what, status=s)) for s in statuses
            ]
            found[action] = sum(each)
        elif what.status in statuses:
            found[action] = total
    return found


async def event(request: Request) -> Response:
    """All data of one event."""
    context = context_of(request)
    record = await _record(context, request.path_params["id"])
    if record is None:
        shown: dict[str, Any] = {"given": request.path_params["id"]}
        return await page(request, context, "missing.html", shown, view="events", status=404)
    shown = await details_of(context, record, request.query_params)
    shown |= {
        "possible_actions": possible_actions(record),
        "done": notice(request.query_params.get("done", "")),
    }
    return await page(request, context, "event.html", shown, view="events")


async def _record(context: PageContext, text: str) -> Record | None:
    uid = uuid(text)
    return None if uid is None else await context.monitor.get(uid)


async def schedules(request: Request) -> Response:
    """The schedules of all queues, with their next and their last instants."""
    context, done = context_of(request), request.query_params.get("done", "")
    found = await context.monitor.schedules()
    shown = {
        "schedules": found,
        "queues": await context.monitor.queues(),
        "last_events": await _last_events(context, found),
        "done": notice(done),
        "appended": appended_event(done),
        "possible_actions": possible_actions_on_schedule,
        "rule_text": rule_text,
        "options_text": options_text,
    }
    return await page(request, context, "schedules.html", shown, view="schedules")


async def _last_events(context: PageContext, found: Sequence[ShownSchedule]) -> dict[UUID, Record]:
    """Return the last events of schedules by id, as far as they are still in the store."""
    ids: dict[str, list[UUID]] = {}
    for each in found:
        if each.record.last is not None:
            ids.setdefault(each.queue, []).append(each.record.last.id)
    records = [
        record
        for queue, some in ids.items()
        for record in await context.monitor.store(queue).get(some)
    ]
    return {record.id: record for record in records if record is not None}


async def workers(request: Request) -> Response:
    """The workers, and the events that each has claimed."""
    context = context_of(request)
    found = await context.monitor.workers()
    found.sort(key=lambda one: (not one.alive, one.queue, one.since))
    since = {one.record.number: one.since for one in await context.monitor.running()}

    def ran_for(number: int) -> float | None:
        at = since.get(number)
        return None if at is None else max(0.0, time() - at)

    shown = {"workers": found, "most": 12, "ran_for": ran_for, "state_of": _state_of}
    return await page(request, context, "workers.html", shown, view="workers")


def _state_of(worker: WorkerRecord) -> str:
    """Return the state of a worker in a word or two."""
    if not worker.alive:
        return "gone"
    if worker.about is not None and (worker.about.stopped or worker.about.paused):
        return "stopping" if worker.about.stopped else "paused"
    return "running"
