"""Ctrl-C and SIGTERM: the first stops a run, the second interrupts what runs at once.

After the first, nothing more is started, and what runs may finish within a grace time. When that
is over, what still runs is interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

from ..drawing.text import plural
from ..engine.processor import GRACE
from ..worker.logs import LogFormat, write_last_line
from .tasks import first_of

__all__ = ["Interrupts"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 2.0  # seconds that a stop at once, or the end, may take before the process is ended
REST = 4.0
"""Seconds after the grace time until the process is ended, whatever it does then.

Code that ignores its cancellation is left behind after 3 s; 1 s is left to record that.
"""


class Interrupts:
    """Turns signals into two events of a run; entered around its loop, which may be slow to close.

    The handler does not run in the event loop, so it works while an event's code blocks the loop.
    If that code does not end after the second signal, or after the grace time, another thread ends
    the process. The handler stays until the loop is closed. So no signal is lost, and none raises
    a KeyboardInterrupt where asyncio would go on to wait for a thread.

    Args:
        grace: Seconds that running events may take to finish after a stop.
        is_supervised: True if a supervisor sends the signals: SIGTERM to stop, however often, as a
            service manager may send it too; and SIGINT to interrupt at once.
        log_format: The format of the log, for the message of a process that is ended; None if it
            has no log.

    Attributes:
        grace: As above; the run interrupts events that still run then.
        stop: Set at the first signal: start nothing more, and let running events finish.
        halt: Set at the second signal: interrupt running events.
        status: The exit status, 128 and the number of the first signal; 0 while there was none.
    """

    def __init__(
        self,
        grace: float = GRACE,
        *,
        is_supervised: bool = False,
        log_format: LogFormat | None = None,
    ) -> None:
        self.grace = grace
        self.stop = asyncio.Event()
        self.halt = asyncio.Event()
        self.status = 0
        self._is_supervised = is_supervised
        self._log_format = log_format
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._over = False  # nothing runs any more: the store is being closed
        self._called = False  # and that is done, too
        self._last: threading.Timer | None = None
        self._latest: threading.Timer | None = None  # ends the process after the grace time

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for timer in (self._last, self._latest):
            if timer is not None:
                timer.cancel()
        if not self.halt.is_set():  # else the last moments are left to the handler and its timer
            for number, handler in self._before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def listen(self) -> Iterator[None]:
        """Hear signals from now on; the block is the run."""
        self._loop, self._over = asyncio.get_running_loop(), False
        for number in self._before:
            signal.signal(number, self._heard)
        try:
            yield
        finally:
            self._over = True

    def last_call(self, status: int) -> None:
        """Note that only the end of the event loop is left, and the exit status.

        Tasks that are left then have ignored their cancellation. Closing the loop waits for them,
        so the process is ended if that takes too long. It also waits for threads, which may do
        useful work: until a signal, or for a moment if there was one.
        """
        self._called = True
        if self.status or len(asyncio.all_tasks()) > 1:
            self._last = self._end_soon(self.status or status)

    async def let_finish(self, ended: asyncio.Event, broken: asyncio.Event) -> None:
        """Wait until running events have ended; after a reason to stop, at most the grace time.

        Args:
            ended: Set when nothing runs any more.
            broken: Set when something went wrong, which is a reason to stop, as a signal is.
        """
        await first_of(ended, broken, self.stop)
        await first_of(ended, self.halt, within=self.grace)

    def sum_up(self, interrupted: int, *, is_stored: bool) -> str:
        """Return the message about events that were interrupted.

        Args:
            interrupted: The number of events; at least 1.
            is_stored: True if they are kept for the next run.
        """
        over = f"the grace time of {self.grace:g} s is over"
        why = "stopped at once" if self.halt.is_set() else over
        running = f"{plural(interrupted, 'running event')} {'was' if interrupted == 1 else 'were'}"
        then = " and will run again" if is_stored else ""
        return f"{why}: {running} interrupted{then}"

    @property
    def again(self) -> str:
        """The name of a second signal, as the message after the first one says it."""
        return "SIGTERM again" if self.status == 128 + signal.SIGTERM else "Ctrl-C again"

    def _heard(self, number: int, frame: FrameType | None) -> None:
        first = not self.status
        if self._is_supervised and number == signal.SIGTERM and (self.status or self._over):
            return  # it ends already, and the supervisor kills it if that takes too long
        self.status = self.status or 128 + number
        if self._called:
            self._end(128 + number)
        elif first and not self._over:
            self._tell(self.stop)
            self._latest = self._end_soon(self.status, self.grace + REST, " after the grace time")
        elif not self.halt.is_set():
            self._tell(self.halt)
            self._end_soon(self.status)

    def _tell(self, event: asyncio.Event) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: the run is over
            self._loop.call_soon_threadsafe(event.set)

    def _end_soon(self, status: int, seconds: float = PATIENCE, when: str = "") -> threading.Timer:
        timer = threading.Timer(seconds, self._end, (status, when))
        timer.daemon = True
        with contextlib.suppress(RuntimeError):  # no thread can be had: the run ends by itself
            timer.start()
        return timer

    def _end(self, status: int, when: str = "") -> None:
        """End the process without waiting for anything; give a terminal its cursor back."""
        closing = self._over and not self._called
        code = "the code of an event did not end"
        if when and not self._over:
            code += ", or the store does not answer"
        what = "the store did not close" if closing else code
        cursor = b"\x1b[?25h" if os.isatty(2) else b""
        write_last_line(f"stopped{when}; {what}", self._log_format, before=cursor)
        os._exit(status)
