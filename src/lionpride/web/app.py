"""The page as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from ..core import Executor
from ..errors import LionprideError
from ..stores.contract import Store
from . import action_forms, health, live, pages
from .access import HEADERS, LOOK, PROBE, Access, Authorize, has_valid_host
from .context import PageContext
from .render import plain

__all__ = ["Authorize", "Gate", "app", "gate_of"]

PROBES: Final = ("/healthz", "/metrics")


def app(
    source: Executor | Store | str,
    *,
    authorize: Authorize | None = None,
    secret: str | bytes | None = None,
    name: str | None = None,
) -> Gate:
    """Return a web page that shows the events of a store, as an ASGI application.

    Serve it, or mount it in FastAPI, Starlette or Django. Nothing is opened before the first
    request. For an executor, the page also shows its limits and its events in memory, and can pause
    it.

    Args:
        source: An executor, in whose event loop the page has to be served; or a store; or the URL
            of a store or the path of a SQLite file, for all its queues.
        authorize: ``authorize(request, what)``, plain or async, returns True if a Starlette request
            may do ``what``: "look", "retry", "cancel", "pause_schedule", "resume_schedule",
            "run_schedule", "pause", "resume", "limit", or "probe" (for ``/healthz`` and
            ``/metrics``). Without it, only requests from this machine with the page's token may
            look, no request may act, and every request may probe. The URL with the token is logged
            at the first request without it.
        secret: Text or bytes of at least 16 characters. Processes that serve one page need the same
            secret, so that each accepts the forms and the token of the others. By default it is
            random, and new at each start.
        name: Title of the page; by default the name of the queue, or of the file.

    Raises:
        ConfigurationError: if ``source`` is none of these, or ``secret`` is too short.
    """
    return gate_of(PageContext(source, Access(authorize, secret), name))


def gate_of(context: PageContext) -> Gate:
    """Return the application for a page."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await context.close()

    async def store_error(_: Request, error: Exception) -> Response:
        """Answer that the store is not available, or cannot answer the query."""
        return plain(f"{error}\n", 503)

    static = str(resources.files(__package__) / "static")
    inside = Starlette(
        routes=[
            Route("/", pages.overview, name="overview"),
            Route("/timeline", pages.timeline),
            Route("/events", pages.events),
            Route("/events/{id}", pages.event),
            Route("/schedules", pages.schedules),
            Route("/workers", pages.workers),
            Route("/act", action_forms.act, methods=["GET", "POST"]),
            Route("/live", live.live),
            Route("/version", live.version),
            Route("/healthz", health.healthz),
            Route("/metrics", health.metrics),
            Mount("/static", StaticFiles(directory=static)),
        ],
        exception_handlers={LionprideError: store_error},
        lifespan=lifespan,
    )
    inside.state.context = context
    return Gate(inside, context)


class Gate:
    """Checks access, and adds security headers to every response.

    Args:
        inside: The pages.
        context: The page's context, with its access rules.

    Attributes:
        token: The token of the page's URL; empty if there is a hook.
    """

    def __init__(self, inside: Starlette, context: PageContext) -> None:
        self._inside = inside
        self._context = context
        self.token = context.access.token

    async def aclose(self) -> None:
        """Close the stores that were opened; a server closes only the app that it serves itself."""
        await self._context.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inside(scope, receive, send)
            return
        request, access = Request(scope, receive), self._context.access
        if not has_valid_host(request):
            await plain("The header Host is malformed.\n", 400)(scope, receive, send)
            return
        what = PROBE if request.method in ("GET", "HEAD") and _route(scope) in PROBES else LOOK
        if (login := access.login(request)) is not None:
            await login(scope, receive, send)
            return
        if not await access.may(request, what):
            await access.refusal(request)(scope, receive, send)
            return

        async def guarded(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))  # type: ignore[call-overload]
                known = {name for name, _ in headers}
                for key, value in HEADERS.items():
                    if key.lower().encode() not in known:
                        headers.append((key.lower().encode(), value.encode()))
                message = {**message, "headers": headers}
            await send(message)

        await self._inside(scope, receive, guarded)  # type: ignore[arg-type]


def _route(scope: Scope) -> str:
    """Return the path of a request below the place where the page is mounted."""
    path, root = scope["path"], scope.get("root_path", "")
    return str(path.removeprefix(root) if path.startswith(f"{root}/") else path)
