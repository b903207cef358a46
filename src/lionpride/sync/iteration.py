"""Iterators over what async generators of an executor yield."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ..errors import OperationError
from .call import Call, Caller, Calls, Deadline
from .loop_thread import current_thread

__all__ = ("Iteration",)

T = TypeVar("T")


class Steps(Generic[T]):
    """An async generator in the loop.

    The loop thread keeps it from the first step until it is closed: while the generator waits, no
    task or callback of the loop needs to refer to it.

    Args:
        make: Makes the generator; called at the first step.
        caller: Runs functions in the thread that iterates.
    """

    def __init__(self, make: Callable[[], AsyncGenerator[T, None]], caller: Caller) -> None:
        self._make = make
        self._caller = caller
        self._generator: AsyncGenerator[T, None] | None = None

    async def next(self) -> tuple[T] | None:
        """Return the next item; None at the end."""
        if self._generator is None:
            self._generator = self._make()
            self._caller.thread.keep(self)
        try:
            return (await anext(self._generator),)
        except BaseException as error:
            self._caller.thread.release(self)
            if isinstance(error, StopAsyncIteration):
                return None
            raise

    async def close(self, last: Call[Any]) -> None:
        """Close the generator; a repeat does nothing.

        Args:
            last: The last step, which may have been cancelled and still run.
        """
        await last.ended()
        generator, self._generator = self._generator, None
        if generator is not None:
            try:
                await generator.aclose()
            finally:
                self._caller.thread.release(self)


class Iteration(Iterator[T], Generic[T]):
    """An iterator over results that an executor yields.

    It is closed at its end, by ``close()``, at the end of a ``with`` block, or when nothing refers
    to it any more, as after a ``break``.

    Args:
        make: Makes the async generator; called in the loop at the first step.
        caller: Runs functions in the thread that iterates.
        deadline: The end of the iteration.
        calls: The calls of the executor that are under way.
        check: Raises an error if this thread may not wait.
    """

    _is_over = True  # until it is made: an interrupt may come before

    def __init__(
        self,
        make: Callable[[], AsyncGenerator[T, None]],
        caller: Caller,
        deadline: Deadline,
        calls: Calls,
        check: Callable[[], None],
    ) -> None:
        self._steps = Steps(make, caller)
        self._caller = caller
        self._deadline = deadline
        self._calls = calls
        self._check = check
        self._last: Call[tuple[T] | None] | None = None
        self._is_over = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        """Wait for the next result, and return it.

        Raises:
            OperationError: in a forked child of the process that has begun the iteration.
            StopIteration: at the end.
            TimeoutError: if the timeout of the call has passed; the iteration is over then.
        """
        self._check()
        if self._is_over:
            raise StopIteration
        thread = self._caller.thread
        if thread is not current_thread():
            raise OperationError(
                "the iteration was begun before fork(): begin a new one in the child process"
            )
        self._last = call = Call(self._caller, self._steps.next, self._calls)
        try:
            found = call.run(self._deadline)
        except BaseException:
            self.close()
            raise
        if found is None:
            self._is_over = True
            raise StopIteration
        return found[0]

    def close(self) -> None:
        """End the iteration. Events go on, except as the method that began it says.

        It does not wait: the loop ends what it has begun.
        """
        if self._is_over:
            return
        thread, last = self._caller.thread, self._last
        if last is not None and thread.is_usable:
            thread.post(self._caller.leave)
            thread.post(thread.spawn, partial(self._steps.close, last))
        self._is_over = True  # last: after an interrupt, `close` is called again

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
