"""Watchdog for a blocked event loop: it names the event whose code blocks the loop.

One daemon thread watches the loops of all executors of the process, twice within the shortest
threshold. While an event runs, the thread asks the loop for a callback. If the callback is late,
the loop is blocked, and the thread reads the task and the line of code. If no event runs, the
thread rests until the claimer of a dispatcher is woken.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, process_time
from types import FrameType
from typing import Any, Final, TypeAlias

__all__ = ("QUIET", "Look", "watch_loop")

QUIET: Final = 60.0
"""Seconds between two warnings about one class of events."""

LINGER: Final = 1.0
"""Seconds for which the thread waits for another loop to watch, before it ends."""

_QUIET_TURNS: Final = 2
"""Number of turns without a running event, after which a loop is not looked at."""

_ENGINE: Final = str(Path(__file__).parent) + os.sep

WhenUp: TypeAlias = Callable[[Callable[[], object]], bool]

logger = logging.getLogger("lionpride")


class Look:
    """An event loop that is watched while a dispatcher runs in it.

    Args:
        threshold: Seconds after which it counts as blocked.
        busy: Returns True if an event's code may be running; called in the thread.
        holder: Returns the event that a task runs; called in the thread.
        when_up: Calls a function when the claimer is woken; returns False if it does not sleep.
        loop: The loop.

    Attributes:
        rests: True if the thread need not look at it before ``on_up`` is called.
        on_up: Called in the loop when the thread has to look at it again.
    """

    def __init__(
        self,
        threshold: float,
        busy: Callable[[], bool],
        holder: Callable[[asyncio.Task[Any]], Any],
        when_up: WhenUp,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.threshold = threshold
        self.rests = False
        self.on_up: Callable[[], object] = _nothing
        self._busy = busy
        self._holder = holder
        self._when_up = when_up
        self._loop = loop
        self._thread = threading.get_ident()
        self._sent: float | None = None  # when the call was asked for that has not come yet
        self._came = -1.0
        self._told = ""
        self._quiet = 0  # turns one after another in which nothing ran

    @property
    def is_lost(self) -> bool:
        """True if the event loop was closed before the dispatcher had ended."""
        return self._loop.is_closed()

    def turn(self, now: float, *, stopped: bool) -> None:
        """Look once; called in the thread.

        Args:
            now: The time.
            stopped: Whether the whole process stood still since the last turn.
        """
        if self._sent is not None and self._came >= self._sent:
            self._over(self._came - self._sent)
        elif self._sent is not None and stopped:
            self._sent = now
        elif self._sent is not None:
            if not self._told and now - self._sent >= self.threshold:
                self._tell(now - self._sent)
            return
        if self._busy():
            self._quiet = 0
            self._sent = now if self._ask(self._answer) else None
        else:
            self._quiet += 1
            if self._quiet == _QUIET_TURNS:
                self._ask(self._lie_down)

    def _ask(self, call: Callable[[], object]) -> bool:
        """Call a function in the loop; return False if the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            return False
        return True

    def _answer(self) -> None:
        self._came = monotonic()

    def _lie_down(self) -> None:
        """Rest until the claimer is woken, if it sleeps."""
        if not self._busy():
            self.rests = self._when_up(self._get_up)

    def _get_up(self) -> None:
        self.rests, self._quiet = False, 0
        self.on_up()

    def end(self) -> None:
        """End the watch; called in the loop. The thread may still have a reference for a while."""
        if self._sent is not None:
            self._over(monotonic() - self._sent)
        # These functions refer to the executor.
        self._busy, self._holder, self._when_up = _nothing_runs, _nobody, _never

    def _over(self, seconds: float) -> None:
        self._sent = None
        told, self._told = self._told, ""
        if told:
            logger.warning("%s has blocked the event loop for %.1f s", told, seconds)

    def _tell(self, seconds: float) -> None:
        """Warn of it, unless that need not be said again."""
        task = asyncio.current_task(self._loop)
        event = None if task is None else self._holder(task)
        who, kind = _name(event, task)
        if not _is_new(kind):
            return
        self._told = who  # first, since it may be over before it is written
        where = _where(sys._current_frames().get(self._thread))  # noqa: SLF001  # there is no other
        logger.warning(
            "%s blocks the event loop, for %.1f s so far, %s: no other event runs during "
            "this time; await slow calls, or write a plain `def _invoke`, which runs in a "
            "thread",
            who,
            seconds,
            where,
        )


def _nothing_runs() -> bool:
    return False


