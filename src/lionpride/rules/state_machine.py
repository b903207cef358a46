"""Transitions between the statuses of an event, and the outcome of each ending of an attempt.

::

                      +---------- requeued: FAILED, CANCELLED, ABORTED -----------+
                      v                                                           |
    (append) --> PENDING --> PROCESSING --> COMPLETED | FAILED | CANCELLED | SKIPPED
                   |  ^          |
                   |  +----------+  interrupted, retried: back to PENDING, on record
                   |
                   +--> PENDING (denied, released) | ABORTED (denied too often) |
                        CANCELLED (while it waited, or its ttl was over) |
                        FAILED, SKIPPED (request_permission raised)

A final status changes only by ``executor.retry``, which makes another attempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias
from uuid import UUID

from ..errors import (
    AccessError,
    EventCancelledError,
    ExecutionError,
    LionTimeoutError,
    OperationError,
    RateLimited,
    Skip,
    ValidationError,
)
from ..model.after import After
from ..model.attempts import Attempt, and_this
from ..model.continuation import ContinuedBy
from ..model.event_data import EventData
from ..model.execution import TERMINAL, EventStatus, Execution
from ..model.finite import is_finite
from ..model.retry_policy import flag_of
from ..model.serialization.codec import safe_repr
from ..model.unset import MaybeUnset, Unset, UnsetType

__all__ = (
    "FOR_EVER",
    "MAX_DENIALS",
    "MAX_INTERRUPTIONS",
    "ON_REQUEST",
    "RELEASED",
    "RETRYABLE",
    "TRANSITIONS",
    "Cause",
    "Completion",
    "Continued",
    "Defer",
    "Ending",
    "Outcome",
    "Pause",
    "after_cancel",
    "after_denial",
    "after_error",
    "after_expiry",
    "after_interruption",
    "after_unstorable",
    "alone",
    "apply",
    "cancelled_while_waiting",
    "check",
    "check_retryable",
    "is_by_hand",
    "is_retryable",
    "requeue",
)

_S = EventStatus

RETRYABLE: Final = frozenset({_S.FAILED, _S.CANCELLED, _S.ABORTED})
"""The statuses that ``executor.retry`` accepts."""

TRANSITIONS: Final[dict[EventStatus, frozenset[EventStatus]]] = {
    _S.PENDING: frozenset(EventStatus) - {_S.COMPLETED},
    _S.PROCESSING: frozenset({_S.PENDING, *(TERMINAL - {_S.ABORTED})}),
    **{status: frozenset({_S.PENDING}) for status in RETRYABLE},
    _S.COMPLETED: frozenset(),
    _S.SKIPPED: frozenset(),
}
"""The statuses that may follow each status. PENDING to PENDING is a denial or a release."""

MAX_DENIALS: Final = 3
"""Number of denials that aborts an event."""

MAX_INTERRUPTIONS: Final = 20
"""Maximum number of interruptions; with more the event is FAILED, as it may crash its workers."""


ON_REQUEST: Final = "cancelled on request"
"""Start of the error message of an event that was cancelled by a call, a command or a page."""


class Cause(Enum):
    """Why the engine cancelled an attempt.

    CALLER: the event runs without an executor, and the last caller of ``invoke`` was cancelled.
    """

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    INTERRUPT = "interrupt"
    CALLER = "caller"


@dataclass(frozen=True, slots=True)
class Defer:
    """Result of ``request_permission``: ask again later, without a denial.

    Args:
        seconds: Wait before the next check, in seconds; other events are not delayed.

    Raises:
        ValidationError: if it is not a finite number >= 0.
    """

    seconds: float

    def __post_init__(self) -> None:
        value: object = self.seconds
        if not is_finite(value) or self.seconds < 0:
            raise ValidationError(
                f"Defer takes a number of seconds from 0 up, not {safe_repr(value)}"
            )


class Pause(NamedTuple):
    """A pause that a service has asked for.

    Attributes:
        limit: The name of the limit; None, or an unknown name, for the whole queue.
        seconds: Length of the pause.
    """

    limit: str | None
    seconds: float


class Completion:
    """Outcome of a successful attempt; it costs half as much to make as an ``Ending``."""

    __slots__ = ("duration", "response")

    status: ClassVar = EventStatus.COMPLETED
    error: ClassVar = None
    retryable: ClassVar = False

    def __init__(self, response: Any, duration: float) -> None:
        self.response = response
        self.duration = duration

    def __repr__(self) -> str:
        return f"Completion({self.response!r}, {self.duration!r})"


class Continued(Completion):
    """Outcome of an attempt that another event continues.

    Args:
        entries: The continuation, the last one, and its new parents, each with its priority. They
            are appended in the transaction that records the outcome.
        after: The dependencies among them, by the id of the child.
        duration: Seconds that the attempt took.
    """

    __slots__ = ("after", "entries")

    def __init__(
        self,
        entries: Sequence[tuple[EventData, float]],
        after: Mapping[UUID, After],
        duration: float,
    ) -> None:
        super().__init__(ContinuedBy(entries[-1][0].id), duration)
        self.entries = entries
        self.after = after


@dataclass(slots=True)
class Ending:
    """Outcome of any other attempt or claim.

    Attributes:
        status: A final status, or PENDING.
        response, error, duration, retryable: As in ``Execution``.
        delay: If PENDING, seconds before the event may be claimed again.
        denials, tries, interruptions: Added to the counters.
        pause: A pause of a limit or of the queue; None for none.
        attempt: The record of a failed attempt; None for none.
        expires: If PENDING, the latest start; Unset leaves the recorded one.
    """

    status: EventStatus
    response: MaybeUnset[Any] = Unset
    error: MaybeUnset[BaseException | None] = Unset
    duration: MaybeUnset[float] = Unset
    retryable: MaybeUnset[bool] = Unset
    delay: float | None = None
    denials: int = 0
    tries: int = 0
    interruptions: int = 0
    pause: Pause | None = None
    attempt: Attempt | None = None
    expires: MaybeUnset[float | None] = Unset


Outcome: TypeAlias = Completion | Ending
"""Outcome of a claim."""

FOR_EVER: Final = 253_402_300_799.0
"""End of a pause without a time: the end of the year 9999, as a Unix timestamp."""

RELEASED: Final = Ending(EventStatus.PENDING)
"""Outcome of a claim that was not started: the event is pending as before."""


def check(before: EventStatus, after: EventStatus) -> None:
    """Check that a status may follow another.

    Raises:
        OperationError: if not; the message names both, and the statuses that may follow.
    """
    if after not in TRANSITIONS[before]:
        ways = ", ".join(sorted(TRANSITIONS[before])) or "nothing: it is final"
        raise OperationError(f"{before.value} cannot become {after.value}; from there: {ways}")


def apply(execution: Execution, outcome: Outcome) -> None:
    """Write an outcome on an event's execution.

    Raises:
        OperationError: if the status may not follow; nothing is written then.
    """
    status = outcome.status
    check(execution.status, status)
    execution.become(status)
    if isinstance(outcome, Completion) or status is not _S.PENDING:
        execution.response = outcome.response
        execution.duration = outcome.duration
        execution.error = outcome.error
        execution.retryable = outcome.retryable
    elif outcome.error is not Unset:  # a retry keeps the last error on record
        execution.error = outcome.error
        execution.duration = outcome.duration
    if isinstance(outcome, Ending):
        execution.failure_count += outcome.tries
        execution.denials += outcome.denials
        execution.interruptions += outcome.interruptions
        if outcome.attempt is not None:
            own = execution.own
            own["_attempts"] = and_this(own.get("_attempts", ()), outcome.attempt)
        if not isinstance(outcome.expires, UnsetType):
            execution.expires = outcome.expires
        elif not execution.failure_count and (outcome.interruptions or outcome.error is not Unset):
            execution.expires = None  # the ttl holds for the first start only


def check_retryable(execution: Execution) -> None:
    """Check that an event can be retried.

    Raises:
        OperationError: if not; the message names its status, and those that can be retried.
    """
    if execution.status not in RETRYABLE:
        ways = ", ".join(sorted(RETRYABLE))
        raise OperationError(
            f"a {execution.status.value} event cannot be retried, only one of {ways}: "
            "append event.as_fresh_event() to run it again"
        )


def requeue(execution: Execution) -> None:
    """Return a finished event to PENDING with its counters at zero, but for the attempt number.

    Raises:
        OperationError: as ``check_retryable``.
    """
    check_retryable(execution)
    execution.failure_count = execution.denials = execution.interruptions = 0
    execution.due = execution.expires = None
    execution.response = execution.duration = execution.error = execution.retryable = Unset
    apply(execution, RELEASED)


def cancelled_while_waiting() -> Ending:
    """Return the outcome of ``executor.cancel`` for an event that has not started."""
    error = EventCancelledError(f"{ON_REQUEST} while it waited")
    return Ending(_S.CANCELLED, error=error, retryable=True)


def is_by_hand(status: EventStatus | None, name: object, message: object) -> bool:
    """Return True for an event that was cancelled by a call or a command: it has not failed.

    Args:
        status: The status of the event.
        name: The name of the class of its error.
        message: The message of its error.
    """
    is_own = status is _S.CANCELLED and name == EventCancelledError.__name__
    return is_own and str(message).startswith(ON_REQUEST)


def after_cancel(error: object, duration: MaybeUnset[float] = Unset) -> Ending:
    """Return the CANCELLED ending of an event that would return to PENDING despite a cancel.

    Args:
        error: The error of its last attempt, if there is one.
        duration: Seconds that its last attempt took, if that is known.
    """
    cause = error if isinstance(error, BaseException) else None
    cancel = EventCancelledError(f"{ON_REQUEST} while it was processed", cause=cause)
    return Ending(_S.CANCELLED, error=cancel, duration=duration, retryable=True)


def after_unstorable(error: Exception, duration: MaybeUnset[float] = Unset) -> Ending:
    """Return the ending of an attempt whose outcome is too large to be stored.

    Args:
        error: The reason.
        duration: Seconds that the attempt took.
    """
    return Ending(EventStatus.FAILED, error=error, duration=duration, retryable=False, tries=1)


def after_expiry(execution: Execution) -> Ending:
    """Return the outcome for an event that was not started before ``expires``.

    Before its first attempt it is CANCELLED. After a failed attempt, the deadline of its retry
    policy is over: it is FAILED with the error of that attempt.
    """
    if execution.failure_count:
        duration, error = execution.duration, execution.error
        return Ending(_S.FAILED, duration=duration, error=error, retryable=True)
    at = datetime.fromtimestamp(execution.expires or 0.0, UTC)
    error = EventCancelledError(
        f"not started in time: its ttl was over at {at:%Y-%m-%d %H:%M:%S} UTC"
    )
    return Ending(_S.CANCELLED, error=error, retryable=True)


def is_retryable(error: BaseException) -> bool:
    """Return True if another attempt may succeed; for a group, if that holds for each error."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_retryable(each) for each in error.exceptions)
    return flag_of(error) is not False


