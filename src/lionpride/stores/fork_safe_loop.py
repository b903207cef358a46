"""Event loops that a forked child gives up."""

from __future__ import annotations

import asyncio
import os
import selectors
import stat
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final
from weakref import WeakSet

__all__ = ("ForkSafeLoop",)


class ForkSafeLoop:
    """An event loop of a thread, which a forked child does not have.

    The child has copies of the descriptors of the loop's connections, and of its selector. They are
    replaced in the child. A server would otherwise keep a connection of a parent that has ended, as
    long as the child runs. And the end of an object of the parent could write to a server, or
    remove a connection from the selector that the parent still uses.

    Attributes:
        loop: The event loop.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        # On Windows the default loop can start processes, and there is no fork.
        self.loop: asyncio.AbstractEventLoop = (
            asyncio.SelectorEventLoop(self._selector)
            if hasattr(os, "fork")
            else asyncio.new_event_loop()
        )
        _LOOPS.add(self)

    def abandon(self) -> None:
        """Replace the descriptors of the parent process."""
        selector: Any = self._selector
        descriptors = [key.fd for key in _entries(selector)]
        sockets = [each for each in descriptors if _is_socket(each)]
        if sockets and hasattr(selector, "fileno"):
            sockets.append(selector.fileno())
        null = os.open(os.devnull, os.O_RDWR)
        for each in sockets:
            with suppress(OSError):
                os.dup2(null, each, inheritable=False)
        os.close(null)


def _entries(selector: selectors.BaseSelector) -> Iterable[selectors.SelectorKey]:
    """Return the descriptors of a selector; none if it is closed."""
    found: Any = selector.get_map()  # None after its close
    return () if found is None else tuple(found.values())


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False


_LOOPS: Final = WeakSet[ForkSafeLoop]()


def _abandon_all() -> None:
    for each in tuple(_LOOPS):
        each.abandon()
    _LOOPS.clear()


if hasattr(os, "register_at_fork"):  # Windows has neither this function nor fork
    os.register_at_fork(after_in_child=_abandon_all)
