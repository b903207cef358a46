"""Forms of the page that confirm an action, and carry it out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..errors import NotFoundError, QueueFullError, ValidationError
from ..stores.record import Record
from ..view import actions
from ..view.schedules import ShownSchedule
from .access import HEADERS
from .context import ACTIONS, SCHEDULE_ACTIONS, PageContext, context_of
from .pages import count_actions
from .query_params import ListFilter, arrival, link, number, uuid
from .render import page, plain

__all__ = ["act"]

_NO_SCHEDULE: Final = "There is no schedule with this id.\n"

_BY: Final = "page"
"""Who acts, for the record: the page knows no users, and trusts no header that names one."""

FORM_TIMEOUT: Final = 10.0
"""Seconds in which a form has to arrive."""


async def act(request: Request) -> Response:
    """Ask for confirmation (GET), or carry out the action (POST)."""
    context = context_of(request)
    given = request.query_params
    if request.method == "POST":
        try:
            async with asyncio.timeout(FORM_TIMEOUT):
                body = await _body(request)
        except TimeoutError:
            return plain(f"The form did not arrive within {FORM_TIMEOUT:g} s.\n", 408)
        given = QueryParams(body.decode("utf-8", "replace"))
        if reason := context.access.why_refused(request, str(given.get("token", ""))):
            return plain(f"This post was refused: {reason}.\n", 403)
    what = str(given.get("do", ""))
    if what not in ACTIONS or what not in await context.allowed(request):
        return plain("This action is not permitted on this page: see `authorize`.\n", 403)
    if request.method == "POST":
        return await _execute(request, context, what, given)
    return await _confirm(request, context, what, given)


async def _body(request: Request) -> bytes:
    """Return the content of a form; nothing if it is far larger than any form of the page."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > 65_536:
            return b""
    return body


async def _confirm(request: Request, context: PageContext, what: str, given: Any) -> Response:
    """Return the page that asks for confirmation, with the number of events."""
    filters = ListFilter.of(given)
    shown: dict[str, Any] = {"what": what, "filters": filters, "id": "", "limit": "", "upto": ""}
    shown["schedule"] = None
    back = link(request.scope.get("root_path", ""), "events", filters.query())
    if what in ("pause", "resume"):
        back, shown["number"] = link(request.scope.get("root_path", ""), ""), None
    elif what == "limit":
        name = str(given.get("limit", ""))
        limit = None if context.executor is None else context.executor.limits.get(name)
        if limit is None:
            return plain(f"There is no limit named {name!r}.\n", 404)
        back = link(request.scope.get("root_path", ""), "")
        shown |= {"limit": name, "number": None, "amount": f"{limit.amount:.15g}", "per": limit.per}
    elif what in SCHEDULE_ACTIONS:
        schedule = await _find_schedule(context, given.get("schedule"))
        if schedule is None:
            return plain(_NO_SCHEDULE, 404)
        is_possible = what in actions.possible_actions_on_schedule(schedule)
        back = link(request.scope.get("root_path", ""), "schedules")
        shown |= {"schedule": schedule, "number": None if is_possible else 0}
    elif given.get("id"):
        record = await _find_record(context, given.get("id"))
        if record is None:
            return plain("There is no event with this id.\n", 404)
        can = what in actions.possible_actions(record)
        back = link(request.scope.get("root_path", ""), f"events/{record.id}")
        shown |= {"id": str(record.id), "record": record, "number": int(can)}
    else:
        shown["number"] = (await count_actions(context, filters))[what]
        shown["upto"] = await _last_arrival(context)
    shown["back"] = back
    view = "schedules" if what in SCHEDULE_ACTIONS else "events"
    return await page(request, context, "act.html", shown, view=view)


async def _execute(request: Request, context: PageContext, what: str, given: Any) -> Response:
    """Carry out the action, and redirect to the page that shows its effect."""
    root = request.scope.get("root_path", "")
    if what in ("pause", "resume"):
        await (context.monitor.pause(_BY) if what == "pause" else context.monitor.resume())
        return _redirect(link(root, ""))
    if what == "limit":
        return _set_limit(context, root, given)
    if what in SCHEDULE_ACTIONS:
        return await _change_schedule(context, root, what, given)
    if given.get("id"):
        record = await _find_record(context, given.get("id"))
        if record is None:
            return plain("There is no event with this id.\n", 404)
        action = actions.retry if what == "retry" else actions.cancel
        done = int(await action(context.monitor, record, _BY))
        return _redirect(link(root, f"events/{record.id}", {"done": f"{what}-{done}"}))
    filters, upto = ListFilter.of(given), arrival(given.get("upto"))
    if given.get("upto") and upto is None:
        return plain("upto must be the number of an event.\n", 400)
    event_filter = (
        filters.event_filter if upto is None else replace(filters.event_filter, upto=upto)
    )
    action_on_all = actions.retry_all if what == "retry" else actions.cancel_all
    done = await action_on_all(context.monitor, filters.queue, event_filter, _BY)
    return _redirect(link(root, "events", filters.query() | {"done": f"{what}-{done}"}))


def _set_limit(context: PageContext, root: str, given: Any) -> Response:
    """Set the amount of a limit."""
    assert context.executor is not None
    limit = context.executor.limits.get(str(given.get("limit", "")))
    amount = number(given.get("amount"))
    if limit is None or amount is None:
        return plain("Give the name of a limit, and a number above 0.\n", 400)
    try:
        limit.amount = amount
    except ValidationError as error:
        return plain(f"{error}\n", 400)
    return _redirect(link(root, ""))


async def _change_schedule(context: PageContext, root: str, what: str, given: Any) -> Response:
    """Pause, resume or run a schedule."""
    found = await _find_schedule(context, given.get("schedule"))
    if found is None:
        return plain(_NO_SCHEDULE, 404)
    schedules, name, done = context.monitor.schedules_in(found.queue), found.record.name, what
    try:
        if what == actions.PAUSE_SCHEDULE:
            await schedules.pause(name)
        elif what == actions.RESUME_SCHEDULE:
            await schedules.resume(name)
        else:
            done = f"{what}-{await schedules.run(name)}"
    except NotFoundError:  # it was removed meanwhile
        return plain(_NO_SCHEDULE, 404)
    except QueueFullError as error:
        return plain(f"{error}\n", 409)
    return _redirect(link(root, "schedules", {"done": done}))


async def _find_schedule(context: PageContext, given: Any) -> ShownSchedule | None:
    uid = uuid(given)
    found = await context.monitor.schedules()
    return next((each for each in found if each.record.id == uid), None)


async def _find_record(context: PageContext, given: Any) -> Record | None:
    uid = uuid(given)
    return None if uid is None else await context.monitor.get(uid)


async def _last_arrival(context: PageContext) -> str:
    """Return the highest arrival number: later events were not counted, and are not changed."""
    queues = await context.monitor.queues()
    return str(max([await context.monitor.store(q).last_arrival() for q in queues], default=0))


def _redirect(url: str) -> Response:
    return RedirectResponse(url, 303, HEADERS)
