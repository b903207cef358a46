"""Templates, and their formats of numbers and times."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from time import time
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

from ..core import EventStatus
from ..drawing.text import duration, how_far, plural, rate, shorten, wait
from .access import HEADERS
from .context import PageContext
from .encoding import encoded
from .query_params import BLOCKED, link

__all__ = ["clock", "page", "plain"]

FLUSH: Final = "\x00"
"""Marker in a template: the text so far is sent, as the rest may take a while."""

VIEWS: Final = (
    ("", "Overview"),
    ("timeline", "Timeline"),
    ("events", "Events"),
    ("schedules", "Schedules"),
    ("workers", "Workers"),
)


def clock(at: float) -> str:
    """Return the time of day."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


def moment(at: float | None) -> str:
    """Return a time with its date."""
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


def stamp(at: float) -> str:
    """Return a time in ISO format."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def ago(at: float | None) -> str:
    """Return how long ago, or in how long, a time is."""
    if at is None:
        return ""
    seconds = time() - at
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("lionpride.web"),
        autoescape=True,
        enable_async=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "add": lambda query, name, value: {**query, name: value},
        "ago": ago,
        "clock": clock,
        "count": "{:,}".format,
        "duration": lambda seconds: "" if seconds is None else duration(seconds),
        "how_far": how_far,
        "moment": moment,
        "plural": plural,
        "rate": rate,
        "shorten": shorten,
        "stamp": stamp,
        "wait": wait,
    }
    found.globals |= {
        "flush": FLUSH,
        "statuses": list(EventStatus),
        "status_words": [*(each.value for each in EventStatus), BLOCKED],
        "views": VIEWS,
    }
    return found


_TEMPLATES: Final = _environment()


async def page(
    request: Request,
    context: PageContext,
    name: str,
    values: Mapping[str, Any],
    *,
    view: str,
    status: int = 200,
    stream: bool = False,
) -> Response:
    """Return a rendered page.

    Args:
        request: The request.
        context: The context of the page.
        name: The template.
        values: Values for the template; awaitables, and functions that return one, are awaited.
        view: The view that it belongs to.
        status: The status of the response.
        stream: True to send the page in parts, as they are rendered.
    """
    root = request.scope.get("root_path", "")
    session = context.access.session(request)
    executor = context.executor
    own = {
        "root": root,
        "link": lambda path, query=None: link(root, path, query),
        "name": context.name,
        "view": view,
        "version": await context.version(),
        "may": await context.allowed(request),
        "token": context.access.form_token(session),
        "paused": await context.monitor.paused(),
        "pause": await context.monitor.pause_record(),
        "inside": executor is not None,
    }
    template, all_values = _TEMPLATES.get_template(name), own | dict(values)
    response: Response
    if stream:
        source = _gathered(template.generate_async(all_values))
        response = StreamingResponse(source, status, HEADERS, "text/html")
    else:
        response = HTMLResponse(encoded(await template.render_async(all_values)), status, HEADERS)
    context.access.keep_session(request, response, session)
    return response


async def _gathered(source: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """Yield the pieces of a template in a few larger parts."""
    pieces: list[str] = []
    async for piece in source:
        if piece == FLUSH:
            yield encoded("".join(pieces))
            pieces.clear()
        else:
            pieces.append(piece)
    yield encoded("".join(pieces))


def plain(text: str, status: int = 200) -> Response:
    """Return a plain text."""
    return PlainTextResponse(encoded(text), status, HEADERS)
