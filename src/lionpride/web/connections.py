"""Connections of the page's own server: one whose request does not arrive is closed."""

from __future__ import annotations

from asyncio import Transport
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["TimedProtocol"]

_BUSY: Final = object()


class TimedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with a limit of time for a request to arrive.

    uvicorn closes a connection that is idle after an answer (``timeout_keep_alive``). It waits
    without a limit for the first request, and for the end of half a request: it has no option for
    that. This closes such a connection after one to two times ``request_timeout`` seconds.
    """

    request_timeout: ClassVar[float] = 10.0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Start the checks of the connection."""
        super().connection_made(transport)
        self._last_cycle: Any = _BUSY
        self._check()

    def _check(self) -> None:
        """Close the connection if no request has arrived since the last check."""
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle  # None before the first request
        answered = cycle is None or cycle.response_complete
        now = cycle if answered else _BUSY
        if answered and now is self._last_cycle:
            self.transport.abort()
            return
        self._last_cycle = now
        self.loop.call_later(self.request_timeout, self._check)
