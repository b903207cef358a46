"""Events of an executor in a FastAPI application. It needs the extra ``[fastapi]``.

>>> from lionpride.web.fastapi import router
>>> app = FastAPI(lifespan=web.lifespan(reports, run="never"))
>>> app.include_router(router(reports, report, dependencies=[Depends(signed_in)]), prefix="/jobs")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Depends, Header, HTTPException, Query
from fastapi.exceptions import RequestValidationError
from fastapi.params import Depends as DependsParam
from fastapi.routing import APIRoute
from pydantic import ValidationError as PydanticError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ..core import Event, Executor, Job
from ..errors import ConfigurationError
from .encoding import json_response
from .event_api.event_stream import follow
from .event_api.event_types import EventType, Problem, event_types_of, problems_of
from .event_api.operations import Operations, RequestLimits, limited
from .event_api.routes import check_guard, gone
from .hosting import executor_of

__all__ = ["CurrentExecutor", "router"]

CurrentExecutor: TypeAlias = Annotated[Executor, Depends(executor_of)]
"""A parameter of a handler: the executor of the application's ``web.lifespan``."""

_Responses: TypeAlias = dict[int | str, dict[str, Any]]

_NOT_FOUND: Final[_Responses] = {
    404: {"model": Problem, "description": "No event of this type has the id."}
}
_UNAVAILABLE: Final[_Responses] = {
    503: {"model": Problem, "description": "Try again after `Retry-After`."}
}


def router(
    executor: Executor,
    *event_types: type[Event] | Job[..., Any],
    dependencies: Sequence[DependsParam] = (),
    public: bool = False,
    max_wait: float = 30.0,
    retry_after: float = 5.0,
    heartbeat: float = 15.0,
    max_body: int = 1_048_576,
) -> APIRouter:
    """Return a router with which clients submit and follow events of named types.

    It has the paths of ``web.routes``. OpenAPI shows the fields of each type, and the state of its
    events: id, status, progress, result and error.

    Args:
        executor: See ``web.routes``.
        *event_types: See ``web.routes``.
        dependencies: ``Depends(...)`` of all paths, such as a check of the user.
        public: True to answer every request, without dependencies.
        max_wait: See ``web.routes``.
        retry_after: See ``web.routes``.
        heartbeat: See ``web.routes``.
        max_body: See ``web.routes``.

    Raises:
        ConfigurationError: if neither ``dependencies`` nor ``public=True`` is given, or both; if
            the executor does not accept a type; (at the start of the application) if its events
            are in memory and nothing runs them.
    """
    check_guard("dependencies", is_guarded=bool(dependencies), public=public)
    operations = Operations(executor, RequestLimits(max_wait, retry_after, heartbeat, max_body))

    @asynccontextmanager
    async def checked(_: Any) -> AsyncIterator[None]:
        if not executor.store.is_shared and executor.processor is None:
            raise ConfigurationError(
                f"the events of {executor.store.queue!r} are in memory, and nothing runs them: "
                'make the application with lifespan=web.lifespan(executor, run="here")'
            )
        yield

    made = APIRouter(
        dependencies=list(dependencies), lifespan=checked, route_class=_route_class(max_body)
    )
    for kind in event_types_of(executor, event_types).values():
        _add_submit(made, operations, kind)
        _add_read(made, operations, kind)
        _add_stream(made, operations, kind)
        _add_cancel(made, operations, kind)
    return made


def _route_class(max_body: int) -> type[APIRoute]:
    """Return a class of routes that refuse large bodies, and never show a refused one."""

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()

            async def handle(request: Request) -> Response:
                request = limited(request, max_body)
                try:
                    await request.body()  # FastAPI would answer 400 if it were too large
                    return await handler(request)
                except ClientDisconnect:
                    return gone()
                except RequestValidationError as error:
                    # The input may be a secret, or NaN, which FastAPI cannot write as JSON.
                    problems = [
                        {name: each[name] for name in ("type", "loc", "msg")}
                        for each in error.errors()
                    ]
                    raise RequestValidationError(problems) from error

            return handle

    return Route


def _add_submit(made: APIRouter, operations: Operations, kind: EventType) -> None:
    async def submit(
        request: Request,
        body: Any,
        wait: float = 0.0,
        idempotency_key: Annotated[str | None, Header()] = None,
    ) -> Response:
        try:
            event = kind.event(kind.fields() if body is None else body)
        except PydanticError as error:
            raise HTTPException(422, problems_of(error)) from error
        return await operations.submit(kind, event, idempotency_key, wait, request)

    model: Any = kind.fields
    submit.__annotations__ |= {
        "body": model if kind.needs_fields else model | None,
        "wait": _wait_in(operations),
    }
    if not kind.needs_fields:
        submit.__defaults__ = (None, *(submit.__defaults__ or ()))
    made.post(
        f"/{kind.name}",
        name=f"submit {kind.name}",
        status_code=202,
        response_model=kind.state,
        responses={
            202: {"description": "Accepted; `Location` is the path of the event."},
            201: {"model": kind.state, "description": "Accepted, and finished within `wait`."},
            200: {"model": kind.state, "description": "A repeat of the same `Idempotency-Key`."},
            409: {"model": Problem, "description": "The key belongs to another request."},
            **_UNAVAILABLE,
        },
    )(submit)


def _add_read(made: APIRouter, operations: Operations, kind: EventType) -> None:
    async def read(request: Request, id: UUID, wait: float = 0.0) -> Response:  # noqa: A002
        return json_response(await operations.read(kind, id, wait, request.receive))

    read.__annotations__ |= {"wait": _wait_in(operations)}
    made.get(
        f"/{kind.name}/{{id}}",
        name=f"read {kind.name}",
        response_model=kind.state,
        responses=_NOT_FOUND | _UNAVAILABLE,
    )(read)


def _add_stream(made: APIRouter, operations: Operations, kind: EventType) -> None:
    async def stream(
        request: Request,
        id: UUID,  # noqa: A002
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Server-sent events: `progress`, `chunk`, `restart`, and `finished` at the end."""
        return await follow(operations, kind, id, last_event_id, request.receive)

    made.get(
        f"/{kind.name}/{{id}}/stream",
        name=f"stream {kind.name}",
        response_class=Response,
        responses={200: {"content": {"text/event-stream": {}}}, **_NOT_FOUND, **_UNAVAILABLE},
    )(stream)


def _add_cancel(made: APIRouter, operations: Operations, kind: EventType) -> None:
    async def cancel(id: UUID) -> Response:  # noqa: A002
        return await operations.cancel(kind, id)

    made.post(
        f"/{kind.name}/{{id}}/cancel",
        name=f"cancel {kind.name}",
        response_model=kind.state,
        responses={
            202: {"model": kind.state, "description": "Its code is still running."},
            409: {"model": Problem, "description": "It has finished."},
            **_NOT_FOUND,
            **_UNAVAILABLE,
        },
    )(cancel)


def _wait_in(operations: Operations) -> Any:
    """Return the type of the parameter ``wait``: seconds, with an upper bound."""
    text = "Seconds to wait for the end of the event."
    return Annotated[float, Query(ge=0, le=operations.limits.max_wait, description=text)]
