"""The pulse: a thread that keeps a process's leases alive, however long its loop is held up."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .leasing import BEAT
from .names import Names
from .pool import Door

if TYPE_CHECKING:
    from .pool import Connection

__all__ = ("Pulse",)

logger = logging.getLogger("lionpride")

_JOIN: Final = 1.0
"""Seconds to wait for the end of the thread."""


class Pulse:
    """Gives a sign of life of the workers of this process, three times in a lease.

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
        self._workers: dict[str, Callable[[], str | None]] = {}
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def beat_for(self, workers: dict[str, Callable[[], str | None]]) -> None:
        """Keep these alive from now on; the thread runs while there are any.

        Args:
            workers: By name what each says of itself; asked in the thread.
        """
        self._workers = workers
        if workers and self._thread is None:
            self._end.clear()
            self._thread = threading.Thread(
                target=self._run, name="lionpride-postgres-pulse", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the thread; its connection is closed."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(_JOIN)
            self._thread = None

    def _run(self) -> None:
        with asyncio.Runner() as runner:  # a loop of its own, which only turns for a beat
            connection: Connection | None = None
            try:
                while not self._end.wait(self._lease / 3):
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
        await connection.close(timeout=_JOIN / 2)
    except Exception:
        connection.terminate()
