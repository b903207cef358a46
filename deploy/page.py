"""The page in a container: it shows all queues, and changes nothing.

The port of the container has to be published on the loopback address alone. The check of the host
keeps pages of other sites out. For other machines, check the user in ``may``.
"""

import os

from starlette.requests import Request

from lionpride import web


def may(request: Request, what: str) -> bool:
    """Allow probes, and views of a browser on this machine."""
    is_local = request.url.hostname in ("localhost", "127.0.0.1")
    return what == "probe" or (what == "look" and is_local)


app = web.app(os.environ.get("LIONPRIDE_STORE", "sqlite:///run.db"), authorize=may)
