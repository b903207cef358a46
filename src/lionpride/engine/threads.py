"""Threads for events whose code is not async: a plain ``def``, or a plain generator.

A thread cannot be cancelled. If its event has to end earlier, the thread is left: its result is
dropped, and it occupies a slot until it has ended.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import logging
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import copy_context
from typing import Any, Final

__all__ = ("IDLE", "Threads", "is_plain")

IDLE: Final = 5.0
"""Seconds after which an idle thread ends."""

AHEAD: Final = 64
"""Number of chunks that a plain generator may be ahead of its reader."""

logger = logging.getLogger("lionpride")

_Result = tuple[bool, Any]  # True and the value, or False and the exception


def is_plain(method: Callable[..., Any]) -> bool:
    """Whether a call of a method does its work at once, instead of making something to await."""
    for each in (method, inspect.unwrap(method)):
        if (
            inspect.iscoroutinefunction(each)
            or inspect.isasyncgenfunction(each)
            or inspect.isgeneratorfunction(each)
            or inspect.iscoroutinefunction(type(each).__call__)
        ):
            return False
    return True


class Threads(concurrent.futures.Executor):
    """A pool of daemon threads, which are started when needed, and keep no process alive.

    Args:
        most: Maximum number of threads; further calls wait.
        name: Prefix of their names.
        occupy: Called in the loop when a thread is left.
        vacate: Called in the loop when such a thread has ended.
    """

    def __init__(
        self,
        most: int,
        name: str,
        occupy: Callable[[], None] = lambda: None,
        vacate: Callable[[], None] = lambda: None,
    ) -> None:
        self._most = most
        self._name = name
        self._occupy = occupy
        self._vacate = vacate
        self._late: deque[None] = deque()  # one for each left thread that ended after its loop
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._calls: deque[tuple[concurrent.futures.Future[Any], Callable[[], Any]]] = deque()
        self._threads = 0
        self._idle = 0
        self._number = 0
        self._closing = False

    # -- the pool ----------------------------------------------------------------------------

    def submit(
        self, work: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        """See ``concurrent.futures.Executor.submit``."""
        if self._process != os.getpid():
            self._begin_anew()  # a child process has no threads of its parent
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._changed:
            self._closing = False
            self._calls.append((future, lambda: work(*args, **kwargs)))
            if self._idle >= len(self._calls):
                self._changed.notify()
            elif self._threads < self._most:
                self._start_thread()
        return future

    def _start_thread(self) -> None:
        """Start a thread; if that fails, the threads that there are run the call.

        Raises:
            RuntimeError: if no thread can be started, and there is none.
        """
        self._number += 1
        name = f"{self._name}-{self._number}"
        try:
            threading.Thread(target=self._run, name=name, daemon=True).start()
        except RuntimeError:  # the system allows no more threads
            if not self._threads:
                self._calls.pop()
                raise
        else:
            self._threads += 1

    def _run(self) -> None:
        while (call := self._next()) is not None:
            future, work = call
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:
                    future.set_exception(error)
            del call, future, work  # an idle thread keeps nothing alive

    def _next(self) -> tuple[concurrent.futures.Future[Any], Callable[[], Any]] | None:
        with self._changed:
            self._idle += 1
            while not self._calls:
                if self._closing or not (self._changed.wait(IDLE) or self._calls):
                    self._idle -= 1
                    self._threads -= 1
                    return None
            self._idle -= 1
            return self._calls.popleft()

    def rest(self) -> None:
        """End the idle threads; a later call starts new ones."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    # -- events ------------------------------------------------------------------------------

    async def call(self, work: Callable[[], Any], what: object) -> Any:
        """Call a function in a thread, with the context variables of the caller.

        If it returns an awaitable, the result is awaited here.

        Args:
            work: The function.
            what: The event, for a warning.
        """
        task = _Task(work)
        loop = asyncio.get_running_loop()
        try:
            returned, value = await loop.run_in_executor(self, copy_context().run, task)
        except asyncio.CancelledError:
            self._leave(task, what)
            raise
        if not returned:
            raise value
        if inspect.isgenerator(value):
            raise TypeError(
                f"_invoke() of {what!r} returned a generator: write `def _stream(self)`, "
                "and set streaming=True on the class"
            )
        return await value if inspect.isawaitable(value) else value

    async def iterate(
        self, make: Callable[[], Generator[Any, Any, Any]], what: object
    ) -> AsyncGenerator[Any, None]:
        """Yield the chunks of a plain generator, which runs in one thread to its end.

        It may be ``AHEAD`` chunks ahead. If this iterator is closed, the generator is closed in its
        thread, at its next ``yield``.

        Args:
            make: Returns the generator; called in the thread.
            what: The event, for a warning.
        """
        feed = _Feed(make)
        task = _Task(feed.run)
        loop = asyncio.get_running_loop()
        self.submit(copy_context().run, task)
        try:
            while chunks := await loop.run_in_executor(feed, feed.take):
                for chunk in chunks:
                    yield chunk
            if feed.error is not None:
                raise feed.error
        finally:
            feed.close()
            if not feed.ended:
                self._leave(task, what, quietly=feed.waits)

    def _leave(self, task: _Task, what: object, *, quietly: bool = False) -> None:
        """Leave a call; if it runs, it occupies a slot until it has ended."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            try:
                loop.call_soon_threadsafe(self._vacate)
            except RuntimeError:  # the loop is closed
                self._late.append(None)

        if task.leave(ended):
            self._occupy()
            if not quietly:
                logger.warning(
                    "%r was stopped, but its code runs on in a thread, which cannot be "
                    "cancelled: it occupies a slot until the thread has finished",
                    what,
                )

    def count(self) -> None:
        """Free the slots of threads that ended after their loop."""
        while self._late:
            self._late.popleft()
            self._vacate()


class _Task:
    """A call in a thread, which its caller may leave."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._runs = False
        self._is_left = False
        self._on_end: Callable[[], None] | None = None

    def __call__(self) -> _Result:
        with self._lock:
            if self._is_left:  # between the start of its future and now
                return True, None
            self._runs = True
        try:
            return True, self._work()
        except BaseException as error:
            trace = error.__traceback__
            return False, error.with_traceback(trace and trace.tb_next)
        finally:
            with self._lock:
                self._runs = False
            if self._on_end is not None:
                self._on_end()

    def leave(self, on_end: Callable[[], None]) -> bool:
        """Call a function at the end of the work; return False if it does not run.

        Work that has not begun does not run any more.
        """
        with self._lock:
            if self._runs:
                self._on_end = on_end
            self._is_left = True
            return self._runs


