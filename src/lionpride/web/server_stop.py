"""Notice that the server of this process stops, so that open streams end.

uvicorn waits for all open connections before it tells the application that it stops. So a stream
that only ends with its client would keep the process alive for ever.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any, Final

__all__ = ["is_stopping", "stopping"]

CHECK_INTERVAL: Final = 0.5  # seconds


def is_stopping() -> bool:
    """Return True if the uvicorn server of this process has stopped listening.

    uvicorn does not tell applications. Its handler of SIGTERM is a method of the server, which has
    the sockets. A server of another kind, or in another thread, is never seen as stopping.
    """
    server: Any = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    sockets = getattr(server, "servers", ())
    return any(not each.is_serving() for each in sockets)


async def stopping() -> None:
    """Return soon after the server has stopped listening."""
    while not is_stopping():  # noqa: ASYNC110  uvicorn sets no event
        await asyncio.sleep(CHECK_INTERVAL)
