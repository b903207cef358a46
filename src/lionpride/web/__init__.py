"""Web page of a store. It needs the extra ``[web]``.

>>> from lionpride import web
>>> page = web.app(executor)  # an ASGI application, to be mounted anywhere
"""

from __future__ import annotations

from .app import Authorize, app

__all__ = ["Authorize", "app"]
