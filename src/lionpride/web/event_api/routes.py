"""Routes of Starlette with which clients submit and follow events."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias
from uuid import UUID

from pydantic import ValidationError as PydanticError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ...core import Event, Executor, Job
from ...errors import ConfigurationError
from ..encoding import json_response
from .event_stream import follow
from .event_types import EventType, event_types_of, problems_of
from .operations import Operations, RequestLimits, limited

__all__ = ["Guard", "check_guard", "gone", "routes"]

Guard: TypeAlias = Callable[[Request], bool | Awaitable[bool]]
"""Returns True if a request may submit and follow events."""

_JSON: Final = re.compile(r"application/([\w.-]+\+)?json\s*(;|$)", re.IGNORECASE)
"""A page of another site cannot send a body of this type without leave, as it can a form."""

_Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


def routes(
    executor: Executor,
    *event_types: type[Event] | Job[..., Any],
    authorize: Guard | None = None,
    public: bool = False,
    max_wait: float = 30.0,
    retry_after: float = 5.0,
    heartbeat: float = 15.0,
    max_body: int = 1_048_576,
) -> list[Route]:
    """Return routes for Starlette with which clients submit and follow events of named types.

    >>> app = Starlette(routes=[Mount("/jobs", routes=web.routes(reports, report, public=True))])

    For each type ``NAME``, these are ``POST /NAME``, ``GET /NAME/{id}``, ``GET /NAME/{id}/stream``
    and ``POST /NAME/{id}/cancel``. Events of other types are not found.

    Args:
        executor: The executor.
        *event_types: The types, each of which the executor accepts.
        authorize: ``authorize(request)``, plain or async, returns True for a request that is
            answered; others are answered 403.
        public: True to answer every request, without ``authorize``.
        max_wait: The highest number of seconds of ``?wait=``.
        retry_after: Seconds of the header ``Retry-After``, if the queue is full.
        heartbeat: Seconds without a message after which a stream sends a comment.
        max_body: Bytes of the largest body that is accepted.

    Raises:
        ConfigurationError: if neither ``authorize`` nor ``public=True`` is given, or both; or if
            the executor does not accept a type.
    """
    check_guard("authorize", is_guarded=authorize is not None, public=public)
    operations = Operations(executor, RequestLimits(max_wait, retry_after, heartbeat, max_body))
    found = list[Route]()
    for name, kind in event_types_of(executor, event_types).items():
        for path, method, handler in _handlers(operations, kind):
            guarded = _guarded(handler, authorize, max_body)
            found.append(Route(f"/{name}{path}", guarded, methods=[method]))
    return found


def check_guard(option: str, *, is_guarded: bool, public: bool) -> None:
    """Refuse routes that nobody has declared open or closed.

    Args:
        option: The name of the option that restricts access.
        is_guarded: True if it is given.
        public: True if every request may be answered.

    Raises:
        ConfigurationError: if both or none are given.
    """
    if is_guarded and public:
        raise ConfigurationError(f"give {option}= or public=True, not both")
    if not (is_guarded or public):
        raise ConfigurationError(
            f"every client could submit events: give {option}= to restrict access, or public=True"
        )


def _handlers(operations: Operations, kind: EventType) -> list[tuple[str, str, _Handler]]:
    async def submit(request: Request) -> Response:
        body = await request.body()
        if body and not _JSON.match(request.headers.get("content-type", "")):
            raise HTTPException(415, "Send JSON, with Content-Type: application/json.")
        try:
            event = kind.parse(body)
        except PydanticError as error:
            return json_response({"detail": problems_of(error)}, 422)
        wait, key = _wait_of(request, operations), request.headers.get("idempotency-key")
        return await operations.submit(kind, event, key, wait, request)

    async def read(request: Request) -> Response:
        wait = _wait_of(request, operations)
        return json_response(await operations.read(kind, _id_of(request), wait, request.receive))

    async def stream(request: Request) -> Response:
        last_id = request.headers.get("last-event-id")
        return await follow(operations, kind, _id_of(request), last_id, request.receive)

    async def cancel(request: Request) -> Response:
        return await operations.cancel(kind, _id_of(request))

    return [
        ("", "POST", submit),
        ("/{id}", "GET", read),
        ("/{id}/stream", "GET", stream),
        ("/{id}/cancel", "POST", cancel),
    ]


def _guarded(handler: _Handler, authorize: Guard | None, max_body: int) -> _Handler:
    """Return a handler that answers errors as JSON, and refuses requests."""

    async def guarded(request: Request) -> Response:
        try:
            if authorize is not None:
                answer = authorize(request)
                if (await answer if inspect.isawaitable(answer) else answer) is not True:
                    raise HTTPException(403, "You may not do this.")
            return await handler(limited(request, max_body))
        except HTTPException as error:
            return json_response({"detail": error.detail}, error.status_code, error.headers)
        except ClientDisconnect:
            return gone()

    return guarded


def gone() -> Response:
    """Return the answer for a client that has closed its connection, which is not sent."""
    return Response(status_code=499)


def _id_of(request: Request) -> UUID:
    try:
        return UUID(request.path_params["id"])
    except ValueError as error:
        raise HTTPException(404, "No such event.") from error


def _wait_of(request: Request, operations: Operations) -> float:
    text, longest = request.query_params.get("wait", "0"), operations.limits.max_wait
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= longest:
        raise HTTPException(422, f"wait must be a number of seconds from 0 to {longest:g}.")
    return seconds
