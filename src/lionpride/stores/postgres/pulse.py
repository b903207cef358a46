"""The pulse: a thread that keeps a process's leases alive, however long its loop is held up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..sql import pulse
from .leasing import BEAT
from .names import Names
from .pool import Door

if TYPE_CHECKING:
    from .pool import Connection

__all__ = ("Pulse",)

logger = logging.getLogger("lionpride")


class Pulse(pulse.Pulse):
    """Keeps the rows of the workers of this process alive, by a connection of its own.

    Args:
        door: How its connection is opened.
        names: The tables.
        lease: Seconds.
        clock: The time, in place of the server's; called in the thread.
    """

    def __init__(
        self, door: Door, names: Names, lease: float, clock: Callable[[], float] | None
    ) -> None:
        super().__init__(lease, "lionpride-postgres-pulse")
        self._door = door
        self._text = names.fill(BEAT)
        self._clock = clock

    def _run(self) -> None:
        with asyncio.Runner() as runner:  # a loop of its own, which only turns for a beat
            connection: Connection | None = None
            try:
                while not self._is_over():
                    connection = runner.run(self._beat(connection))
            finally:
                if connection is not None:
                    runner.run(_close(connection))

    async def _beat(self, connection: Connection | None) -> Connection | None:
        now_at_work = self._workers
        workers = sorted(now_at_work)
        said = [now_at_work[name]() for name in workers]
        if not workers:
            return connection
        try:
            async with asyncio.timeout(self._lease / 3):
                if connection is None or connection.is_closed():
                    connection = await self._door.open()
                now = None if self._clock is None else self._clock()
                await connection.execute(self._text, now, self._lease, workers, said)
        except Exception as error:
            logger.warning("leases could not be renewed: %s", str(error) or type(error).__name__)
            if connection is not None:
                connection.terminate()
            return None
        return connection


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=pulse.JOIN / 2)
    except Exception:
        connection.terminate()