class _Feed(concurrent.futures.Executor):
    """Chunks between the thread of a generator and the event loop.

    The loop uses it as an executor: a call of ``take`` is answered as soon as there is a chunk, or
    at the end.

    Args:
        make: Returns the generator.
    """

    def __init__(self, make: Callable[[], Generator[Any, Any, Any]]) -> None:
        self._make = make
        self._changed = threading.Condition()
        self._chunks: list[Any] = []
        self._asked: concurrent.futures.Future[Any] | None = None
        self._closed = False
        self.ended = False
        self.waits = False  # for its reader
        self.error: BaseException | None = None

    def take(self) -> list[Any]:
        """Return the chunks that are there now; the thread may go on."""
        chunks, self._chunks = self._chunks, []
        self._changed.notify()
        return chunks

    def submit(
        self, take: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        """See ``concurrent.futures.Executor.submit``; called in the loop."""
        asked: concurrent.futures.Future[Any] = concurrent.futures.Future()
        with self._changed:
            self._asked = asked
            self._answer()
        return asked

    def _answer(self) -> None:
        if self._asked is not None and (self._chunks or self.ended):
            asked, self._asked = self._asked, None
            if asked.set_running_or_notify_cancel():
                asked.set_result(self.take())

    def close(self) -> None:
        """End the generator; called in the loop."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def run(self) -> None:
        """Run the generator to its end, or until ``close``; called in the thread."""
        try:
            if not self._closed:
                self._pass_on(self._make())
        except BaseException as error:
            self.error = error
        finally:
            with self._changed:
                self.ended = True
                self._answer()

    def _pass_on(self, generator: Generator[Any, Any, Any]) -> None:
        try:
            for chunk in generator:
                with self._changed:
                    self._chunks.append(chunk)
                    self._answer()
                    while len(self._chunks) >= AHEAD and not self._closed:
                        self.waits = True
                        self._changed.wait()
                    self.waits = self._closed
                    if self._closed:
                        return
        finally:
            generator.close()
