"""Actions of the page: a question with the number of events, then the action."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..errors import ValidationError
from ..stores.record import Record
from ..view import actions
from .access import HEADERS
from .asked import ListFilter, arrival, link, number
from .desk import ACTIONS, Desk, desk_of
from .pages import counted
from .render import page, plain

__all__ = ["act"]

PATIENCE: Final = 10.0
"""Seconds in which a form has to arrive."""


async def act(request: Request) -> Response:
    """Ask for confirmation (GET), or carry out the action (POST)."""
    desk = desk_of(request)
    given = request.query_params
    if request.method == "POST":
        try:
            async with asyncio.timeout(PATIENCE):
                body = await _body(request)
        except TimeoutError:
            return plain(f"The form did not arrive within {PATIENCE:g} s.\n", 408)
        given = QueryParams(body.decode("utf-8", "replace"))
        if reason := desk.access.why_refused(request, str(given.get("token", ""))):
            return plain(f"This post was refused: {reason}.\n", 403)
    what = str(given.get("do", ""))
    if what not in ACTIONS or what not in await desk.allowed(request):
        return plain("This action is not permitted on this page: see `authorize`.\n", 403)
    if request.method == "POST":
        return await _do(request, desk, what, given)
    return await _ask(request, desk, what, given)


async def _body(request: Request) -> bytes:
    """Return the content of a form; nothing if it is far larger than any form of the page."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > 65_536:
            return b""
    return body


async def _ask(request: Request, desk: Desk, what: str, given: Any) -> Response:
    """Return the page that asks for confirmation, with the number of events."""
    asked = ListFilter.of(given)
    shown: dict[str, Any] = {"what": what, "asked": asked, "id": "", "limit": "", "upto": ""}
    back = link(request.scope.get("root_path", ""), "events", asked.query())
    if what in ("pause", "resume"):
        back, shown["number"] = link(request.scope.get("root_path", ""), ""), None
    elif what == "limit":
        name = str(given.get("limit", ""))
        limit = None if desk.executor is None else desk.executor.limits.get(name)
        if limit is None:
            return plain(f"There is no limit named {name!r}.\n", 404)
        back = link(request.scope.get("root_path", ""), "")
        shown |= {"limit": name, "number": None, "amount": f"{limit.amount:.15g}", "per": limit.per}
    elif given.get("id"):
        record = await _named(desk, str(given.get("id")))
        if record is None:
            return plain("There is no event of this id.\n", 404)
        can = what in actions.possible_actions(record)
        back = link(request.scope.get("root_path", ""), f"events/{record.id}")
        shown |= {"id": str(record.id), "record": record, "number": int(can)}
    else:
        shown["number"] = (await counted(desk, asked))[what]
        shown["upto"] = await _newest(desk)
    shown["back"] = back
    return await page(request, desk, "act.html", shown, view="events")


async def _do(request: Request, desk: Desk, what: str, given: Any) -> Response:
    root = request.scope.get("root_path", "")
    if what in ("pause", "resume"):
        await (desk.monitor.pause() if what == "pause" else desk.monitor.resume())
        return _to(link(root, ""))
    if what == "limit":
        return _change(desk, root, given)
    if given.get("id"):
        record = await _named(desk, str(given.get("id")))
        if record is None:
            return plain("There is no event of this id.\n", 404)
        one = actions.retry if what == "retry" else actions.cancel
        done = int(await one(desk.monitor, record))
        return _to(link(root, f"events/{record.id}", {"done": f"{what}-{done}"}))
    asked, upto = ListFilter.of(given), arrival(given.get("upto"))
    if given.get("upto") and upto is None:
        return plain("upto must be the number of an event.\n", 400)
    sought = asked.sought if upto is None else replace(asked.sought, upto=upto)
    many = actions.retry_all if what == "retry" else actions.cancel_all
    done = await many(desk.monitor, asked.queue, sought)
    return _to(link(root, "events", asked.query() | {"done": f"{what}-{done}"}))


def _change(desk: Desk, root: str, given: Any) -> Response:
    """Set the amount of a limit."""
    assert desk.executor is not None
    limit = desk.executor.limits.get(str(given.get("limit", "")))
    amount = number(given.get("amount"))
    if limit is None or amount is None:
        return plain("Give the name of a limit, and a number above 0.\n", 400)
    try:
        limit.amount = amount
    except ValidationError as error:
        return plain(f"{error}\n", 400)
    return _to(link(root, ""))


async def _named(desk: Desk, text: str) -> Record | None:
    try:
        return await desk.monitor.get(UUID(text))
    except ValueError:
        return None


async def _newest(desk: Desk) -> str:
    """Return the highest arrival number: later events were not counted, and are not changed."""
    queues = await desk.monitor.queues()
    return str(max([await desk.monitor.store(q).last_arrival() for q in queues], default=0))


def _to(url: str) -> Response:
    return RedirectResponse(url, 303, HEADERS)
