"""Ctrl-C in the main thread, while a ``with`` block of an executor is entered or left.

Python raises KeyboardInterrupt between any two instructions, so also before the first one of
``__exit__``. The run would then go on, and nothing would end it. While an executor runs, the
handler of this module takes the place of Python's. An interrupt during ``__enter__`` or
``__exit__`` raises nothing there: it tells the event loop to end the run, and the method raises
KeyboardInterrupt when that is done. Any other interrupt raises KeyboardInterrupt at once, and so
does a second one during the same method.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final, Protocol, TypeVar

__all__ = ("delays_interrupts", "is_second_interrupt", "unwatch", "watch")

F = TypeVar("F", bound=Callable[..., Any])


class Watched(Protocol):
    """A run of an executor."""

    @property
    def has_ended(self) -> bool:
        """True if the executor has stopped, or will not start."""


_CODES: Final = dict[CodeType, Callable[[Any], bool]]()
_WATCHED: Final = set[Watched]()


def delays_interrupts(interrupt: Callable[[Any], bool]) -> Callable[[F], F]:
    """Mark a method in which an interrupt is not raised.

    Args:
        interrupt: Called with the object of the method, in place of the exception. Returns False
            if the exception has to be raised.
    """

    def mark(method: F) -> F:
        _CODES[method.__code__] = interrupt
        return method

    return mark


def watch(run: Watched) -> None:
    """Handle interrupts until ``unwatch(run)``, if Python's own handler does so now.

    Only the main thread gets interrupts; in another thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    _WATCHED.add(run)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _handle)


def unwatch(run: Watched) -> None:
    """Give interrupts back to Python, if no other run is watched."""
    _WATCHED.discard(run)
    if threading.current_thread() is threading.main_thread():
        _give_back()


def _give_back() -> None:
    """Give interrupts back to Python, if no run is left."""
    _WATCHED.difference_update([run for run in _WATCHED if run.has_ended])
    if not _WATCHED and signal.getsignal(signal.SIGINT) is _handle:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _handle(number: int, frame: FrameType | None) -> None:
    """Handle an interrupt of the main thread, which executes a frame."""
    caller = frame
    while caller is not None:
        interrupt = _CODES.get(caller.f_code)
        if interrupt is not None:
            if interrupt(caller.f_locals["self"]):
                return
            break
        caller = caller.f_back
    _give_back()  # the exception may come between the end of a run and `unwatch`
    signal.default_int_handler(number, frame)


def is_second_interrupt(error: BaseException | None) -> bool:
    """Return True for a KeyboardInterrupt that came while another one was handled."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    seen = {id(error)}
    earlier = error.__context__
    while earlier is not None and id(earlier) not in seen:
        if isinstance(earlier, KeyboardInterrupt):
            return True
        seen.add(id(earlier))
        earlier = earlier.__context__
    return False
