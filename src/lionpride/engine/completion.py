"""Completion: waits for events, and returns their results, chunks and progress."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Coroutine, Iterable
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar, cast

from ..errors import ExecutionError, NotFoundError, OperationError, ValidationError
from ..model.collections.container import IdLike
from ..model.continuation import ContinuedBy
from ..model.event_data import EventData
from ..model.execution import TERMINAL, EventStatus
from ..model.progress import Progress
from ..model.unset import Unset
from ..stores.contract import ImmediatePath, Store, has_live_workers
from ..stores.listeners import Signal
from .completion_queue import CompletionQueue
from .event import Event
from .event_lookup import find_event
from .map import MapRun
from .progress_reader import ProgressReader
from .stream_reader import StreamReader, check_on_restart

__all__ = ("CompletionService", "Returns", "ReturnsPlainly")

E = TypeVar("E", bound=Event)
R_co = TypeVar("R_co", covariant=True)

_PATIENCE: Final = 5.0
"""Seconds that ``result`` waits before it checks whether a worker runs the event."""

_BATCH: Final = 100
"""Events that ``map`` removes from a durable store in one transaction."""

logger = logging.getLogger("lionpride")


class Returns(Protocol[R_co]):
    """An event whose ``_invoke`` is async, for the type of its result."""

    def _invoke(self) -> Coroutine[Any, Any, R_co]: ...


class ReturnsPlainly(Protocol[R_co]):
    """An event whose ``_invoke`` is a plain function, for the type of its result."""

    def _invoke(self) -> R_co: ...


class CompletionService:
    """Returns what the events of an executor result in, when they finish or while they run.

    Args:
        store: The store of the events.
        is_working: Returns True while the executor's own worker runs.
        slots: Returns the number of events that may run at once.
    """

    def __init__(
        self, store: Store, is_working: Callable[[], bool], slots: Callable[[], int]
    ) -> None:
        self._store = store
        self._is_working = is_working
        self._slots = slots
        self._has_warned = False

    # -- one event ---------------------------------------------------------------------------

    async def result(self, event: Event | IdLike) -> Any:
        """Wait until an event has finished, and return its response; see ``Executor.result``."""
        return response_of(await self.finished(event))

    async def finished(self, event: Event | IdLike) -> Event:
        """Wait until an event, or the last one that continues it, has finished, and return that.

        Raises:
            NotFoundError: if it is unknown, or was removed.
        """
        while True:
            held = await find_event(self._store, event)
            state = held.execution
            while state.arrival is not None and state.status not in TERMINAL:
                await self._next_finish(held)
            if state.status not in TERMINAL:
                raise NotFoundError(f"{held!r} was removed before it finished")
            if not isinstance(state.response, ContinuedBy):
                return held
            event = state.response.id

    async def _next_finish(self, event: Event) -> None:
        """Return when an event may have finished; it may have been retried since."""
        finished = asyncio.Event()
        unsubscribe = self._store.subscribe(Signal.FINISHED, finished.set, event=event, once=True)
        try:
            if not self._is_working():
                await self._warn_if_idle(finished, event)
            await finished.wait()
        finally:
            unsubscribe()

    async def _warn_if_idle(self, finished: asyncio.Event, event: Event) -> None:
        """Warn, once, if nothing can run an event after some seconds of waiting for it."""
        if self._has_warned or self._store.is_shared:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await finished.wait()
                return
        if await has_live_workers(self._store) or self._has_warned:
            return
        self._has_warned = True
        logger.warning(
            "result() waits for %r, and nothing is running it: use `async with executor:`, run "
            "processor.execute() in a task, or call forward()",
            event,
        )

    async def stream(
        self,
        event: Event | IdLike,
        cancel: Callable[[Event], Awaitable[object]] | None,
        on_restart: Callable[[], object] | None,
    ) -> AsyncGenerator[Any, None]:
        """Yield the chunks of an event; see ``Executor.stream``.

        Args:
            event: The event or its id.
            cancel: Cancels the event, if the reader ends before it; None to leave it running.
            on_restart: Called when a new attempt begins after chunks were yielded.
        """
        check_on_restart(on_restart)
        held = await find_event(self._store, event)
        reader = StreamReader(self._store, held, on_restart)
        try:
            async with aclosing(reader.chunks()) as chunks:
                async for chunk in chunks:
                    yield chunk
        except (GeneratorExit, asyncio.CancelledError):
            if cancel is not None:
                with suppress(NotFoundError):  # it was removed since
                    await cancel(held)
            raise
        response_of(held)

    async def progress(self, event: Event | IdLike) -> AsyncGenerator[Progress, None]:
        """Yield the progress reports of an event; see ``Executor.progress``."""
        reports = ProgressReader(self._store, await find_event(self._store, event)).reports()
        async with aclosing(reports):
            async for report in reports:
                yield report

    # -- many events -------------------------------------------------------------------------

    async def as_completed(self, events: Iterable[Any]) -> AsyncGenerator[Any, None]:
        """Yield events as they finish; see ``Executor.as_completed``."""
        _check_iterable("as_completed()", events)
        completions = CompletionQueue(self._store)
        try:
            for event in events:
                completions.add(await find_event(self._store, event))
            while len(completions):
                if (pending := completions.next()) is None:
                    await completions.wait()
                else:
                    yield pending.result()
        finally:
            completions.close()

    async def map(
        self,
        events: Iterable[E] | AsyncIterable[E],
        append: Callable[[Any], Awaitable[Event]],
        remove: Callable[[Event], Awaitable[Event]],
        *,
        ordered: bool,
        buffersize: int | None,
        keep: bool | None,
    ) -> AsyncGenerator[E, None]:
        """Append events on demand, and yield each when it has finished; see ``Executor.map``.

        Args:
            events: The source.
            append: Appends an event when there is space.
            remove: Removes a finished event.
            ordered: See ``Executor.map``.
            buffersize: See ``Executor.map``.
            keep: See ``Executor.map``.
        """
        size = self._checked_buffersize(buffersize)
        _check_iterable("map()", events)
        if keep is None:
            keep = self._store.is_shared
        done: list[Event] = []
        batch = _BATCH if self._store.is_shared else 1
        run = MapRun(
            events,
            append,
            CompletionQueue(self._store),
            ordered=ordered,
            size=size,
            overlap=not isinstance(self._store, ImmediatePath),
        )
        try:
            while (event := await run.next()) is not None:
                yield cast("E", event)
                if not keep:
                    done.append(event)
                    if len(done) >= batch:
                        await _remove_finished(done, remove)
        finally:
            await run.close()
            await _remove_finished(done, remove)

    def _checked_buffersize(self, given: object) -> int:
        if given is None:
            return 2 * self._slots()
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise ValidationError(
                f"buffersize must be a whole number from 1 up, not {given!r}: None is twice as "
                "many as may run at once"
            )
        return given


async def _remove_finished(
    events: list[Event], remove: Callable[[Event], Awaitable[Event]]
) -> None:
    """Remove the events of a list that are still here and finished, and empty the list."""

    async def remove_quietly(event: Event) -> None:
        with suppress(NotFoundError, OperationError):  # another caller removed or retried it
            await remove(event)

    finished = [each for each in events if each.execution.status in TERMINAL]
    events.clear()
    if len(finished) == 1:
        await remove_quietly(finished[0])
    else:  # all at once, so that they share a commit
        await asyncio.gather(*map(remove_quietly, finished))


def _check_iterable(method: str, events: object) -> None:
    """Refuse a single event (a model is iterable), and arguments that are not iterable."""
    if isinstance(events, EventData | str) or not isinstance(events, Iterable | AsyncIterable):
        raise TypeError(f"{method} takes several events, not {events!r}: give a list of them")


def response_of(held: Event) -> Any:
    """Return the response of a finished or removed event, or raise its error, for ``result``."""
    state = held.execution
    if state.status is EventStatus.COMPLETED:
        return None if state.response is Unset else state.response
    if state.status not in TERMINAL:
        raise NotFoundError(f"{held!r} was removed before it finished")
    if isinstance(state.error, Exception):
        raise state.error.with_traceback(_recorded(held, state.error))
    cause = state.error if isinstance(state.error, BaseException) else None
    raise ExecutionError(f"{held!r} ended {state.status.value}: {cause!r}", cause=cause)


def _recorded(held: Event, error: Exception) -> TracebackType | None:
    """Return the traceback of an event's error, without the frames of earlier ``result`` calls.

    Otherwise those frames would pile up, and their objects would live as long as the event. The
    frame of another event's ``result`` stays: the error reached this event through it.
    """
    trace = own = error.__traceback__
    while trace is not None:
        frame, trace = trace.tb_frame, trace.tb_next
        if frame.f_code is response_of.__code__ and frame.f_locals.get("held") is held:
            own = trace
    return own