def after_denial(denials: int, backoff: float, maximum: int = MAX_DENIALS) -> Ending:
    """Return the outcome of another denial.

    Args:
        denials: Number of earlier denials.
        backoff: Wait in seconds after the first denial; after the second it is twice as long.
        maximum: Number of denials that aborts the event.
    """
    if denials + 1 >= maximum:
        error = AccessError(
            f"permission was denied {maximum} times: see request_permission; "
            "executor.retry(event) runs it again"
        )
        return Ending(_S.ABORTED, error=error, retryable=False, denials=1)
    return Ending(_S.PENDING, delay=backoff * (denials + 1), denials=1)


def after_interruption(interruptions: int, maximum: int = MAX_INTERRUPTIONS) -> Ending:
    """Return the outcome of another interruption: PENDING, or FAILED after too many."""
    if interruptions + 1 > maximum:
        error = ExecutionError(
            f"interrupted {interruptions + 1} times, more than {maximum}: the event may "
            "crash its workers; executor.retry(event) runs it again"
        )
        return Ending(_S.FAILED, error=error, retryable=False, interruptions=1)
    return Ending(_S.PENDING, interruptions=1)


def alone(outcome: Outcome) -> Outcome:
    """Return the outcome for an event without an executor: PENDING becomes FAILED."""
    if outcome.status is not _S.PENDING:
        return outcome
    failed = Ending(_S.FAILED, retryable=True, tries=1)
    failed.response, failed.error, failed.duration = (
        outcome.response,
        outcome.error,
        outcome.duration,
    )
    return failed


