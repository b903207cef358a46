"""The events of the crash tests: they journal their start and their finish."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any, ClassVar

from crash.journal import Journal

from lionpride.core import Event, Executor, Processor, Retry

QUEUE = "deeds"

RETRY = Retry(attempts=9, backoff=0.02)


class Slipped(Exception):
    """A deed has failed, as it was to."""


class Hooks:
    """Set by the worker process, for all of its deeds."""

    journal: Journal | None = None
    reached: Callable[[str], None] = staticmethod(lambda point: None)


class Deed(Event):
    """Sleeps, and blocks the event loop if that is asked; it fails ``slips`` times first.

    ``note`` is a field that the release before lacks (see ``old_release``).
    """

    label: int = 0
    pause: float = 0.0
    block: float = 0.0
    slips: int = 0
    note: str = ""

    retry: ClassVar[Retry | None] = RETRY

    async def _invoke(self) -> Any:
        return await perform(self)


async def perform(deed: Any) -> Any:
    """Run a deed of any release."""
    journal, attempt = Hooks.journal, deed.execution.attempt
    assert journal is not None, "the worker sets it"
    journal.write("start", deed.id, attempt)
    Hooks.reached("attempt")
    if deed.block:
        time.sleep(deed.block)
    await asyncio.sleep(deed.pause)
    journal.write("finish", deed.id, attempt)
    Hooks.reached("finished")
    if deed.execution.tries < deed.slips:
        raise Slipped(f"for the {deed.execution.tries + 1}. time")
    return {"label": deed.label, "pid": os.getpid()}


class Doing(Processor):
    event_type = Deed


class Doer(Executor):
    processor_type = Doing
