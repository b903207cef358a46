"""One attempt: the code of an event runs once, and its end is returned as an outcome."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sized
from contextlib import aclosing
from functools import lru_cache
from typing import Any, Final, TypeAlias

from ..errors import ExecutionError, LionTimeoutError
from ..model.event_data import EventData
from ..model.progress import ENTRY, Live
from ..rules.state_machine import RELEASED, Cause, Ending, after_error
from .event import Event
from .threads import Threads, is_plain

__all__ = (
    "INSISTENCE",
    "PATIENCE",
    "SLICE",
    "AttemptRunner",
    "Guard",
    "abandoned",
    "chunks_of",
    "explain",
    "limited",
)

PATIENCE: Final = 1.0
"""Seconds between two cancellations of code that does not end when it is cancelled."""

INSISTENCE: Final = 3
"""Number of cancellations that code may ignore; then it is abandoned, and its event is settled."""

SLICE: Final = 0.001
"""Seconds for which events that never wait may keep the event loop from other tasks."""

Publish: TypeAlias = Callable[[EventData, int], None]
Holds: TypeAlias = Callable[[EventData, int], bool]


class Guard:
    """Cancels a task when its event has to end, and stores the cause.

    Args:
        task: The task that runs the code of the event.
        abandon: Called when that code has ignored ``INSISTENCE`` cancellations.

    Attributes:
        cause: Why the attempt was ended; None if it was not.
        chunks: The chunks of a stream so far, for an outcome without the end of the code.
        is_used: True if ``over`` has something to reset.
    """

    __slots__ = ("_abandon", "_ignored", "_timer", "cause", "chunks", "is_used", "task")

    def __init__(self, task: asyncio.Task[Any], abandon: Callable[[], None]) -> None:
        self.task = task
        self.cause: Cause | None = None
        self.chunks: list[Any] | None = None
        self.is_used = False
        self._abandon = abandon
        self._ignored = 0
        self._timer: asyncio.TimerHandle | None = None

    def limit(self, timeout: float) -> None:
        """End the attempt ``timeout`` seconds from now, unless it is being ended already."""
        self.is_used = True
        if self.cause is None:  # else the timer cancels code that ignores its cancellation
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(timeout, self.end, Cause.TIMEOUT)

    def follow(self) -> list[Any]:
        """Return the list for the chunks of a stream that begins."""
        self.is_used = True
        self.chunks = []
        return self.chunks

    def end(self, cause: Cause) -> None:
        """End the attempt now. The first cause counts, except that a cancel replaces INTERRUPT."""
        self.is_used = True
        if self.cause is None:
            self.cause = cause
            self._insist()
        elif self.cause is Cause.INTERRUPT and cause is Cause.CANCEL:
            self.cause = cause  # the attempt is ending already, and must not return to pending

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
        """Reset the guard at the end of an attempt; return why the attempt was ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        cause, self.cause, self._ignored, self.chunks = self.cause, None, 0, None
        self.is_used = False
        return cause


class LeaseLost(Exception):
    """The claim of an event has lapsed before its start: another process may run the event."""


class AttemptRunner:
    """Starts the code of events: in the calling task, in a thread, or as a stream.

    Args:
        threads: Threads for code that is not async.
        publish: Publishes a running stream to other processes; None if there are none.
        holds: Returns False if the claim of an event has lapsed; None if claims cannot lapse.
        checks_request: True to refuse an event whose ``request`` is not a mapping, as an admission
            check would.
    """

    def __init__(
        self,
        threads: Threads,
        *,
        publish: Publish | None = None,
        holds: Holds | None = None,
        checks_request: bool = False,
    ) -> None:
        self._threads = threads
        self._publish = publish
        self._holds = holds
        self._checks_request = checks_request
        # The code of each class, and whether it runs in a thread. Other code may replace it.
        self._known: dict[type[Event], tuple[Any, bool]] = {}

    def start(
        self, event: Event, own: dict[str, Any], attempt: int, guard: Guard
    ) -> Awaitable[Any]:
        """Return an awaitable that runs the code of an event within its timeout.

        Its result is the response. After an exception, ``explain`` returns the outcome.

        Args:
            event: The event.
            own: Its ``__dict__``.
            attempt: Its attempt number.
            guard: Ends the attempt, and has the chunks of a stream.

        Raises:
            LeaseLost: if the claim has lapsed.
            Exception: what the event's ``request`` raises.
        """
        if self._holds is not None and not self._holds(event, attempt):
            raise LeaseLost
        code: Any = event._invoke
        try:
            function = code.__func__
        except AttributeError:  # a static method, or a function of this event
            function = code
        known = self._known.get(type(event))
        if known is None or known[0] is not function:
            known = self._look_at(event, function)
        if own["timeout"] is not None:
            guard.limit(own["timeout"])
        if own["streaming"]:
            return self._stream(event, guard.follow())
        if known[1]:
            return self._threads.call(code, event)
        return code()  # type: ignore[no-any-return]

    def _look_at(self, event: Event, function: Any) -> tuple[Any, bool]:
        """Return the code of an event, and True if it runs in a thread.

        Raises:
            Exception: what the event's ``request`` raises.
            TypeError: if its ``request`` is not a mapping.
        """
        kind, known = type(event), (function, _is_plain(function))
        if not self._checks_request or kind.request is Event.request:
            self._known[kind] = known
        elif not isinstance(event.request, Mapping):
            raise TypeError(f"request must be a mapping, not {event.request!r}")
        return known

    async def _stream(self, event: Event, chunks: list[Any]) -> list[Any]:
        """Run a stream to its end; readers can follow its chunks at the same time."""
        own = event.__dict__
        live = Live.of(own)
        live.begin(own.get("_attempt", 0), chunks)
        if self._publish is not None:
            self._publish(event, live.attempt)
        try:
            source = chunks_of(event, self._threads)
            return await _collect(source, live, chunks, event.max_chunks)
        finally:
            if live.chunks is chunks and not live.listeners and live.progress is None:
                own.pop(ENTRY, None)  # no reader waits there, and the response has the chunks


