"""Event loop with virtual time: a test that sleeps for an hour takes a millisecond.

``loop.time()`` stands still while callbacks run. If no callback is ready, the loop jumps to the
next timer instead of sleeping. Work outside the loop (threads, sockets, pipes) takes real time:
virtual time stands still while an executor thread works, and files are polled before a jump.

If no callback is ready and no timer is set, no callback can ever run again. A real loop would sleep
without end. This loop raises an error, so the test fails at once with a reason.
"""

from __future__ import annotations

import asyncio
import functools
import math
import selectors
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, Final, ParamSpec, TypeVar

__all__ = ("START", "VirtualLoop", "run_virtual", "virtual_time")

P = ParamSpec("P")
T = TypeVar("T")

START: Final = 1_000.0
"""The time at which a loop starts, in seconds; not 0, so that 0 cannot be mistaken for a time."""

THREAD_PATIENCE: Final = 1.0
"""Real seconds that a loop without timers waits for another thread to wake it."""


class _Jumper(selectors.DefaultSelector):
    """A selector that lets the clock jump instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or self.loop is None or (timeout is not None and timeout <= 0):
            return ready
        if self.loop.threads:
            return super().select(None)
        if timeout is not None:
            self.loop.jump(timeout)
            return ready
        return self._wait_for_outside()

    def _wait_for_outside(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for a file or another thread: no timer is set that could wake the loop."""
        if len(self.get_map()) > 1:  # more than the loop's own wake-up pipe
            return super().select(None)
        if threading.active_count() > 1:
            ready = super().select(THREAD_PATIENCE)
            if ready:
                return ready
        raise RuntimeError(
            "deadlock: no timer is set and no callback is ready, so the test would wait "
            "without end: start the executor, if there is one"
        )


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with its own time.

    Make it with ``asyncio.Runner(loop_factory=VirtualLoop)``, or use ``virtual_time`` or
    ``run_virtual``.

    Args:
        start: The time at the start, in seconds.

    Attributes:
        threads: Number of calls that run in a thread now, of an executor or a SQLite store. Time
            stands still during these calls.
    """

    def __init__(self, start: float = START) -> None:
        self._virtual_now = start
        self.threads = 0
        selector = _Jumper()
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._virtual_now

    def jump(self, timeout: float) -> None:
        """Set the clock to the next timer, or ``timeout`` seconds ahead.

        If the timer is known, its own time is used: ``now + (when - now)`` is not always ``when``,
        and a test may compare exact times.
        """
        timers = getattr(self, "_scheduled", None)
        target = timers[0].when() if timers else self._virtual_now + timeout
        self._virtual_now = max(self._virtual_now, target)
        # Timers are due before `time() + resolution`, which must be more than `time()`: at large
        # times the usual nanosecond is lost in the rounding, and no timer would ever be due.
        self._clock_resolution = max(1e-9, math.ulp(self._virtual_now))

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run a function in a thread, as any loop does; time stands still during the call."""
        future = super().run_in_executor(executor, func, *args)
        self.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self.threads -= 1

    async def shutdown_default_executor(self, *args: Any) -> None:
        """Shut down the default executor, as any loop does."""
        self.threads += 1  # the pool is joined in a thread, which needs real time
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self.threads -= 1


def run_virtual(coroutine: Coroutine[Any, Any, T], *, start: float = START) -> T:
    """Run a coroutine in a new VirtualLoop and return its result, as ``asyncio.run`` does.

    Raises:
        RuntimeError: if the coroutine waits for something that can never happen.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
        return runner.run(coroutine)


def virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a plain test function of an async one; it runs in virtual time.

    pytest runs it without a plugin, and plugins for async tests leave it alone.

    >>> @virtual_time
    ... async def test_it():
    ...     await asyncio.sleep(86_400)
    """

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return run_virtual(test(*args, **kwargs))

    return run
