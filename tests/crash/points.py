"""Named points: where a worker kills or stops itself, put in without touching the product.

A point is reached so many times; at the n-th the process notes it in the journal and sends
itself SIGKILL, or SIGSTOP if it is to be stopped there. Each kind of store has points of its own,
which are told by what it is asked to do.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from crash.deeds import Check, Doer, Hooks
from crash.journal import Journal

from lionpride.core import EventStatus
from lionpride.stores.sql.local_events import LocalEvents
from lionpride.stores.sql.store import SqlStore

Reached = Callable[[str], None]


class Fuse:
    """Kills or stops the process at the n-th passing of one point; others are passed unharmed."""

    def __init__(
        self, point: str, nth: int, journal: Journal, number: signal.Signals = signal.SIGKILL
    ) -> None:
        self._point = point
        self._left = nth
        self._journal = journal
        self._number = number
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        if point != self._point:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                what = "point" if self._number == signal.SIGKILL else "stop"
                self._journal.write(what, extra=point.replace(" ", "_"))
                os.kill(os.getpid(), self._number)


NOTED = "claim: noted"
"""On the event loop, between the commit of a claim and the start of its events."""


def watch_claims(reached: Reached) -> None:
    """Report when a claim that found events is committed, and its worker is about to start."""
    claimed = LocalEvents.claimed

    def watched(self: LocalEvents, answer: Any, *rest: Any) -> Any:
        if answer.rows:
            reached(NOTED)
        return claimed(self, answer, *rest)

    LocalEvents.claimed = watched  # type: ignore[method-assign]
    start_untried = LocalEvents.start_untried

    def watched_too(self: LocalEvents, rows: Any, *rest: Any) -> Any:
        if rows:
            reached(NOTED)
        return start_untried(self, rows, *rest)

    LocalEvents.start_untried = watched_too  # type: ignore[method-assign]


CHECKED = "claim: checked"
"""On the event loop, between the check that a claim still holds and the code of its event."""


def watch_checks(reached: Reached) -> None:
    """Note when each claim is checked before its event starts.

    The note is gone when the event loop goes on: a start has to follow in the same step.
    """
    holds = SqlStore.holds

    def forget() -> None:
        Hooks.checked = None

    def watched(self: SqlStore, event: Any, attempt: int) -> bool:
        before = time.monotonic()
        answer = holds(self, event, attempt)
        if answer:
            Hooks.checked = Check(event.id, attempt, before)
            asyncio.get_running_loop().call_soon(forget)
            reached(CHECKED)
        return answer

    SqlStore.holds = watched  # type: ignore[method-assign]


def watch_answers(executor: Doer, journal: Journal, reached: Reached) -> None:
    """Journal the completions that this process has been told of."""

    def observe(transition: Any) -> None:
        if transition.after is EventStatus.COMPLETED:
            journal.write("settled", transition.event.id, transition.attempt, "completed")
            reached("settle: told")

    executor.observe(observe)
