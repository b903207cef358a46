"""Lease renewal on the server, in the thread of the heartbeat."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable
from functools import partial
from socket import socketpair
from typing import TYPE_CHECKING, Final

from ..clock import boot_time
from ..fork_safe_loop import ForkSafeLoop
from ..sql import heartbeat
from ..sql.heartbeat import Descriptions, Heartbeat
from ..sql.leases import BEAT, REGISTER
from ..sql.process import this_process
from .connection_pool import Connector
from .tables import TableNames

if TYPE_CHECKING:
    from .connection_pool import Connection

__all__ = ("PostgresLeaseRenewal", "make_heartbeat")

_QUEUE: Final = "SELECT number FROM {queue} WHERE name = $1"


def make_heartbeat(
    connector: Connector,
    names: TableNames,
    queue: str,
    lease: float,
    clock: Callable[[], float] | None,
    place: str,
) -> Heartbeat:
    """Return the heartbeat of a process; arguments as of ``PostgresLeaseRenewal``.

    Args:
        place: The server, as error messages name it.
    """
    make = partial(PostgresLeaseRenewal, connector, names, queue, lease, clock)
    return Heartbeat(lease, "lionpride-postgres-heartbeat", place, make)


class PostgresLeaseRenewal:
    """Renews the leases of workers over its own connection.

    If the row of a worker is missing, the heartbeat writes it again: another worker deletes it
    after ``GONE`` seconds without a heartbeat, for example while this process is stopped.

    Args:
        connector: Opens the connection.
        names: The tables.
        queue: The name of the queue.
        lease: The length of a lease in seconds.
        clock: Returns the time in place of the server's clock; called in the thread.
    """

    def __init__(
        self,
        connector: Connector,
        names: TableNames,
        queue: str,
        lease: float,
        clock: Callable[[], float] | None,
    ) -> None:
        self._connector = connector
        self._names = names
        self._queue = queue
        self._lease = lease
        self._clock = clock
        self._loop: ForkSafeLoop | None = None  # it runs only for a renewal
        self._runner: asyncio.Runner | None = None
        self._connection: Connection | None = None

    def prepare(self) -> None:
        """Create the event loop in advance: later, no file descriptor may be free.

        The first renewal opens the connection. Many processes end before it.
        """
        self._opened()

    def __call__(self, names: heartbeat.WorkerNames, descriptions: Descriptions) -> float:
        """See ``LeaseRenewal`` in ``sql/heartbeat.py``."""
        runner = self._opened()
        try:
            at = runner.run(self._renew(names, descriptions))
        except BaseException:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.terminate()
            raise
        return at

    def close(self) -> None:
        """Close the connection and the loop."""
        runner, connection = self._runner, self._connection
        self._runner = self._connection = None
        if runner is not None:
            with runner:
                if connection is not None:
                    runner.run(_close(connection))

    def _opened(self) -> asyncio.Runner:
        if self._runner is None:
            # An event loop needs three descriptors. With fewer it writes tracebacks to stderr.
            one, two = socketpair()
            with one, two:
                os.close(os.dup(one.fileno()))
            own = self._loop = ForkSafeLoop()
            self._runner = asyncio.Runner(loop_factory=lambda: own.loop)
        return self._runner

    async def _renew(self, names: heartbeat.WorkerNames, descriptions: Descriptions) -> float:
        """Renew the leases; return the time of the renewal."""
        async with asyncio.timeout(self._lease / 3):
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connector.open()
            at = boot_time()
            now = None if self._clock is None else self._clock()
            for worker in sorted(names()):
                bound = now, self._lease, worker, descriptions.get(worker)
                async with self._connector.statement(self._connection):
                    found = await self._connection.fetchrow(self._names.fill(BEAT), *bound)
                if found is None and worker in names():
                    await self._register(self._connection, worker, now, descriptions.get(worker))
        return at

    async def _register(
        self, connection: Connection, worker: str, now: float | None, description: str | None
    ) -> None:
        """Write the row of a worker again."""
        async with self._connector.statement(connection):
            queue = await connection.fetchval(self._names.fill(_QUEUE), self._queue)
        if queue is not None:
            bound = worker, queue, platform.node(), *this_process(), self._lease, description
            async with self._connector.statement(connection):
                await connection.execute(self._names.fill(REGISTER), now, *bound)


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=heartbeat.JOIN / 2)
    except Exception:
        connection.terminate()
