"""The way from a synchronous executor to its asynchronous one, which lives in the loop thread."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import TypeAlias, TypeVar

from ..engine.executor import Executor
from ..errors import OperationError
from .call import Call, Caller, Calls, Deadline
from .interrupts import is_second_interrupt, unwatch, watch
from .iteration import Iteration
from .loop_thread import LOCK, LoopThread, current_thread, refuse_green_threads
from .run import Run

__all__ = ("Bridge",)

T = TypeVar("T")

Make: TypeAlias = Callable[[Executor, Caller], T]
End: TypeAlias = Callable[[], None]
Begin: TypeAlias = Callable[[Executor], End]


class Opened:
    """An executor that has been used in a loop thread.

    Args:
        executor: The executor.
        thread: The thread of its event loop.
    """

    def __init__(self, executor: Executor, thread: LoopThread) -> None:
        self.executor = executor
        self.thread = thread
        self.run: Run | None = None
        """The latest run of ``with executor:``."""

        self.calls = Calls()
        """The calls that are under way."""

    @property
    def is_running(self) -> bool:
        """True in ``with executor:``."""
        return self.run is not None and not self.run.has_ended

    async def close(self) -> None:
        """End the run, if there is one, and close the store."""
        try:
            if self.run is not None and self.is_running:
                await self.run.end(None)
        finally:
            await self.executor.store.close()

    def fail_calls(self) -> None:
        """Cancel the calls that are under way, since the run has failed."""
        self.calls.fail(
            OperationError(
                "the run of the executor has failed: leave the `with` block, which raises why"
            )
        )


class Bridge:
    """Makes calls of an executor in the loop thread of this process.

    In a forked child, which has no part of the parent's loop and connections, the executor is made
    again at its first call.

    Args:
        make: Makes the executor.
    """

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make = make
        self._executor = make()
        self._opened: Opened | None = None
        self._observers: dict[object, tuple[Begin, End]] = {}

    @property
    def executor(self) -> Executor:
        """The executor. It may be called in its event loop only."""
        opened = self._opened
        if opened is None or opened.thread is current_thread():
            return self._executor
        return self._open().executor

    # -- calls -------------------------------------------------------------------------------

    def call(
        self,
        name: str,
        make: Make[Awaitable[T]],
        timeout: float | None = None,
        *,
        must_end: bool = False,
    ) -> T:
        """Run a coroutine of the executor in the loop, and return its result.

        Args:
            name: The method, for messages.
            make: Makes the coroutine; called in the loop.
            timeout: Seconds to wait; None for no limit.
            must_end: True to wait for the end of the coroutine after an interruption too.

        Raises:
            OperationError: if the calling thread has a running event loop, if gevent has replaced
                threads, or if the process exits.
            TimeoutError: if the call takes longer.
        """
        deadline = Deadline(f"{name}()", timeout)
        opened = self._ready(name)
        caller = Caller(opened.thread)
        call = Call(caller, partial(make, opened.executor, caller), opened.calls)
        return call.run(deadline, must_end=must_end)

    def call_plain(self, name: str, make: Callable[[Executor], T]) -> T:
        """Call a function of the executor that is not async in the loop; see ``call``."""

        async def run(executor: Executor, _: Caller) -> T:
            return make(executor)

        return self.call(name, run)

    def iterate(
        self, name: str, make: Make[AsyncGenerator[T, None]], timeout: float | None
    ) -> Iteration[T]:
        """Return an iterator over an async generator of the executor; see ``call``."""
        deadline = Deadline(f"{name}()", timeout)
        opened = self._ready(name)
        caller = Caller(opened.thread)
        begin = partial(make, opened.executor, caller)
        return Iteration(begin, caller, deadline, opened.calls, partial(self._check, name))

    def observe(self, name: str, begin: Begin) -> End:
        """Add an observer, also to the executor that a forked child makes.

        Returns:
            A function that removes it.
        """
        key = object()
        self._observers[key] = begin, self.call_plain(name, begin)

        def end() -> None:
            if (pair := self._observers.pop(key, None)) is not None:
                self.call_plain(name, lambda _: pair[1]())

        return end

    def _observe_again(self, executor: Executor) -> None:
        """Add the observers to an executor that was made again."""
        for key, (begin, _) in tuple(self._observers.items()):
            self._observers[key] = begin, begin(executor)

    # -- the run of `with` ---------------------------------------------------------------------

    def enter(self) -> None:
        """Begin a run of the executor in the background; see ``Executor.__enter__``."""
        opened = self._ready("__enter__")
        run = Run(opened.executor, opened.fail_calls)
        try:
            with LOCK:
                if opened.is_running:
                    raise OperationError("the executor runs already: enter `with` once at a time")
                opened.run = run
            watch(run)
            self.call("__enter__", lambda *_: run.begin(), must_end=True)
            if run.is_interrupted:
                raise KeyboardInterrupt
        except BaseException as error:
            self._abort(run)
            if run.is_interrupted:
                raise KeyboardInterrupt from error
            raise

    def leave(self, error: BaseException | None) -> None:
        """End the run, in the process that has begun it.

        Args:
            error: The error of the block.
        """
        opened = self._opened
        if opened is None or opened.run is None or opened.thread is not current_thread():
            return
        run = opened.run
        try:
            if is_second_interrupt(error):
                opened.thread.post(run.cancel)
            opened.thread.post(opened.calls.reset)
            self.call("__exit__", lambda *_: run.end(error), must_end=True)
        except BaseException:
            self._abort(run)
            raise
        unwatch(run)
        if run.is_interrupted:
            raise KeyboardInterrupt

    def _abort(self, run: Run) -> None:
        """End a run without the grace time."""
        try:
            self.call("__exit__", lambda *_: run.abort(), must_end=True)
        finally:
            unwatch(run)

    def interrupt(self) -> bool:
        """End the run without the grace time, and return True; called while it starts or stops.

        Returns:
            False if that was done already, or there is no run.
        """
        opened = self._opened
        run = None if opened is None else opened.run
        if opened is None or run is None or run.is_interrupted or run.has_ended:
            return False
        if not opened.thread.is_usable:
            return False
        opened.thread.post(run.cancel)  # first: the next interrupt may come between the two
        run.is_interrupted = True
        return True

    def close(self) -> None:
        """Close the store, if this process has used it; a later call opens it again."""
        opened = self._opened
        if opened is None or opened.thread is not current_thread():
            return
        if opened.is_running:
            raise OperationError("the executor runs: leave its `with` block, which closes it")
        self.call("close", lambda executor, _: executor.store.close(), must_end=True)

    # -- the executor of this process ------------------------------------------------------------

    def _check(self, name: str) -> None:
        """Check that this thread may wait for the loop.

        Raises:
            OperationError: if it may not.
        """
        refuse_green_threads()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise OperationError(
            f"{name}() of lionpride.sync would block the event loop that runs in this thread: use "
            f"`from lionpride import Executor` and `await executor.{name}(...)` here, or call it "
            f"in another thread, as by asyncio.to_thread"
        )

    def _ready(self, name: str) -> Opened:
        """Return the executor of this process, bound to its loop."""
        self._check(name)
        opened = self._opened
        if opened is None or opened.thread is not current_thread():
            opened = self._open()
        return opened

    def _open(self) -> Opened:
        """Bind the executor to the loop; make it again if a parent process has used it."""
        thread = current_thread()
        with LOCK:
            opened = self._opened
            if opened is not None and opened.thread is thread:
                return opened
            if opened is not None:
                self._executor = self._made_again(opened.executor)
            new = self._opened = Opened(self._executor, thread)
        thread.post(thread.add, new)
        weakref.finalize(self, _close, new).atexit = False
        if opened is not None:
            thread.post(self._observe_again, new.executor)
        return new

    def _made_again(self, used: Executor) -> Executor:
        """Return a new executor in a forked child.

        Raises:
            OperationError: if it would use a store of the parent process.
        """
        new = self._make()
        if new is used or new.store is used.store:
            raise OperationError(
                "the executor was used before fork(), and has a store that this process cannot "
                "open again: give store= as a URL (and lionpride.sync.Executor a function that "
                "makes the executor), or use it after the fork only"
            )
        return new


def _close(opened: Opened) -> None:
    """Close an executor that nothing uses any more."""
    if opened.thread.is_usable:
        opened.thread.post(opened.thread.discard, opened)
