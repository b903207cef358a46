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
from . import actions, health, live, pages
from .access import HEADERS, LOOK, PROBE, Access, Authorize, has_valid_host
from .desk import Desk
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
    """A page that shows what is going on; mount it in FastAPI, Starlette, Django, or serve it.

    It opens nothing before the first request. Give an executor to see it from inside: its limits,
    what it holds in memory, and buttons to pause it.

    Args:
        source: An executor, in whose event loop the page has to be served; a store; or the URL
            of a store, or the path of its file, of which all queues are shown.
        authorize: ``authorize(request, what)``, perhaps async, says whether a Starlette request
            may do ``what``: "look", "retry", "cancel", "pause", "resume", "limit" or "probe",
            which ``/healthz`` and ``/metrics`` ask for. Without it, a request from this machine
            that has the page's token may look, no request may do anything, and every request may
            probe. The URL with the token is logged at the first request without it.
        secret: Text or bytes of at least 16 characters. Give the same to all processes that serve
            one page, so that each accepts the forms and the token of the others. By default it is
            random, and new at each start.
        name: What stands at the top of the page; by default the queue's name, or the file's.

    Raises:
        ConfigurationError: if ``source`` is none of these, or ``secret`` is too short.
    """
    return gate_of(Desk(source, Access(authorize, secret), name))


def gate_of(desk: Desk) -> Gate:
    """Return the application over a desk."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await desk.close()

    async def trouble(_: Request, error: Exception) -> Response:
        """The store cannot be asked, or what is asked for makes no sense there."""
        return plain(f"{error}\n", 503)

    static = str(resources.files(__package__) / "static")
    inside = Starlette(
        routes=[
            Route("/", pages.overview, name="overview"),
            Route("/timeline", pages.timeline),
            Route("/events", pages.events),
            Route("/events/{id}", pages.event),
            Route("/workers", pages.workers),
            Route("/act", actions.act, methods=["GET", "POST"]),
            Route("/live", live.live),
            Route("/version", live.version),
            Route("/healthz", health.healthz),
            Route("/metrics", health.metrics),
            Mount("/static", StaticFiles(directory=static)),
        ],
        exception_handlers={LionprideError: trouble},
        lifespan=lifespan,
    )
    inside.state.desk = desk
    return Gate(inside, desk)


class Gate:
    """Lets in who may look, and says on every answer what a browser may do with it.

    Args:
        inside: The pages.
        desk: Who decides.

    Attributes:
        token: What opens a page without a hook; empty if there is a hook.
    """

    def __init__(self, inside: Starlette, desk: Desk) -> None:
        self._inside = inside
        self._desk = desk
        self.token = desk.access.token

    async def aclose(self) -> None:
        """Give back what was opened; a server closes only the app that it serves itself."""
        await self._desk.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inside(scope, receive, send)
            return
        request, access = Request(scope, receive), self._desk.access
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
