"""Event: the base class of user-defined work. An Executor decides when an event runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, final

from ..errors import ConfigurationError
from ..model.costs import REQUEST
from ..model.event_data import EventData, state_costs
from ..model.recurrence import Rule
from ..model.retry_policy import Retry
from ..model.schedule import Schedule
from .attempt_context import WORKER
from .declared_schedules import declare_schedules
from .reporting import REPORT, checked_progress, report

__all__ = ("Event",)


class Event(EventData):
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

    def __init_subclass__(
        cls, *, schedules: Mapping[str, Rule | Schedule] | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(**kwargs)  # `schedules` is read when the class is complete

    @classmethod
    def __pydantic_init_subclass__(
        cls, *, schedules: Mapping[str, Rule | Schedule] | None = None, **kwargs: Any
    ) -> None:
        """Note the options of the class statement.

        Args:
            schedules: Schedules that executors of this class make when they start, by name. They
                append an event with the defaults of its fields.
            **kwargs: For pydantic.

        Raises:
            ConfigurationError: if the retry policy or a schedule is invalid.
        """
        super().__pydantic_init_subclass__(**kwargs)
        policy: object = cls.retry
        if policy is not None and not isinstance(policy, Retry):
            raise ConfigurationError(
                f"{cls.__qualname__}.retry must be a Retry or None, not {policy!r}"
            )
        if schedules is not None:
            declare_schedules(cls, schedules)

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
        worker = WORKER.get()
        if worker is None or worker.thread == get_ident():
            state_costs(self, costs)
        else:  # limits belong to the thread of the event loop
            worker.call(partial(state_costs, self, costs))

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
        from .standalone import run_alone  # late: it runs events, and imports this module

        return await run_alone(self)

    def stream(self) -> AsyncIterator[Any]:
        """Run the event once, without an executor, and yield its chunks as they arrive.

        Raises:
            OperationError: if the event belongs to an executor, or has run.
        """
        from .standalone import stream_alone  # late: as above

        return stream_alone(self)
