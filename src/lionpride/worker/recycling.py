"""Recycling: a process drains after a number of events, or above an amount of memory."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from ..core import EventStatus, Executor, Transition

__all__ = ["RECYCLED", "Recycling", "resident_bytes"]

RECYCLED: Final = 75
"""Exit status of a process that has drained to be replaced; ``EX_TEMPFAIL`` of sysexits.h."""

CHECK_SECONDS: Final = 1.0
"""Seconds between two looks at the memory."""

_STATM: Final = Path("/proc/self/statm")
_UNFINISHED: Final = (None, EventStatus.PENDING, EventStatus.PROCESSING)


class Recycling:
    """Decides when this process has done enough.

    Args:
        max_events: Number of events that finish here; None for no limit.
        max_memory: Bytes of memory; None for no limit.
        memory: Returns the memory of this process in bytes.

    Attributes:
        due: Set when the process should drain.
        reason: Why; an empty text before.
    """

    def __init__(
        self,
        max_events: int | None = None,
        max_memory: int | None = None,
        memory: Callable[[], int] | None = None,
    ) -> None:
        self.due = asyncio.Event()
        self.reason = ""
        self._max_events = max_events
        self._max_memory = max_memory
        self._memory = memory or resident_bytes
        self._finished = 0

    @asynccontextmanager
    async def watch(self, executors: Sequence[Executor]) -> AsyncIterator[None]:
        """Watch executors during the block."""
        ends: list[Callable[[], None]] = []
        if self._max_events is not None:
            ends += [executor.observe(self._count) for executor in executors]
        task = None if self._max_memory is None else asyncio.create_task(self._look())
        try:
            yield
        finally:
            for end in ends:
                end()
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    def _count(self, step: Transition) -> None:
        if step.before is EventStatus.PROCESSING and step.after not in _UNFINISHED:
            self._finished += 1
            if self._finished == self._max_events:
                self._end(f"{self._finished:,} events have finished (--max-events)")

    async def _look(self) -> None:
        assert self._max_memory is not None
        used = 0
        while (
            used <= self._max_memory
        ):  # first the process works: its successor has this memory too
            await asyncio.sleep(CHECK_SECONDS)
            used = self._memory()
        limit = f"{self._max_memory / 2**20:,.0f} MiB (--max-memory)"
        self._end(f"the process uses {used / 2**20:,.0f} MiB, more than {limit}")

    def _end(self, reason: str) -> None:
        if not self.due.is_set():
            self.reason = reason
            self.due.set()


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes; outside of Linux, its peak."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource  # late: there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
