"""Web page of a store, and events over HTTP. It needs the extra ``[web]``.

>>> from lionpride import web
>>> page = web.app(executor)  # an ASGI application, to be mounted anywhere
>>> app = Starlette(routes=web.routes(executor, report, public=True))
"""

from __future__ import annotations

from .app import Authorize, app
from .event_api.routes import Guard, routes
from .hosting import Run, executor_of, lifespan

__all__ = ["Authorize", "Guard", "Run", "app", "executor_of", "lifespan", "routes"]
