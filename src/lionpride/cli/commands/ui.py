"""``lionpride ui``: the page of a store, served on this machine."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

from ..grammar import command, json_option, option, store_argument
from ..output.streams import tell
from ..output.table import json_line
from ..store.location import StoreLocation, locate_store
from ..usage import UsageError, port_number

__all__ = ["ui"]

HOST = "127.0.0.1"
PORT = 8321


@command(
    "ui",
    help=(
        "Serve a web page that shows a store, for this machine only, until Ctrl-C. The command "
        "prints a URL with a token, which is valid as long as the server runs: open that URL in a "
        "browser; a script sends 'Authorization: Bearer TOKEN'. It needs the extra [web]."
    ),
)
@store_argument
@option(
    "--port",
    metavar="N",
    type=port_number,
    default=str(PORT),
    help=f"the port ({PORT}); 0: any free port",
)
@option(
    "--act",
    is_flag=True,
    help="let the page retry, cancel and pause; without it, the page is read-only",
)
@json_option("server, with its URL and token")
def ui(store: str, port: int, act: bool, as_json: bool) -> int:
    """Serve the page until Ctrl-C.

    Raises:
        UsageError: if the store is not there, the port is taken, or the extra is missing.
    """
    try:
        import uvicorn  # noqa: F401  # late: only this command needs the extra
    except ImportError as error:
        raise UsageError("ui needs the extra [web]: pip install 'lionpride-core[web]'") from error
    location = locate_store(store)
    with closing(_listen(port)) as listening:
        try:
            asyncio.run(_serve(location, listening, act, as_json))
        except KeyboardInterrupt:
            return 0
    return 0


async def _serve(
    location: StoreLocation, listening: socket.socket, act: bool, as_json: bool
) -> None:
    import uvicorn  # late: only this command needs the extra

    from ...web.access import Access  # late: the same
    from ...web.app import gate_of  # late: the same
    from ...web.connections import TimedProtocol  # late: the same
    from ...web.context import PageContext  # late: the same

    await location.wait_for_server()
    await location.check_made()
    page = gate_of(PageContext(location.url, Access(may_act=act, url_is_known=True)))
    config = uvicorn.Config(
        page,
        http=TimedProtocol,
        ws="none",
        log_config=None,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    url = f"http://{HOST}:{listening.getsockname()[1]}/?token={page.token}"
    told = {"store": location.name, "url": url, "token": page.token}
    tell(json_line(told) if as_json else f"{location.name} is shown at {url} until Ctrl-C")
    tell()
    await uvicorn.Server(config).serve([listening])


def _listen(port: int) -> socket.socket:
    """A socket for this machine alone.

    Raises:
        UsageError: if the port is taken, or not to be had.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"--port {port}: {error.strerror or error}; give another, or 0 for any free one"
        ) from error
    return listening
