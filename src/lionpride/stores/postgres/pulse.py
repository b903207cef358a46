"""Renews a process's leases on the server, in the thread of its heartbeat."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from functools import partial
from socket import socketpair
from typing import TYPE_CHECKING

from ...errors import StoreError
from ..clock import boot_time
from ..sql import pulse
from ..sql.pulse import Pulse, Said
from .leasing import BEAT
from .names import Names
from .pool import Door

if TYPE_CHECKING:
    from .pool import Connection

__all__ = ("Beat", "pulse_of")


def pulse_of(
    door: Door, names: Names, lease: float, clock: Callable[[], float] | None, place: str
) -> Pulse:
    """Return the heartbeat of a process; the arguments are those of ``Beat``.

    Args:
        place: What messages call the server.
    """
    make = partial(Beat, door, names, lease, clock)
    return Pulse(lease, "lionpride-postgres-pulse", place, make)


class Beat:
    """Keeps the rows of workers alive, over a connection of its own.

    Args:
        door: How its connection is opened.
        names: The tables.
        lease: Seconds.
        clock: The time, in place of the server's; called in the thread.
    """

    def __init__(
        self, door: Door, names: Names, lease: float, clock: Callable[[], float] | None
    ) -> None:
        self._door = door
        self._text = names.fill(BEAT)
        self._lease = lease
        self._clock = clock
        self._runner: asyncio.Runner | None = None  # of a loop that turns only for a beat
        self._connection: Connection | None = None

    def prepare(self) -> None:
        """Make the loop ahead: later there may be no file descriptor left for it.

        The connection is opened with the first beat: many processes run for less time than a lease.
        """
        self._opened()

    def __call__(self, names: pulse.Names, said: Said) -> float:
        """See ``Beat`` in ``sql/pulse.py``."""
        runner = self._opened()
        try:
            at, lost = runner.run(self._renew(names, said))
        except BaseException:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.terminate()
            raise
        if lost := set(names()).intersection(lost):
            raise StoreError(f"the server does not know {', '.join(sorted(lost))} any more")
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
            # A loop needs three descriptors. One that gets fewer writes tracebacks to stderr.
            one, two = socketpair()
            with one, two:
                os.close(os.dup(one.fileno()))
            runner = asyncio.Runner()
            runner.get_loop()
            self._runner = runner
        return self._runner

    async def _renew(self, names: pulse.Names, said: Said) -> tuple[float, Collection[str]]:
        """Renew leases; also return the workers that have no row."""
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
        await connection.close(timeout=pulse.JOIN / 2)
    except Exception:
        connection.terminate()
