"""The event loop of ``lionpride.sync``: one in each process, in a daemon thread."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol

from ..errors import OperationError
from ..stores.fork_safe_loop import ForkSafeLoop

__all__ = ("LOCK", "LoopThread", "current_thread", "exiting", "refuse_green_threads")

LOCK: Final = threading.RLock()
"""Held while the thread is started, while an executor is bound to it, and during a fork."""

_JOIN: Final = 5.0
"""Seconds to wait for the end of the thread when the process exits."""

logger = logging.getLogger("lionpride")


class Resource(Protocol):
    """An object that is closed in the event loop before the loop ends."""

    async def close(self) -> None:
        """Finish what was begun, and close all that is open."""


class LoopThread:
    """An event loop in a daemon thread.

    Attributes:
        loop: The event loop.
        is_closing: True when the process exits.
    """

    def __init__(self) -> None:
        self.is_closing = False
        self._is_abandoned = False
        self._own = ForkSafeLoop()
        self.loop = self._own.loop
        self._resources: set[Resource] = set()  # changed in the loop only
        self._kept: set[object] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="lionpride-sync", daemon=True)

    def start(self) -> None:
        """Start the thread.

        Raises:
            OperationError: if no thread can be started.
        """
        try:
            self._thread.start()
        except RuntimeError as error:
            self.loop.close()
            raise OperationError(
                f"the event loop of lionpride.sync cannot be started: {error}", cause=error
            ) from error

    def _run(self) -> None:
        loop = self.loop
        asyncio.set_event_loop(loop)
        loop.call_soon(self._started)
        while True:
            try:
                loop.run_forever()
            except BaseException:  # SystemExit of a callback: the calls of other threads go on
                logger.exception("a callback has raised an error in the loop of lionpride.sync")
                continue
            break
        loop.close()

    def _started(self) -> None:
        """Do nothing: the loop has begun when this is called."""

    @property
    def is_usable(self) -> bool:
        """True in the process that started it, until that exits."""
        return not (self.is_closing or self._is_abandoned)

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function in the loop; the calling thread does not wait.

        Raises:
            OperationError: if the process exits.
        """
        try:
            self.loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError as error:  # the loop is closed
            raise exiting() from error

    # -- resources: these methods are called in the loop ---------------------------------------

    def add(self, resource: Resource) -> None:
        """Close a resource before the loop ends."""
        self._resources.add(resource)

    def discard(self, resource: Resource) -> None:
        """Close a resource now."""
        if resource in self._resources:
            self.spawn(partial(self._close, resource))

    def keep(self, item: object) -> None:
        """Keep an object until ``release``."""
        self._kept.add(item)

    def release(self, item: object) -> None:
        """Keep an object no longer."""
        self._kept.discard(item)

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine in a task, which is awaited before the loop ends."""
        task = self.loop.create_task(function(), name="lionpride-sync-close")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self, resource: Resource) -> None:
        try:
            await resource.close()
        except Exception as error:
            logger.warning("an executor of lionpride.sync could not be closed: %s", error)
        finally:
            self._resources.discard(resource)

    async def _close_all(self) -> None:
        """Close all resources, and cancel all other tasks."""
        resources = tuple(self._resources)
        await asyncio.gather(*map(self._close, resources), *self._tasks, return_exceptions=True)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest, timeout=1.0)  # code that ignores its cancellation is left
        await self.loop.shutdown_asyncgens()
        await asyncio.gather(*map(self._close, resources))  # the end of a task may open it again

    # -- the end of the process, and its forks -------------------------------------------------

    def close(self) -> None:
        """Close all resources, and end the thread. Later calls are refused.

        An exception of a signal handler ends the wait.
        """
        self.is_closing = True
        try:
            asyncio.run_coroutine_threadsafe(self._close_all(), self.loop).result()
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(_JOIN)

    def abandon(self) -> None:
        """Give up the loop in a forked child, which has neither its thread nor its state."""
        self._is_abandoned = True


class _Current:
    """The loop thread of this process; those of its parents are kept, since they are not ours."""

    def __init__(self) -> None:
        self.thread: LoopThread | None = None
        self._abandoned: list[LoopThread] = []

    def start(self) -> LoopThread:
        """Return the thread; start it, if there is none."""
        with LOCK:
            if self.thread is None:
                thread = LoopThread()
                thread.start()
                self.thread = thread
            return self.thread

    def begin_child(self) -> None:
        """Give up the thread of the parent process."""
        thread, self.thread = self.thread, None
        if thread is not None:
            self._abandoned.append(thread)
            thread.abandon()
        LOCK.release()

    def close(self) -> None:
        """Close the thread, when the process exits."""
        if self.thread is not None and not self.thread.is_closing:
            self.thread.close()


_CURRENT: Final = _Current()
atexit.register(_CURRENT.close)
if hasattr(os, "register_at_fork"):  # Windows has neither this function nor fork
    os.register_at_fork(
        before=LOCK.acquire,
        after_in_parent=LOCK.release,
        after_in_child=_CURRENT.begin_child,
    )


def current_thread() -> LoopThread:
    """Return the loop thread of this process; start it at the first call.

    Raises:
        OperationError: if the process exits, or no thread can be started.
    """
    thread = _CURRENT.thread or _CURRENT.start()
    if thread.is_closing:
        raise exiting()
    return thread


def exiting() -> OperationError:
    """Return the error of a call after the loop was closed."""
    return OperationError(
        "the process exits, and lionpride.sync has been closed: make the call before the end of "
        "the main thread, or in an atexit function that is registered after `import "
        "lionpride.sync`"
    )


def refuse_green_threads() -> None:
    """Check that threads are those of the operating system.

    Raises:
        OperationError: if gevent or eventlet has replaced them.
    """
    gevent: Any = sys.modules.get("gevent.monkey")
    eventlet: Any = sys.modules.get("eventlet.patcher")
    library = None
    if gevent is not None and gevent.is_module_patched("threading"):
        library = "gevent"
    elif eventlet is not None and eventlet.is_monkey_patched("thread"):
        library = "eventlet"
    if library is not None:
        raise OperationError(
            f"lionpride.sync needs threads of the operating system, and {library} has replaced "
            "them: serve with threads or processes (gunicorn --worker-class gthread), or append "
            "from another process"
        )
