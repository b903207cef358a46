"""Ctrl-C and SIGTERM: the first asks a run to drain, the second stops it at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Interrupts", "last_call"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 2.0  # seconds that a stop at once, or the end, may take before the process is ended


class Interrupts:
    """Turns signals into two events of the running loop while it is entered.

    The handler does not run in the loop, so it is heard even while an event's code keeps the
    loop busy; and if that code does not let go after the second signal, the process is ended
    from another thread.

    Attributes:
        drain: Set at the first signal: start nothing more, let finish what runs.
        halt: Set at the second: stop what runs.
        status: The exit status, 128 and the number of the first signal; 0 while there was none.
    """

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.halt = asyncio.Event()
        self.status = 0
        self._loop = asyncio.get_running_loop()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.halt.is_set():  # else the last moments are left to the handler and its timer
            for number, handler in self._before.items():
                signal.signal(number, handler)

    @property
    def again(self) -> str:
        """What a second time is called, to whoever sent the first."""
        return "SIGTERM again" if self.status == 128 + signal.SIGTERM else "Ctrl-C again"

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if not self.status:
            self.status = 128 + number
            self._tell(self.drain)
        elif not self.halt.is_set():
            self._tell(self.halt)
            _timer(self.status).start()

    def _tell(self, event: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the run is over
            self._loop.call_soon_threadsafe(event.set)


@contextlib.contextmanager
def last_call() -> Iterator[Callable[[int], None]]:
    """Give a function that is called with the exit status when all but the end of a block is done.

    Tasks that are left then are code that ignored its cancellation. Closing the loop waits for
    them, for ever if need be; the process is ended when that takes too long. It waits for threads
    too, which may be doing something useful: until Ctrl-C.
    """
    timers: list[threading.Timer] = []
    called = False

    def call(status: int) -> None:
        nonlocal called
        called = True
        if len(asyncio.all_tasks()) > 1:
            timers.append(_timer(status))
            timers[-1].start()

    try:
        yield call
    except KeyboardInterrupt:
        if called:
            _end(128 + signal.SIGINT)
        raise
    finally:
        for timer in timers:
            timer.cancel()


def _timer(status: int) -> threading.Timer:
    timer = threading.Timer(PATIENCE, _end, (status,))
    timer.daemon = True
    return timer


def _end(status: int) -> None:
    """End the process without waiting for anything; give a terminal its cursor back."""
    cursor = b"\x1b[?25h" if os.isatty(2) else b""
    os.write(2, cursor + b"lionpride: stopped; the code of an event did not let go\n")
    os._exit(status)
