"""Event: the base class of user-defined work. An Executor decides when an event runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Final, final
from weakref import ref

from ..errors import ConfigurationError, LionTimeoutError, OperationError
from ..model.costs import REQUEST
from ..model.event_data import Work, state_costs
from ..model.execution import EventStatus
from ..model.progress import ENTRY, Live
from ..model.retry_policy import Retry
from ..model.unset import Unset
from ..rules.lifecycle import Cause, Completion, Ending, Outcome, after_error, alone, apply
from .attempt import PATIENCE, Guard, chunks_of, collect, limited
from .attempt_context import RUNNING, Running
from .reporting import REPORT, checked_progress, report
from .threads import Threads, is_plain
from .workshop import INSIDE

__all__ = ("Event", "explain", "left_behind", "perform", "runs_in_thread")

_ALONE: Final = Threads(100, "lionpride-alone")
"""Threads for events that run without an executor."""


class Event(Work):
    """A unit of work: declare its fields, and define ``_invoke`` (or ``_stream``).

    >>> class Fetch(Event):
    ...     url: str
    ...     async def _invoke(self):
    ...         return await get(self.url)

    The return value of ``_invoke`` is the response; an exception is the error.
    ``raise Skip("reason")`` finishes the event as SKIPPED. With ``streaming=True``, the chunks of
    ``_stream`` are the response. Either method may be a plain ``def``: it runs in a thread.
    """

    retry: ClassVar[Retry | None] = None
    """The retry policy of the class; None for a single attempt."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        policy: object = cls.retry
        if policy is not None and not isinstance(policy, Retry):
            raise ConfigurationError(
                f"{cls.__qualname__}.retry must be a Retry or None, not {policy!r}"
            )

    @property
    def request(self) -> dict[str, Any]:
        """Keyword arguments for ``request_permission``; override it."""
        return {}

    @property
    def costs(self) -> Mapping[str, float]:
        """Amounts that an attempt reserves of each limit, by the limit's name; override it.

        The default is one request, and the ``required_tokens`` of its ``request`` as tokens. The
        result should depend on the fields alone: a store may read it at the append or at the claim.
        """
        tokens = self.request.get("required_tokens")
        return {"requests": 1, "tokens": tokens} if tokens else REQUEST

    @classmethod
    def has_usual_costs(cls) -> bool:
        """Return True if every event of the class costs one request, and nothing else."""
        return cls.costs is Event.costs and cls.request is Event.request

    @classmethod
    def has_own_costs(cls) -> bool:
        """Return True if the class overrides ``costs``; its ``request`` is not read then."""
        return cls.costs is not Event.costs

    if TYPE_CHECKING:  # what an override may be: async, or plain

        def _invoke(self) -> Any: ...
        def _stream(self) -> AsyncIterator[Any] | Iterator[Any]: ...

    else:

        async def _invoke(self) -> Any:
            """Do the work, and return the response; override it."""
            raise NotImplementedError(
                f"{self.class_name()} has no _invoke(): write `async def _invoke(self)`"
            )

        async def _stream(self) -> AsyncIterator[Any]:
            """Do the work chunk by chunk; override it for events with ``streaming=True``."""
            raise NotImplementedError(
                f"{self.class_name()} has no _stream(): write `async def _stream(self)` with "
                "`yield`"
            )
            yield  # makes it the generator that an override is

    @final
    def spend(self, **costs: float) -> None:
        badge = INSIDE.get()
        if badge is None or badge.thread == get_ident():
            state_costs(self, costs)
        else:  # accounts belong to the loop
            badge.call(partial(state_costs, self, costs))

    @final
    def progress(self, fraction: float | None = None, note: str = "") -> None:
        """Report the progress of the work. The event's own code calls it, from any task or thread.

        ``execution.progress`` contains the last report. ``executor.observe_progress`` receives
        every report. Displays and durable stores read it a few times a second, so frequent reports
        are cheap. A report of an event that is not running is ignored.

        Args:
            fraction: Finished share of the work, 0 to 1; None if unknown.
            note: A short text.

        Raises:
            ValidationError: if the fraction is not from 0 to 1, or the note is not a text.
        """
        report(self, checked_progress(fraction, note), REPORT.get())

    @final
    async def invoke(self) -> Any:
        """Run the event once, without an executor, with its timeout.

        Concurrent callers share one run; later callers receive its result. Errors are not raised
        but recorded in ``execution``. If one of several callers is cancelled, the run continues. If
        the last caller is cancelled, the run is cancelled too.

        Returns:
            The response; None if there is none.

        Raises:
            OperationError: if the event belongs to an executor and has not finished.
        """
        state, solo = self.execution, self.__dict__.get("_solo")
        if solo is None and state.status is EventStatus.PENDING and state.arrival is None:
            solo = Solo(self)
        if solo is not None:
            await solo.join()
        elif state.status in (EventStatus.PENDING, EventStatus.PROCESSING):
            raise OperationError(
                f"{self!r} belongs to an executor, which runs it: await "
                "executor.result(event) instead"
            )
        return None if state.response is Unset else state.response

    async def stream(self) -> AsyncIterator[Any]:
        """Run the event once, without an executor, and yield its chunks as they arrive.

        Raises:
            OperationError: if the event belongs to an executor, or has run.
        """
        state = self.execution
        if state.status is not EventStatus.PENDING or state.arrival is not None:
            raise OperationError(
                f"{self!r} is {state.status.value} or belongs to an executor: only a "
                "pending event without an executor can stream itself; use "
                "executor.stream(event), or stream event.as_fresh_event()"
            )
        clock, running = asyncio.get_running_loop().time, _attempt_of(self)
        began, chunks = clock(), list[Any]()
        state.become(EventStatus.PROCESSING)
        state.own["_solo"] = None
        outcome: Outcome = Completion(chunks, 0.0)
        try:
            source = limited(chunks_of(self, Event, _ALONE), self)
            try:
                while (chunk := await _within(running, anext(source, _END))) is not _END:
                    chunks.append(chunk)
                    yield chunk
            finally:
                await _within(running, source.aclose())
        except BaseException as error:
            cause = Cause.TIMEOUT if isinstance(error, LionTimeoutError) else None
            cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
            outcome = alone(after_error(self, error, cause, cancelled))
            raise
        finally:
            outcome.response, outcome.duration = chunks, clock() - began
            apply(state, outcome)
            del state.own["_solo"]


