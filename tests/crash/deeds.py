"""The events of the crash tests: they journal their start and their finish."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any, ClassVar

from crash.journal import Journal

from lionpride.core import Event, Executor, Processor, Retry

QUEUE = "deeds"


class Slipped(Exception):
    """A deed has failed, as it was to."""


class Deed(Event):
    """Sleeps, and blocks the event loop if that is asked; it fails ``slips`` times first."""

    label: int = 0
    pause: float = 0.0
    block: float = 0.0
    slips: int = 0

    retry: ClassVar[Retry | None] = Retry(attempts=9, backoff=0.02)

    journal: ClassVar[Journal | None] = None
    reached: ClassVar[Callable[[str], None]] = lambda point: None

    async def _invoke(self) -> Any:
        journal, attempt = type(self).journal, self.execution.attempt
        assert journal is not None, "the worker sets it"
        journal.write("start", self.id, attempt)
        type(self).reached("attempt")
        if self.block:
            time.sleep(self.block)
        await asyncio.sleep(self.pause)
        journal.write("finish", self.id, attempt)
        type(self).reached("finished")
        if self.execution.tries < self.slips:
            raise Slipped(f"for the {self.execution.tries + 1}. time")
        return {"label": self.label, "pid": os.getpid()}


class Doing(Processor):
    event_type = Deed


class Doer(Executor):
    processor_type = Doing