def _is_plain(function: Any) -> bool:
    """Return True if a function is not async."""
    try:
        return _is_plain_function(function)
    except TypeError:  # it cannot be hashed
        return is_plain(function)


_is_plain_function: Final = lru_cache(maxsize=1024)(is_plain)


def explain(event: Event, error: BaseException, guard: Guard, *, interrupted: bool) -> Ending:
    """Return the outcome of an attempt that ended with an exception, and reset its guard.

    Args:
        event: The event.
        error: The exception. The frame of the caller is removed from its traceback.
        guard: The guard of the attempt.
        interrupted: True if the process is shutting down, and cancels its tasks.
    """
    chunks, cause = guard.chunks, guard.over()
    if isinstance(error, LeaseLost):
        return RELEASED
    is_cancelled = isinstance(error, asyncio.CancelledError)
    if cause is None and is_cancelled and interrupted:
        cause = Cause.INTERRUPT
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
    outcome = after_error(event, error, cause, is_cancelled)
    if chunks:
        outcome.response = chunks
    return outcome


def abandoned(event: Event, guard: Guard) -> Ending:
    """Return the outcome of an event whose code ignores its cancellation; its chunks are kept."""
    error = asyncio.CancelledError("ignored its cancellation, and was abandoned")
    outcome = after_error(event, error, guard.cause, cancelled=True)
    if guard.chunks:
        outcome.response = list(guard.chunks)
    return outcome


@lru_cache(maxsize=1024)
def _source(kind: type[Event]) -> tuple[str | None, bool]:
    """Return the name of the method that yields the chunks of a class, the first that is its own.

    The second value is True if it is a plain generator, which runs in a thread.
    """
    for name in ("stream", "_stream", "_invoke"):
        method = getattr(kind, name)
        if method is not getattr(Event, name):
            plain = inspect.isgeneratorfunction(method)
            if name != "_invoke" or plain or inspect.isasyncgenfunction(method):
                return name, plain
    return None, False


def chunks_of(event: Event, threads: Threads) -> AsyncIterator[Any]:
    """Return the chunks of a streaming event, from its own code.

    Args:
        event: The event.
        threads: Threads for a plain generator.

    Raises:
        NotImplementedError: if the class has no generator.
        TypeError: if the method returns something else.
    """
    name, plain = _source(type(event))
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


async def _collect(
    source: AsyncIterator[Any], live: Live, chunks: list[Any], most: int
) -> list[Any]:
    """Append each chunk of ``source`` to ``chunks``; close the source in any case.

    Args:
        source: The code of the event.
        live: Notifies the readers.
        chunks: The list.
        most: The maximum number of chunks.

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
            if live.listeners:
                live.notify()
            if clock() > turn:
                await asyncio.sleep(0)
                turn = clock() + SLICE
    return chunks


async def limited(source: AsyncIterator[Any], event: Event) -> AsyncGenerator[Any, None]:
    """Yield the chunks of ``source`` while the event's timeout and ``max_chunks`` allow.

    The time between two reads counts. The source is cancelled, never the reader.

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
    """Return an async iterator that has ``aclose``."""
    return source if hasattr(source, "aclose") else _iterate(source)


async def _iterate(source: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for chunk in source:
        yield chunk
