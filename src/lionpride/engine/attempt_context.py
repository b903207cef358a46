"""The context of the running attempt, which user code reads with ``current()``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextvars import ContextVar
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from weakref import ref

from ..errors import OperationError
from ..model.event_data import state_costs
from ..model.execution import EventStatus
from .reporting import REPORT, checked_progress, report

if TYPE_CHECKING:
    from .event import Event
    from .executor import Executor

__all__ = ("RUNNING", "WORKER", "AttemptContext", "Running", "WorkerHandle", "current")

T = TypeVar("T")

Running: TypeAlias = tuple[ref["Event"], int]

RUNNING: Final[ContextVar[Running | None]] = ContextVar("lionpride_attempt", default=None)
"""The event whose code runs, and its attempt number; None outside of an attempt.

The engine sets a new value for each attempt. A task that the code starts keeps the value of its
own attempt. The reference to the event is weak: timers and connections that the code creates keep
its context variables for as long as they exist.
"""


ANSWER_TIME: Final = 30.0
"""Seconds for which a thread waits for the event loop, which may be waiting for that thread."""


class WorkerHandle:
    """Identifies the worker that runs the calling code; tasks and threads of the code inherit it.

    A task of an event may outlive the worker, so the handle does not keep the worker alive.

    Args:
        mark: The ``mark`` of the runtime.
        loop: The event loop of the worker.
        executor: Returns the executor, while it exists; else None.

    Attributes:
        thread: The thread of that loop, in which the handle is made.
    """

    __slots__ = ("executor", "loop", "mark", "thread")

    def __init__(
        self, mark: object, loop: asyncio.AbstractEventLoop, executor: Callable[[], Any]
    ) -> None:
        self.mark = mark
        self.loop = loop
        self.executor = executor
        self.thread = get_ident()

    def call(self, function: Callable[[], T]) -> T:
        """Call a function in the event loop of the worker, from any thread; return its result.

        Raises:
            RuntimeError: if the loop is closed.
            OperationError: if the loop has not called it after ``ANSWER_TIME`` seconds.
        """
        try:
            is_here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            is_here = False
        if is_here:
            return function()
        answer: Future[T] = Future()

        def call() -> None:
            if not answer.set_running_or_notify_cancel():
                return
            try:
                answer.set_result(function())
            except Exception as error:
                answer.set_exception(error)

        self.loop.call_soon_threadsafe(call)
        try:
            return answer.result(ANSWER_TIME)
        except TimeoutError:
            if not answer.cancel():  # the loop calls it now, or the function has raised this error
                return answer.result()
        raise OperationError(
            f"spend(): the event loop was blocked for {ANSWER_TIME:g} s, so the costs are not "
            "recorded: do not wait for a thread in async code with thread.join() or "
            "future.result(); await asyncio.to_thread(...) instead"
        )


WORKER: Final[ContextVar[WorkerHandle | None]] = ContextVar("lionpride_worker", default=None)
"""The worker that runs the calling code; None outside of events."""


class AttemptContext:
    """Context of one attempt of an event.

    It belongs to the attempt alone. In a task or a thread that outlives the attempt, its methods
    raise OperationError.

    Args:
        event: The event that runs.
        attempt_number: The number of this attempt; a retry has the next one.
        worker: Identifies the worker; None if the event runs without an executor.
    """

    __slots__ = ("_event", "_pass_on", "_worker", "attempt_number")

    def __init__(self, event: Event, attempt_number: int, worker: WorkerHandle | None) -> None:
        self._event = event
        self._worker = worker
        self._pass_on = REPORT.get()  # a thread that the code starts may have no context variables
        self.attempt_number = attempt_number

    @property
    def event(self) -> Event:
        """The event that runs."""
        return self._event

    @property
    def executor(self) -> Executor:
        """The executor that runs the event.

        Raises:
            OperationError: if the event runs without an executor, or the executor is gone.
        """
        found = None if self._worker is None else self._worker.executor()
        if found is None:
            raise OperationError(
                f"{self._event!r} runs without an executor: append it to an executor to use "
                "current().executor"
            )
        executor: Executor = found
        return executor

    @property
    def resources(self) -> Any:
        """The value that the ``lifespan`` of the executor yielded, such as an HTTP client.

        Raises:
            OperationError: if the executor has no ``lifespan``, or there is no executor.
        """
        processor = self.executor.processor
        lifespan = None if processor is None else processor.lifespan
        if lifespan is None:
            raise OperationError(
                "current().resources needs a lifespan: give the executor one, as in "
                "Executor.of(..., lifespan=open_client)"
            )
        if not lifespan.is_open:
            raise OperationError(
                "current().resources: the lifespan of the executor has ended; await the tasks that "
                "an event starts before it returns"
            )
        return lifespan.value

    @property
    def is_over(self) -> bool:
        """True once the attempt has been settled."""
        state = self._event.execution
        return (
            state.status is not EventStatus.PROCESSING
            or self._event.__dict__.get("_attempt", 0) != self.attempt_number
        )

    def parents(self) -> AsyncGenerator[Event, None]:
        """Yield the events that this event was appended ``after``, in the given order.

        They are read from the store in pages. Parents that were removed are missing.

        >>> texts = [page.response async for page in current().parents()]

        Raises:
            OperationError: if the event runs without an executor, or the attempt is over.
            NotFoundError: if this process has not defined the class of a parent.
        """
        from .event_lookup import parent_events  # late: it imports Event, which imports this module

        self._check_runs("parents")
        return parent_events(self.executor.store, self._event.id)

    def report_progress(self, fraction: float | None = None, note: str = "") -> None:
        """Report the progress of the work, as often as you like, from any task or thread.

        ``event.execution.progress`` contains the last report. ``executor.observe_progress``
        receives every report. A durable store publishes the last report a few times a second.

        Args:
            fraction: Finished share of the work, 0 to 1; None if unknown.
            note: A short text.

        Raises:
            ValidationError: if the fraction is not from 0 to 1, or the note is not a text.
            OperationError: if the attempt is over.
        """
        progress = checked_progress(fraction, note)
        self._check_runs("report_progress")
        report(self._event, progress, self._pass_on)

    def spend(self, **costs: float) -> None:
        """State the total costs of the attempt so far, by the names of limits.

        If the reservation was higher, the rest is returned to the limit. If it was lower, the
        excess is taken from the limit. Names without a limit are ignored.

        >>> current().spend(tokens=reply.usage.total_tokens)

        Args:
            **costs: Amounts >= 0.

        Raises:
            ValidationError: for an amount that is not a finite number >= 0.
            OperationError: if the attempt is over, or in a thread: if the event loop is blocked.
        """
        worker = self._worker
        if worker is None or worker.thread == get_ident():
            self._spend(costs)
        else:  # limits belong to the thread of the event loop
            worker.call(partial(self._spend, costs))

    def _spend(self, costs: dict[str, float]) -> None:
        self._check_runs("spend")
        state_costs(self._event, costs)

    def _check_runs(self, method: str) -> None:
        if self.is_over:
            raise OperationError(
                f"{method}() of attempt {self.attempt_number} of {self._event!r}: the attempt is "
                "over; await the tasks that an event starts before it returns"
            )


def current() -> AttemptContext:
    """Return the context of the running attempt.

    Call it in ``_invoke`` or ``_stream``, in a function decorated with ``@job``, or in a task that
    one of these has started. ``asyncio.to_thread`` carries it into a thread. A ``threading.Thread``
    needs it as an argument, or ``contextvars.copy_context().run`` as its target.

    Raises:
        OperationError: outside of an attempt; or if the attempt is over and its event is gone.
    """
    running = RUNNING.get()
    if running is None:
        raise OperationError(
            "current() was called outside of an attempt: call it in _invoke() or _stream() of an "
            "event, or in a function under @job"
        )
    event, attempt_number = running[0](), running[1]
    if event is None:
        raise OperationError(
            f"current() was called after attempt {attempt_number} of an event that is gone: await "
            "the tasks that an event starts before it returns"
        )
    return AttemptContext(event, attempt_number, WORKER.get())
