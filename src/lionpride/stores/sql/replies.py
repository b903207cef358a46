"""Replies: what many callers wait for, each for its own, answered by one call of the event loop.

A future has the loop called once for each who waits, by a handle that costs as much as a row in
a file. Callers of one commit are answered together, so one call wakes them all, one after another
and in order, as the loop would have. What a Task asks of such an awaitable is what it asks of
everything that is like a future (https://docs.python.org/3/library/asyncio-extending.html).
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, CancelledError
from collections.abc import Callable, Generator, Sequence
from contextvars import Context
from typing import Any

__all__ = ("Reply", "answer")


class Reply:
    """What one task waits for; None comes of it, or an error.

    Args:
        loop: The event loop that the task runs in.

    Attributes:
        done: Whether it is answered, or cancelled.
        wake: Wakes the task that waits, in its ``context``; None if none does.
    """

    __slots__ = ("_asyncio_future_blocking", "_error", "_loop", "context", "done", "wake")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._asyncio_future_blocking: bool | None = None
        self._loop = loop
        self.wake: Callable[[Reply], object] | None = None
        self._error: BaseException | None = None
        self.done = False

    def __await__(self) -> Generator[Reply, None, None]:
        if not self.done:
            if self._asyncio_future_blocking is not None:
                raise RuntimeError("a reply can be awaited by one task only")
            self._asyncio_future_blocking = True
            yield self
        self.result()

    def fail(self, error: BaseException) -> None:
        """Have an error come of it, once it is told; nothing if it is done."""
        if not self.done:
            self.done, self._error = True, error

    def tell(self) -> None:
        """Wake who waits."""
        wake, self.wake = self.wake, None
        if wake is not None:
            self.context.run(wake, self)

    # What a Task asks.

    def get_loop(self) -> AbstractEventLoop:
        """The loop of who waits."""
        return self._loop

    def add_done_callback(self, call: Callable[[Reply], object], *, context: Context) -> None:
        """Have the task that waits called."""
        self.wake, self.context = call, context

    def result(self) -> None:
        """What came of it."""
        if self._error is not None:
            raise self._error

    def cancel(self, msg: Any = None) -> bool:
        """Have the task that waits cancelled; False if it is answered already."""
        if self.done:
            return False
        self.fail(CancelledError() if msg is None else CancelledError(msg))
        self._loop.call_soon(self.tell)
        return True


def answer(replies: Sequence[Reply]) -> None:
    """Tell who waits, in the next turn of the loop: what has not failed is done."""
    for reply in replies:
        reply.done = True
    if replies:
        replies[0].get_loop().call_soon(_tell, replies)


def _tell(replies: Sequence[Reply]) -> None:
    rest = iter(replies)
    try:
        for reply in rest:  # `tell`, a call shorter
            wake, reply.wake = reply.wake, None
            if wake is not None:
                reply.context.run(wake, reply)
    finally:  # a task may ask the process to exit, which ends no other
        answer(list(rest))
