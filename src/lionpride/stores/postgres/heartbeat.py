"""Lease renewal on the server, in the thread of the heartbeat."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from functools import partial
from socket import socketpair
from typing import TYPE_CHECKING, Final

from ...errors import StoreError
from ..clock import boot_time
from ..sql import heartbeat
from ..sql.heartbeat import Descriptions, Heartbeat
from .pool import Door
from .tables import TableNames

if TYPE_CHECKING:
    from .pool import Connection

__all__ = (
    "BEAT",
    "PostgresLeaseRenewal",
    "make_heartbeat",
)

BEAT: Final = """
UPDATE {worker} w SET heartbeat_at = {now}, leases_until = {now} + $2,
    description = coalesce(given.description, w.description)
FROM unnest($3::text[], $4::text[]) AS given (name, description) WHERE w.name = given.name
RETURNING w.name
"""
"""Records a heartbeat of workers and their descriptions; it renews all their leases."""


def make_heartbeat(
    door: Door, names: TableNames, lease: float, clock: Callable[[], float] | None, place: str
) -> Heartbeat:
    """Return the heartbeat of a process; arguments as of ``PostgresLeaseRenewal``.

    Args:
        place: The server, as error messages name it.
    """
    make = partial(PostgresLeaseRenewal, door, names, lease, clock)
    return Heartbeat(lease, "lionpride-postgres-heartbeat", place, make)


class PostgresLeaseRenewal:
    """Renews the leases of workers over its own connection.

    Args:
        door: Opens the connection.
        names: The tables.
        lease: The length of a lease in seconds.
        clock: Returns the time in place of the server's clock; called in the thread.
    """

    def __init__(
        self, door: Door, names: TableNames, lease: float, clock: Callable[[], float] | None
    ) -> None:
        self._door = door
        self._text = names.fill(BEAT)
        self._lease = lease
        self._clock = clock
        self._runner: asyncio.Runner | None = None  # its event loop runs only for a renewal
        self._connection: Connection | None = None

    def prepare(self) -> None:
        """Create the event loop in advance: later, no file descriptor may be free.

        The first renewal opens the connection. Many processes end before it.
        """
        self._opened()

    def __call__(self, names: heartbeat.WorkerNames, said: Descriptions) -> float:
        """See ``PostgresLeaseRenewal`` in ``sql/heartbeat.py``."""
        runner = self._opened()
        try:
            at, lost = runner.run(self._renew(names, said))
        except BaseException:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.terminate()
            raise
        if lost := set(names()).intersection(lost):
            raise StoreError(
                f"the server has no row for the workers {', '.join(sorted(lost))} any more: check "
                "whether the table of workers was changed or restored"
            )
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
            runner = asyncio.Runner()
            runner.get_loop()
            self._runner = runner
        return self._runner

    async def _renew(
        self, names: heartbeat.WorkerNames, said: Descriptions
    ) -> tuple[float, Collection[str]]:
        """Renew the leases; return the time of the renewal and the workers without a row."""
        async with asyncio.timeout(self._lease / 3):
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._door.open()
            at = boot_time()
            now = None if self._clock is None else self._clock()
            workers = sorted(names())
            abouts = [said.get(name) for name in workers]
            async with self._door.statement(self._connection):
                bound = now, self._lease, workers, abouts
                rows = await self._connection.fetch(self._text, *bound)
        return at, set(workers) - {row[0] for row in rows}


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=heartbeat.JOIN / 2)
    except Exception:
        connection.terminate()
