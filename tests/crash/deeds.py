"""The events of the crash tests: they journal their start and their finish."""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from crash.dependents import continue_deed
from crash.journal import Journal

from lionpride.core import Event, Executor, Processor, Retry
from lionpride.errors import ExecutionError

QUEUE = "deeds"

RETRY = Retry(attempts=9, backoff=0.02)


class Slipped(Exception):
    """A deed has failed, as it was to."""


class Check(NamedTuple):
    """A check that a claim still holds, and the time before it."""

    event: Any
    attempt: int
    before: float


class Hooks:
    """Set by the worker process, for all of its deeds.

    ``checked`` is the check that this step of the event loop has made last.
    """

    journal: Journal | None = None
    checked: Check | None = None
    reached: Callable[[str], None] = staticmethod(lambda point: None)


class Deed(Event):
    """Sleeps, and blocks the event loop or the interpreter if that is asked.

    It fails ``slips`` times first, and then for good if it ``fails``. If it ``follows``, so many
    events are appended when it completes, and ``origin`` is of these (see ``dependents``).

    ``note`` is a field that the release before lacks (see ``old_release``).
    """

    label: int = 0
    pause: float = 0.0
    block: float = 0.0
    hold: float = 0.0
    slips: int = 0
    note: str = ""
    fails: bool = False
    follows: int = 0
    origin: str = ""

    retry: ClassVar[Retry | None] = RETRY

    async def _invoke(self) -> Any:
        response = await perform(self)
        if self.fails:
            raise ExecutionError("for good", retryable=False)
        return continue_deed(self) if self.follows else response


async def perform(deed: Any) -> Any:
    """Run a deed of any release."""
    journal, attempt = Hooks.journal, deed.execution.attempt
    assert journal is not None, "the worker sets it"
    journal.write("start", deed.id, attempt, _checked(deed, attempt))
    try:
        Hooks.reached("attempt")
        if deed.block:
            time.sleep(deed.block)
        hold_interpreter(journal, getattr(deed, "hold", 0.0))
        await asyncio.sleep(deed.pause)
    except BaseException:
        journal.write("cut", deed.id, attempt)
        raise
    journal.write("finish", deed.id, attempt)
    Hooks.reached("finished")
    if deed.execution.tries < deed.slips:
        raise Slipped(f"for the {deed.execution.tries + 1}. time")
    return {"label": deed.label, "pid": os.getpid()}


def _checked(deed: Any, attempt: int) -> str:
    """Return when the claim of an attempt was checked; "-" if that was not in this step."""
    check, Hooks.checked = Hooks.checked, None
    if check is None or check[:2] != (deed.id, attempt):
        return "-"
    return f"{check.before:.6f}"


def hold_interpreter(journal: Journal, seconds: float) -> None:
    """Let no other thread run Python for so long, as an extension does that keeps the lock."""
    if seconds:
        journal.write("hold")
        ctypes.PyDLL(None).usleep(round(seconds * 1e6))


class Doing(Processor):
    event_type = Deed


class Doer(Executor):
    processor_type = Doing
