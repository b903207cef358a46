"""A call from a thread into the event loop, and functions that the loop asks the thread to run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from math import isfinite
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Final, Generic, TypeVar, cast

from ..errors import OperationError, ValidationError
from ..model.element import Element
from ..model.serialization.codec import safe_repr
from ..stores.thread_connection import ThreadConnection
from .loop_thread import LoopThread, exiting

__all__ = ("Call", "Caller", "Calls", "Deadline", "several")

T = TypeVar("T")

_GLANCE: Final = 0.5
"""Seconds between two looks at a call whose wait was interrupted."""

_END: Final = object()
"""The end of an iterable."""


class Deadline:
    """The end of the time that a call may take.

    Args:
        name: The call, for messages.
        timeout: Seconds from now; None for no limit.

    Raises:
        TimeoutError: if the timeout is 0 or less.
        ValidationError: if it is no number of seconds.
    """

    __slots__ = ("_name", "_timeout", "_until")

    def __init__(self, name: str, timeout: float | None) -> None:
        self._name = name
        self._timeout = timeout
        self._until: float | None = None
        if timeout is None:
            return
        given: object = timeout
        if isinstance(given, bool) or not isinstance(given, int | float) or not isfinite(given):
            raise ValidationError(
                f"timeout must be a number of seconds or None, not {safe_repr(timeout)}: None "
                "waits without limit"
            )
        if timeout <= 0:
            raise self.error("nothing was done")
        self._until = monotonic() + timeout

    def left(self) -> float | None:
        """Return the seconds that are left; None for no limit."""
        return None if self._until is None else max(0.0, self._until - monotonic())

    def error(self, state: str) -> TimeoutError:
        """Return the error of a call that was not done in time.

        Args:
            state: What became of it.
        """
        return TimeoutError(
            f"{self._name} was not done within timeout={self._timeout!r} s: {state}"
        )


class Caller:
    """Runs functions in a thread that waits for the event loop.

    Args:
        thread: The thread of the loop.
    """

    __slots__ = ("_is_gone", "messages", "thread")

    def __init__(self, thread: LoopThread) -> None:
        self.thread = thread
        self.messages: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        """Functions to run in the waiting thread; None ends the wait."""

        self._is_gone = False

    # -- in the loop -------------------------------------------------------------------------

    async def run(self, function: Callable[[], T]) -> T:
        """Run a function in the waiting thread, and return its result.

        Raises:
            Exception: any error of the function.
            OperationError: if the thread waits no longer.
        """
        if self._is_gone:
            raise OperationError("the thread of the caller waits no longer")
        answer: asyncio.Future[T] = self.thread.loop.create_future()
        self.messages.put(partial(self._run, function, answer))
        return await answer

    def leave(self) -> None:
        """Refuse functions: the thread waits no longer."""
        self._is_gone = True

    async def source(self, events: Iterable[T]) -> AsyncIterator[T]:
        """Yield the items of an iterable, which is advanced in the waiting thread."""
        iterator = await self.run(lambda: iter(events))
        while (item := await self.run(partial(_next, iterator))) is not _END:
            yield cast("T", item)

    # -- in the waiting thread ---------------------------------------------------------------

    def _run(self, function: Callable[[], T], answer: asyncio.Future[T]) -> None:
        """Run a function, and send its result to the loop."""
        try:
            done = partial(_answer, answer, function())
        except BaseException as error:  # a signal handler's too: the loop ends the call by it
            done = partial(_fail, answer, error)
        self.thread.post(done)

    def callback(self, function: Callable[[], object] | None) -> Callable[[], object] | None:
        """Return a function for the loop that has another one called in the waiting thread.

        It is called before the next result of the loop is returned.
        """
        return None if function is None else partial(self.messages.put, function)

    def connection(self, given: object) -> ThreadConnection | None:
        """Return a connection that an append uses in the waiting thread; None if none is given."""
        return None if given is None else ThreadConnection(given, self.run)


def _next(iterator: Iterator[T]) -> T | object:
    return next(iterator, _END)


def _answer(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        if isinstance(error, StopIteration):  # a future refuses it
            error = RuntimeError("a function of the caller raised StopIteration")
        future.set_exception(error)


class Calls:
    """The calls of an executor that are under way; used in the loop only."""

    def __init__(self) -> None:
        self._calls: set[Call[Any]] = set()
        self._failure: BaseException | None = None

    def add(self, call: Call[Any]) -> None:
        """Add a call; it is cancelled if the others were."""
        self._calls.add(call)
        if self._failure is not None:
            call.cancel(self._failure)

    def discard(self, call: Call[Any]) -> None:
        """Remove a call that has ended."""
        self._calls.discard(call)

    def fail(self, error: BaseException) -> None:
        """Cancel all calls, and those that follow until ``reset``.

        Args:
            error: Raised by each.
        """
        self._failure = error
        for call in tuple(self._calls):
            call.cancel(error)

    def reset(self) -> None:
        """Let calls succeed again."""
        self._failure = None


class Call(Generic[T]):
    """One call: a coroutine in the loop, and a thread that waits for it.

    Args:
        caller: Runs functions in the thread.
        make: Makes the coroutine; called in the loop.
        calls: The calls of the executor that are under way.
    """

    __slots__ = (
        "_caller",
        "_calls",
        "_error",
        "_has_begun",
        "_has_ended",
        "_is_cancelled",
        "_make",
        "_task",
        "_value",
    )

    def __init__(self, caller: Caller, make: Callable[[], Awaitable[T]], calls: Calls) -> None:
        self._caller = caller
        self._make = make
        self._calls = calls
        self._task: asyncio.Task[None] | None = None
        self._has_begun = self._has_ended = self._is_cancelled = False
        self._error: BaseException | None = None
        self._value: T

    # -- in the loop -------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin the coroutine, if it has not begun."""
        if self._task is None:
            self._calls.add(self)
            self._task = self._caller.thread.loop.create_task(self._run())

    async def _run(self) -> None:
        self._has_begun = True
        try:
            if self._is_cancelled:
                raise asyncio.CancelledError
            self._value = await self._make()
        except BaseException as error:  # SystemExit would end the loop
            self._error = self._error or error
        finally:
            self._has_ended = True
            self._calls.discard(self)
            self._caller.messages.put(None)

    def cancel(self, error: BaseException | None = None) -> None:
        """Cancel the coroutine.

        Args:
            error: Raised in the waiting thread in place of what the coroutine returns.
        """
        self._error = self._error or error
        self._is_cancelled = True
        if self._has_begun and self._task is not None:
            self._task.cancel()

    async def ended(self) -> None:
        """Wait until the coroutine has ended."""
        if self._task is not None:
            await asyncio.wait((self._task,))

    def _give_up(self) -> None:
        self._caller.leave()
        self.cancel()

    # -- in the thread -----------------------------------------------------------------------

    def run(self, deadline: Deadline, *, must_end: bool = False) -> T:
        """Run the coroutine, and the functions that it asks for, and return its result.

        A signal handler may raise an exception at any instruction. The coroutine is then
        cancelled, or it never begins.

        Args:
            deadline: When to stop.
            must_end: True to wait for the end of a cancelled coroutine too.

        Raises:
            TimeoutError: if the deadline has passed.
            BaseException: any error of the coroutine, or of a signal handler.
        """
        thread, stopped = self._caller.thread, None
        try:
            thread.post(self.begin)
            self._run_messages(deadline)
        except BaseException as error:
            if isinstance(error, Empty):
                if self._has_ended:
                    return self._outcome(None)
                error = deadline.error("the call was cancelled; what it has begun goes on")
            if not must_end:
                thread.post(self._give_up)
                raise error from None
            stopped = error
            self._await_end()
        return self._outcome(stopped)

    def _run_messages(self, deadline: Deadline) -> None:
        """Run the functions that the coroutine asks for, until it has ended.

        Raises:
            Empty: if the deadline has passed.
        """
        get = self._caller.messages.get
        while (message := get(timeout=deadline.left())) is not None:
            message()

    def _await_end(self) -> None:
        """Cancel the coroutine, and wait until it has ended. An exception ends the wait."""
        caller = self._caller
        try:
            caller.thread.post(self.begin)  # the exception may have come before
            caller.thread.post(self.cancel)
            while not self._has_ended:
                # A message may have got lost with the exception: look at times.
                with suppress(Empty):
                    if (message := caller.messages.get(timeout=_GLANCE)) is not None:
                        message()
        except BaseException:
            caller.thread.post(self._give_up)
            raise

    def _outcome(self, stopped: BaseException | None) -> T:
        """Return or raise the outcome of the coroutine.

        Args:
            stopped: Why the wait was interrupted; None if it was not.
        """
        is_late = isinstance(stopped, TimeoutError)
        if stopped is not None and not (is_late and self._error is None):
            raise stopped
        if isinstance(self._error, asyncio.CancelledError):
            raise exiting() from self._error
        if self._error is not None:
            raise self._error
        return self._value


def several(events: Iterable[T]) -> Iterable[T]:
    """Return events as a sequence, since their iterable belongs to the thread of the caller.

    A single event, by mistake, is returned as it is, and refused later.
    """
    if isinstance(events, Sequence | Element):
        return events
    return list(events)
