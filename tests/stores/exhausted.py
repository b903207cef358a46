"""A long event, for workers in a test's process and in others that have no file descriptor left."""

import asyncio
from collections.abc import Callable
from typing import ClassVar

from lionpride.core import Event, Executor, Processor

LEASE = 1.5


class Long(Event):
    """Runs for three leases."""

    starts: ClassVar[list[str]] = []
    say: ClassVar[Callable[[str], None]] = starts.append
    exhausted: ClassVar[bool] = False

    async def _invoke(self) -> None:
        type(self).say(f"start exhausted={type(self).exhausted}")
        await asyncio.sleep(3 * LEASE)
        type(self).say("end")


class Longs(Processor):
    event_type = Long


class Desk(Executor):
    processor_type = Longs