def _nobody(_: asyncio.Task[Any]) -> None:
    return None


def _never(_: Callable[[], object]) -> bool:
    return False


def _nothing() -> None:
    return None


def _name(event: Any, task: asyncio.Task[Any] | None) -> tuple[str, str]:
    """Who blocks the loop, and what kind of thing that is."""
    if event is not None:
        kind, own = type(event).__name__, event.__dict__
        # An id that nobody has asked for is not made here, in a thread.
        which = f"id={own['id']}" if "id" in own else f"event number {own.get('_arrival')}"
        return f"{kind}({which})", kind
    name = "a callback" if task is None else f"task {task.get_name()!r}"
    return f"{name}, which is not the task of an event", ""


def _where(frame: FrameType | None) -> str:
    """The line that runs, and the event's own line that led there."""
    if frame is None:
        return "at an unknown line"
    inner, own = frame, frame
    each: FrameType | None = frame
    while each is not None and not each.f_code.co_filename.startswith(_ENGINE):
        own, each = each, each.f_back
    if own is inner or each is None:
        return f"at {_line(inner)}"
    return f"at {_line(own)}, in {_line(inner)}"


def _line(frame: FrameType) -> str:
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} ({code.co_qualname})"


_NAMED: dict[str, float] = {}


def _is_new(kind: str) -> bool:
    """Whether a kind has not been named for a while."""
    now = monotonic()
    if now - _NAMED.get(kind, -QUIET) < QUIET:
        return False
    _NAMED[kind] = now
    return True


class _Watcher:
    """The thread, while there is anything to look at."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Watch nothing; in a forked child too, whose loops and thread are the parent's."""
        self._changed = threading.Condition()  # that of the parent may be held for ever
        self._looks: set[Look] = set()
        self._thread: threading.Thread | None = None
        self._pause: float | None = LINGER  # until the next turn; None: until it is called

    def add(self, look: Look) -> None:
        look.on_up = self._call
        with self._changed:
            self._looks.add(look)
            if self._thread is None or not self._thread.is_alive():  # a handler of the log raised
                self._thread = threading.Thread(
                    target=self._run, name="lionpride-watch", daemon=True
                )
                self._thread.start()
            elif self._pause is None or look.threshold / 2 < self._pause:
                self._changed.notify()

    def discard(self, look: Look) -> None:
        with self._changed:
            self._looks.discard(look)
            if self._pause is None:
                self._changed.notify()

    def _call(self) -> None:
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        before = spent = 0.0
        while True:
            now, cpu = monotonic(), process_time()
            watched = bool(self._looks)
            pause = self._pause
            late = 0.0 if pause is None else now - before - pause
            # Late because this process was stopped, or because a call held Python's lock? The
            # second takes time of the processor.
            stopped = pause is not None and late > pause and cpu - spent < late / 2
            self._turn(now, stopped=stopped)
            with self._changed:
                if not watched and not self._looks:
                    self._thread = None
                    return
                self._pause = self._until_next()
                before, spent = monotonic(), process_time()
                self._changed.wait(self._pause)

    def _turn(self, now: float, *, stopped: bool) -> None:
        """Look at each loop once; remove those that were closed, which refer to a processor."""
        for look in tuple(self._looks):
            if look.is_lost:
                with self._changed:
                    self._looks.discard(look)
            else:
                look.turn(now, stopped=stopped)

    def _until_next(self) -> float | None:
        """Return the seconds until the next turn; None if there is none before a call."""
        if not self._looks:
            return LINGER
        return min((each.threshold / 2 for each in self._looks if not each.rests), default=None)


_WATCHER: Final = _Watcher()

if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_WATCHER.begin_anew)


@contextmanager
def watch_loop(
    threshold: float | None,
    busy: Callable[[], bool],
    holder: Callable[[asyncio.Task[Any]], Any],
    when_up: WhenUp,
) -> Iterator[None]:
    """Watch the running loop during a block; not if the threshold is None, or time is virtual.

    Args:
        threshold: Seconds.
        busy: Returns True if an event's code may be running; called in another thread.
        holder: Returns the event that a task runs, if any; called in another thread.
        when_up: Calls a function when the claimer is woken, before any event runs; returns False
            if the claimer does not sleep.
    """
    loop = asyncio.get_running_loop()
    if threshold is None or abs(loop.time() - monotonic()) > 1.0:
        yield
        return
    look = Look(threshold, busy, holder, when_up, loop)
    _WATCHER.add(look)
    try:
        yield
    finally:
        _WATCHER.discard(look)
        look.end()
