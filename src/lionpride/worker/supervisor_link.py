"""The side of a process that a supervisor has started: its reports, and its supervisor's end.

The processes share a socket. The process writes one JSON object per line, at least once a second,
from its event loop: a blocked loop reports nothing. The supervisor writes nothing. If it ends, the
socket is closed, and a thread of the process, which a blocked loop does not stop, sends the process
the signal SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Literal, TypeAlias

__all__ = ["REPORT_SECONDS", "VARIABLE", "Report", "State", "SupervisorLink"]

VARIABLE: Final = "LIONPRIDE_SUPERVISOR"
"""Environment variable with the file descriptor of the socket; removed when it has been read."""

REPORT_SECONDS: Final = 1.0
"""Seconds between two reports."""

_LAST_SECONDS: Final = 2.0
"""Seconds that the last report may take."""

State: TypeAlias = Literal["starting", "working", "draining"]

Report: TypeAlias = Mapping[str, Any]
"""Keys of a report:

- ``state``: a ``State``.
- ``heartbeat``: why the heartbeat counts as dead; an empty text if it does not.
- ``renewal``: which queue claims nothing, since its leases are not renewed; "" if none.
- ``store``, ``queues``: the URL of the store, and the names of the queues that the process runs.
- ``metrics``: families as JSON; missing without metrics, or if they are those of the last report.
"""


class SupervisorLink:
    """The connection to the supervisor.

    Args:
        sock: The socket; owned by this object.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.set_inheritable(False)  # programs that events start must not hold it open
        sock.setblocking(False)
        self._socket = sock
        self._writer: asyncio.StreamWriter | None = None
        self._last_metrics: Any = None

    @classmethod
    def from_environment(cls) -> SupervisorLink | None:
        """Return the connection that the environment names; None without a supervisor."""
        fd = os.environ.pop(VARIABLE, None)
        return None if fd is None else cls(socket.socket(fileno=int(fd)))

    def end_with_supervisor(self) -> None:
        """Send this process SIGTERM when the supervisor has ended, by a thread."""
        fd = os.dup(self._socket.fileno())

        def wait() -> None:
            select.select([fd], [], [])
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, name="lionpride-supervisor", daemon=True).start()

    @asynccontextmanager
    async def reporting(self, make: Callable[[], Report]) -> AsyncIterator[None]:
        """Send reports during the block, and a last one at its end.

        Args:
            make: Returns the present report.
        """
        _, self._writer = await asyncio.open_connection(sock=self._socket)
        with suppress(OSError):
            await self._send(make())  # now: the block may block the loop
        task = asyncio.create_task(self._report(make), name="lionpride-reports")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await self._send(make())
            self._writer.close()

    async def _report(self, make: Callable[[], Report]) -> None:
        with suppress(OSError):  # the supervisor has ended: the thread sends a signal
            while True:
                await asyncio.sleep(REPORT_SECONDS)
                await self._send(make())

    async def _send(self, report: Report) -> None:
        """Send a report, without its metrics if they have not changed."""
        assert self._writer is not None
        line = dict(report)
        if "metrics" in line:
            if line["metrics"] == self._last_metrics:
                del line["metrics"]
            else:
                self._last_metrics = line["metrics"]
        self._writer.write(json.dumps(line).encode() + b"\n")
        await self._writer.drain()