def _attempt_of(event: Event) -> Running:
    """Return the attempt of an event that runs without an executor, for ``current()``."""
    return ref(event), event.__dict__.get("_attempt", 0)


async def _within(running: Running, step: Awaitable[Any]) -> Any:
    """Return the result of one step of a stream; ``current()`` is set during the step."""
    token = RUNNING.set(running)
    try:
        return await step
    finally:
        with suppress(ValueError):  # the event loop is gone, and this runs in another context
            RUNNING.reset(token)


_END: Final = object()


class Solo:
    """The single run of an event without an executor, and the callers that wait for it."""

    __slots__ = ("_callers", "_done", "_event", "_guard", "_task")

    def __init__(self, event: Event) -> None:
        event.execution.become(EventStatus.PROCESSING)
        event.__dict__["_solo"] = self
        self._event = event
        self._callers = 0
        self._done = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._perform())
        self._task.add_done_callback(self._ended)

    async def _perform(self) -> None:
        task = asyncio.current_task()  # not `self._task`: an eager task is not made yet
        assert task is not None
        guard = self._guard = Guard(task, self._leave_behind)
        clock = asyncio.get_running_loop().time
        began = clock()
        RUNNING.set(_attempt_of(self._event))  # the context is this task's own
        outcome = await perform(
            self._event,
            guard,
            lambda event, error: explain(event, error, guard.over()),
            _ALONE,
            apart=runs_in_thread(type(self._event)),
        )
        outcome.duration = clock() - began
        self._record(outcome)

    def _record(self, outcome: Outcome) -> None:
        if not self._done.done():
            apply(self._event.execution, alone(outcome))
            self._event.execution.attempt_number += 1
            del self._event.__dict__["_solo"]
            self._done.set_result(None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Conclude the run; a task that was cancelled before it began has recorded nothing."""
        error = asyncio.CancelledError("cancelled before it began")
        self._record(explain(self._event, error, None))

    def _leave_behind(self) -> None:
        """Finish the event although its code ignores its cancellation."""
        self._record(left_behind(self._event, self._guard))

    async def join(self) -> None:
        """Wait for the end of the run; the last caller that is cancelled cancels it."""
        self._callers += 1
        try:
            await asyncio.shield(self._done)
        except asyncio.CancelledError:
            if self._callers == 1 and not self._done.done():
                self._task.cancel()
                await asyncio.wait([self._task], timeout=PATIENCE)
            raise
        finally:
            self._callers -= 1
        error = self._event.execution.error
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error


def runs_in_thread(kind: type[Event]) -> bool:
    """Return True if the present ``_invoke`` of a class is a plain function."""
    code = kind._invoke
    try:
        return _is_plain(code)
    except TypeError:  # it cannot be hashed
        return is_plain(code)


_is_plain: Final = lru_cache(maxsize=1024)(is_plain)


async def perform(
    event: Event,
    guard: Guard,
    explained: Callable[[Event, BaseException], Ending],
    threads: Threads,
    *,
    apart: bool,
    share: Callable[[Work, int], None] | None = None,
) -> Outcome:
    """Run an event's code under its timeout, and return its outcome without the duration.

    Args:
        event: The event.
        guard: The object that can cancel this task.
        explained: Returns the meaning of an exception, once the attempt is over.
        threads: Threads for code that is not async.
        apart: True if its ``_invoke`` is not async.
        share: Publishes a running stream to other processes.
    """
    chunks: list[Any] | None = None
    outcome: Outcome
    try:
        if event.timeout is not None:
            guard.limit(event.timeout)
        if event.streaming:
            chunks = guard.chunks = []
            response: Any = await _streamed(event, chunks, threads, share)
        elif apart:
            response = await threads.call(event._invoke, event)
        else:
            response = await event._invoke()
    except BaseException as error:
        outcome = explained(event, error)
        if chunks:
            outcome.response = chunks
    else:
        guard.over()
        outcome = Completion(response, 0.0)
    return outcome


async def _streamed(
    event: Event,
    chunks: list[Any],
    threads: Threads,
    share: Callable[[Work, int], None] | None,
) -> list[Any]:
    """Run an event's stream to its end; readers can follow its chunks at the same time."""
    own = event.__dict__
    live = Live.of(own)
    live.begin(own.get("_attempt", 0), chunks)
    if share is not None:
        share(event, live.attempt)
    try:
        return await collect(chunks_of(event, Event, threads), live, chunks, event.max_chunks)
    finally:
        if live.chunks is chunks and not live.bells and live.progress is None:
            own.pop(ENTRY, None)  # nobody waits there; who reads has the list itself


def explain(event: Event, error: BaseException, cause: Cause | None) -> Ending:
    """Return the outcome of an attempt that ended with an exception, without the engine's frame."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next
    return after_error(event, error, cause, isinstance(error, asyncio.CancelledError))


def left_behind(event: Event, guard: Guard) -> Ending:
    """Return the outcome of an event whose code ignores its cancellation; its chunks are kept."""
    error = asyncio.CancelledError("ignored its cancellation, and was abandoned")
    outcome = after_error(event, error, guard.cause, cancelled=True)
    if guard.chunks:
        outcome.response = list(guard.chunks)
    return outcome
