"""Events that run without an executor: ``event.invoke()`` and ``event.stream()``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import Any, Final
from weakref import ref

from ..errors import LionTimeoutError, OperationError
from ..model.continuation import Then
from ..model.execution import EventStatus
from ..model.unset import Unset
from ..rules.state_machine import Cause, Completion, Outcome, after_error, alone, apply
from .attempt import AttemptRunner, Guard, abandoned, chunks_of, explain, limited
from .attempt_context import RUNNING, Running
from .event import Event
from .threads import Threads

__all__ = ("run_alone", "stream_alone")

_THREADS: Final = Threads(100, "lionpride-alone")
"""Threads for events that run without an executor."""

_RUNNER: Final = AttemptRunner(_THREADS)


async def run_alone(event: Event) -> Any:
    """See ``Event.invoke``."""
    state, run = event.execution, event.__dict__.get("_solo")
    if run is None and state.status is EventStatus.PENDING and state.arrival is None:
        run = StandaloneRun(event)
    if run is not None:
        await run.join()
    elif "_solo" in event.__dict__:
        raise OperationError(
            f"{event!r} is running in event.stream(): read that stream to its end; after it, "
            "invoke() returns the chunks"
        )
    elif state.status in (EventStatus.PENDING, EventStatus.PROCESSING):
        raise OperationError(
            f"{event!r} belongs to an executor, which runs it: await executor.result(event) instead"
        )
    return None if state.response is Unset else state.response


async def stream_alone(event: Event) -> AsyncIterator[Any]:
    """See ``Event.stream``."""
    state = event.execution
    if state.status is not EventStatus.PENDING or state.arrival is not None:
        raise OperationError(
            f"{event!r} is {state.status.value} or belongs to an executor: only a pending event "
            "without an executor can stream itself; use executor.stream(event), or stream "
            "event.as_fresh_event()"
        )
    clock, running = asyncio.get_running_loop().time, _attempt_of(event)
    began, chunks = clock(), list[Any]()
    state.become(EventStatus.PROCESSING)
    state.own["_solo"] = None  # it runs, and no caller can join it
    outcome: Outcome = Completion(chunks, 0.0)
    try:
        source = limited(chunks_of(event, _THREADS), event)
        try:
            while (chunk := await _within(running, anext(source, _END))) is not _END:
                chunks.append(chunk)
                yield chunk
        finally:
            await _within(running, source.aclose())
    except BaseException as error:
        cause = Cause.TIMEOUT if isinstance(error, LionTimeoutError) else None
        cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
        outcome = alone(after_error(event, error, cause, cancelled))
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


class StandaloneRun:
    """The single run of an event without an executor, and the callers that wait for it."""

    __slots__ = ("_callers", "_done", "_event", "_guard", "_task")

    def __init__(self, event: Event) -> None:
        event.execution.become(EventStatus.PROCESSING)
        event.__dict__["_solo"] = self
        self._event = event
        self._callers = 0
        self._guard: Guard | None = None  # set when the task begins
        self._done = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    async def _run(self) -> None:
        task = asyncio.current_task()  # not `self._task`: an eager task is not made yet
        assert task is not None
        guard = self._guard = Guard(task, self._abandon)
        clock = asyncio.get_running_loop().time
        began = clock()
        RUNNING.set(_attempt_of(self._event))  # the context is this task's own
        outcome: Outcome
        try:
            response = await _RUNNER.start(self._event, self._event.__dict__, 0, guard)
            guard.over()
            if isinstance(response, Then):
                raise OperationError(
                    f"{self._event!r} returned {response!r}, and nothing can append its "
                    "continuation: append the event to an executor in place of invoke()"
                )
            outcome = Completion(response, 0.0)
        except BaseException as error:
            outcome = explain(self._event, error, guard, interrupted=False)
        outcome.duration = clock() - began
        self._record(outcome)

    def _record(self, outcome: Outcome) -> None:
        if not self._done.done():
            apply(self._event.execution, alone(outcome))
            self._event.execution.attempt_number += 1
            del self._event.__dict__["_solo"]
            self._done.set_result(None)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Record the end of a task that was cancelled before it began; else nothing is left."""
        error = asyncio.CancelledError("cancelled before it began")
        self._record(after_error(self._event, error, None, cancelled=True))

    def _abandon(self) -> None:
        """Finish the event although its code ignores its cancellation."""
        assert self._guard is not None, "it calls this"
        self._record(abandoned(self._event, self._guard))

    async def join(self) -> None:
        """Wait for the end of the run; the last caller that is cancelled cancels it."""
        self._callers += 1
        try:
            await asyncio.shield(self._done)
        except asyncio.CancelledError:
            if self._callers == 1 and not self._done.done():
                self._cancel()
                await asyncio.wait([self._done])
            raise
        finally:
            self._callers -= 1
        error = self._event.execution.error
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error

    def _cancel(self) -> None:
        """Cancel the code as an executor would: code that ignores it is abandoned."""
        if self._guard is None:
            self._task.cancel()
        else:
            self._guard.end(Cause.CALLER)
