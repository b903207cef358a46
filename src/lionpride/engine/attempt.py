"""One attempt: the event's own code, run to whatever end it has."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sized
from contextlib import aclosing
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ..errors import ExecutionError, LionTimeoutError
from ..model.progress import Live
from ..rules.lifecycle import Cause

if TYPE_CHECKING:
    from .event import Event
    from .threads import Threads

__all__ = ("PATIENCE", "SLICE", "Guard", "chunks_of", "collect", "limited")

PATIENCE: Final = 1.0
"""Seconds between two cancellations of code that does not end when it is cancelled."""

INSISTENCE: Final = 3
"""Cancellations that code may ignore; then it is left behind, and its event settled."""

SLICE: Final = 0.001
"""Seconds for which events that never wait may keep the event loop from other tasks."""


class Guard:
    """Cancels the task that it is made for, when its event has to end, and knows why.

    It also holds the chunks of a stream so far, for whoever has to settle without the code.

    Args:
        task: The task that runs the event's code.
        abandon: Called when that code has ignored ``INSISTENCE`` cancellations.
    """

    __slots__ = ("_abandon", "_ignored", "_timer", "cause", "chunks", "task")

    def __init__(self, task: asyncio.Task[Any], abandon: Callable[[], None]) -> None:
        self.task = task
        self.cause: Cause | None = None
        self.chunks: list[Any] | None = None
        self._abandon = abandon
        self._ignored = 0
        self._timer: asyncio.TimerHandle | None = None

    def limit(self, timeout: float) -> None:
        """End the attempt ``timeout`` seconds from now."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(timeout, self.end, Cause.TIMEOUT)

    def end(self, cause: Cause) -> None:
        """End the attempt now; the first cause counts, but for a user's cancel, which does."""
        if self.cause is None:
            self.cause = cause
            self._insist()
        elif self.cause is Cause.INTERRUPT and cause is Cause.CANCEL:
            self.cause = cause  # it is being ended already, and shall not come back

    def _insist(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._ignored == INSISTENCE:
            self._abandon()
            return
        self._ignored += 1
        self.task.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PATIENCE, self._insist)

    def over(self) -> Cause | None:
        """The attempt has ended: why it was made to, if it was; the guard is as new."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        cause, self.cause, self._ignored, self.chunks = self.cause, None, 0, None
        return cause


@lru_cache(maxsize=1024)
def _source(kind: type[Event], base: type[Event]) -> tuple[str | None, bool]:
    """The method of a class that yields its chunks, the first one that users wrote.

    And whether it is a plain generator, to be run in a thread.
    """
    for name in ("stream", "_stream", "_invoke"):
        method = getattr(kind, name)
        if method is not getattr(base, name):
            plain = inspect.isgeneratorfunction(method)
            if name != "_invoke" or plain or inspect.isasyncgenfunction(method):
                return name, plain
    return None, False


def chunks_of(event: Event, base: type[Event], threads: Threads) -> AsyncIterator[Any]:
    """The chunks of a streaming event, from its own code.

    Args:
        event: Whose code it is.
        base: Event itself.
        threads: Where a plain generator runs.

    Raises:
        NotImplementedError: if the class has no generator.
    """
    name, plain = _source(type(event), base)
    if name is None:
        raise NotImplementedError(
            f"{event.class_name()} has streaming=True and no _stream(): write "
            "`async def _stream(self)` with `yield`"
        )
    if plain:
        return threads.iterate(getattr(event, name), event)
    source = getattr(event, name)()
    if not hasattr(source, "__aiter__"):
        raise TypeError(
            f"{event.class_name()}.{name}() must be a generator, async or plain, not {source!r}"
        )
    return source  # type: ignore[no-any-return]


async def collect(
    source: AsyncIterator[Any], live: Live, chunks: list[Any], most: int
) -> list[Any]:
    """Append each chunk of ``source`` to ``chunks``, and close it whatever happens.

    Args:
        source: The event's own code.
        live: Rung for those who follow.
        chunks: Where they go.
        most: How many there may be.

    Raises:
        ExecutionError: if there are more.
    """
    clock = asyncio.get_running_loop().time
    turn = clock() + SLICE
    async with aclosing(_closable(source)) as generator:
        async for chunk in generator:
            if len(chunks) >= most:
                _check_room(chunks, most)
            chunks.append(chunk)
            if live.bells:
                live.ring()
            if clock() > turn:
                await asyncio.sleep(0)
                turn = clock() + SLICE
    return chunks


async def limited(source: AsyncIterator[Any], event: Event) -> AsyncGenerator[Any, None]:
    """The chunks of ``source`` while the event's timeout and ``max_chunks`` allow.

    The time that the reader takes between two chunks counts; but it is the source, never the
    reader, that is cancelled.

    Raises:
        LionTimeoutError: after the timeout.
        ExecutionError: if there are too many.
    """
    clock = asyncio.get_running_loop().time
    deadline = None if event.timeout is None else clock() + event.timeout
    text = f"took longer than its timeout of {event.timeout or 0:g} s"
    count = 0
    async with aclosing(_closable(source)) as generator:
        while True:
            limit = asyncio.timeout_at(deadline)
            try:
                async with limit:
                    chunk = await anext(generator, _END)
            except TimeoutError as error:
                if not limit.expired():
                    raise
                raise LionTimeoutError(text, cause=error) from error
            if chunk is _END:
                return
            if deadline is not None and clock() > deadline:  # the reader, or code that never waits
                raise LionTimeoutError(text)
            count += 1
            _check_room(range(count - 1), event.max_chunks)
            yield chunk


_END: Final = object()


def _check_room(chunks: Sized, most: int) -> None:
    if len(chunks) >= most:
        raise ExecutionError(
            f"the stream yielded more than {most} chunks (max_chunks); those are kept: raise "
            "the class's max_chunks, or end the stream",
            retryable=False,
        )


def _closable(source: Any) -> Any:
    """An async iterator that has ``aclose``."""
    return source if hasattr(source, "aclose") else _iterate(source)


async def _iterate(source: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for chunk in source:
        yield chunk