def after_error(
    event: EventData, error: BaseException, cause: Cause | None, cancelled: bool
) -> Ending:
    """Return the outcome of an attempt that ended with an exception.

    Args:
        event: The event.
        error: The exception that the user's code raised.
        cause: The reason why the engine had cancelled the attempt; None if it had not. The
            exception is then a consequence of the cancellation.
        cancelled: True if ``error`` is a cancellation (``asyncio.CancelledError``).
    """
    if cause is Cause.INTERRUPT:
        return after_interruption(event.execution.interruptions)
    if cause is Cause.TIMEOUT:
        text = f"took longer than its timeout of {event.timeout:g} s"
        timeout = LionTimeoutError(text, cause=error)
        return Ending(_S.CANCELLED, error=timeout, retryable=True, tries=1)
    if cause is Cause.CANCEL:
        cancel = EventCancelledError(f"{ON_REQUEST} while it was processed", cause=error)
        return Ending(_S.CANCELLED, error=cancel, retryable=True)
    if cancelled:
        return Ending(_S.CANCELLED, error=error, retryable=True, tries=1)
    if isinstance(error, Skip):
        return Ending(_S.SKIPPED, error=error, retryable=False)
    if isinstance(error, RateLimited):
        wait = error.retry_after
        pause = Pause(error.limit, wait) if error.pause else None
        return Ending(_S.PENDING, error=error, delay=wait, pause=pause)
    return Ending(_S.FAILED, error=error, retryable=is_retryable(error), tries=1)
