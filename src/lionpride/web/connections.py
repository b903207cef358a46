"""Connections of the page's own server: one whose request does not arrive is closed."""

from __future__ import annotations

from asyncio import Transport
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["TimedProtocol"]

_AT_WORK: Final = object()


class TimedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with a limit of time for a request to arrive.

    uvicorn closes a connection that is idle after an answer (``timeout_keep_alive``). It waits
    without end for the first request, and for the end of half a request: it has no option for
    that. This closes such a connection after one to two times ``patience`` seconds.
    """

    patience: ClassVar[float] = 10.0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to look at the connection."""
        super().connection_made(transport)
        self._before: Any = _AT_WORK
        self._look()

    def _look(self) -> None:
        """Close the connection if no request has arrived since the last look."""
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle  # None before the first request
        answered = cycle is None or cycle.response_complete
        now = cycle if answered else _AT_WORK
        if answered and now is self._before:
            self.transport.abort()
            return
        self._before = now
        self.loop.call_later(self.patience, self._look)
